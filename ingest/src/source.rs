//! Where calls come from, and what a pipeline sees of it: batches of records in the order of their partitions.

pub mod credentials;
pub mod files;
pub mod http;
mod intake;
#[cfg(feature = "kafka")]
pub mod kafka;
mod log;
mod problem;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use detector::Timestamp;
use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(crate) use self::intake::Reading;
pub(crate) use self::intake::conflict;
pub use self::intake::{Act, BadLine, ControlError, Intake, IntakeError, One, Report};
pub use self::log::LogSource;
use crate::decode::{Reject, SourceContext};
use crate::seen::SeenFile;

/// Of each partition the offset that is needed next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Positions(BTreeMap<String, i64>);

impl Positions {
    /// Where a partition stands.
    pub fn get(&self, partition: &str) -> Option<i64> {
        self.0.get(partition).copied()
    }

    /// Moves a partition there.
    pub fn set(&mut self, partition: &str, next: i64) {
        match self.0.get_mut(partition) {
            Some(known) => *known = next,
            None => {
                self.0.insert(partition.to_owned(), next);
            }
        }
    }

    /// Moves all partitions that `other` names to where it has them.
    pub fn merge(&mut self, other: &Self) {
        for (partition, next) in other.iter() {
            self.set(partition, next);
        }
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(partition, next)| (&**partition, *next))
    }
}

/// Where a pipeline begins to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Behind what was committed, or at the oldest record.
    Committed,
    /// At these positions, and at the oldest record of every partition they do not name.
    At(Positions),
}

/// One record on its way into a pipeline.
#[derive(Debug)]
pub struct Delivery {
    /// The partition it lies in.
    pub partition: Arc<str>,
    /// Where it lies in it.
    pub offset: i64,
    /// Which record it is of those that lie there, from 1; a message may hold several.
    pub line: u64,
    /// Its source, as it was when the record was received.
    pub source: Arc<SourceContext>,
    /// When it was received; the same however often it is read.
    pub received_at: Timestamp,
    /// The partition held nothing more at this time, so it was received later, whatever a producer's clock says. None where that is not
    /// known, or needs no saying.
    pub not_before: Option<Timestamp>,
    /// What it holds.
    pub payload: Payload,
    /// What the partitioned log knows of who wrote it; none for the local log.
    pub keyed: Option<Box<Keyed>>,
}

/// What a delivery holds.
#[derive(Debug)]
pub enum Payload {
    /// One record in its source's format.
    Record(Vec<u8>),
    /// What was found to be no record when it was taken in.
    Reject(Box<Reject>),
}

impl Payload {
    /// Roughly its size in memory.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Record(bytes) => bytes.len(),
            Self::Reject(reject) => reject.bytes.len(),
        }
    }
}

/// How a record was keyed.
#[derive(Debug, PartialEq, Eq)]
pub struct Keyed {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// What its headers say of its producer.
    pub producer: Option<String>,
}

/// What one look at a source brought.
#[derive(Debug, Default)]
pub struct Batch {
    /// Records, in order within each partition.
    pub deliveries: Vec<Delivery>,
    /// Where each partition that was read stands after them.
    pub next: Positions,
    /// Partitions that have nothing more for now.
    pub at_end: Vec<Arc<str>>,
}

/// Something a pipeline reads.
pub trait Source: Send {
    /// Its name, for messages.
    fn name(&self) -> &str;

    /// Says where to begin. Called once, before the first [`Self::poll`].
    fn begin(&mut self, begin: Begin) -> Result<(), SourceError>;

    /// Waits up to `wait` for something, and brings at most `rows_max` records or roughly `bytes_max` bytes.
    ///
    /// An empty batch says that there was nothing. An error left nothing behind: ask again.
    fn poll(&mut self, wait: Duration, rows_max: usize, bytes_max: usize) -> Result<Batch, SourceError>;

    /// Everything before `next` is durable where it was to go. Positions never go back.
    fn commit(&mut self, next: &Positions) -> Result<(), SourceError>;

    /// The index that tells redeliveries from duplicates, where the source itself does not.
    fn seen(&self) -> Option<Arc<SeenFile>> {
        None
    }
}

/// A source that cannot be read just now.
#[derive(Debug, thiserror::Error)]
#[error("{source_name}: {cause}")]
pub struct SourceError {
    /// Which one.
    pub source_name: String,
    /// Why.
    #[source]
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}
