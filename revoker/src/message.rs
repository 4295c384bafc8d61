//! What enforcement points are told, in bytes. Made once, in the transaction that decided it: every retry and every
//! target gets the same.

use detector::{MicroBits, Timestamp, VerdictId, VerdictRecord};
use serde::Serialize;

use crate::agent::{AgentKey, Txn};
use crate::effect::Event;
use crate::store::StoreError;

/// A message stays under 20 kB (Standard Webhooks 1.0, "Payload size") as long as issuer and agent name take no more
/// than 6 kB of it: those are never cut, since a cut name is another agent's. Everything else is.
const REASONS_MAX: usize = 8;
const REASON_CHARS_MAX: usize = 400;
const FIELD_CHARS_MAX: usize = 300;

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
    pub(crate) txn: &'a Txn,
    pub(crate) standing: &'static str,
    pub(crate) record: Option<&'a VerdictRecord>,
    pub(crate) reasons: &'a [String],
    pub(crate) approval_url: Option<&'a str>,
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
    standing: &'a str,
    #[serde(flatten)]
    event: &'a Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval_url: Option<&'a str>,
    reasons: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence>,
    policy: &'a str,
}

#[derive(Serialize)]
struct Evidence {
    verdict_id: VerdictId,
    event_id: String,
    ts: Timestamp,
    bits: MicroBits,
    endpoint: String,
    instance_id: Option<String>,
    session_id: Option<String>,
    token_id: Option<String>,
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
                standing: self.standing,
                event: self.event,
                approval_url: self.approval_url,
                reasons: self.reasons.iter().take(REASONS_MAX).map(|r| clip(r, REASON_CHARS_MAX)).collect(),
                evidence: self.record.map(evidence),
                policy: self.policy,
            },
        };
        Ok(crate::store::to_json(&envelope)?.into_bytes())
    }
}

fn evidence(record: &VerdictRecord) -> Evidence {
    let cut = |text: &Option<String>| text.as_deref().map(|t| clip(t, FIELD_CHARS_MAX));
    Evidence {
        verdict_id: record.verdict.id,
        event_id: clip(&record.event_id, FIELD_CHARS_MAX),
        ts: record.verdict.ts,
        bits: record.verdict.level,
        endpoint: clip(&record.endpoint, FIELD_CHARS_MAX),
        instance_id: cut(&record.instance_id),
        session_id: cut(&record.session_id),
        token_id: cut(&record.token_id),
    }
}

/// At most `chars` characters, the last one an ellipsis where something was cut.
pub(crate) fn clip(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars - 1).chain(['…']).collect(),
    }
}
