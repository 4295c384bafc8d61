//! The pipelines over real logs, with sinks and outlets that fail when told to.

mod score;
mod store;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clickhouse::error::Error;
use detector::Attestation;
use tokio_util::sync::CancellationToken;

use super::Sink;
use crate::decode::{Format, Limits, RecordReader, SourceContext};
use crate::finding::{Findings, Recorded};
use crate::log::{Log, LogConfig};
use crate::retry::Patience;
use crate::source::{Intake, LogSource, Reading};
use crate::store::{AlertRow, AuditRow, CallRow, RejectRow, StoreError, VerdictRow};

/// A folder with logs, as it is found again after each end of the program.
struct Bench {
    runtime: tokio::runtime::Runtime,
    data: tempfile::TempDir,
    findings: Arc<Recorded>,
}

/// What a program has open.
struct Opened {
    calls: Log,
    verdicts: Log,
    stop: CancellationToken,
}

impl Bench {
    fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { runtime, data: tempfile::tempdir().unwrap(), findings: Arc::default() }
    }

    fn open(&self) -> Opened {
        let open = |name: &str, readers: &[&str]| {
            Log::open(&self.data.path().join(name), LogConfig::read_by(readers)).unwrap()
        };
        let (calls, verdicts) = (open("calls.db", &["store", "score"]), open("verdicts.db", &["drain"]));
        Opened { calls, verdicts, stop: CancellationToken::new() }
    }

    fn findings(&self) -> Findings {
        Findings::new(Arc::<Recorded>::clone(&self.findings))
    }

    fn source(&self, opened: &Opened, name: &str) -> Box<LogSource> {
        let runtime = self.runtime.handle().clone();
        Box::new(LogSource::new(&opened.calls, name, runtime, self.findings()).unwrap())
    }

    /// Takes lines in as any source does.
    fn take(&self, opened: &Opened, lines: &str) {
        let intake = Intake::new(opened.calls.clone(), self.findings());
        let source = Arc::new(SourceContext::new("gateway", Attestation::Token, Format::Auto));
        let patience = Patience { runtime: self.runtime.handle().clone(), stop: CancellationToken::new() };
        let reading =
            Reading { source: &source, first_line: 1, leave_unended: false, patience: Some(&patience) };
        let records = RecordReader::new(lines.as_bytes(), source.format, Limits::default());
        intake.read(records, &reading, self.runtime.handle()).unwrap();
    }
}

/// Waits until something holds. The test runner ends what never does.
fn until(what: impl Fn() -> bool) {
    while !what() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// `n` calls of three agents, a second apart.
fn calls(n: u32) -> String {
    let line = |i: u32| {
        let (minute, second, agent, endpoint) = (i / 60, i % 60, i % 3, i % 7);
        format!(
            "{{\"event_id\":\"e{i}\",\"ts\":\"2026-03-01T{:02}:{:02}:{second:02}Z\",\"agent_id\":\"a{agent}\",\
             \"endpoint\":\"x{endpoint}\"}}\n",
            minute / 60,
            minute % 60,
        )
    };
    (0..n).map(line).collect()
}

/// What happens to one insert.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The database does not answer; nothing is stored.
    Down,
    /// It stores the rows, but the answer does not arrive, and the program ends before it asks again.
    StoredThenKilled,
}

/// A sink that keeps ids in the order they come, and does as it is told.
#[derive(Clone, Default)]
struct Recorder {
    rows: Arc<Mutex<Vec<String>>>,
    fates: Arc<Mutex<VecDeque<Option<Fate>>>>,
    stop: CancellationToken,
}

impl Recorder {
    fn keep(&self, rows: Vec<String>) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let down = || StoreError::Unavailable { what: "insert".to_owned(), source: Error::TimedOut };
        match self.fates.lock().unwrap().pop_front().flatten() {
            Some(Fate::Down) => Err(down()),
            Some(Fate::StoredThenKilled) => {
                self.rows.lock().unwrap().extend(rows);
                self.stop.cancel();
                Err(down())
            }
            None => {
                self.rows.lock().unwrap().extend(rows);
                Ok(())
            }
        }
    }

    fn rows(&self) -> Vec<String> {
        self.rows.lock().unwrap().clone()
    }
}

/// One member of a row as the client would send it.
fn member(row: &impl serde::Serialize, name: &str) -> String {
    match &serde_json::to_value(row).unwrap()[name] {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Sink for Recorder {
    async fn calls(&self, rows: &[CallRow<'_>]) -> Result<(), StoreError> {
        self.keep(rows.iter().map(|r| member(r, "event_id")).collect())
    }

    async fn rejects(&self, rows: &[RejectRow<'_>]) -> Result<(), StoreError> {
        self.keep(
            rows.iter().map(|r| format!("reject {} {}", member(r, "line"), member(r, "reason"))).collect(),
        )
    }

    async fn verdicts(&self, rows: &[VerdictRow<'_>]) -> Result<(), StoreError> {
        self.keep(rows.iter().map(|r| format!("verdict {}", member(r, "event_id"))).collect())
    }

    async fn alerts(&self, rows: &[AlertRow<'_>]) -> Result<(), StoreError> {
        self.keep(rows.iter().map(|r| format!("alert {} {}", r.alert_id, r.action)).collect())
    }

    async fn audit(&self, rows: &[AuditRow<'_>]) -> Result<(), StoreError> {
        self.keep(rows.iter().map(|r| format!("audit {} {}", r.seq, r.kind)).collect())
    }
}
