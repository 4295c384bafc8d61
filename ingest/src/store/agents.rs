//! What the calls say of agents: who was seen, with which credentials, and what each called, when and from where.
//!
//! Asked by people and not by the pipelines: each answer reads the calls of a stretch of time and has a limit on its rows.

use std::net::{IpAddr, Ipv6Addr};

use clickhouse::{Row, RowOwned, RowRead};
use detector::Timestamp;
use serde::{Deserialize, Serialize};

use super::{QUERY_MAX, Store, StoreError, within};

/// The most rows of each list in [`Usage`]; of minutes more, below.
const LIST_MAX: u64 = 10_000;
/// Minutes with a call: 90 days of them.
const MINUTES_MAX: u64 = 90 * 24 * 60;
/// Endpoints of each agent in [`Store::endpoint_uses`].
const PER_AGENT_MAX: u64 = 100;

/// Which calls: from when on, and of whom.
#[derive(Clone, Copy, Debug)]
pub struct CallsOf<'a> {
    /// Event time.
    pub from: Timestamp,
    /// Issuer and name; none is everybody.
    pub agent: Option<(Option<&'a str>, &'a str)>,
}

/// An agent as its calls show it.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct AgentSeen {
    pub agent_id: String,
    pub issuer: Option<String>,
    pub calls: u64,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// Different tokens: how often it authenticated, as far as the log names tokens.
    pub tokens: u64,
    pub sessions: u64,
    /// The longest time from a token's issue to its expiry, seconds; none where no call says both.
    pub token_lifetime_max_s: Option<i64>,
    /// When the token of its last call was issued, of those calls that say so,
    pub last_token_iat: Option<Timestamp>,
    /// and when that call was made; 1970 where there is none.
    pub last_token_used: Timestamp,
    pub credential_kinds: Vec<String>,
    /// As logged: each may hold several. At most 64.
    pub scopes: Vec<String>,
    /// Parents that its calls name; at most 16.
    pub parents: Vec<String>,
    /// What its identity was worth.
    pub attestations: Vec<String>,
}

/// How much an agent called one endpoint.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct EndpointUse {
    pub agent_id: String,
    pub issuer: Option<String>,
    pub endpoint: String,
    pub calls: u64,
    pub tokens: u64,
    pub sessions: u64,
    pub last_seen: Timestamp,
}

/// What one agent did, for a comparison with what it is declared to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Usage {
    /// The agent.
    pub seen: AgentSeen,
    /// The endpoints it called, most called first.
    pub endpoints: Vec<EndpointUse>,
    /// Where from, and how many calls.
    pub addresses: Vec<(IpAddr, u64)>,
    /// Minutes since 1970 in which it called, and how often, in order.
    pub minutes: Vec<(i64, u64)>,
}

const SEEN: &str = "SELECT agent_id, issuer, count() AS calls, min(ts) AS first_seen, max(ts) AS last_seen,
    uniqExact(token_id) AS tokens, uniqExact(session_id) AS sessions,
    max(dateDiff('second', token_iat, token_exp)) AS token_lifetime_max_s,
    argMaxIf(token_iat, ts, kind = 'call') AS last_token_iat,
    maxIf(ts, kind = 'call' AND token_iat IS NOT NULL) AS last_token_used,
    groupUniqArray(16)(credential_kind) AS credential_kinds, groupUniqArray(64)(scope) AS scopes,
    groupUniqArray(16)(parent_agent_id) AS parents, groupUniqArray(8)(attestation) AS attestations";
const USES: &str = "SELECT agent_id, issuer, endpoint, count() AS calls, uniqExact(token_id) AS tokens,
    uniqExact(session_id) AS sessions, max(ts) AS last_seen";

#[derive(Row, Deserialize)]
struct Address {
    address: Ipv6Addr,
    calls: u64,
}

#[derive(Row, Deserialize)]
struct Minute {
    minute: i64,
    calls: u64,
}

impl Store {
    /// Agents that called, last seen first; at most `limit`.
    pub async fn agents_seen(&self, calls: CallsOf<'_>, limit: u32) -> Result<Vec<AgentSeen>, StoreError> {
        let rest =
            format!("GROUP BY agent_id, issuer ORDER BY last_seen DESC, agent_id, issuer LIMIT {limit}");
        self.ask("agents that were seen", SEEN, calls, &rest).await
    }

    /// What each agent called, by agent and then most called first; at most 100 endpoints an agent and `limit` in all.
    pub async fn endpoint_uses(
        &self,
        calls: CallsOf<'_>,
        limit: u32,
    ) -> Result<Vec<EndpointUse>, StoreError> {
        let rest = format!(
            "GROUP BY agent_id, issuer, endpoint ORDER BY agent_id, issuer, calls DESC, endpoint
             LIMIT {PER_AGENT_MAX} BY agent_id, issuer LIMIT {limit}"
        );
        self.ask("what agents called", USES, calls, &rest).await
    }

    /// What one agent did from a time on; none if it called nothing.
    pub async fn usage(
        &self,
        issuer: Option<&str>,
        agent_id: &str,
        from: Timestamp,
    ) -> Result<Option<Usage>, StoreError> {
        let calls = CallsOf { from, agent: Some((issuer, agent_id)) };
        let Some(seen) = self.agents_seen(calls, 1).await?.pop() else { return Ok(None) };
        let rest =
            format!("GROUP BY agent_id, issuer, endpoint ORDER BY calls DESC, endpoint LIMIT {LIST_MAX}");
        let endpoints = self.ask("what an agent called", USES, calls, &rest).await?;
        let rest = format!(
            "AND source_ip IS NOT NULL GROUP BY address ORDER BY calls DESC, address LIMIT {LIST_MAX}"
        );
        let what = "SELECT assumeNotNull(source_ip) AS address, count() AS calls";
        let addresses: Vec<Address> = self.ask("where an agent called from", what, calls, &rest).await?;
        let rest = format!("GROUP BY minute ORDER BY minute LIMIT {MINUTES_MAX}");
        let what = "SELECT intDiv(toUnixTimestamp64Micro(ts), 60000000) AS minute, count() AS calls";
        let minutes: Vec<Minute> = self.ask("when an agent called", what, calls, &rest).await?;
        Ok(Some(Usage {
            seen,
            endpoints,
            addresses: addresses
                .into_iter()
                .map(|a| (IpAddr::V6(a.address).to_canonical(), a.calls))
                .collect(),
            minutes: minutes.into_iter().map(|m| (m.minute, m.calls)).collect(),
        }))
    }

    /// Reads rows that `what` selects from these calls. Values are bound, and the rest is ours.
    async fn ask<T: RowOwned + RowRead>(
        &self,
        name: &str,
        what: &str,
        calls: CallsOf<'_>,
        rest: &str,
    ) -> Result<Vec<T>, StoreError> {
        let whom = calls.agent.map_or("", |_| "AND agent_id = ? AND issuer IS NOT DISTINCT FROM ?");
        let sql = format!(
            "SELECT ?fields FROM ({what} FROM calls_once
             WHERE kind IN ('call', 'request') AND ts >= fromUnixTimestamp64Micro(?, 'UTC') {whom} {rest})"
        );
        let mut query = self.client.query(&sql).bind(calls.from.as_micros());
        if let Some((issuer, agent_id)) = calls.agent {
            query = query.bind(agent_id).bind(issuer);
        }
        let what = format!("read {name}");
        let read = async { query.fetch_all::<T>().await.map_err(|e| StoreError::new(what.clone(), e)) };
        within(QUERY_MAX, &what, read).await
    }
}
