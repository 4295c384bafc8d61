//! A call as a line of native NDJSON; what `simulate` writes and a producer may.

use std::io;

use detector::{Attestation, Call, CredentialKind, Kind, Ruling, Text};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Appends `call` to `out` as one line, line end included. What is absent, or has the schema's default, is left out.
///
/// Written is what the record says: its claimed attestation, and neither the receipt nor what the claim is worth.
/// The error is `out`'s own.
pub fn write(call: &Call<'_>, mut out: impl io::Write) -> io::Result<()> {
    serde_json::to_writer(&mut out, &Line(call))?;
    out.write_all(b"\n")
}

struct Line<'c>(&'c Call<'c>);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        head(&mut map, self.0)?;
        texts(&mut map, self.0)?;
        values(&mut map, self.0)?;
        map.end()
    }
}

fn head<M: SerializeMap>(map: &mut M, call: &Call<'_>) -> Result<(), M::Error> {
    map.serialize_entry("event_id", &call.event_id)?;
    if call.kind != Kind::default() {
        map.serialize_entry("kind", &call.kind)?;
    }
    map.serialize_entry("ts", &call.ts)?;
    for (name, text) in [("agent_id", &call.identity.agent_id), ("endpoint", &call.endpoint)] {
        if !text.is_empty() {
            map.serialize_entry(name, text)?;
        }
    }
    Ok(())
}

fn texts<M: SerializeMap>(map: &mut M, call: &Call<'_>) -> Result<(), M::Error> {
    let who = &call.identity;
    let texts: [(&str, &Option<Text<'_>>); 16] = [
        ("method", &call.method),
        ("operation", &call.operation),
        ("call_id", &call.call_id),
        ("source", &call.source),
        ("instance_id", &who.instance_id),
        ("session_id", &who.session_id),
        ("parent_agent_id", &who.parent_agent_id),
        ("delegator", &who.delegator),
        ("issuer", &who.issuer),
        ("token_id", &who.token_id),
        ("key_thumbprint", &who.key_thumbprint),
        ("resource", &call.resource),
        ("scope", &call.scope),
        ("user_agent", &call.user_agent),
        ("model", &call.model),
        ("args_digest", &call.args_digest),
    ];
    texts.into_iter().try_for_each(|(name, text)| optional(map, name, text.as_ref()))
}

fn values<M: SerializeMap>(map: &mut M, call: &Call<'_>) -> Result<(), M::Error> {
    optional(map, "token_iat", call.credential.issued_at)?;
    optional(map, "token_exp", call.credential.expires_at)?;
    let credential_kind = call.credential.kind;
    optional(
        map,
        "credential_kind",
        (credential_kind != CredentialKind::default()).then_some(credential_kind),
    )?;
    optional(map, "args", (!call.args.is_empty()).then_some(Args(&call.args)))?;
    optional(map, "status", call.status)?;
    optional(map, "latency_ms", call.latency_ms)?;
    optional(map, "bytes_in", call.bytes_in)?;
    optional(map, "bytes_out", call.bytes_out)?;
    optional(map, "source_ip", call.source_ip)?;
    optional(map, "attestation", (call.claimed != Attestation::default()).then_some(call.claimed))?;
    optional(map, "ruling", (call.ruling != Ruling::default()).then_some(call.ruling))?;
    optional(map, "baseline", call.baseline.as_ref())?;
    optional(map, "manifest", call.manifest.as_ref())
}

fn optional<M: SerializeMap>(map: &mut M, name: &str, value: Option<impl Serialize>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(name, &value))
}

struct Args<'c>(&'c [(Text<'c>, f64)]);

impl Serialize for Args<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
