//! Verdicts on their way from the score pipeline to the revoker, its alerts on their way to ClickHouse.

use std::error::Error;

use detector::{Call, Kind, VerdictRecord};
use ingest::log::Log;
use ingest::pipeline::AlertRecord;
use ingest::pipeline::score::VerdictOutlet;
use revoker::Revoker;
use revoker::agent::AgentKey;
use revoker::alert::Alert;
use tokio::runtime::Handle;

use super::gate::{Told, Waiting};
use crate::clock;

/// Hands every verdict to the revoker, writes its alert down, and tells the gate that waits for it.
pub(super) struct ToRevoker {
    revoker: Revoker,
    alerts: Log,
    waiting: Waiting,
    runtime: Handle,
}

impl ToRevoker {
    pub(super) fn new(revoker: Revoker, alerts: Log, waiting: Waiting) -> Self {
        Self { revoker, alerts, waiting, runtime: Handle::current() }
    }
}

impl VerdictOutlet for ToRevoker {
    fn verdict(&mut self, record: &VerdictRecord) -> Result<(), Box<dyn Error + Send + Sync>> {
        let decision = self.revoker.handle(record, clock::now())?;
        // The gate first: an agent waits for it, and the decision is durable.
        let verdict = (record.verdict.id, record.verdict.level);
        self.waiting.decided(&record.event_id, Told { verdict, let_through: decision.let_through });
        if let Some(alert) = &decision.alert {
            let entry = row(alert).entry()?;
            self.runtime.block_on(self.alerts.append_when_room(vec![entry]))?;
        }
        Ok(())
    }

    fn record(&mut self, call: &Call<'_>) -> Result<(), Box<dyn Error + Send + Sync>> {
        let (issuer, agent_id) = (call.identity.issuer.as_deref(), &*call.identity.agent_id);
        match call.kind {
            Kind::Outcome => self.revoker.got(issuer, agent_id, call.bytes_out.unwrap_or(0), clock::now())?,
            Kind::TaskEnd => {
                let agent = AgentKey::new(issuer, agent_id);
                self.revoker.task_ended(&agent, &call.event_id, call.attestation, clock::now())?;
            }
            _ => {}
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        // Every decision was durable when it was handed on, and every alert with it.
        Ok(())
    }
}

fn row(alert: &Alert) -> AlertRecord {
    AlertRecord {
        alert_id: alert.alert_id.clone(),
        ts: alert.ts,
        agent_id: alert.agent_id.clone(),
        issuer: alert.issuer.clone(),
        event_id: alert.event_id.clone(),
        score: alert.score,
        action: alert.action.as_str().to_owned(),
        reasons: alert.reasons.clone(),
        approval_id: alert.case.map(|case| case.to_string()),
        policy: alert.policy.clone(),
    }
}
