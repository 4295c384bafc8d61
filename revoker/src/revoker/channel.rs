//! Questions that an identity provider has us ask, and that it is told the answer to: as durable as everything else that leaves.

use detector::Timestamp;
use serde_json::json;

use super::{AskError, Revoker};
use crate::agent::{AgentKey, Txn};
use crate::approval::{Approval, Asked, BindingCode, Status};
use crate::effect::CHANNEL;
use crate::keys::{KeyError, Secret};
use crate::store::{StoreError, approvals, approvers, channels, outbox, to_json};

/// Answers told in one transaction.
const BATCH: u32 = 100;

/// Why nobody is asked for a provider.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Nobody who may answer is known by this name.
    #[error("nobody is enrolled under this name")]
    Nobody,
    /// The same question is open.
    #[error("the same question is open")]
    Open,
    /// As any question.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The token cannot be sealed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The record.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Revoker {
    /// Asks for a provider, which shows `number` where the agent is and waits until `until`; `bearer` is what it wants to be told the
    /// answer with. `asked.approver` says who is to answer.
    pub async fn ask_for_provider(
        &self,
        asked: Asked,
        number: BindingCode,
        bearer: String,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Approval, ChannelError> {
        asked.check().map_err(AskError::Invalid)?;
        let keys = self.keys().clone();
        let agent = AgentKey::new(asked.action.issuer.as_deref(), &asked.action.agent_id);
        let put = self.write(move |w| {
            let name = asked.approver.clone().unwrap_or_default();
            let all = approvers::all(w.tx()).map_err(StoreError::from)?;
            if !all.iter().any(|who| who.disabled_at.is_none() && who.is(&name)) {
                return Err(ChannelError::Nobody);
            }
            let put = w.ask(asked, Some(until), now)?;
            if put.coalesced {
                return Err(ChannelError::Open);
            }
            let approval = Approval { binding_code: number, ..put.approval };
            approvals::set_number(w.tx(), &approval).map_err(StoreError::from)?;
            let sealed = keys.seal(&channels::purpose(approval.id.as_str()), bearer.as_bytes())?;
            channels::insert(w.tx(), &approval.id, &sealed, now).map_err(StoreError::from)?;
            Ok(approval)
        });
        let put = put.await;
        if let Err(ChannelError::Ask(AskError::TooMany { .. })) = &put {
            self.note_flood(agent, now).await.map_err(AskError::Store)?;
        }
        put
    }

    /// What a provider wants to be told the answer to this question with, while that is kept.
    pub async fn bearer_for(&self, approval: String) -> Result<Option<Secret>, ChannelError> {
        let kept = approval.clone();
        let sealed = self.read(move |db| channels::bearer(db, &kept).map_err(StoreError::from)).await?;
        Ok(sealed
            .map(|sealed| self.keys().open_sealed(&channels::purpose(&approval), &sealed))
            .transpose()?)
    }

    /// Puts what came of questions into the outbox; whether there is more.
    pub(super) async fn tell_providers(&self, now: Timestamp) -> Result<bool, StoreError> {
        let due = self.read(move |db| channels::due(db, now, BATCH).map_err(StoreError::from)).await?;
        if due.is_empty() {
            return Ok(false);
        }
        let more = due.len() >= BATCH as usize;
        self.write(move |w| {
            for approval in &due {
                if channels::told(w.tx(), &approval.id, now)? {
                    let status = match approval.status(now) {
                        Status::Approved => "SUCCEED",
                        Status::Denied => "UNAUTHORIZED",
                        // A lapse is no denial.
                        Status::Pending | Status::Expired | Status::Superseded => "CANCELLED",
                    };
                    let body = to_json(&json!({ "approval_id": approval.id, "status": status }))?;
                    // A subject of its own: no answer waits for another's.
                    let subject = AgentKey::new(None, approval.id.as_str());
                    let sent = (&Txn::random(), body.as_bytes());
                    outbox::notify(w.tx(), CHANNEL, CHANNEL, &subject, sent, now)?;
                }
            }
            Ok::<_, StoreError>(())
        })
        .await?;
        Ok(more)
    }
}
