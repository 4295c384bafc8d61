//! The native schema: NDJSON, one record a line.
//!
//! | field | bound | required for |
//! | --- | --- | --- |
//! | `event_id` | | every kind |
//! | `ts` | RFC 3339, years 1970 to 2299 | every kind |
//! | `agent_id` | | every kind but `heartbeat` |
//! | `endpoint` | | `call`, `request` |
//! | `call_id` | | `outcome` |
//! | `source` | | `heartbeat` |
//! | `kind`, `attestation`, `credential_kind` | the names of the schema | |
//! | `method`, `operation`, `instance_id`, `session_id`, `parent_agent_id`, `delegator`, `issuer`, `token_id`, `key_thumbprint`, `resource`, `scope`, `user_agent`, `model`, `args_digest` | | |
//! | `token_iat`, `token_exp` | RFC 3339; beyond the years 1970 to 2299 the nearest end ("never expires") | |
//! | `args` | an object of at most 16 finite numbers, names of 1 to 256 bytes | |
//! | `status` | 100 to 599 | |
//! | `latency_ms` | finite, ≥ 0 | |
//! | `bytes_in`, `bytes_out` | 0 to 2⁶⁴ − 1 | |
//! | `source_ip` | IPv4 or IPv6 | |
//! | `ruling` | of `feedback`, which Tocsin alone writes; absent it is `benign` | |
//! | `baseline` | of `revert`, which Tocsin alone writes; at most 16 KiB | `revert` |
//! | `manifest` | of `manifest`, which Tocsin alone writes: the manifest as JSON; at most 128 KiB | `manifest` |
//!
//! Texts are at most [`TEXT_BYTES_MAX`] long, and none may be a bearer token. For every field `null` is the same
//! as absent; for texts so is `""`. A field that comes twice is refused, for its meaning would depend on who reads it.

mod args;
mod write;

use detector::{Call, Kind, Text, Timestamp};
use serde::de::MapAccess;

pub use super::value::{MANIFEST_BYTES_MAX, TEXT_BYTES_MAX};
pub use args::ARG_NAME_BYTES_MAX;
pub use write::write;

use super::fields::{Fields, fields};
use super::json::{Fill, Place, read_record};
use super::value::{
    AttestationName, Bound, Bytes, CredentialName, Declared, Instant, Ip, KindName, Millis, Packed,
    RulingName, Slot, Status, Word,
};
use super::{Invalid, Tally};

fields! {
    /// The fields of the native schema.
    enum Field {
        EventId = "event_id",
        Ts = "ts",
        AgentId = "agent_id",
        SessionId = "session_id",
        TokenId = "token_id",
        KeyThumbprint = "key_thumbprint",
        Endpoint = "endpoint",
        Method = "method",
        Operation = "operation",
        Status = "status",
        LatencyMs = "latency_ms",
        BytesIn = "bytes_in",
        BytesOut = "bytes_out",
        SourceIp = "source_ip",
        Scope = "scope",
        Kind = "kind",
        CallId = "call_id",
        Source = "source",
        InstanceId = "instance_id",
        ParentAgentId = "parent_agent_id",
        Delegator = "delegator",
        Issuer = "issuer",
        TokenIat = "token_iat",
        TokenExp = "token_exp",
        CredentialKind = "credential_kind",
        Resource = "resource",
        UserAgent = "user_agent",
        Model = "model",
        ArgsDigest = "args_digest",
        Args = "args",
        Attestation = "attestation",
        Ruling = "ruling",
        Baseline = "baseline",
        Manifest = "manifest",
    }
}

/// Whether `key` is a field of the native schema.
pub(super) fn knows(key: &str) -> bool {
    Field::from_name(key).is_some()
}

/// Decodes one native record, as it stands: no issuer, attestation or receipt from the source yet.
pub fn decode<'a>(record: &'a [u8], tally: &mut Tally) -> Result<Call<'a>, Invalid> {
    let mut draft = Draft { call: Call::new("", Timestamp::default(), "", ""), ts: None };
    read_record(record, &mut draft, tally)?;
    let Draft { mut call, ts } = draft;
    let missing = |field: Field| Invalid::field(field.name(), "required, but absent, null or empty");
    call.ts = ts.ok_or_else(|| missing(Field::Ts))?;
    call.received_at = call.ts;
    match first_missing(&call) {
        Some(field) => Err(missing(field)),
        None => Ok(call),
    }
}

/// The first field that a record of this kind must have and `call` has not.
fn first_missing(call: &Call<'_>) -> Option<Field> {
    let event_id = (Field::EventId, call.event_id.is_empty());
    let agent_id = (Field::AgentId, call.identity.agent_id.is_empty());
    let endpoint = (Field::Endpoint, call.endpoint.is_empty());
    let own = match call.kind {
        Kind::Call | Kind::Request => [agent_id, endpoint],
        Kind::Outcome => [agent_id, (Field::CallId, call.call_id.is_none())],
        Kind::TaskEnd | Kind::Feedback | Kind::Silence => [agent_id, agent_id],
        Kind::Revert => [agent_id, (Field::Baseline, call.baseline.is_none())],
        Kind::Manifest => [agent_id, (Field::Manifest, call.manifest.is_none())],
        Kind::Heartbeat => [(Field::Source, call.source.is_none()); 2],
    };
    std::iter::once(event_id).chain(own).find_map(|(field, missing)| missing.then_some(field))
}

/// A record in the making.
struct Draft<'de> {
    call: Call<'de>,
    ts: Option<Timestamp>,
}

impl<'de> Fill<'de> for Draft<'de> {
    type Fields = Field;

    fn fill<A: MapAccess<'de>>(
        &mut self,
        field: Field,
        map: &mut A,
        place: &mut Place<'de>,
    ) -> Result<(), A::Error> {
        let call = &mut self.call;
        match field {
            Field::EventId => call.event_id = word(map)?.unwrap_or_default(),
            Field::Ts => self.ts = map.next_value_seed(Slot::<Instant>::NEW)?,
            Field::AgentId => call.identity.agent_id = word(map)?.unwrap_or_default(),
            Field::SessionId => call.identity.session_id = word(map)?,
            Field::TokenId => call.identity.token_id = word(map)?,
            Field::KeyThumbprint => call.identity.key_thumbprint = word(map)?,
            Field::Endpoint => call.endpoint = word(map)?.unwrap_or_default(),
            Field::Method => call.method = word(map)?,
            Field::Operation => call.operation = word(map)?,
            Field::Status => call.status = map.next_value_seed(Slot::<Status>::NEW)?,
            Field::LatencyMs => call.latency_ms = map.next_value_seed(Slot::<Millis>::NEW)?,
            Field::BytesIn => call.bytes_in = map.next_value_seed(Slot::<Bytes>::NEW)?,
            Field::BytesOut => call.bytes_out = map.next_value_seed(Slot::<Bytes>::NEW)?,
            Field::SourceIp => call.source_ip = map.next_value_seed(Slot::<Ip>::NEW)?,
            Field::Scope => call.scope = word(map)?,
            Field::Kind => call.kind = map.next_value_seed(Slot::<KindName>::NEW)?.unwrap_or_default(),
            Field::CallId => call.call_id = word(map)?,
            Field::Source => call.source = word(map)?,
            Field::InstanceId => call.identity.instance_id = word(map)?,
            Field::ParentAgentId => call.identity.parent_agent_id = word(map)?,
            Field::Delegator => call.identity.delegator = word(map)?,
            Field::Issuer => call.identity.issuer = word(map)?,
            Field::TokenIat => call.credential.issued_at = map.next_value_seed(Slot::<Bound>::NEW)?,
            Field::TokenExp => call.credential.expires_at = map.next_value_seed(Slot::<Bound>::NEW)?,
            Field::CredentialKind => {
                call.credential.kind = map.next_value_seed(Slot::<CredentialName>::NEW)?.unwrap_or_default();
            }
            Field::Resource => call.resource = word(map)?,
            Field::UserAgent => call.user_agent = word(map)?,
            Field::Model => call.model = word(map)?,
            Field::ArgsDigest => call.args_digest = word(map)?,
            Field::Args => map.next_value_seed(args::Args { call, place })?,
            Field::Ruling => {
                call.ruling = map.next_value_seed(Slot::<RulingName>::NEW)?.unwrap_or_default();
            }
            Field::Baseline => call.baseline = map.next_value_seed(Slot::<Packed>::NEW)?,
            Field::Manifest => call.manifest = map.next_value_seed(Slot::<Declared>::NEW)?,
            Field::Attestation => {
                call.claimed = map.next_value_seed(Slot::<AttestationName>::NEW)?.unwrap_or_default();
            }
        }
        Ok(())
    }
}

fn word<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Text<'de>>, A::Error> {
    map.next_value_seed(Slot::<Word>::NEW)
}
