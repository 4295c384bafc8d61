use std::net::{IpAddr, Ipv6Addr};

use clickhouse::Row;
use detector::{Call, Text, Timestamp};
use serde::{Serialize, Serializer};

use super::{Identity, Place};
use crate::decode::ContentDigest;

/// A row of `calls`.
#[derive(Clone, Debug, Row, Serialize)]
pub struct CallRow<'a> {
    event_id: &'a str,
    kind: &'static str,
    ts: Timestamp,
    received_at: Timestamp,
    agent_id: &'a str,
    issuer: Option<&'a str>,
    instance_id: Option<&'a str>,
    session_id: Option<&'a str>,
    parent_agent_id: Option<&'a str>,
    delegator: Option<&'a str>,
    token_id: Option<&'a str>,
    key_thumbprint: Option<&'a str>,
    endpoint: &'a str,
    method: Option<&'a str>,
    operation: Option<&'a str>,
    call_id: Option<&'a str>,
    source: Option<&'a str>,
    token_iat: Option<Timestamp>,
    token_exp: Option<Timestamp>,
    credential_kind: &'static str,
    resource: Option<&'a str>,
    scope: Option<&'a str>,
    user_agent: Option<&'a str>,
    model: Option<&'a str>,
    args_digest: Option<&'a str>,
    args: Args<'a>,
    status: Option<u16>,
    latency_ms: Option<f64>,
    bytes_in: Option<u64>,
    bytes_out: Option<u64>,
    source_ip: Option<Ipv6Addr>,
    claimed_attestation: &'static str,
    attestation: &'static str,
    digest: ContentDigest,
    origin: &'a str,
    position: u64,
}

impl<'a> CallRow<'a> {
    /// The row of a record of any kind, with the digest of its content and where it was read.
    ///
    /// An IPv4 address is stored as the IPv6 address that stands for it (`::ffff:192.0.2.1`).
    pub fn new(call: &'a Call<'a>, digest: ContentDigest, place: Place<'a>) -> Self {
        let who = &call.identity;
        Self {
            event_id: &call.event_id,
            kind: call.kind.as_str(),
            ts: call.ts,
            received_at: call.received_at,
            agent_id: &who.agent_id,
            issuer: who.issuer.as_deref(),
            instance_id: who.instance_id.as_deref(),
            session_id: who.session_id.as_deref(),
            parent_agent_id: who.parent_agent_id.as_deref(),
            delegator: who.delegator.as_deref(),
            token_id: who.token_id.as_deref(),
            key_thumbprint: who.key_thumbprint.as_deref(),
            endpoint: &call.endpoint,
            method: call.method.as_deref(),
            operation: call.operation.as_deref(),
            call_id: call.call_id.as_deref(),
            source: call.source.as_deref(),
            token_iat: call.credential.issued_at,
            token_exp: call.credential.expires_at,
            credential_kind: call.credential.kind.as_str(),
            resource: call.resource.as_deref(),
            scope: call.scope.as_deref(),
            user_agent: call.user_agent.as_deref(),
            model: call.model.as_deref(),
            args_digest: call.args_digest.as_deref(),
            args: Args(&call.args),
            status: call.status,
            latency_ms: call.latency_ms,
            bytes_in: call.bytes_in,
            bytes_out: call.bytes_out,
            source_ip: call.source_ip.map(as_v6),
            claimed_attestation: call.claimed.as_str(),
            attestation: call.attestation.get().as_str(),
            digest,
            origin: place.origin,
            position: place.position,
        }
    }

    /// What makes it this record: its id and its content.
    pub(in crate::store) fn identify(&self, identity: &mut Identity) {
        identity.text(self.event_id);
        identity.bytes(&self.digest);
    }
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// Argument values as a map.
#[derive(Clone, Debug)]
struct Args<'a>(&'a [(Text<'a>, f64)]);

impl Serialize for Args<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (&**name, value)))
    }
}
