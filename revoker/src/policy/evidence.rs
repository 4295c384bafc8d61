//! What policy needs to know of a verdict. Plain numbers.

use detector::{
    BrokenRule, EffectiveAttestation, Kind, MicroBits, Timestamp, Verdict, VerdictId, VerdictRecord,
};
use serde::Serialize;

use super::envelope::Place;
use crate::part::{KINDS, Marks, PartKind, marks_of};

/// Independent witnesses that must be over the watch budget before a revocation, unless the jump is large (design: detection,
/// "Combination").
const FAMILIES_MIN: u8 = 2;

/// Times what may be normal from which one family is enough to revoke (same source).
const JUMP_MIN: f32 = 5.0;

/// What an agent in a cohort incident does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InCohort {
    /// Volume and timing say no more than the incident does.
    Shared,
    /// It goes much further than the others.
    Beyond,
}

/// What policy needs to know of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// Which verdict this is.
    pub verdict: VerdictId,
    /// What happened.
    pub kind: Kind,
    /// When the call was made, event time.
    pub ts: Timestamp,
    /// The agent's level of evidence after the call.
    pub level: MicroBits,
    /// When the record was taken in, by a clock that whoever writes the log does not set; none where nobody knows.
    pub taken_in: Option<Timestamp>,
    /// What of it the agent shares with no cohort: all of it outside of one ([`detector::Cohort::own`]).
    pub own: MicroBits,
    /// What a cohort incident is to it, where the agent is in one.
    pub cohort: Option<InCohort>,
    /// What this call added to it.
    pub added: MicroBits,
    /// Independent witnesses over the watch budget.
    pub families: u8,
    /// How many times as many calls as may be normal.
    pub jump: f32,
    /// What the identity is worth.
    pub attestation: EffectiveAttestation,
    /// The rule that the call broke.
    pub rule: Option<BrokenRule>,
    /// Whether all that tells who calls says that it is the agent itself.
    pub is_vouched: bool,
    /// A human approved this very call; what it adds has been answered for.
    pub admitted: bool,
    /// The place of the policy's rule that decides.
    pub when: Option<u16>,
    /// What was called.
    pub place: Place,
    /// What kind of harm it can do.
    pub harm: Harm,
    /// Bytes the agent got by it, or would get, as far as is said.
    pub bytes: u64,
    /// Of which parts of the agent it is, by [`PartKind`].
    pub parts: Marks,
    /// Whether, by kind, other parts of the agent called normally of late.
    pub company: [bool; KINDS],
    /// Where it is of a part whose access has ended.
    pub gone: Option<Gone>,
}

/// What a request can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Harm {
    /// Of a kind that may go on while a human is asked.
    Safe,
    /// Neither of the others, or no request.
    Plain,
    /// Of a kind that an agent on probation is asked about.
    Grave,
}

/// What a part of an agent does after its access ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gone {
    /// It asks and is refused, or a call was under way when access ended: no act.
    Idle,
    /// A call of it was accepted.
    Acts {
        /// What it is.
        kind: PartKind,
        /// When its access ended.
        since: Timestamp,
    },
}

/// What a call must add to its agent's level to be evidence itself, and not beside it: less makes nothing rarer that anybody could
/// tell.
const EVIDENT: MicroBits = MicroBits::from_micros(50_000);

impl Evidence {
    /// What the verdict says, for a call that nobody has approved.
    pub fn of(record: &VerdictRecord) -> Self {
        Self {
            place: Place::of(record.called()),
            taken_in: record.beside.position.as_ref().map(|position| position.taken_in),
            bytes: record.beside.bytes_out.unwrap_or(0),
            parts: marks_of(record),
            ..Self::new(record.kind, &record.verdict)
        }
    }

    /// The same of a verdict on something of this kind.
    pub fn new(kind: Kind, v: &Verdict) -> Self {
        Self {
            verdict: v.id,
            kind,
            ts: v.ts,
            taken_in: None,
            level: within(v.level),
            own: within(v.cohort.map_or(v.level, |cohort| cohort.own.min(v.level))),
            cohort: v.cohort.map(|c| if c.is_beyond { InCohort::Beyond } else { InCohort::Shared }),
            added: within(v.added),
            families: v.families,
            jump: v.jump,
            attestation: v.attestation,
            rule: v.rule,
            is_vouched: v.vouches_for_caller(),
            admitted: false,
            when: None,
            place: Place::default(),
            harm: Harm::Plain,
            bytes: 0,
            parts: Marks::default(),
            company: [false; KINDS],
            gone: None,
        }
    }

    /// Whether the call itself is evidence: it makes the agent's level rarer, or breaks a rule.
    pub fn is_evident(&self) -> bool {
        self.added >= EVIDENT || self.rule.is_some()
    }

    /// Whether more than one signal's level speaks for a revocation: another family, or a jump so large that it needs none.
    /// What a cohort does speaks for nothing that one of its agents did. Where all that tells who calls says that it is the agent itself,
    /// layers diverge, and families that all speak of what it does are a person's to judge, if one can be asked.
    pub fn is_witnessed(&self, may_ask: bool) -> bool {
        let is_confirmed = self.families >= FAMILIES_MIN && !(self.is_vouched && may_ask);
        self.cohort != Some(InCohort::Shared) && (is_confirmed || self.jump >= JUMP_MIN)
    }
}

/// Within what reads back from JSON (±1,000 bits): a verdict that says more says no more than that here.
pub(crate) fn within(bits: MicroBits) -> MicroBits {
    MicroBits::from_bits(bits.as_bits())
}
