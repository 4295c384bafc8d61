//! What persons may do, and what it does.

use detector::{MicroBits, Timestamp};

use super::{Input, probation, release, revoke_now, supersede};
use crate::effect::{Cause, Effect, Event};
use crate::policy::Policy;
use crate::standing::{Acting, Challenge, Meanwhile, Phase, Retirement, Standing, Suspension};

/// Why an input is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The agent is not challenged, or another question stands by now.
    #[error("this question no longer stands")]
    NotThisCase,
    /// The question was answered or has expired.
    #[error("this question has been answered or has expired")]
    NotPending,
    /// More evidence came in since the page was shown.
    #[error("the evidence has grown to {peak} bits since it was shown")]
    EvidenceGrew {
        /// The level it has reached.
        peak: MicroBits,
    },
    /// The standing does not allow it.
    #[error("not possible for an agent whose standing is {from}")]
    NotFrom {
        /// The standing's name.
        from: &'static str,
    },
    /// The time lies in the past.
    #[error("the end lies in the past")]
    Past,
}

/// Whether an input may change this standing at all. Verdicts and time always may.
pub fn permits(standing: &Standing, input: &Input, now: Timestamp, policy: &Policy) -> Result<(), Refusal> {
    let not_from = Err(Refusal::NotFrom { from: standing.name() });
    match input {
        Input::Verdict { .. }
        | Input::TimePassed
        | Input::Outcome { .. }
        | Input::Flooded
        | Input::Ended { .. } => Ok(()),
        Input::Approved { case, .. } | Input::Denied { case, .. } | Input::Attack { case, .. } => {
            match standing {
                Standing::Challenged(c) if c.case == *case => answerable(c, input, now, policy),
                _ => Err(Refusal::NotThisCase),
            }
        }
        Input::Revoke { .. } => match standing {
            Standing::Revoked(_) | Standing::Retired(_) => not_from,
            _ => Ok(()),
        },
        // What is revoked may still be put out of service for good.
        Input::Retire { .. } => match standing {
            Standing::Retired(_) => not_from,
            _ => Ok(()),
        },
        Input::Suspend { until, .. } => match standing {
            Standing::Revoked(_) | Standing::Retired(_) => not_from,
            _ if *until <= now => Err(Refusal::Past),
            _ => Ok(()),
        },
        Input::Reinstate { .. } => match standing {
            Standing::Revoked(_) | Standing::Suspended(_) | Standing::Challenged(_) => Ok(()),
            _ => not_from,
        },
    }
}

fn answerable(c: &Challenge, input: &Input, now: Timestamp, policy: &Policy) -> Result<(), Refusal> {
    // An attack is an attack, however late somebody says so.
    if matches!(input, Input::Attack { .. }) {
        return Ok(());
    }
    if c.phase != Phase::Pending || now >= c.until {
        return Err(Refusal::NotPending);
    }
    match input {
        Input::Approved { seen, .. } if policy.outgrown(*seen, c.peak) => {
            Err(Refusal::EvidenceGrew { peak: c.peak })
        }
        _ => Ok(()),
    }
}

/// Does what a person asks and [`permits`] allows.
pub(super) fn obey(from: Standing, input: &Input, now: Timestamp, effects: &mut Vec<Effect>) -> Standing {
    match input {
        Input::Verdict { .. }
        | Input::TimePassed
        | Input::Outcome { .. }
        | Input::Flooded
        | Input::Ended { .. } => from,
        Input::Approved { case, .. } => {
            effects.push(Effect::Publish(Event::Approved { case: *case }));
            let approved = match from {
                Standing::Challenged(c) => Some(c.asked),
                _ => None,
            };
            release(&from, effects);
            probation(from.known(), approved, now)
        }
        Input::Denied { case, .. } => deny(from, *case, effects),
        // The human's own answer closes the question; nothing supersedes it.
        Input::Attack { .. } => revoke_now(&answered(from), Cause::Attack, now, effects),
        Input::Revoke { .. } => revoke_now(&from, Cause::Operator, now, effects),
        Input::Suspend { until, .. } => suspend(&from, *until, now, effects),
        Input::Retire { .. } => retire(&from, now, effects),
        Input::Reinstate { at, .. } => {
            supersede(&from, effects);
            effects.extend([Effect::Unlist, Effect::Publish(Event::Reinstated)]);
            probation(from.known().given_back(*at), None, now)
        }
    }
}

fn answered(from: Standing) -> Standing {
    match from {
        Standing::Challenged(c) => Standing::Challenged(Challenge { phase: Phase::Denied, ..c }),
        other => other,
    }
}

fn deny(from: Standing, case: crate::agent::CaseId, effects: &mut Vec<Effect>) -> Standing {
    if let Standing::Challenged(c) = from {
        effects.push(Effect::Publish(Event::Denied { case, until: c.until }));
    }
    match answered(from) {
        // Who was let go on is not after a no.
        Standing::Challenged(c @ Challenge { meanwhile: Meanwhile::GoesOn, .. }) => {
            Standing::Challenged(Challenge { meanwhile: Meanwhile::Waits, ..c })
        }
        other => other,
    }
}

fn suspend(from: &Standing, until: Timestamp, now: Timestamp, effects: &mut Vec<Effect>) -> Standing {
    supersede(from, effects);
    effects.push(Effect::List { not_before: now });
    effects.push(Effect::Publish(Event::Suspended { not_before: now, until: Some(until) }));
    let known = from.known();
    let (peak, covers) = (known.level, known.covers);
    Standing::Suspended(Suspension { since: now, until, peak, covers, acting: Acting::default() })
}

/// Access ends as in a revocation, so that enforcement points that know of those alone end it too.
fn retire(from: &Standing, now: Timestamp, effects: &mut Vec<Effect>) -> Standing {
    if matches!(from, Standing::Revoked(_)) {
        effects.push(Effect::List { not_before: now });
    } else {
        revoke_now(from, Cause::Operator, now, effects);
    }
    effects.push(Effect::Publish(Event::Retired { not_before: now }));
    Standing::Retired(Retirement { since: now, acting: Acting::default() })
}
