//! `report.json`: what was read and what became of it.

use std::collections::BTreeMap;
use std::path::Path;

use detector::Timestamp;
use serde::Serialize;

/// Every record read is in exactly one of `calls`, `control`, `duplicates` and `rejects`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Records read; blank lines are none.
    pub(super) lines: u64,
    pub(super) blank_lines: u64,
    /// Scored calls and requests.
    pub(super) calls: u64,
    /// Outcomes, ends of tasks, heartbeats and feedback.
    pub(super) control: u64,
    pub(super) duplicates: u64,
    /// Rejected records, conflicts among them.
    pub(super) rejects: u64,
    pub(super) conflicts: u64,
    /// Fields that are not in the schema, by name.
    pub(super) unknown_fields: BTreeMap<String, u64>,
    pub(super) agents: u64,
    pub(super) sessions: u64,
    /// Silences that were worth a verdict.
    pub(super) silences: u64,
    /// Sources whose heartbeats stopped, in order; one that did so twice is there twice.
    pub(super) late_sources: Vec<String>,
    pub(super) alerts: BTreeMap<&'static str, u64>,
    /// Event time of the first and the last call.
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
    pub(super) seconds: f64,
    pub(super) version: &'static str,
    /// Names budgets and policy settings; the same choices have the same name.
    pub(super) policy: String,
    /// Version of the fleet's model after the last call.
    pub(super) model: u32,
}

impl Report {
    /// For people.
    pub(super) fn summary(&self, out: &Path) -> String {
        let span = match (self.first, self.last) {
            (Some(first), Some(last)) => format!(" from {first} to {last}"),
            _ => String::new(),
        };
        let alerts: Vec<_> = self.alerts.iter().map(|(action, n)| format!("{n} {action}")).collect();
        let alerts = if alerts.is_empty() { "none".to_owned() } else { alerts.join(", ") };
        format!(
            "{} records: {} calls of {} agents in {} sessions{span}\n\
             {} control, {} duplicates, {} rejected ({} in conflict with an earlier record)\n\
             alerts: {alerts}\n\
             written to {} in {:.1} s",
            self.lines,
            self.calls,
            self.agents,
            self.sessions,
            self.control,
            self.duplicates,
            self.rejects,
            self.conflicts,
            out.display(),
            self.seconds,
        )
    }
}
