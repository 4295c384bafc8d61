//! Questions that an agent's own side puts before there is any evidence, and acts that come back with a grant.

use detector::Timestamp;
use serde_json::json;

use super::{Admission, Revoker, Write};
use crate::agent::{AgentKey, CaseId};
use crate::approval::{
    Action, Admittance, Approval, ApprovalId, Arguments, Asked, AskedError, Cause, Digest, Grant,
    GrantRefused, Grants, ResumeId, Resumption, admit,
};
use crate::store::{StoreError, approvals, arguments, passkeys};

/// Why nobody is asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The question is out of bounds.
    #[error(transparent)]
    Invalid(#[from] AskedError),
    /// The agent may not act at all.
    #[error("the agent is {0}; nobody is asked for it")]
    Ended(&'static str),
    /// A human said no to this very act a short while ago.
    #[error("a human said no to this; nobody is asked again before {until}")]
    CoolingDown {
        /// Until when.
        until: Timestamp,
    },
    /// People are asked as often as they may be.
    #[error("too many questions are open or were asked lately; nobody is asked before {until}")]
    TooMany {
        /// When to try again.
        until: Timestamp,
    },
    /// The record.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A question that was put.
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    /// It.
    pub approval: Approval,
    /// Whether it was open already: the same act was asked about before, and nobody is asked twice.
    pub coalesced: bool,
}

impl Revoker {
    /// Asks a human to approve an act, without any evidence against the agent. Its standing stays what it is, unless the
    /// question is one of a flood.
    pub async fn ask(&self, asked: Asked, now: Timestamp) -> Result<Put, AskError> {
        asked.check()?;
        let agent = AgentKey::new(asked.action.issuer.as_deref(), &asked.action.agent_id);
        let put = self.write(move |w| w.ask(asked, None, now)).await;
        if let Err(AskError::TooMany { .. }) = &put {
            self.note_flood(agent, now).await?;
        }
        put
    }

    /// A question, by the agent's name for it.
    pub async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        self.read(move |db| approvals::by_id(db, &id).map_err(StoreError::from)).await
    }

    /// Opens a challenge to a browser. False if too many are open.
    pub(crate) async fn open_challenge(
        &self,
        challenge: String,
        bound: Digest,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(move |w| {
            passkeys::challenge(w.tx(), &challenge, &bound, until, now).map_err(StoreError::from)
        })
        .await
    }

    /// Makes and reads grants.
    pub fn grants(&self) -> &Grants {
        &self.inner.grants
    }

    /// Shows whoever is asked the arguments that their yes would cover.
    pub(crate) async fn show(&self, approval: ApprovalId, arguments: Arguments) -> Result<(), StoreError> {
        self.write(move |w| arguments::show(w.tx(), &approval, &arguments)).await
    }

    /// Admits an act that comes back with a grant: the grant is consumed in the transaction that admits, and belongs from then on
    /// to `resume`. `event_id` names the record that announces the act.
    pub async fn admit(
        &self,
        (grant, resume): (Grant, ResumeId),
        action: Action,
        event_id: String,
        now: Timestamp,
    ) -> Result<Result<Admittance, GrantRefused>, StoreError> {
        let inner = std::sync::Arc::clone(&self.inner);
        let admitted = self
            .write(move |w| {
                let resumption =
                    Resumption { grant: &grant, resume: &resume, action: &action, event_id: &event_id };
                w.admit(&resumption, now)
            })
            .await?;
        if admitted.as_ref().is_ok_and(|admittance| !admittance.repeated) {
            let noted = tokio::task::spawn_blocking(move || inner.note_mark()).await;
            // What is admitted stays so: without the mark only a restore of this very minute's record goes unnoticed.
            if let Ok(Err(error)) = noted {
                tracing::error!(%error, "how far the record has come could not be noted");
            }
        }
        Ok(admitted)
    }
}

impl Write<'_> {
    /// The question is over at `until`, where that is before policy's end.
    pub(super) fn ask(
        &mut self,
        asked: Asked,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Put, AskError> {
        let action = asked.action.clone();
        let agent = AgentKey::new(action.issuer.as_deref(), &action.agent_id);
        let standing = self.standing(&agent);
        if Admission::of(&standing).is_ended() {
            return Err(AskError::Ended(standing.name()));
        }
        let policy = self.policy_for(&agent, now);
        let config = &policy.config().approval;
        let open = approvals::asked_of(self.tx(), &agent, now).map_err(StoreError::from)?;
        if let Some(approval) = open.iter().find(|approval| asked.is_same(approval)) {
            return Ok(Put { approval: approval.clone(), coalesced: true });
        }
        let cool = config.cool_down_s.duration();
        let refused = approvals::refused_at(
            self.tx(),
            &agent,
            &action.digest(),
            now - policy.config().challenge_s.duration() - cool,
        )
        .map_err(StoreError::from)?;
        if let Some(until) = refused.map(|at| at + cool).filter(|until| now < *until) {
            return Err(AskError::CoolingDown { until });
        }
        if let Some(first) = open.first().filter(|_| open.len() >= config.open_per_agent.get() as usize) {
            return Err(AskError::TooMany { until: first.expires_at });
        }
        let case = CaseId::random().to_string();
        let end = now + policy.config().challenge_s.duration();
        let ask = approvals::Ask {
            case: &case,
            alert_id: "",
            needs: policy.needs(&action),
            people: self.people(&agent)?,
            cause: Cause::Asked(Box::new(asked)),
            arguments: None,
            expires_at: until.map_or(end, |until| until.min(end)),
            policy: policy.version(),
        };
        let approval = approvals::open(self.tx(), ask, now)?;
        let body = json!({
            "approval_id": approval.id,
            "action": approval.action(),
            "needs": approval.needs,
            "binding": approval.binding().to_string(),
            "expires_at": approval.expires_at,
        });
        self.audit(Some(&agent), "approval.asked", &body, now)?;
        if self.tell_people(&approval, 0, now)? {
            self.flood_of(&agent, now)?;
        }
        Ok(Put { approval, coalesced: false })
    }

    fn admit(
        &mut self,
        resumption: &Resumption<'_>,
        now: Timestamp,
    ) -> Result<Result<Admittance, GrantRefused>, StoreError> {
        let action = resumption.action;
        let agent = AgentKey::new(action.issuer.as_deref(), &action.agent_id);
        let standing = self.standing(&agent);
        if Admission::of(&standing) != Admission::Go {
            return Ok(Err(GrantRefused::Standing(standing.name())));
        }
        let inner = self.inner;
        let admitted = admit(self.tx(), &inner.grants, resumption, now)?;
        if let Ok(Admittance { approval, repeated: false, .. }) = &admitted {
            let body = json!({
                "approval_id": approval.id,
                "resume_id": resumption.resume.as_str(),
                "event_id": resumption.event_id,
                "binding": approval.binding().to_string(),
            });
            self.audit(Some(&agent), "approval.resumed", &body, now)?;
        }
        Ok(admitted)
    }
}
