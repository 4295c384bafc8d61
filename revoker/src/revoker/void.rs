//! Whether a token still counts for anything.

use detector::Timestamp;

use super::{Admission, Revoker};
use crate::agent::AgentKey;
use crate::part::Part;
use crate::store::{StoreError, revocations};

impl Revoker {
    /// Whether tokens issued then (none: nobody knows when) and of these parts, of what goes by any of these names, are void: it may
    /// not act now, one of the parts has ended, or they are from before its last revocation.
    pub async fn is_void(
        &self,
        names: Vec<AgentKey>,
        parts: Vec<Part>,
        issued: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let is_stopped = |agent: &AgentKey| match self.admission(agent.issuer.as_deref(), &agent.agent_id) {
            Admission::Go | Admission::Challenged { .. } => false,
            Admission::Suspended { .. } | Admission::Revoked { .. } | Admission::Retired { .. } => true,
        };
        let has_ended = |agent: &AgentKey| self.ended_part(agent, &parts).is_some();
        if names.iter().any(|agent| is_stopped(agent) || has_ended(agent)) {
            return Ok(true);
        }
        self.read(move |db| {
            for agent in &names {
                let listed = revocations::of(db, agent, None)?;
                let is_old = |not_before| issued.is_none_or(|issued| issued < not_before);
                if listed.is_some_and(|row| row.until.is_none() || is_old(row.not_before)) {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await
    }
}
