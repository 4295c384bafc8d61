//! Verdicts on their way from the score pipeline to the revoker, its alerts on their way to ClickHouse.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;

use detector::{Call, Kind, Position, VerdictRecord};
use ingest::log::Log;
use ingest::pipeline::AlertRecord;
use ingest::pipeline::score::{Appender, VerdictOutlet};
use revoker::agent::AgentKey;
use revoker::alert::Alert;
use revoker::{Heard, Revoker};
use tokio::runtime::Handle;

use super::gate::{Told, Waiting};
use crate::clock;

/// Hands verdicts to the revoker, a batch at a time, writes its alerts down, and tells the gates that wait.
pub(super) struct ToRevoker {
    revoker: Revoker,
    alerts: Appender,
    waiting: Waiting,
    heard: VecDeque<Heard>,
}

impl ToRevoker {
    pub(super) fn new(revoker: Revoker, alerts: Log, waiting: Waiting) -> Self {
        let alerts = Appender::new(alerts, Handle::current());
        Self { revoker, alerts, waiting, heard: VecDeque::new() }
    }
}

impl VerdictOutlet for ToRevoker {
    fn verdict(&mut self, record: &Arc<VerdictRecord>) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.heard.push_back(Heard::Verdict(Arc::clone(record)));
        Ok(())
    }

    fn record(&mut self, call: &Call<'_>, at: &Position) -> Result<(), Box<dyn Error + Send + Sync>> {
        let agent = || AgentKey::new(call.identity.issuer.as_deref(), &call.identity.agent_id);
        self.heard.extend(match (call.kind, call.bytes_out) {
            (Kind::Outcome, Some(bytes)) => Some(Heard::Got(agent(), bytes, at.clone())),
            (Kind::TaskEnd, _) => Some(Heard::TaskEnded {
                agent: agent(),
                event_id: call.event_id.to_string(),
                attestation: call.attestation,
            }),
            _ => None,
        });
        Ok(())
    }

    fn act(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Self { revoker, alerts, waiting, heard } = self;
        let mut entries = Vec::new();
        let acted = revoker.hear(heard, clock::now(), |record, decision| {
            // The gate first: an agent waits for it, and the decision is durable.
            let verdict = (record.verdict.id, record.verdict.level);
            waiting.decided(&record.event_id, Told { verdict, let_through: decision.let_through });
            match decision.alert.as_ref().map(|alert| row(alert).entry()).transpose() {
                Ok(entry) => entries.extend(entry),
                Err(error) => tracing::error!(%error, record.event_id, "an alert cannot be written as JSON"),
            }
        });
        alerts.append(entries)?;
        Ok(acted?)
    }

    fn settle(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        // Every decision was durable when it was told; nothing is left to decide but after an error.
        self.act()?;
        Ok(self.alerts.land()?)
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
