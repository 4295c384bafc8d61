//! The local log as a source: one partition, read by sequence number.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::{Batch, Begin, Delivery, Payload, Positions, Source, SourceError};
use crate::decode::SourceContext;
use crate::finding::{Finding, Findings};
use crate::log::{Entry, EntryKind, Log, LogError, Reader};
use crate::metric;

/// What is read of it is shown under this name.
const NAME: &str = "log";

/// Reads the calls log as one of its readers.
#[derive(Debug)]
pub struct LogSource {
    log: Log,
    reader: Reader,
    name: String,
    partition: Arc<str>,
    end: watch::Receiver<i64>,
    next: i64,
    runtime: Handle,
    findings: Findings,
}

impl LogSource {
    /// A source that reads `log` as `name`, one of the readers it was opened with. To be polled outside of `runtime`.
    pub fn new(log: &Log, name: &str, runtime: Handle, findings: Findings) -> Result<Self, LogError> {
        Ok(Self {
            log: log.clone(),
            reader: log.reader()?,
            name: name.to_owned(),
            partition: format!("{NAME}/{}", log.instance()).into(),
            end: log.end(),
            next: 1,
            runtime,
            findings,
        })
    }

    fn error(&self, cause: LogError) -> SourceError {
        SourceError { source_name: self.name.clone(), cause: Box::new(cause) }
    }

    /// Waits until the log reaches past `next`; whether it did.
    fn wait(&mut self, wait: Duration) -> bool {
        let (end, next) = (&mut self.end, self.next);
        let reached = self.runtime.block_on(async {
            tokio::time::timeout(wait, end.wait_for(|end| *end > next)).await.is_ok_and(|e| e.is_ok())
        });
        if !reached && self.end.has_changed().is_err() {
            // The writer is gone, so nothing will come; do not spin.
            std::thread::sleep(wait);
        }
        reached
    }
}

impl Source for LogSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn begin(&mut self, begin: Begin) -> Result<(), SourceError> {
        let wanted = match begin {
            Begin::Committed => Some(self.reader.position(&self.name).map_err(|e| self.error(e))?),
            Begin::At(positions) => positions.get(&self.partition),
        };
        let first = self.reader.first().map_err(|e| self.error(e))?.unwrap_or(*self.end.borrow());
        self.next = wanted.unwrap_or(first);
        if self.next < first {
            self.findings.raise(Finding::OffsetsLost {
                group: self.name.clone(),
                partition: self.log.path().display().to_string(),
                from: self.next,
                to: first,
            });
            self.next = first;
        }
        Ok(())
    }

    fn poll(&mut self, wait: Duration, rows_max: usize, bytes_max: usize) -> Result<Batch, SourceError> {
        if !self.wait(wait) {
            return Ok(Batch { at_end: vec![Arc::clone(&self.partition)], ..Batch::default() });
        }
        let entries = self.reader.read(self.next, rows_max, bytes_max);
        let entries = entries.map_err(|e| self.error(e))?;
        let mut batch = Batch::default();
        if let Some(last) = entries.last() {
            self.next = last.seq + 1;
            batch.next.set(&self.partition, self.next);
        }
        let behind = *self.end.borrow() - self.next;
        if behind == 0 {
            batch.at_end.push(Arc::clone(&self.partition));
        }
        gauge!(metric::LOG_LAG, "log" => NAME, "reader" => self.name.clone()).set(behind as f64);
        batch.deliveries = entries.into_iter().map(|entry| deliver(&self.partition, entry)).collect();
        Ok(batch)
    }

    fn commit(&mut self, next: &Positions) -> Result<(), SourceError> {
        let Some(next) = next.get(&self.partition) else { return Ok(()) };
        self.runtime.block_on(self.log.advance(&self.name, next)).map_err(|e| self.error(e))
    }
}

fn deliver(partition: &Arc<str>, entry: Entry) -> Delivery {
    let source = entry.source.clone().unwrap_or_else(unknown_source);
    let payload = match entry.kind {
        EntryKind::Record => Payload::Record(entry.payload),
        EntryKind::Reject => Payload::Reject(Box::new(super::intake::decode_reject(&entry, &source))),
    };
    Delivery {
        partition: Arc::clone(partition),
        offset: entry.seq,
        line: 1,
        source,
        received_at: entry.received_at,
        not_before: None,
        payload,
        keyed: None,
    }
}

/// Entries of the calls log all have a source; one without is worth nothing.
fn unknown_source() -> Arc<SourceContext> {
    Arc::new(SourceContext::new("unknown", detector::Attestation::None, crate::decode::Format::Auto))
}
