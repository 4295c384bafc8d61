//! Verdicts as version 1 wrote them down, before timing, patterns and bands. The encoding names no fields, so the old
//! shapes have to stand here in their old order.

use detector::{
    Actor, Beside, EffectiveAttestation, History, Kind, Layers, MicroBits, Pattern, Timestamp, Verdict,
    VerdictId,
};
use serde::Deserialize;

#[derive(Clone, Copy, Deserialize)]
enum Signal {
    Volume,
    Endpoint,
    LookElsewhere,
}

#[derive(Clone, Copy, Deserialize)]
struct Part {
    signal: Signal,
    bits: MicroBits,
    added: MicroBits,
    observed: f64,
    expected: f64,
    window_ms: u64,
    history: History,
    quiet_at: f64,
}

#[derive(Deserialize)]
pub(super) struct Said {
    id: VerdictId,
    version: u16,
    ts: Timestamp,
    level: MicroBits,
    added: MicroBits,
    parts: Vec<Part>,
    families: u8,
    jump: f32,
    attestation: EffectiveAttestation,
    model: u32,
}

/// A verdict with the call it speaks of, up to where version 4 had more of the call.
#[derive(Deserialize)]
pub(super) struct VerdictRecord<V = Said> {
    event_id: String,
    kind: Kind,
    agent_id: String,
    issuer: Option<String>,
    instance_id: Option<String>,
    session_id: Option<String>,
    token_id: Option<String>,
    delegator: Option<String>,
    endpoint: String,
    method: Option<String>,
    resource: Option<String>,
    args_digest: Option<String>,
    verdict: V,
}

impl<V: Into<Verdict>> From<VerdictRecord<V>> for detector::VerdictRecord {
    fn from(old: VerdictRecord<V>) -> Self {
        Self {
            event_id: old.event_id,
            kind: old.kind,
            agent_id: old.agent_id,
            issuer: old.issuer,
            instance_id: old.instance_id,
            session_id: old.session_id,
            token_id: old.token_id,
            delegator: old.delegator,
            endpoint: old.endpoint,
            method: old.method,
            resource: old.resource,
            args_digest: old.args_digest,
            verdict: old.verdict.into(),
            operation: None,
            route: None,
            line: None,
            misfit: None,
            key_thumbprint: None,
            beside: Beside::default(),
        }
    }
}

impl From<Said> for Verdict {
    fn from(old: Said) -> Self {
        Self {
            id: old.id,
            version: old.version,
            ts: old.ts,
            level: old.level,
            added: old.added,
            parts: old.parts.into_iter().map(|part| part.at(old.ts)).take(detector::PARTS_MAX).collect(),
            families: old.families,
            jump: old.jump,
            attestation: old.attestation,
            model: old.model,
            rule: None,
            cohort: None,
            layers: Layers::default(),
            actor: Actor::default(),
        }
    }
}

impl Part {
    /// What nobody wrote down is what migration 0006 gives the rows of that time.
    fn at(self, ts: Timestamp) -> detector::Part {
        detector::Part {
            signal: match self.signal {
                Signal::Volume => detector::Signal::Volume,
                Signal::Endpoint => detector::Signal::Endpoint,
                Signal::LookElsewhere => detector::Signal::LookElsewhere,
            },
            bits: self.bits,
            added: self.added,
            level: MicroBits::ZERO,
            pattern: Pattern::AsUsual,
            observed: self.observed,
            expected: self.expected,
            low: 0.0,
            high: 0.0,
            since: ts,
            window_ms: self.window_ms,
            history: self.history,
            quiet_at: self.quiet_at,
        }
    }
}
