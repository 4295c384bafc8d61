//! The pipeline `drain`: read what came of calls from its log, store it, then say that it is stored.
//!
//! A dead database makes the log longer and delays nothing else.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use detector::VerdictRecord;
use metrics::{counter, gauge};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Sink;
use super::audit::AuditRecord;
use super::verdict::{AlertRecord, Written, decode};
use crate::log::{Entry, Log, Reader};
use crate::metric;
use crate::retry::{Patience, Stopped};
use crate::store::{BatchLimits, StoreError};

/// The reader that the logs of verdicts, alerts and the audit are opened with.
pub const READER: &str = "drain";
/// The longest wait for a log that has nothing, so that a stop is noticed soon.
const LOOK: Duration = Duration::from_millis(200);

/// A kind of record that is drained.
trait Drained: Written + Send + Sync + 'static {
    const TABLE: &str;

    fn insert<S: Sink>(sink: &S, records: &[Self]) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl Drained for VerdictRecord {
    const TABLE: &str = "verdicts";

    async fn insert<S: Sink>(sink: &S, records: &[Self]) -> Result<(), StoreError> {
        sink.verdicts(&records.iter().map(Into::into).collect::<Vec<_>>()).await
    }
}

impl Drained for AlertRecord {
    const TABLE: &str = "alerts";

    async fn insert<S: Sink>(sink: &S, records: &[Self]) -> Result<(), StoreError> {
        sink.alerts(&records.iter().map(Self::row).collect::<Vec<_>>()).await
    }
}

impl Drained for AuditRecord {
    const TABLE: &str = "audit";

    async fn insert<S: Sink>(sink: &S, records: &[Self]) -> Result<(), StoreError> {
        sink.audit(&records.iter().map(Self::row).collect::<Vec<_>>()).await
    }
}

/// Starts bringing the log of verdicts into the table; ends when `stop` is cancelled.
pub fn verdicts<S: Sink>(
    log: &Log,
    sink: S,
    limits: BatchLimits,
    runtime: Handle,
    stop: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    start::<VerdictRecord, S>(log, sink, limits, Patience { runtime, stop })
}

/// Starts bringing the log of alerts into the table; ends when `stop` is cancelled.
pub fn alerts<S: Sink>(
    log: &Log,
    sink: S,
    limits: BatchLimits,
    runtime: Handle,
    stop: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    start::<AlertRecord, S>(log, sink, limits, Patience { runtime, stop })
}

/// Starts bringing the log of the audit into the table; ends when `stop` is cancelled.
pub fn audit<S: Sink>(
    log: &Log,
    sink: S,
    limits: BatchLimits,
    runtime: Handle,
    stop: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    start::<AuditRecord, S>(log, sink, limits, Patience { runtime, stop })
}

fn start<T: Drained, S: Sink>(
    log: &Log,
    sink: S,
    limits: BatchLimits,
    patience: Patience,
) -> io::Result<JoinHandle<()>> {
    let reader = log.reader().map_err(io::Error::other)?;
    let next = reader.position(READER).map_err(io::Error::other)?;
    let drain = Drain { reader, end: log.end(), log: log.clone(), next, sink, limits, patience };
    std::thread::Builder::new().name(format!("drain-{}", T::TABLE)).spawn(move || {
        let Stopped = drain.run::<T>();
        tracing::info!("pipeline `drain` of {} stopped", T::TABLE);
    })
}

struct Drain<S> {
    log: Log,
    reader: Reader,
    end: watch::Receiver<i64>,
    next: i64,
    sink: S,
    limits: BatchLimits,
    patience: Patience,
}

impl<S: Sink> Drain<S> {
    fn run<T: Drained>(mut self) -> Stopped {
        match self.stages::<T>() {
            Err(stopped) => stopped,
            Ok(never) => match never {},
        }
    }

    fn stages<T: Drained>(&mut self) -> Result<std::convert::Infallible, Stopped> {
        loop {
            let entries = self.read()?;
            let records = Self::decode::<T>(&entries);
            self.insert(&records)?;
            self.commit::<T>(&entries)?;
        }
    }

    /// Waits for something, then a little for more to go with it.
    fn read(&mut self) -> Result<Vec<Entry>, Stopped> {
        let Self { reader, end, next, limits, patience, .. } = self;
        let full = next.saturating_add_unsigned(limits.rows_max as u64);
        while *end.borrow() <= *next {
            patience.check()?;
            patience.wait_for(LOOK, end.wait_for(|end| *end > *next));
        }
        patience.wait_for(limits.age_max, end.wait_for(|end| *end >= full));
        patience.until_done("reading", || reader.read(*next, limits.rows_max, limits.bytes_max))
    }

    fn decode<T: Drained>(entries: &[Entry]) -> Vec<T> {
        let decoded = entries.iter().filter_map(|entry| match decode(&entry.payload) {
            Ok(record) => Some(record),
            Err(error) => {
                // It was written by this program, on this machine; nobody can send it again.
                tracing::error!(%error, seq = entry.seq, table = T::TABLE, "an entry is passed over");
                counter!(metric::ROWS, "pipeline" => "drain", "table" => "passed_over").increment(1);
                None
            }
        });
        decoded.collect()
    }

    fn insert<T: Drained>(&self, records: &[T]) -> Result<(), Stopped> {
        self.patience.until_done_async("storing", || T::insert(&self.sink, records))?;
        counter!(metric::ROWS, "pipeline" => "drain", "table" => T::TABLE).increment(records.len() as u64);
        Ok(())
    }

    fn commit<T: Drained>(&mut self, entries: &[Entry]) -> Result<(), Stopped> {
        let Some(last) = entries.last() else { return Ok(()) };
        self.next = last.seq + 1;
        let advance = || -> _ { self.log.advance(READER, self.next) };
        self.patience.until_done_async("saying what is stored", advance).map(|()| {
            let behind = *self.end.borrow() - self.next;
            gauge!(metric::LOG_LAG, "log" => T::TABLE, "reader" => READER).set(behind as f64);
        })
    }
}
