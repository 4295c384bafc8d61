//! Pauses of automatic action: of everything, an issuer, a group or an agent; until somebody ends them, or a time does.

use detector::Timestamp;
use serde_json::json;

use super::apply::ApplyError;
use super::operate::said;
use super::{Pause, Revoker};
use crate::store::StoreError;
use crate::whom::Scope;

/// Pauses at once.
pub(super) const PAUSES_MAX: usize = 1_000;

impl Revoker {
    /// Pauses automatic action in this scope: verdicts are still taken, agents still watched, and what would have been done is
    /// recorded. What stands, stands; what persons ask for is done. A pause of the same scope takes the earlier one's place.
    pub async fn pause(
        &self,
        scope: Scope,
        until: Option<Timestamp>,
        by: String,
        reason: String,
        now: Timestamp,
    ) -> Result<(), ApplyError> {
        said(&by, &reason)?;
        if scope.is_all() && self.policy().config().pause_takes_two {
            return Err(ApplyError::TakesTwo);
        }
        if until.is_some_and(|until| until <= now) {
            return Err(ApplyError::Past);
        }
        self.write(move |w| {
            let mut pauses = w.pauses();
            pauses.retain(|pause| pause.scope != scope);
            if pauses.len() >= PAUSES_MAX {
                return Err(ApplyError::TooManyPauses);
            }
            let pause = Pause { scope, by, reason, since: now, until };
            w.audit(None, "automation.paused", &pause, now)?;
            pauses.push(pause);
            Ok(w.set_pauses(pauses)?)
        })
        .await
    }

    /// Lets automatic action go on in this scope. A pause of a wider or a narrower one stays.
    pub async fn unpause(
        &self,
        scope: Scope,
        by: String,
        reason: String,
        now: Timestamp,
    ) -> Result<(), ApplyError> {
        said(&by, &reason)?;
        self.write(move |w| {
            let mut pauses = w.pauses();
            pauses.retain(|pause| pause.scope != scope);
            w.audit(None, "automation.resumed", &json!({ "scope": scope, "by": by, "reason": reason }), now)?;
            Ok(w.set_pauses(pauses)?)
        })
        .await
    }

    /// Takes pauses off the list whose time is over; they hold nothing any more.
    pub(super) async fn end_pauses(&self, now: Timestamp) -> Result<(), StoreError> {
        if self.inner.memory().pauses().iter().all(|pause| pause.holds(now)) {
            return Ok(());
        }
        self.write(move |w| {
            let (hold, over): (Vec<_>, Vec<_>) = w.pauses().into_iter().partition(|pause| pause.holds(now));
            for pause in over {
                w.audit(
                    None,
                    "automation.resumed",
                    &json!({ "scope": pause.scope, "until": pause.until }),
                    now,
                )?;
            }
            w.set_pauses(hold)
        })
        .await
    }
}
