//! Verdicts as versions 2 to 4 wrote them down, before layers and actor: those stand before what version 4 knew of the call.

use detector::{
    Actor, BrokenRule, Cohort, EffectiveAttestation, Layers, MicroBits, Part, Timestamp, Verdict, VerdictId,
};
use serde::Deserialize;

use super::first;

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
    rule: Option<BrokenRule>,
    cohort: Option<Cohort>,
}

/// A verdict with the call it speaks of, operation and route.
#[derive(Deserialize)]
pub(super) struct VerdictRecord(first::VerdictRecord<Said>, Option<String>, Option<String>);

impl From<VerdictRecord> for detector::VerdictRecord {
    fn from(VerdictRecord(old, operation, route): VerdictRecord) -> Self {
        Self { operation, route, ..old.into() }
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
            parts: old.parts.into_iter().take(detector::PARTS_MAX).collect(),
            families: old.families,
            jump: old.jump,
            attestation: old.attestation,
            model: old.model,
            rule: old.rule,
            cohort: old.cohort,
            layers: Layers::default(),
            actor: Actor::default(),
        }
    }
}
