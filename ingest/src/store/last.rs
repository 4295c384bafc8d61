//! The last word on an agent: its latest verdict up to an instant, whole again as it was said.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use clickhouse::Row;
use detector::{
    ACTOR_REASONS_MAX, Actor, ActorKind, Attestation, Beside, BrokenRule, Cohort, EffectiveAttestation,
    History, Kind, Layers, MicroBits, Misfit, Part, Pattern, RuleKind, Signal, Timestamp, Trust, Verdict,
    VerdictId, VerdictRecord,
};
use serde::de::{DeserializeOwned, Error as _, IntoDeserializer};
use serde::{Deserialize, Deserializer};

use super::{QUERY_MAX, Store, StoreError, within};

/// The time is looked for in one column alone, and the row then read by the whole of its key: an agent may have millions.
/// Of several verdicts at one instant it is one that broke a rule, then the one with the most evidence, as the last of a
/// burst is.
const LAST: &str = "SELECT ?fields FROM verdicts_once
WHERE agent_id = ? AND issuer IS NOT DISTINCT FROM ? AND ts <= fromUnixTimestamp64Micro(?, 'UTC') AND ts = (
    SELECT max(ts) FROM verdicts
    WHERE agent_id = ? AND issuer IS NOT DISTINCT FROM ? AND ts <= fromUnixTimestamp64Micro(?, 'UTC')
)
ORDER BY version DESC, rule != '' DESC, level_microbits DESC LIMIT 1";

/// The newest of an agent's endpoints, as verdicts show them: at most as many as an analyst reads.
const SHOWN: &str = "SELECT if(route = '', endpoint, route) AS shown FROM verdicts
WHERE agent_id = ? AND issuer IS NOT DISTINCT FROM ? GROUP BY shown ORDER BY max(ts) DESC LIMIT 1000";

/// What stands in `calls` only.
const CALL: &str = "SELECT ?fields FROM calls_once
WHERE agent_id = ? AND ts = fromUnixTimestamp64Micro(?, 'UTC') AND event_id = ? LIMIT 1";

impl Store {
    /// By what names verdicts show the endpoints of an agent, the newest 1,000.
    pub async fn endpoints_shown(
        &self,
        issuer: Option<&str>,
        agent_id: &str,
    ) -> Result<Vec<String>, StoreError> {
        let what = || format!("read the endpoints of agent {agent_id:?}");
        let query = self.client.query(SHOWN).bind(agent_id).bind(issuer);
        let read = async { query.fetch_all::<Shown>().await.map_err(|e| StoreError::new(what(), e)) };
        Ok(within(QUERY_MAX, &what(), read).await?.into_iter().map(|row| row.shown).collect())
    }

    /// The agent's last verdict at or before an instant of event time; none if the database holds none.
    ///
    /// Agents are told apart by issuer and name, so one without an issuer is another agent. A verdict comes into the
    /// database a moment after it is said, and its call may come later still: until then, and after its retention, what
    /// only the call knows (token, delegator, method, operation, resource, arguments' digest) is missing.
    pub async fn last_verdict(
        &self,
        issuer: Option<&str>,
        agent_id: &str,
        at: Timestamp,
    ) -> Result<Option<VerdictRecord>, StoreError> {
        let what = || format!("read the last verdict of agent {agent_id:?} at or before {at}");
        let read = async {
            let at = at.as_micros();
            let query = self.client.query(LAST).bind(agent_id).bind(issuer).bind(at);
            let query = query.bind(agent_id).bind(issuer).bind(at);
            let Some(said) = query.fetch_optional::<Said>().await? else { return Ok(None) };
            let query = self.client.query(CALL).bind(agent_id).bind(said.ts.as_micros()).bind(&said.event_id);
            let call = query.fetch_optional::<Called>().await?.unwrap_or_default();
            said.record(call).map(Some)
        };
        let read = async { read.await.map_err(|e| StoreError::new(what(), e)) };
        within(QUERY_MAX, &what(), read).await
    }
}

/// A name that verdicts show an endpoint by.
#[derive(Debug, Row, Deserialize)]
struct Shown {
    shown: String,
}

/// A row of `verdicts`.
#[derive(Debug, Row, Deserialize)]
struct Said {
    id: [u8; 32],
    version: u16,
    event_id: String,
    kind: Name<Kind>,
    ts: Timestamp,
    agent_id: String,
    issuer: Option<String>,
    instance_id: Option<String>,
    session_id: Option<String>,
    endpoint: String,
    /// Empty where it is the endpoint.
    route: String,
    level_microbits: MicroBits,
    added_microbits: MicroBits,
    #[serde(rename = "parts.signal")]
    part_signal: Vec<Name<Signal>>,
    #[serde(rename = "parts.microbits")]
    part_microbits: Vec<MicroBits>,
    #[serde(rename = "parts.added_microbits")]
    part_added_microbits: Vec<MicroBits>,
    #[serde(rename = "parts.level_microbits")]
    part_level_microbits: Vec<MicroBits>,
    #[serde(rename = "parts.pattern")]
    part_pattern: Vec<Name<Pattern>>,
    #[serde(rename = "parts.observed")]
    part_observed: Vec<f64>,
    #[serde(rename = "parts.expected")]
    part_expected: Vec<f64>,
    #[serde(rename = "parts.low")]
    part_low: Vec<f64>,
    #[serde(rename = "parts.high")]
    part_high: Vec<f64>,
    #[serde(rename = "parts.since")]
    part_since: Vec<Timestamp>,
    #[serde(rename = "parts.window_ms")]
    part_window_ms: Vec<u64>,
    #[serde(rename = "parts.quiet_at")]
    part_quiet_at: Vec<f64>,
    #[serde(rename = "parts.history_n")]
    part_history_n: Vec<u32>,
    #[serde(rename = "parts.history_prior")]
    part_history_prior: Vec<u16>,
    #[serde(rename = "parts.history_peers")]
    part_history_peers: Vec<u16>,
    #[serde(rename = "parts.history_own")]
    part_history_own: Vec<u16>,
    families: u8,
    jump: f32,
    attestation: Name<Attestation>,
    model: u32,
    /// Empty where no rule was broken.
    rule: String,
    rule_observed: u64,
    rule_limit: u64,
    rule_window_ms: u64,
    rule_since: Timestamp,
    /// 0 where nothing was shared.
    cohort: u32,
    cohort_pattern: String,
    cohort_since: Timestamp,
    cohort_agents: u32,
    cohort_exposed: u32,
    cohort_factor: f32,
    cohort_own_microbits: MicroBits,
    cohort_is_beyond: bool,
    layer_identity: Name<Trust>,
    layer_context: Name<Trust>,
    layer_runtime: Name<Trust>,
    layer_behaviour: Name<Trust>,
    actor: Name<ActorKind>,
    actor_because: Vec<Name<Pattern>>,
    /// Empty where it speaks of no line.
    line: String,
    /// Empty where it speaks of no call that does not fit.
    misfit: String,
    misfit_after: String,
}

/// The columns of `calls` that a verdict speaks of and `verdicts` lacks.
#[derive(Debug, Default, Row, Deserialize)]
struct Called {
    token_id: Option<String>,
    key_thumbprint: Option<String>,
    delegator: Option<String>,
    method: Option<String>,
    operation: Option<String>,
    resource: Option<String>,
    args_digest: Option<String>,
    args: BTreeMap<String, f64>,
    source_ip: Option<Ipv6Addr>,
    bytes_out: Option<u64>,
    parent_agent_id: Option<String>,
    token_iat: Option<Timestamp>,
}

impl Said {
    fn record(self, call: Called) -> Result<VerdictRecord, clickhouse::error::Error> {
        let id = std::str::from_utf8(&self.id).ok().and_then(|id| id.parse::<VerdictId>().ok());
        let id = id.ok_or_else(|| Self::broken("id", &self.event_id))?;
        let parts: Option<_> =
            (0..self.part_signal.len().min(detector::PARTS_MAX)).map(|i| self.part(i)).collect();
        let parts = parts.ok_or_else(|| Self::broken("parts", &self.event_id))?;
        let Name(attestation) = self.attestation;
        let (rule, cohort) = (self.rule()?, self.cohort()?);
        Ok(VerdictRecord {
            verdict: Verdict {
                id,
                version: self.version,
                ts: self.ts,
                level: self.level_microbits,
                added: self.added_microbits,
                parts,
                families: self.families,
                jump: self.jump,
                // It was the lower of claim and ceiling when it was stored; the lower of it and itself is it again.
                attestation: EffectiveAttestation::new(attestation, attestation),
                model: self.model,
                rule,
                cohort,
                layers: Layers {
                    identity: self.layer_identity.0,
                    context: self.layer_context.0,
                    runtime: self.layer_runtime.0,
                    behaviour: self.layer_behaviour.0,
                    oversight: Trust::Silent,
                },
                actor: Actor {
                    is: self.actor.0,
                    because: self.actor_because.iter().take(ACTOR_REASONS_MAX).map(|p| p.0).collect(),
                },
            },
            event_id: self.event_id,
            kind: self.kind.0,
            agent_id: self.agent_id,
            issuer: self.issuer,
            instance_id: self.instance_id,
            session_id: self.session_id,
            token_id: call.token_id,
            delegator: call.delegator,
            endpoint: self.endpoint,
            method: call.method,
            resource: call.resource,
            args_digest: call.args_digest,
            operation: call.operation,
            route: Some(self.route).filter(|route| !route.is_empty()),
            key_thumbprint: call.key_thumbprint,
            line: Some(self.line).filter(|line| !line.is_empty()),
            misfit: (!self.misfit.is_empty()).then(|| Misfit {
                call: self.misfit,
                after: Some(self.misfit_after).filter(|after| !after.is_empty()),
            }),
            beside: Beside {
                source_ip: call.source_ip.map(|address| IpAddr::V6(address).to_canonical()),
                bytes_out: call.bytes_out,
                parent_agent_id: call.parent_agent_id,
                token_iat: call.token_iat,
                position: None,
                args: call.args.into_iter().map(|(name, value)| (name, value.to_bits())).collect(),
            },
        })
    }

    fn rule(&self) -> Result<Option<BrokenRule>, clickhouse::error::Error> {
        if self.rule.is_empty() {
            return Ok(None);
        }
        let kind: Result<_, serde::de::value::Error> =
            RuleKind::deserialize(self.rule.as_str().into_deserializer());
        Ok(Some(BrokenRule {
            kind: kind.map_err(|_| Self::broken("rule", &self.event_id))?,
            observed: self.rule_observed,
            limit: self.rule_limit,
            window_ms: self.rule_window_ms,
            since: self.rule_since,
        }))
    }

    fn cohort(&self) -> Result<Option<Cohort>, clickhouse::error::Error> {
        if self.cohort == 0 {
            return Ok(None);
        }
        let pattern: Result<_, serde::de::value::Error> =
            Pattern::deserialize(self.cohort_pattern.as_str().into_deserializer());
        Ok(Some(Cohort {
            incident: self.cohort,
            pattern: pattern.map_err(|_| Self::broken("cohort_pattern", &self.event_id))?,
            since: self.cohort_since,
            agents: self.cohort_agents,
            exposed: self.cohort_exposed,
            factor: self.cohort_factor,
            own: self.cohort_own_microbits,
            is_beyond: self.cohort_is_beyond,
        }))
    }

    /// The part at one place of all its columns.
    fn part(&self, i: usize) -> Option<Part> {
        Some(Part {
            signal: self.part_signal.get(i)?.0,
            bits: *self.part_microbits.get(i)?,
            added: *self.part_added_microbits.get(i)?,
            level: *self.part_level_microbits.get(i)?,
            pattern: self.part_pattern.get(i)?.0,
            observed: *self.part_observed.get(i)?,
            expected: *self.part_expected.get(i)?,
            low: *self.part_low.get(i)?,
            high: *self.part_high.get(i)?,
            since: *self.part_since.get(i)?,
            window_ms: *self.part_window_ms.get(i)?,
            history: History {
                n: *self.part_history_n.get(i)?,
                prior: *self.part_history_prior.get(i)?,
                peers: *self.part_history_peers.get(i)?,
                own: *self.part_history_own.get(i)?,
            },
            quiet_at: *self.part_quiet_at.get(i)?,
        })
    }

    fn broken(column: &str, event_id: &str) -> clickhouse::error::Error {
        clickhouse::error::Error::Custom(format!(
            "`{column}` of the verdict on event {event_id:?} is not as written"
        ))
    }
}

/// A word of a closed set, as files and tables spell it.
#[derive(Clone, Copy, Debug)]
struct Name<T>(T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Name<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let known: Result<T, serde::de::value::Error> = T::deserialize(word.into_deserializer());
        known.map(Self).map_err(D::Error::custom)
    }
}
