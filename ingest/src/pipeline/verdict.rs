//! Verdicts and alerts as they lie in their logs on the way to ClickHouse.

use detector::{MicroBits, Timestamp, VerdictRecord};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::log::{EntryKind, NewEntry};
use crate::seen::{Digest, Key};
use crate::store::AlertRow;

/// The first byte of every entry; raise it when a type below changes, and keep reading the old ones.
const VERSION: u8 = 1;

/// An alert as the executable writes it down, for the table `alerts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRecord {
    /// Derived from its cause.
    pub alert_id: String,
    /// Event time of the cause.
    pub ts: Timestamp,
    /// The agent; empty where it is about a source.
    pub agent_id: String,
    /// Under which issuer that is a name.
    pub issuer: Option<String>,
    /// The call; empty where it is about none.
    pub event_id: String,
    /// The verdict's level.
    pub score: MicroBits,
    /// What was done.
    pub action: String,
    /// Why, in sentences, the weightiest first.
    pub reasons: Vec<String>,
    /// The approval that was opened for it.
    pub approval_id: Option<String>,
    /// Version of the policy that decided.
    pub policy: String,
}

impl AlertRecord {
    /// The entry for the log of alerts. An alert that is said again is one; said otherwise, it is another entry, and
    /// the last one counts.
    pub fn entry(&self) -> Result<NewEntry, EncodeError> {
        let payload = encode(self)?;
        let digest = digest(&payload);
        Ok(entry(digest, digest, payload))
    }

    pub(super) fn row(&self) -> AlertRow<'_> {
        AlertRow {
            alert_id: &self.alert_id,
            ts: self.ts,
            agent_id: &self.agent_id,
            issuer: self.issuer.as_deref(),
            event_id: &self.event_id,
            score: self.score,
            action: &self.action,
            reasons: &self.reasons,
            approval_id: self.approval_id.as_deref(),
            policy: &self.policy,
        }
    }
}

/// A record that cannot be written down.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot be encoded: {0}")]
pub struct EncodeError(postcard::Error);

/// An entry that cannot be read back.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("version {0} is not known")]
    Version(u8),
    #[error("cannot be decoded: {0}")]
    Broken(#[from] postcard::Error),
}

/// The entry for the log of verdicts. A verdict has one id and one entry: what was said first stands.
pub(super) fn entry_of(record: &VerdictRecord) -> Result<NewEntry, EncodeError> {
    let payload = encode(record)?;
    Ok(entry(record.verdict.id.0.to_be_bytes(), digest(&payload), payload))
}

pub(super) fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, DecodeError> {
    match payload.split_first() {
        Some((&VERSION, body)) => Ok(postcard::from_bytes(body)?),
        Some((other, _)) => Err(DecodeError::Version(*other)),
        None => Err(DecodeError::Version(0)),
    }
}

fn encode(record: &impl Serialize) -> Result<Vec<u8>, EncodeError> {
    postcard::to_extend(record, vec![VERSION]).map_err(EncodeError)
}

fn digest(payload: &[u8]) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(&Sha256::digest(payload)[..16]);
    digest
}

fn entry(key: Key, digest: Digest, payload: Vec<u8>) -> NewEntry {
    let received_at = crate::clock::now();
    NewEntry { key, digest, kind: EntryKind::Record, source: None, received_at, payload }
}

#[cfg(test)]
mod tests {
    use super::*;
    use detector::{Attestation, Call, EffectiveAttestation, History, Part, Signal, Verdict, VerdictId};

    #[test]
    fn a_verdict_comes_back_as_it_was() {
        let call = Call::new("e1", Timestamp::from_millis(1), "agent", "search");
        let part = Part {
            signal: Signal::Volume,
            bits: MicroBits::from_bits(7.25),
            added: MicroBits::from_bits(-0.000_001),
            observed: 1.0 / 3.0,
            expected: f64::MIN_POSITIVE,
            window_ms: 60_000,
            history: History { n: 3, prior: 100, peers: 200, own: 700 },
            quiet_at: 5.0,
        };
        let verdict = Verdict {
            id: VerdictId(u128::MAX - 7),
            version: 1,
            ts: call.ts,
            level: part.bits,
            added: part.added,
            parts: std::iter::once(part).collect(),
            families: 1,
            jump: f32::INFINITY,
            attestation: EffectiveAttestation::new(Attestation::Key, Attestation::Token),
            model: 9,
        };
        let record = VerdictRecord::new(&call, verdict);
        let entry = entry_of(&record).unwrap();
        assert_eq!(decode::<VerdictRecord>(&entry.payload).unwrap(), record);
        assert_eq!(entry.key, (u128::MAX - 7).to_be_bytes());
        assert!(matches!(decode::<VerdictRecord>(&[9, 9]), Err(DecodeError::Version(9))));
    }
}
