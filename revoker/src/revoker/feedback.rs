//! What persons say of evidence, for the detector: it learns by it, and no standing changes.

use detector::{Ruling, Timestamp};
use serde_json::json;

use super::Revoker;
use super::apply::ApplyError;
use super::operate::said;
use super::write::Write;
use crate::agent::{AgentKey, Txn};
use crate::effect::Event;
use crate::message::Facts;
use crate::standing::Standing;
use crate::store::{StoreError, alerts, outbox};

/// The evidence that is ruled on: an agent's, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// That of this agent.
    Agent(AgentKey),
    /// That of the agent of this alert.
    Alert(String),
}

impl Revoker {
    /// Puts on record what a person says of an agent's evidence, and has the detector told; gives where the agent stands.
    ///
    /// A challenge stays open: that an agent may go on takes an approver's code, and that its access ends a command of its own.
    pub async fn rule(
        &self,
        evidence: Evidence,
        ruling: Ruling,
        by: String,
        reason: String,
        now: Timestamp,
    ) -> Result<(AgentKey, Standing), ApplyError> {
        said(&by, &reason)?;
        self.write(move |w| {
            let (agent, alert) = match evidence {
                Evidence::Agent(agent) => (agent, None),
                Evidence::Alert(id) => (alerts::agent(w.tx(), &id)?.ok_or(ApplyError::NoAlert)?, Some(id)),
            };
            let body = json!({ "by": by, "reason": reason, "ruling": ruling, "alert_id": alert });
            w.audit(Some(&agent), "evidence.ruled", &body, now)?;
            w.tell(&agent, &Event::Ruled { ruling }, &[reason], None, now)?;
            let standing = w.standing(&agent);
            Ok((agent, standing))
        })
        .await
    }

    /// Puts on record that a person takes an agent back to an earlier baseline, and has the detector told; gives where the
    /// agent stands. `baseline` is the whole of it, so that a replay of the log needs nothing else.
    pub async fn revert(
        &self,
        agent: AgentKey,
        version: i64,
        baseline: String,
        by: String,
        reason: String,
        now: Timestamp,
    ) -> Result<Standing, ApplyError> {
        said(&by, &reason)?;
        self.write(move |w| {
            let body = json!({ "by": by, "reason": reason, "version": version });
            w.audit(Some(&agent), "baseline.reverted", &body, now)?;
            w.tell(&agent, &Event::Reverted { version }, &[reason], Some(&baseline), now)?;
            Ok(w.standing(&agent))
        })
        .await
    }
}

impl Write<'_> {
    /// Publishes what changes no standing.
    pub(super) fn tell(
        &self,
        agent: &AgentKey,
        event: &Event,
        reasons: &[String],
        carried: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let txn = self.held(agent).map_or_else(Txn::random, |held| held.txn);
        let policy = self.inner.memory().policy().clone();
        let facts = Facts {
            event,
            agent,
            people: &self.people(agent)?,
            part: None,
            txn: &txn,
            standing: self.standing(agent).name(),
            record: None,
            reasons,
            approval_url: None,
            carried,
            policy: policy.version(),
            at: now,
        };
        outbox::publish(&self.tx, &self.routes(agent)?, &outbox::fresh_id(), &facts)
    }
}
