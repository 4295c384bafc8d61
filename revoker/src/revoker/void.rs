//! Whether a token still counts for anything.

use detector::Timestamp;

use super::{Admission, Revoker};
use crate::agent::AgentKey;
use crate::store::{StoreError, revocations};

impl Revoker {
    /// Whether tokens issued then (none: nobody knows when) of what goes by any of these names are void: it may not act now, or they
    /// are from before its last revocation.
    pub async fn is_void(&self, names: Vec<AgentKey>, issued: Option<Timestamp>) -> Result<bool, StoreError> {
        let is_stopped = |agent: &AgentKey| match self.admission(agent.issuer.as_deref(), &agent.agent_id) {
            Admission::Go | Admission::Challenged { .. } => false,
            Admission::Suspended { .. } | Admission::Revoked { .. } | Admission::Retired { .. } => true,
        };
        if names.iter().any(is_stopped) {
            return Ok(true);
        }
        self.read(move |db| {
            for agent in &names {
                let listed = revocations::of(db, agent)?;
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
