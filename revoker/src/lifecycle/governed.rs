//! One step under the governor: what is about to be done automatically is counted first, and where a cap has no room the
//! step is taken again without it.

use detector::{MicroBits, Timestamp};

use super::{Input, step};
use crate::effect::{Cause, Effect};
use crate::governor::{Act, Action, Governor};
use crate::policy::{Demand, Policy};
use crate::restraint::Restraint;
use crate::standing::Standing;

/// What bounds one agent's automatic answers.
#[derive(Debug)]
pub struct Limits<'a> {
    /// What was done lately; counts what is done now.
    pub governor: &'a mut Governor,
    /// The agent's declared group and how many agents declare it.
    pub group: Option<(&'a str, u32)>,
    /// Attested agents that called lately.
    pub agents: u32,
}

/// [`step`], and what it does automatically stays under the governor's caps: past them a revocation becomes a question and a question an alert.
///
/// An agent whose answer was withheld is tried anew with each verdict on it; one that does nothing more waits for a person.
pub fn governed(
    standing: &Standing,
    input: &Input,
    now: Timestamp,
    policy: &Policy,
    limits: &mut Limits<'_>,
) -> (Standing, Vec<Effect>) {
    let (mut next, mut effects) = step(standing, input, now, policy);
    let mut policy = policy.clone();
    // Each refusal takes one of two answers away.
    while let Some(action) = automatic(standing, input, &effects) {
        let (demand, budget) = match action {
            Action::Revoke => (Demand::Revoke, policy.budgets().revoke()),
            Action::Challenge => (Demand::StepUp, policy.budgets().step_up()),
        };
        let excess = strength(standing, input) - budget;
        let act = Act { action, excess, group: limits.group, agents: limits.agents };
        let Err(governed) = limits.governor.admit(&act, &policy.config().governor, now) else { break };
        if policy.withholds(demand).is_some() {
            // Withheld and done all the same: nothing that a step does.
            break;
        }
        policy = policy.withholding(demand, Restraint::Governor(governed));
        (next, effects) = step(standing, input, now, &policy);
    }
    (next, effects)
}

/// What a step did without a person. A question in place of one that lapsed is no new one.
fn automatic(standing: &Standing, input: &Input, effects: &[Effect]) -> Option<Action> {
    // What is declared to end ends: many short lives must not use up what a hijack needs.
    let is_declared = matches!(input, Input::Ended { cause, .. } if *cause != Cause::Parent);
    if input.is_by_person() || is_declared {
        return None;
    }
    let revokes = |e: &Effect| match e {
        Effect::Publish(event) => event.ends_access(),
        other => matches!(other, Effect::EndPart { .. }),
    };
    let asks = |e: &Effect| matches!(e, Effect::OpenCase { .. });
    if effects.iter().any(revokes) {
        return Some(Action::Revoke);
    }
    let is_new = !matches!(standing, Standing::Challenged(_));
    (is_new && effects.iter().any(asks)).then_some(Action::Challenge)
}

/// Bits of the evidence that is acted on.
fn strength(standing: &Standing, input: &Input) -> MicroBits {
    match (input, standing) {
        (Input::Verdict { evidence, .. }, _) => evidence.own,
        (Input::Ended { strength, .. }, _) => *strength,
        (_, Standing::Challenged(c)) => c.peak,
        _ => MicroBits::ZERO,
    }
}
