//! Verdicts and alerts as they lie in their logs on the way to ClickHouse.

mod first;
mod fourth;

use detector::{MicroBits, Timestamp, VerdictRecord};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::log::{EntryKind, NewEntry};
use crate::seen::{Digest, Key};
use crate::store::AlertRow;

/// The first byte of every entry; raise it when a type below changes, and keep reading the old ones: an update finds
/// in the log what a database that was down has not taken yet.
pub(super) const VERSION: u8 = 8;

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

/// What can be read back from its log.
pub(super) trait Written: Sized {
    /// Reads what an entry of this version holds.
    fn read(version: u8, body: &[u8]) -> Result<Self, DecodeError>;
}

impl Written for VerdictRecord {
    fn read(version: u8, body: &[u8]) -> Result<Self, DecodeError> {
        match version {
            1 => Ok(postcard::from_bytes::<first::VerdictRecord>(body)?.into()),
            // Version 2 ended where the rule stands now, version 3 where cohort, operation and route do, and "none" is a zero byte.
            2 => fourth(&[body, &[0; 4]].concat()),
            3 => fourth(&[body, &[0; 3]].concat()),
            4 => fourth(body),
            // Version 5 ended where the head of the line stands now, version 6 where the key does, version 7 where what does not fit does.
            5..=7 => Ok(postcard::from_bytes(&[body, &[0; 3][usize::from(version) - 5..]].concat())?),
            VERSION => Ok(postcard::from_bytes(body)?),
            other => Err(DecodeError::Version(other)),
        }
    }
}

fn fourth(body: &[u8]) -> Result<VerdictRecord, DecodeError> {
    Ok(postcard::from_bytes::<fourth::VerdictRecord>(body)?.into())
}

impl Written for AlertRecord {
    fn read(version: u8, body: &[u8]) -> Result<Self, DecodeError> {
        match version {
            // Later versions changed verdicts alone.
            1..=VERSION => Ok(postcard::from_bytes(body)?),
            other => Err(DecodeError::Version(other)),
        }
    }
}

pub(super) fn decode<T: Written>(payload: &[u8]) -> Result<T, DecodeError> {
    payload.split_first().ok_or(DecodeError::Version(0)).and_then(|(version, body)| T::read(*version, body))
}

pub(super) fn encode(record: &impl Serialize) -> Result<Vec<u8>, EncodeError> {
    postcard::to_extend(record, vec![VERSION]).map_err(EncodeError)
}

pub(super) fn digest(payload: &[u8]) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(&Sha256::digest(payload)[..16]);
    digest
}

pub(super) fn entry(key: Key, digest: Digest, payload: Vec<u8>) -> NewEntry {
    let received_at = crate::clock::now();
    NewEntry { key, digest, kind: EntryKind::Record, source: None, received_at, payload }
}

#[cfg(test)]
mod tests {
    use super::*;
    use detector::{
        Actor, ActorKind, Attestation, BrokenRule, Call, Cohort, EffectiveAttestation, History, Layers,
        Misfit, Part, Pattern, RuleKind, Signal, Trust, Verdict, VerdictId,
    };

    fn record(rule: Option<BrokenRule>) -> VerdictRecord {
        let call = Call::new("e1", Timestamp::from_millis(1), "agent", "search");
        let part = Part {
            signal: Signal::Timing,
            bits: MicroBits::from_bits(7.25),
            added: MicroBits::from_bits(-0.000_001),
            level: MicroBits::from_bits(-0.25),
            pattern: Pattern::TooRegular,
            observed: 1.0 / 3.0,
            expected: f64::MIN_POSITIVE,
            low: 0.1,
            high: f64::MAX,
            since: Timestamp::from_micros(-1),
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
            rule,
            cohort: None,
            layers: Layers::default(),
            actor: Actor::default(),
        };
        VerdictRecord::new(&call, verdict)
    }

    #[test]
    fn a_verdict_comes_back_as_it_was() {
        let rule = BrokenRule {
            kind: RuleKind::RepeatedCall,
            observed: u64::MAX,
            limit: 300,
            window_ms: 60_000,
            since: Timestamp::from_micros(-1),
        };
        let routed = VerdictRecord {
            operation: Some("getUser".to_owned()),
            route: Some("POST /graphql getUser".to_owned()),
            ..record(None)
        };
        let cohort = Cohort {
            incident: u32::MAX,
            pattern: Pattern::MoreCalls,
            since: Timestamp::from_micros(-1),
            agents: 34,
            exposed: 40,
            factor: f32::INFINITY,
            own: MicroBits::ZERO,
            is_beyond: true,
        };
        let mut shared = record(None);
        shared.verdict.cohort = Some(cohort);
        let mut anothers = record(None);
        anothers.verdict.layers =
            Layers { context: Trust::Doubts, identity: Trust::Agrees, ..Layers::default() };
        let because = [Pattern::NewNetwork, Pattern::HumanPaced].into_iter().collect();
        anothers.verdict.actor = Actor { is: ActorKind::Impostor, because };
        let of_line = VerdictRecord { line: Some("planner".to_owned()), ..record(None) };
        let of_key = VerdictRecord { key_thumbprint: Some("0ZcO".to_owned()), ..record(None) };
        let misfit = Misfit { call: "send_money".to_owned(), after: Some("read_file".to_owned()) };
        let unfit = VerdictRecord { misfit: Some(misfit), ..record(None) };
        for record in [record(None), record(Some(rule)), routed, shared, anothers, of_line, of_key, unfit] {
            let entry = entry_of(&record).unwrap();
            assert_eq!(decode::<VerdictRecord>(&entry.payload).unwrap(), record);
            assert_eq!(entry.key, (u128::MAX - 7).to_be_bytes());
        }
        assert!(matches!(decode::<VerdictRecord>(&[9, 9]), Err(DecodeError::Version(9))));
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }

    /// Written by the last version that wrote version 2.
    const SECOND: &str = "0202653100056167656e7400000000000673656172636800000020666666666666666666666666666666666666666666\
        666666666666666666663801d00fa081f506010101a081f506019fc21e09555555555555d53f00000000000010009a9999999999b93f\
        ffffffffffffef7f01e0d4030364c801bc050000000000001440010000807f0209";

    #[test]
    fn a_verdict_of_versions_2_to_7_is_still_read_without_what_they_did_not_know() {
        assert_eq!(decode::<VerdictRecord>(&bytes(SECOND)).unwrap(), record(None));
        // The same of the last version that wrote version 3: it ended with the rule.
        let third = [&[3], &bytes(SECOND)[1..], &[0]].concat();
        assert_eq!(decode::<VerdictRecord>(&third).unwrap(), record(None));
        // And of version 4, which ended with operation and route.
        let fourth = [&[4], &bytes(SECOND)[1..], &[0, 0, 1, 1, b'o', 1, 1, b'r']].concat();
        let [operation, route] = ["o", "r"].map(|text| Some(text.to_owned()));
        assert_eq!(
            decode::<VerdictRecord>(&fourth).unwrap(),
            VerdictRecord { operation, route, ..record(None) }
        );
        // And of version 5, which knew no lines, of version 6, which knew no keys, and of version 7, which knew no misfits.
        let eighth = encode(&record(None)).unwrap();
        for (version, ended) in [(5, 3), (6, 2), (7, 1)] {
            let older = [&[version], &eighth[1..eighth.len() - ended]].concat();
            assert_eq!(decode::<VerdictRecord>(&older).unwrap(), record(None));
        }
    }

    /// Written by the last version that wrote version 1.
    const FIRST: &str = "0102653100056167656e74011368747470733a2f2f6964702e6578616d706c6500000000067365617263680104504f\
        53540000203030303030303030303030303030303030303030303030303030303030303561\
        01c0aec6b094db9706e0eac304dfeac3040300a081f5069f81f5060000000000002840000000000000e03fe0d4030364c801bc05\
        00000000000014400100000000000000002840000000000000e03fe0d4030364c801bc05000000000000144002bf96b102c096b1\
        020000000000002840000000000000e03fe0d4030364c801bc050000000000001440010000c0410209";

    #[test]
    fn a_verdict_of_version_1_is_still_read() {
        let record: VerdictRecord = decode(&bytes(FIRST)).unwrap();
        assert!(record.verdict.is_exact());
        assert_eq!((record.method.as_deref(), record.verdict.model), (Some("POST"), 9));
        let parts: Vec<_> = record
            .verdict
            .parts
            .iter()
            .map(|p| (p.signal.as_str(), p.bits.to_string(), p.quiet_at))
            .collect();
        let bits = |signal, bits: &str| (signal, bits.to_owned(), 5.0);
        assert_eq!(parts, [bits("volume", "7.2"), bits("endpoint", "0.0"), bits("look_elsewhere", "-2.5")]);
        assert!(
            record
                .verdict
                .parts
                .iter()
                .all(|p| p.since == record.verdict.ts && p.pattern == Pattern::AsUsual)
        );
    }
}
