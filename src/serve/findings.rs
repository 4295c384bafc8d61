//! What is wrong with records and their sources, told as alerts.

use detector::{MicroBits, Timestamp};
use ingest::finding::{FindingSink, Raised};
use ingest::log::Log;
use ingest::pipeline::AlertRecord;
use tokio::runtime::Handle;

use crate::clock;

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
        let id = format!("{:032x}", raised.id);
        let record = about(id, raised.at, finding.kind(), format!("{finding}{more}"));
        append(&self.alerts, &self.runtime, record);
    }
}

/// Writes an alert down. Raised on threads that must not wait: a line in the program's log stands whatever becomes of the row.
fn append(alerts: &Log, runtime: &Handle, record: AlertRecord) {
    let alerts = alerts.clone();
    runtime.spawn(async move {
        let appended = match record.entry() {
            Ok(entry) => alerts.append_when_room(vec![entry]).await.map(drop).map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        if let Err(error) = appended {
            tracing::error!(error, alert_id = record.alert_id, "a finding could not be kept as an alert");
        }
    });
}

/// An alert about this installation and no call: of what kind, and why.
pub(super) fn raise(alerts: &Log, runtime: &Handle, kind: &str, reason: String) {
    append(alerts, runtime, about(format!("{:032x}", rand::random::<u128>()), clock::now(), kind, reason));
}

fn about(alert_id: String, ts: Timestamp, kind: &str, reason: String) -> AlertRecord {
    AlertRecord {
        alert_id,
        ts,
        agent_id: String::new(),
        issuer: None,
        event_id: String::new(),
        score: MicroBits::ZERO,
        action: kind.to_owned(),
        reasons: vec![reason],
        approval_id: None,
        policy: String::new(),
    }
}
