//! Agents that end by themselves: with their task, or with the time they were declared for.

use detector::{EffectiveAttestation, MicroBits, Timestamp};

use super::apply::Case;
use super::write::Write;
use super::{Inner, Revoker};
use crate::agent::AgentKey;
use crate::config::OnEnd;
use crate::effect::Cause;
use crate::lifecycle::Input;
use crate::store::{StoreError, kin};

impl Revoker {
    /// Ends agents whose declared time is over, each once: who is reinstated after it goes on.
    pub(super) async fn lapse(&self, now: Timestamp) -> Result<(), StoreError> {
        if self.inner.lapsed(now).is_empty() {
            return Ok(());
        }
        self.write(move |w| {
            let lapsed = w.inner.lapsed(now);
            for (agent, since) in &lapsed {
                let because = format!("the time it was declared for ended at {since}");
                w.end_once(agent, &format!("until {since}"), (Cause::Lapsed, because), now)?;
            }
            w.lapsed = lapsed;
            Ok(())
        })
        .await
    }
}

impl Inner {
    /// Whether policy has the agent end with its only task. Only if a log line alone could not have said that it is over.
    pub(super) fn ends_with_task(&self, agent: &AgentKey, attestation: EffectiveAttestation) -> bool {
        self.memory().policy().config().on_task_end == OnEnd::Revoke
            && attestation.allows_automatic_revocation()
            && self.purposes().declared.ends_with_task(agent)
    }

    /// Whose declared time is over and who has not been ended for it by this process. A manifest that names no issuer is about its
    /// agent under each that the record knows it by.
    fn lapsed(&self, now: Timestamp) -> Vec<(AgentKey, Timestamp)> {
        let memory = self.memory();
        if memory.policy().config().on_manifest_end != OnEnd::Revoke {
            return Vec::new();
        }
        let known = |agent: &AgentKey| {
            let named = if agent.issuer.is_none() { memory.named(&agent.agent_id) } else { Vec::new() };
            std::iter::once(agent.clone())
                .chain(named.into_iter().filter(|known| known != agent))
                .collect::<Vec<_>>()
        };
        let purposes = self.purposes();
        let ended =
            purposes.declared.lapsed(now).flat_map(|(agent, at)| known(agent).into_iter().map(|a| (a, *at)));
        ended.filter(|(agent, at)| !memory.has_lapsed(agent, *at)).collect()
    }
}

impl Write<'_> {
    /// Ends an agent that lives for one task, once for each record that says so.
    pub(super) fn task_ended(
        &mut self,
        agent: &AgentKey,
        event_id: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let because = "its only task has ended".to_owned();
        self.end_once(agent, &format!("task {event_id}"), (Cause::TaskEnded, because), now)
    }

    fn end_once(
        &mut self,
        agent: &AgentKey,
        what: &str,
        (cause, because): (Cause, String),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let policy = self.policy_for(agent, now);
        // While revocations are withheld it is not done, and is done once they are not.
        if policy.withholds(crate::policy::Demand::Revoke).is_some()
            || !kin::is_first(&self.tx, agent, what, now)?
        {
            return Ok(());
        }
        self.settle(agent, &policy, now)?;
        let input = Input::Ended { cause, because, strength: MicroBits::ZERO };
        self.run(&Case { agent, input: &input, record: None, policy: &policy, txn: None, now }).map(drop)
    }
}
