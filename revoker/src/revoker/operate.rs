//! What operators do: standings by hand, the pause, redelivery. Each takes a person and a reason, and leaves an entry.

use detector::Timestamp;
use serde_json::json;

use super::Revoker;
use super::apply::{ApplyError, REASON_CHARS_MAX};
use crate::agent::AgentKey;
use crate::lifecycle::Input;
use crate::standing::Standing;
use crate::store::StoreError;
use crate::store::receipts::{self, Newer};

/// Why a delivery cannot be sent again.
#[derive(Debug, thiserror::Error)]
pub enum RedeliverError {
    /// There is none of this name.
    #[error("there is no delivery {0}")]
    NotFound(i64),
    /// The record.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a delivery that was to go again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redelivered {
    /// It is on its way.
    Sent,
    /// Its target has newer news of the agent's access, or is to have it, so it is not sent; where it had been given up it is withdrawn.
    Outdated {
        /// Whom it would tell.
        target: String,
        /// The type of the later event.
        since: String,
    },
}

impl Revoker {
    /// Ends the agent's access.
    pub async fn revoke(
        &self,
        agent: AgentKey,
        by: String,
        reason: String,
        now: Timestamp,
    ) -> Result<Standing, ApplyError> {
        self.command(agent, Input::Revoke { by, reason }, now).await
    }

    /// Ends the agent's access until `until`; then it is on probation.
    pub async fn suspend(
        &self,
        agent: AgentKey,
        by: String,
        reason: String,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Standing, ApplyError> {
        self.command(agent, Input::Suspend { by, reason, until }, now).await
    }

    /// Takes the agent out of service.
    pub async fn retire(
        &self,
        agent: AgentKey,
        by: String,
        reason: String,
        now: Timestamp,
    ) -> Result<Standing, ApplyError> {
        self.command(agent, Input::Retire { by, reason }, now).await
    }

    /// Lets a revoked, suspended or challenged agent act again, on probation.
    pub async fn reinstate(
        &self,
        agent: AgentKey,
        by: String,
        reason: String,
        now: Timestamp,
    ) -> Result<Standing, ApplyError> {
        self.command(agent, Input::Reinstate { by, reason, at: now }, now).await
    }

    async fn command(&self, agent: AgentKey, input: Input, now: Timestamp) -> Result<Standing, ApplyError> {
        match &input {
            Input::Revoke { by, reason }
            | Input::Suspend { by, reason, .. }
            | Input::Retire { by, reason }
            | Input::Reinstate { by, reason, .. } => said(by, reason)?,
            _ => {}
        }
        self.write(move |w| Ok(w.apply(&agent, input, now)?.standing)).await
    }

    /// Sends a delivery again, with the same id and bytes; of an agent's access no old news to who acts on it and has newer.
    pub async fn redeliver(
        &self,
        delivery: i64,
        by: String,
        now: Timestamp,
    ) -> Result<Redelivered, RedeliverError> {
        self.write(move |w| {
            let newer = receipts::said_since(w.tx(), delivery)?.filter(|newer| w.enforces(&newer.target));
            if let Some(Newer { agent, txn, target, kind: since }) = newer {
                if receipts::withdraw_dead(w.tx(), delivery, now)? {
                    let body = json!({ "delivery": delivery, "by": by, "since": since });
                    w.audit_in(&txn, Some(&agent), "delivery.withdrawn", &body, now)?;
                }
                return Ok(Redelivered::Outdated { target, since });
            }
            let about = receipts::redeliver(w.tx(), delivery, now)?;
            let (agent, txn) = about.ok_or(RedeliverError::NotFound(delivery))?;
            let body = json!({ "delivery": delivery, "by": by });
            w.audit_in(&txn, Some(&agent), "delivery.redelivered", &body, now)?;
            Ok(Redelivered::Sent)
        })
        .await
    }

    /// Uses a target again that said it is gone. False if it was not disabled.
    pub async fn enable_target(
        &self,
        target: String,
        by: String,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(move |w| {
            let enabled = receipts::enable(w.tx(), &target, now)?;
            if enabled {
                w.audit(None, "target.enabled", &json!({ "target": target, "by": by }), now)?;
            }
            Ok(enabled)
        })
        .await
    }
}

pub(super) fn said(by: &str, reason: &str) -> Result<(), ApplyError> {
    let fits = |text: &str| !text.trim().is_empty() && text.chars().count() <= REASON_CHARS_MAX;
    if fits(by) && fits(reason) { Ok(()) } else { Err(ApplyError::NoReason) }
}
