//! What is said of a stream that was taken in.

use serde::Serialize;

use crate::decode::Reject;

/// Bad lines that a report names one by one.
const BAD_LINES_MAX: usize = 100;

/// What became of a stream of records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Records that are durable now and were not before.
    pub stored: u64,
    /// Records that were durable before.
    pub duplicates: u64,
    /// Records whose id was told before with other content; rejected.
    pub conflicts: u64,
    /// Records that break the schema; kept as rejects. Conflicts not counted.
    pub rejected: u64,
    /// The first of those that were rejected or in conflict.
    pub bad: Vec<BadLine>,
    /// How many more there were.
    pub more: u64,
    /// Fields outside the schema that were ignored.
    pub unknown_fields: u64,
}

/// A record that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadLine {
    /// Its line, from 1; in a CloudTrail document its number there.
    pub line: u64,
    /// The field at fault, where one is.
    pub field: Option<String>,
    /// What is wrong.
    pub reason: String,
}

impl Report {
    /// Records counted, whatever became of them.
    pub fn lines(&self) -> u64 {
        self.stored + self.duplicates + self.conflicts + self.rejected
    }

    pub(super) fn bad(&mut self, reject: &Reject) {
        if self.bad.len() >= BAD_LINES_MAX {
            self.more += 1;
            return;
        }
        let Reject { line, field, reason, .. } = reject;
        self.bad.push(BadLine { line: *line, field: field.clone(), reason: reason.clone() });
    }
}
