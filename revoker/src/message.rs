//! What enforcement points are told, in bytes. Made once, in the transaction that decided it: every retry and every
//! target gets the same.

use detector::{Actor, BrokenRule, Layers, MicroBits, Timestamp, VerdictId, VerdictRecord};
use serde::Serialize;

use crate::agent::{AgentKey, Txn};
use crate::effect::{Event, Severity};
use crate::part::Part;
use crate::store::StoreError;
use crate::store::register::Accountable;

/// The JSON Schema of every body, as receivers are given it.
pub const EVENTS_SCHEMA: &str = include_str!("../schemas/events.schema.json");

/// A message stays under 20 kB (Standard Webhooks 1.0, "Payload size") as long as issuer and agent name take no more
/// than 6 kB of it: those are never cut, since a cut name is another agent's. Everything else is.
const REASONS_MAX: usize = 8;
const REASON_BYTES_MAX: usize = 900;
const FIELD_BYTES_MAX: usize = 600;
const NAME_BYTES_MAX: usize = 300;

/// One event on its way to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The same over all retries and targets; what receivers de-duplicate by. No `.` in it.
    pub id: String,
    /// The event's type.
    pub kind: String,
    /// The exact bytes to send and to sign: JSON in UTF-8.
    pub body: Vec<u8>,
}

/// All that goes into a message's body.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) event: &'a Event,
    pub(crate) agent: &'a AgentKey,
    /// Who answers for it.
    pub(crate) people: &'a Accountable,
    /// The part of it that this is about alone.
    pub(crate) part: Option<&'a Part>,
    pub(crate) txn: &'a Txn,
    pub(crate) standing: &'static str,
    pub(crate) record: Option<&'a VerdictRecord>,
    pub(crate) reasons: &'a [String],
    pub(crate) approval_url: Option<&'a str>,
    /// For the detector alone: the baseline that an agent goes back to, or its manifest.
    pub(crate) carried: Option<&'a str>,
    pub(crate) policy: &'a str,
    pub(crate) at: Timestamp,
}

#[derive(Serialize)]
struct Envelope<'a> {
    r#type: &'a str,
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    sequence: i64,
    txn: &'a Txn,
    issuer: Option<&'a str>,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sponsor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<&'a Part>,
    standing: &'a str,
    #[serde(flatten)]
    event: &'a Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<Severity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval_url: Option<&'a str>,
    reasons: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    carried: Option<&'a str>,
    policy: &'a str,
}

#[derive(Serialize)]
struct Evidence {
    sentence: String,
    verdict_id: VerdictId,
    event_id: String,
    ts: Timestamp,
    bits: MicroBits,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<BrokenRule>,
    actor: Actor,
    layers: Layers,
    endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<String>,
    instance_id: Option<String>,
    session_id: Option<String>,
    token_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_thumbprint: Option<String>,
}

impl Facts<'_> {
    /// The body. `sequence` grows with every event of the subject, so that a receiver can tell old news.
    pub(crate) fn body(&self, sequence: i64) -> Result<Vec<u8>, StoreError> {
        let envelope = Envelope {
            r#type: self.event.kind(),
            timestamp: self.at,
            data: Data {
                sequence,
                txn: self.txn,
                issuer: self.agent.issuer.as_deref(),
                subject: &self.agent.agent_id,
                owner: self.people.owner.as_deref().map(|name| clip(name, NAME_BYTES_MAX)),
                sponsor: self.people.sponsor.as_deref().map(|name| clip(name, NAME_BYTES_MAX)),
                part: self.part,
                standing: self.standing,
                event: self.event,
                severity: matches!(self.event, Event::StillActing { .. }).then_some(Severity::Critical),
                approval_url: self.approval_url,
                reasons: self.reasons.iter().take(REASONS_MAX).map(|r| clip(r, REASON_BYTES_MAX)).collect(),
                evidence: self.record.map(evidence),
                carried: self.carried,
                policy: self.policy,
            },
        };
        Ok(crate::store::to_json(&envelope)?.into_bytes())
    }
}

fn evidence(record: &VerdictRecord) -> Evidence {
    let cut = |text: &Option<String>| text.as_deref().map(|t| clip(t, FIELD_BYTES_MAX));
    Evidence {
        sentence: clip(&record.sentence(), REASON_BYTES_MAX),
        verdict_id: record.verdict.id,
        event_id: clip(&record.event_id, FIELD_BYTES_MAX),
        ts: record.verdict.ts,
        bits: record.verdict.level,
        rule: record.verdict.rule,
        actor: record.verdict.actor.clone(),
        layers: record.verdict.layers,
        endpoint: clip(&record.endpoint, FIELD_BYTES_MAX),
        method: cut(&record.method),
        operation: cut(&record.operation),
        line: cut(&record.line),
        instance_id: cut(&record.instance_id),
        session_id: cut(&record.session_id),
        token_id: cut(&record.token_id),
        key_thumbprint: cut(&record.key_thumbprint),
    }
}

/// At most `bytes` bytes of JSON between its quotes, with an ellipsis where something was cut.
pub(crate) fn clip(text: &str, bytes: usize) -> String {
    const ELLIPSIS: char = '…';
    let (mut used, mut fits) = (0, 0);
    for (at, c) in text.char_indices() {
        used += match c {
            '"' | '\\' => 2,
            '\0'..='\x1f' => "\\u0000".len(),
            c => c.len_utf8(),
        };
        if used > bytes {
            return text[..fits].chars().chain([ELLIPSIS]).collect();
        }
        if used + ELLIPSIS.len_utf8() <= bytes {
            fits = at + c.len_utf8();
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{at, damning};

    proptest! {
        #[test]
        fn what_is_clipped_fits_and_what_fits_is_left_alone(text in ".{0,60}|[\\x00-\\x22…]{0,60}", bytes in 8..64_usize) {
            let json = |text: &str| serde_json::to_string(text).unwrap().len() - 2;
            let clipped = clip(&text, bytes);
            prop_assert!(json(&clipped) <= bytes, "{clipped:?}");
            prop_assert!(clipped == text || json(&text) > bytes || text.contains(|c| c < ' '), "{clipped:?}");
            prop_assert!(clipped == text || text.starts_with(clipped.strip_suffix('…').unwrap()));
        }
    }

    #[test]
    fn every_type_has_a_schema_of_its_own() {
        let schema: serde_json::Value = serde_json::from_str(EVENTS_SCHEMA).unwrap();
        let of =
            |event: &serde_json::Value| event["properties"]["type"]["const"].as_str().unwrap().to_owned();
        let types: Vec<_> = schema["oneOf"].as_array().unwrap().iter().map(of).collect();
        assert_eq!(types, [&crate::effect::EVENT_KINDS[..], &[crate::effect::NOTICE]].concat());
    }

    #[test]
    fn no_log_line_makes_a_message_too_long() {
        let long = "\0".repeat(1 << 20);
        let mut record = damning(1, at(0), &"a".repeat(3_000));
        record.event_id.clone_from(&long);
        record.endpoint.clone_from(&long);
        record.method = Some(long.clone());
        for field in [
            &mut record.operation,
            &mut record.line,
            &mut record.instance_id,
            &mut record.session_id,
            &mut record.token_id,
        ] {
            *field = Some(long.clone());
        }
        let agent = AgentKey::new(Some(&"i".repeat(3_000)), &record.agent_id);
        let people =
            Accountable { owner: Some(long.clone()), sponsor: Some(long.clone()), ..Accountable::default() };
        let facts = Facts {
            event: &Event::Reinstated,
            agent: &agent,
            people: &people,
            part: None,
            txn: &Txn::random(),
            standing: "revoked",
            record: Some(&record),
            reasons: &vec![long.clone(); 100],
            approval_url: None,
            carried: None,
            policy: "0123456789ab",
            at: at(0),
        };
        let body = facts.body(i64::MAX).unwrap();
        assert!(body.len() < 20_000, "{} bytes", body.len());
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["data"]["subject"].as_str(), Some(record.agent_id.as_str()));
    }
}
