//! What time alone does.

use detector::Timestamp;
use serde_json::json;

use super::Revoker;
use crate::store::settings::Spent;
use crate::store::{StoreError, agents, outbox, retention};

/// Agents settled in one transaction, so that none is held for long.
const BATCH: u32 = 100;

impl Revoker {
    /// Settles what is due: questions that nobody answered, suspensions that ended. Call it about once a second; each
    /// call does a bounded amount of work and says whether there is more.
    pub async fn tick(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.end_pauses(now).await?;
        for seconds in self.inner.exposures.take_quiet(now) {
            metrics::histogram!("tocsin_evidence_to_last_call_seconds").record(seconds);
        }
        let more_to_tell = self.tell_due(now).await? | self.tell_providers(now).await?;
        self.lapse(now).await?;
        let due = self.read(move |db| agents::due(db, now, BATCH)).await?;
        if due.is_empty() {
            return Ok(more_to_tell);
        }
        let more = more_to_tell || due.len() >= BATCH as usize;
        self.write(move |w| {
            due.iter().try_for_each(|agent| {
                let policy = w.policy_for(agent, now);
                w.settle(agent, &policy, now)
            })
        })
        .await?;
        Ok(more)
    }

    /// Removes what is too old to keep. Call it about once an hour; says whether there is more.
    pub async fn sweep(&self, now: Timestamp) -> Result<bool, StoreError> {
        let keys = std::sync::Arc::clone(self.keys());
        self.write(move |w| {
            let swept = retention::sweep(w.tx(), &keys, now)?;
            if swept.given_up > 0 {
                w.audit(None, "deliveries.given_up", &json!({ "deliveries": swept.given_up }), now)?;
            }
            // How large the fleet is outlives a restart also where nobody is revoked.
            let spent = w.spent();
            let agents = w.inner.agents(&spent, now);
            w.set_spent(Spent { agents, at: now, ..spent });
            Ok(swept.more)
        })
        .await
    }

    /// Publishes how much is held and how much waits.
    pub async fn gauge(&self, now: Timestamp) -> Result<(), StoreError> {
        for (state, deliveries) in self.read(outbox::backlog).await? {
            metrics::gauge!("tocsin_deliveries", "state" => state).set(deliveries as f64);
        }
        let memory = self.inner.memory();
        for (cap, used, limit) in self.inner.usage(&memory, now) {
            metrics::gauge!("tocsin_governor_used", "cap" => cap.as_str()).set(f64::from(used));
            metrics::gauge!("tocsin_governor_limit", "cap" => cap.as_str()).set(f64::from(limit));
        }
        metrics::gauge!("tocsin_agents", "standing" => "watched").set(memory.watched() as f64);
        metrics::gauge!("tocsin_agents", "standing" => "challenged").set(memory.challenged() as f64);
        Ok(())
    }
}
