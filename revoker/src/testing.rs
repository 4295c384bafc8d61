//! What the tests of several modules need.

pub(crate) mod log;
mod postgres;
pub(crate) mod prove;
pub(crate) mod receiver;

use std::path::Path;

use detector::{
    Actor, Attestation, BrokenRule, Budgets, Call, EffectiveAttestation, History, Kind, Layers, MicroBits,
    Part, Pattern, RuleKind, Signal, Timestamp, Verdict, VerdictId, VerdictRecord,
};

pub(crate) use self::postgres::{place, raw, with_a_file};
use crate::config::PolicyConfig;
use crate::connector::Route;
use crate::part::PartKind;
use crate::policy::Policy;
use crate::revoker::{Revoker, Setup};
use crate::store::config::RecordConfig;

/// The instant at which the tests begin: 2026-03-02T09:00:00Z, in seconds.
pub(crate) const START_S: i64 = 1_772_442_000;

/// So many seconds after the start.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis((START_S + seconds) * 1_000)
}

pub(crate) fn policy() -> Policy {
    Policy::new(Budgets::default(), PolicyConfig::default())
}

pub(crate) fn setup(targets: &[&str]) -> Setup {
    let routes = targets
        .iter()
        .map(|name| Route {
            name: (*name).to_owned(),
            enforces: true,
            parts: PartKind::ALL.into(),
            ..Route::default()
        })
        .collect();
    Setup {
        policy: policy(),
        public_url: "https://tocsin.example".to_owned(),
        routes,
        manifests: Vec::new(),
        relying_party: None,
        pushes: false,
        token_lifetime_max: RecordConfig::default().token_lifetime_max(),
    }
}

pub(crate) fn open(folder: &Path) -> Revoker {
    open_as(folder, setup(&["idp"]))
}

/// One on the database that these tests run on.
pub(crate) fn open_as(folder: &Path, setup: Setup) -> Revoker {
    let keys = crate::keys::KeySource::Own(folder.join("revoker.key"));
    Revoker::open_by(&place(folder), folder, setup, &keys).unwrap()
}

/// One that may revoke as many as it likes.
pub(crate) fn open_ungoverned(folder: &Path) -> Revoker {
    open_as(folder, ungoverned(&["idp"]))
}

/// The same of these targets.
pub(crate) fn ungoverned(targets: &[&str]) -> Setup {
    let mut config = PolicyConfig::default();
    config.governor.enabled = false;
    Setup { policy: Policy::new(Budgets::default(), config), ..setup(targets) }
}

/// A verdict on the `n`th call, made at `ts`, whose level is `bits`: attested by a token, with one witness.
pub(crate) fn record(n: u32, ts: Timestamp, agent: &str, bits: f64) -> VerdictRecord {
    let mut call = Call::new(format!("event-{n}"), ts, agent.to_owned(), "s3:DeleteBucket");
    call.identity.issuer = Some("https://idp.example".into());
    call.identity.session_id = Some("session-1".into());
    call.attestation = EffectiveAttestation::new(Attestation::Token, Attestation::Token);
    let level = MicroBits::from_bits(bits);
    let part = Part {
        signal: Signal::Endpoint,
        bits: level,
        added: level,
        level,
        pattern: Pattern::Foreign,
        observed: 0.0,
        expected: 0.01,
        low: 0.0,
        high: 1.0,
        since: ts,
        window_ms: 0,
        history: History { n: 400, prior: 10, peers: 90, own: 900 },
        quiet_at: 0.0,
    };
    let verdict = Verdict {
        id: VerdictId(u128::from(n)),
        version: 1,
        ts,
        level,
        added: level,
        parts: [part].into_iter().collect(),
        families: 1,
        jump: 1.0,
        attestation: call.attestation,
        model: 1,
        rule: None,
        cohort: None,
        layers: Layers::default(),
        actor: Actor::default(),
    };
    VerdictRecord::new(&call, verdict)
}

/// The same, with the second witness that a revocation needs.
pub(crate) fn damning(n: u32, ts: Timestamp, agent: &str) -> VerdictRecord {
    let mut record = record(n, ts, agent, 40.0);
    record.verdict.families = 2;
    record
}

/// The same verdict at this level.
pub(crate) fn stronger(mut record: VerdictRecord, bits: f64) -> VerdictRecord {
    record.verdict.level = MicroBits::from_bits(bits);
    record
}

/// A quiet verdict on a call that was made once too often within a minute, in a breach that began with it.
pub(crate) fn looping(n: u32, ts: Timestamp, agent: &str) -> VerdictRecord {
    let mut record = record(n, ts, agent, -3.0);
    let kind = RuleKind::RepeatedCall;
    record.verdict.rule = Some(BrokenRule { kind, observed: 301, limit: 300, window_ms: 60_000, since: ts });
    record
}

/// The same call, but announced and not yet made.
pub(crate) fn request(n: u32, ts: Timestamp, agent: &str, bits: f64) -> VerdictRecord {
    VerdictRecord { kind: Kind::Request, ..record(n, ts, agent, bits) }
}

/// The same verdict on an identity that anybody could have written down.
pub(crate) fn unattested(mut record: VerdictRecord) -> VerdictRecord {
    record.verdict.attestation = EffectiveAttestation::default();
    record
}
