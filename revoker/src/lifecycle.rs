//! The lifecycle of an agent's standing: one pure function. Time, randomness and policy are arguments.
//!
//! ```text
//!             watch          step-up                 approved by a human
//!  Trusted ─────────> Watched ──────> Challenged ─────────────────────────> Probation ──> Trusted
//!     ^                 │ calm           │ "this is an attack", or expired      │ relapse: Challenged or Revoked
//!     └─────────────────┘                v where policy says revoke             v
//!   any ────── revoke ───────────────> Revoked ── reinstated by a person ──> Probation
//!   any ────── retired by a person ──> Retired, which is final.  Suspended{until} ends in Probation.
//! ```

mod governed;
mod person;
mod verdict;

use detector::{MicroBits, Timestamp};
use serde::Serialize;

pub use self::governed::{Limits, governed};
pub use self::person::{Refusal, permits};

use crate::agent::CaseId;
use crate::config::OnExpiry;
use crate::effect::{AlertAction, Cause, Closing, Effect, Event};
use crate::policy::envelope::Place;
use crate::policy::{Demand, Evidence, Policy};
use crate::restraint::Would;
use crate::standing::{
    Acting, Answered, Calm, Challenge, Meanwhile, Phase, Probation, Revocation, Standing, Watch,
};

/// What may change a standing. Reasons that persons give are for the audit; they decide nothing here.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "input", rename_all = "snake_case")]
pub enum Input {
    /// The detector has spoken.
    Verdict {
        /// What it said.
        evidence: Evidence,
        /// The name of the case, should one be opened.
        fresh: CaseId,
    },
    /// Nothing happened, and time passed.
    TimePassed,
    /// The log tells how an earlier call of the agent ended.
    Outcome {
        /// Bytes that the agent got.
        bytes: u64,
    },
    /// It has people asked so often that they are told no more, or has as many questions open as it may: how a second factor is worn
    /// down (ATT&CK T1621).
    Flooded,
    /// Its task or its declared time is over, or the agent that spawned it was ended.
    Ended {
        /// Which of these.
        cause: Cause,
        /// In words, for whoever is told.
        because: String,
        /// How strong the evidence is that this follows from, where there is any.
        strength: MicroBits,
    },
    /// A human lets the agent go on.
    Approved {
        /// The question answered.
        case: CaseId,
        /// Who answers.
        by: String,
        /// The peak of the evidence as it was shown to them.
        seen: MicroBits,
    },
    /// A human says no.
    Denied {
        /// The question answered.
        case: CaseId,
        /// Who answers.
        by: String,
    },
    /// A human says "this is an attack". Counts even after the question expired or was denied.
    Attack {
        /// The question answered.
        case: CaseId,
        /// Who answers.
        by: String,
    },
    /// An operator ends access.
    Revoke {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// An operator ends access for a time.
    Suspend {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// Until when.
        until: Timestamp,
    },
    /// An operator takes the agent out of service.
    Retire {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// A person lets a revoked, suspended or challenged agent act again.
    Reinstate {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// When they said so: before now where a restored record hears of it again.
        at: Timestamp,
    },
}

impl Input {
    /// Whether a person does it; what else happens is automatic.
    pub fn is_by_person(&self) -> bool {
        !matches!(
            self,
            Self::Verdict { .. }
                | Self::TimePassed
                | Self::Outcome { .. }
                | Self::Flooded
                | Self::Ended { .. }
        )
    }
}

/// The standing after the input, and what it asks of the world, in order.
///
/// An input that [`permits`] refuses changes nothing but what time alone changes.
pub fn step(standing: &Standing, input: &Input, now: Timestamp, policy: &Policy) -> (Standing, Vec<Effect>) {
    let mut effects = Vec::new();
    let settled = settle(standing, now, policy, &mut effects);
    let next = match input {
        Input::TimePassed => settled,
        Input::Outcome { bytes } => verdict::got(settled, *bytes),
        Input::Flooded => flooded(settled, now, &mut effects),
        Input::Ended { cause, .. } => ended(settled, *cause, now, policy, &mut effects),
        Input::Verdict { evidence, fresh } => {
            let policy = &policy.on(evidence);
            verdict::Judge { evidence, fresh: *fresh, now, policy, effects: &mut effects }.judge(settled)
        }
        _ if permits(&settled, input, now, policy).is_err() => settled,
        _ => person::obey(settled, input, now, &mut effects),
    };
    (next, effects)
}

/// What time alone changes: a question expires, a suspension ends.
fn settle(standing: &Standing, now: Timestamp, policy: &Policy, effects: &mut Vec<Effect>) -> Standing {
    if standing.due().is_none_or(|due| now < due) {
        return *standing;
    }
    match standing {
        Standing::Challenged(c) => expire(c, now, policy, effects),
        Standing::Suspended(_) => {
            effects.extend([Effect::Unlist, Effect::Publish(Event::Reinstated)]);
            probation(standing.known(), None, now)
        }
        _ => *standing,
    }
}

/// Looked at from now on, as after any abnormal call. Nothing is withheld of what restrains nothing.
fn flooded(from: Standing, now: Timestamp, effects: &mut Vec<Effect>) -> Standing {
    let calm = Calm { calls: 0, since: now };
    match from {
        Standing::Trusted => {
            effects.push(Effect::Alert { action: AlertAction::Watch, would: Would::default() });
            Standing::Watched(Watch::since(now))
        }
        Standing::Watched(w) => Standing::Watched(Watch { calm, ..w }),
        Standing::Probation(p) => Standing::Probation(Probation { calm, ..p }),
        other => other,
    }
}

/// Nobody decided this either: it is not done where revocations are withheld.
fn ended(
    from: Standing,
    cause: Cause,
    now: Timestamp,
    policy: &Policy,
    effects: &mut Vec<Effect>,
) -> Standing {
    let has_ended = matches!(from, Standing::Revoked(_) | Standing::Retired(_));
    if has_ended || policy.withholds(Demand::Revoke).is_some() {
        return from;
    }
    revoke_now(&from, cause, now, effects)
}

fn expire(c: &Challenge, now: Timestamp, policy: &Policy, effects: &mut Vec<Effect>) -> Standing {
    effects.push(Effect::CloseCase { case: c.case, how: Closing::Expired });
    effects.push(Effect::Publish(Event::Expired { case: c.case }));
    let expired = Challenge { phase: Phase::Expired, ..*c };
    // Nobody decided this revocation, so it is automatic: it needs an attested identity and stops when paused.
    let revoke = policy.on_expiry(c.until) == OnExpiry::Revoke && c.attested;
    match (revoke, policy.withholds(Demand::Revoke)) {
        (false, _) => Standing::Challenged(expired),
        (true, withheld @ Some(_)) => Standing::Challenged(Challenge {
            would: Would { demand: Some(Demand::Revoke), withheld },
            ..expired
        }),
        (true, None) => revoke_now(&Standing::Challenged(expired), Cause::Expired, now, effects),
    }
}

/// Ends access now, whatever the standing was.
fn revoke_now(from: &Standing, cause: Cause, now: Timestamp, effects: &mut Vec<Effect>) -> Standing {
    supersede(from, effects);
    effects.push(Effect::List { not_before: now });
    effects.push(Effect::Publish(Event::Revoked { not_before: now, cause, in_place_of: None }));
    let known = from.known();
    Standing::Revoked(Revocation {
        not_before: now,
        peak: known.level,
        covers: known.covers,
        acting: Acting::default(),
    })
}

/// Takes back the question of a standing that is left without its answer.
fn supersede(from: &Standing, effects: &mut Vec<Effect>) {
    if let Standing::Challenged(c) = from
        && c.phase == Phase::Pending
    {
        effects.push(Effect::CloseCase { case: c.case, how: Closing::Superseded });
    }
}

/// Gives back what was taken while a human was asked.
fn release(from: &Standing, effects: &mut Vec<Effect>) {
    if let Standing::Challenged(Challenge { meanwhile: Meanwhile::Suspended { .. }, .. }) = from {
        effects.extend([Effect::Unlist, Effect::Publish(Event::Reinstated)]);
    }
}

/// Lets the agent go on, with this evidence answered for.
fn probation(answered: Answered, approved: Option<Place>, now: Timestamp) -> Standing {
    Standing::Probation(Probation {
        calm: Calm { calls: 0, since: now },
        answered,
        would: Would::default(),
        rule_told: false,
        approved,
    })
}

#[cfg(test)]
mod tests;
