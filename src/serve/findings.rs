//! What is wrong with records and their sources, told as alerts.

use detector::MicroBits;
use ingest::finding::{FindingSink, Raised};
use ingest::log::Log;
use ingest::pipeline::AlertRecord;
use tokio::runtime::Handle;

/// Writes findings into the log of alerts.
pub(super) struct ToAlerts {
    alerts: Log,
    runtime: Handle,
}

impl ToAlerts {
    pub(super) fn new(alerts: Log, runtime: Handle) -> Self {
        Self { alerts, runtime }
    }
}

impl FindingSink for ToAlerts {
    fn raise(&self, raised: Raised) {
        let finding = &raised.finding;
        let more = match raised.more {
            0 => String::new(),
            n => format!(" ({n} more like it since the last one)"),
        };
        tracing::warn!(kind = finding.kind(), "{finding}{more}");
        let record = AlertRecord {
            alert_id: format!("{:032x}", raised.id),
            ts: raised.at,
            agent_id: String::new(),
            issuer: None,
            event_id: String::new(),
            score: MicroBits::ZERO,
            action: finding.kind().to_owned(),
            reasons: vec![format!("{finding}{more}")],
            approval_id: None,
            policy: String::new(),
        };
        let alerts = self.alerts.clone();
        // Raised on threads that must not wait; the log line above stands whatever becomes of the row.
        self.runtime.spawn(async move {
            let appended = match record.entry() {
                Ok(entry) => alerts.append_when_room(vec![entry]).await.map(drop).map_err(|e| e.to_string()),
                Err(e) => Err(e.to_string()),
            };
            if let Err(error) = appended {
                tracing::error!(error, alert_id = record.alert_id, "a finding could not be kept as an alert");
            }
        });
    }
}
