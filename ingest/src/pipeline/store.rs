//! The pipeline `store`: fill a batch, decode it, store it, then say that it is stored.

use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use metrics::counter;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::Sink;
use super::decode::{Decoded, What, decode};
use crate::metric;
use crate::retry::{Patience, Stopped};
use crate::source::{Batch, Begin, Source};
use crate::store::{BatchLimits, CallRow, Place, RejectRow, StoreError};

/// The longest look at a source that has nothing, so that a stop is noticed soon.
const LOOK: Duration = Duration::from_millis(200);
/// At the end of a source, what comes within this is one look: a look at each record costs more than the record.
const GATHER: Duration = Duration::from_millis(20);

/// Starts the pipeline on a thread of its own; it ends when `stop` is cancelled.
///
/// Whatever fails is tried again, the same batch in the same order, until it succeeds.
pub fn start<S: Sink>(
    source: Box<dyn Source>,
    sink: S,
    limits: BatchLimits,
    runtime: Handle,
    stop: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    let pipeline = Pipeline { source, sink, limits, patience: Patience { runtime, stop } };
    std::thread::Builder::new().name("store".to_owned()).spawn(move || {
        // There is no other end than being stopped.
        let Stopped = pipeline.run();
        tracing::info!("pipeline `store` stopped");
    })
}

struct Pipeline<S> {
    source: Box<dyn Source>,
    sink: S,
    limits: BatchLimits,
    patience: Patience,
}

impl<S: Sink> Pipeline<S> {
    fn run(mut self) -> Stopped {
        match self.stages() {
            Err(stopped) => stopped,
            Ok(never) => match never {},
        }
    }

    fn stages(&mut self) -> Result<std::convert::Infallible, Stopped> {
        self.begin()?;
        loop {
            let batch = self.fill()?;
            let decoded = self.decode(&batch)?;
            self.insert(&decoded)?;
            self.commit(&batch)?;
        }
    }

    fn begin(&mut self) -> Result<(), Stopped> {
        let Self { source, patience, .. } = self;
        patience.until_done("finding where to go on", || source.begin(Begin::Committed))
    }

    /// Reads until the batch is full or its first record has waited long enough.
    fn fill(&mut self) -> Result<Batch, Stopped> {
        let Self { source, patience, limits, .. } = self;
        let (mut batch, mut bytes, mut due) = (Batch::default(), 0, None::<Instant>);
        loop {
            patience.check()?;
            let (rows_max, bytes_max) =
                (limits.rows_max - batch.deliveries.len(), limits.bytes_max.saturating_sub(bytes));
            let wait = due.map_or(LOOK, |due| due.saturating_duration_since(Instant::now()).min(LOOK));
            if rows_max == 0 || bytes_max == 0 || due.is_some() && wait.is_zero() {
                return Ok(batch);
            }
            let more = patience.until_done("reading", || source.poll(wait, rows_max, bytes_max))?;
            bytes += more.deliveries.iter().map(|d| d.payload.bytes()).sum::<usize>();
            batch.next.merge(&more.next);
            batch.deliveries.extend(more.deliveries);
            if due.is_none() && batch.next.iter().next().is_some() {
                due = Some(Instant::now() + limits.age_max);
            }
            if !more.at_end.is_empty() && due.is_some() {
                std::thread::sleep(GATHER.min(limits.age_max));
            }
        }
    }

    fn decode<'a>(&self, batch: &'a Batch) -> Result<Vec<Decoded<'a>>, Stopped> {
        let seen = self.source.seen();
        // What is wrong with the log itself is raised once, by the pipeline that reads first: `score`.
        self.patience.until_done("looking events up", || decode(&batch.deliveries, seen.as_deref(), None))
    }

    fn insert(&self, decoded: &[Decoded<'_>]) -> Result<(), Stopped> {
        let (mut calls, mut rejects) = (Vec::with_capacity(decoded.len()), Vec::new());
        for Decoded { delivery, what } in decoded {
            let place = Place { origin: &delivery.partition, position: delivery.offset as u64 };
            match what {
                What::Call(call, digest) => calls.push(CallRow::new(call, *digest, place)),
                What::Reject(reject) => rejects.push(RejectRow::new(reject, delivery.received_at, place)),
                What::Duplicate => {}
            }
        }
        self.patience.until_done_async("storing calls", || counted(self.sink.calls(&calls)))?;
        self.patience.until_done_async("storing rejects", || counted(self.sink.rejects(&rejects)))?;
        counter!(metric::ROWS, "pipeline" => "store", "table" => "calls").increment(calls.len() as u64);
        counter!(metric::ROWS, "pipeline" => "store", "table" => "rejects").increment(rejects.len() as u64);
        Ok(())
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), Stopped> {
        let Self { source, patience, .. } = self;
        patience.until_done("saying what is stored", || source.commit(&batch.next))
    }
}

async fn counted(insert: impl Future<Output = Result<(), StoreError>>) -> Result<(), StoreError> {
    let result = insert.await;
    let outcome = if result.is_ok() { "written" } else { "failed" };
    counter!(metric::BATCHES, "pipeline" => "store", "outcome" => outcome).increment(1);
    result
}
