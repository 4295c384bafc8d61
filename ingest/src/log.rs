//! The durable local log: what a topic is to Kafka, in one SQLite file.
//!
//! Calls that come by HTTP, file or standard input are appended here first, and both pipelines read them from here by
//! sequence number, each with its own durable position. Verdicts and alerts wait in logs of their own for ClickHouse.
//!
//! Success means committed and on disk. Each entry has a key and a digest, and the index of those seen is written in the
//! same transaction, so an entry told twice is stored once. One thread writes, everything that waits is one transaction
//! (group commit), and what may wait is bounded.

mod reader;
pub(crate) mod table;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use detector::Timestamp;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

pub use self::reader::Reader;
use crate::decode::SourceContext;
use crate::seen::{Digest, Key, SeenLimits};

/// Groups of entries that may wait for the writer.
const JOBS_MAX: usize = 1_024;
/// Payload bytes that may wait for the writer; past it callers are told to come back.
const WAITING_KIB_MAX: usize = 64 * 1_024;

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The most bytes of the file. Past it the oldest entries that every reader is past go early; where there are none,
    /// appending fails with [`LogError::Full`].
    pub bytes_max: i64,
    /// How long entries stay once every reader is past them; history to rebuild a lost snapshot from.
    pub keep: Duration,
    /// What the index of events seen remembers.
    pub seen: SeenLimits,
    /// Who reads this log. Nothing is removed that one of them has not read.
    pub readers: Vec<String>,
}

impl LogConfig {
    /// For a log whose entries are kept elsewhere once these readers are past them.
    pub fn drained_by(readers: &[&str]) -> Self {
        Self { keep: Duration::ZERO, ..Self::read_by(readers) }
    }

    /// The defaults (16 GiB, a week) for a log with these readers.
    pub fn read_by(readers: &[&str]) -> Self {
        Self {
            bytes_max: 16 << 30,
            keep: Duration::from_hours(7 * 24),
            seen: SeenLimits::default(),
            readers: readers.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// One record as its source wrote it.
    Record,
    /// What was no record, with the reason: an encoded [`crate::decode::Reject`].
    Reject,
}

/// An entry to append.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// Its identity; an entry with the same key and digest is stored once.
    pub key: Key,
    /// Its content; the same key with another digest is a conflict and not stored.
    pub digest: Digest,
    /// What `payload` is.
    pub kind: EntryKind,
    /// Where it came from and what that source is worth; kept beside the entry, so that a replay after the
    /// configuration changed still reads it as it was received. None for entries of our own.
    pub source: Option<Arc<SourceContext>>,
    /// When we got it.
    pub received_at: Timestamp,
    /// The bytes.
    pub payload: Vec<u8>,
}

/// What became of an entry that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable, under this sequence number.
    Stored {
        /// Its place in the log.
        seq: i64,
    },
    /// It was durable before.
    Duplicate,
    /// Its key is taken by other content; not stored.
    Conflict,
}

/// An entry as it is read back.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are NewEntry's")]
pub struct Entry {
    /// Its place in the log; grows by one, starting at 1.
    pub seq: i64,
    pub kind: EntryKind,
    pub source: Option<Arc<SourceContext>>,
    pub received_at: Timestamp,
    pub payload: Vec<u8>,
}

/// Why the log could not do it. Nothing of the call was acknowledged, and doing it again is safe.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// More is waiting for the disk than may wait: come back in a moment.
    #[error("{path}: more than {WAITING_KIB_MAX} KiB wait for the disk")]
    Pressure {
        /// The log's file.
        path: PathBuf,
    },
    /// The disk, the quota or the log's own limit is used up: come back when there is room.
    #[error("{path}: no room: {source}")]
    Full {
        /// The log's file.
        path: PathBuf,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
    /// The log was closed.
    #[error("{path}: closed")]
    Closed {
        /// The log's file.
        path: PathBuf,
    },
    /// The file is broken or is no log of ours.
    #[error("{path}: {source}")]
    Storage {
        /// The log's file.
        path: PathBuf,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
}

impl LogError {
    fn from_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let (path, source) = (path.to_owned(), Arc::new(source));
        if table::is_full(&source) { Self::Full { path, source } } else { Self::Storage { path, source } }
    }
}

type Reply<T> = oneshot::Sender<Result<T, LogError>>;

enum Job {
    Append { entries: Arc<[NewEntry]>, room: OwnedSemaphorePermit, reply: Reply<Vec<Outcome>> },
    Advance { reader: String, next: i64, reply: Reply<()> },
}

/// A log that is open for writing; clones write to the same one. The file is let go when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Log {
    path: Arc<Path>,
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    end: watch::Receiver<i64>,
    instance: Arc<str>,
}

impl Log {
    /// Opens or creates the log and starts its writer.
    pub fn open(path: &Path, config: LogConfig) -> Result<Self, LogError> {
        let (jobs, queue) = mpsc::channel(JOBS_MAX);
        let (end, instance) = writer::start(path, config, queue)?;
        let room = Arc::new(Semaphore::new(WAITING_KIB_MAX));
        Ok(Self { path: path.into(), jobs, room, end, instance })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A name for this file, made up once: a log that is made anew in its place has another.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Appends entries in order, in one transaction, and answers for each in the same order once they are on disk.
    ///
    /// Does not wait for room: [`LogError::Pressure`] says that there is none.
    pub async fn append(&self, entries: impl Into<Arc<[NewEntry]>>) -> Result<Vec<Outcome>, LogError> {
        let entries = entries.into();
        let pressure = || LogError::Pressure { path: self.path.to_path_buf() };
        let room = Arc::clone(&self.room).try_acquire_many_owned(kib(&entries)).map_err(|_| pressure())?;
        let place = self.jobs.try_reserve().map_err(|e| match e {
            TrySendError::Full(()) => pressure(),
            TrySendError::Closed(()) => self.closed(),
        })?;
        let (reply, answer) = oneshot::channel();
        place.send(Job::Append { entries, room, reply });
        answer.await.map_err(|_| self.closed())?
    }

    /// Like [`Self::append`], but waits for room.
    pub async fn append_when_room(
        &self,
        entries: impl Into<Arc<[NewEntry]>>,
    ) -> Result<Vec<Outcome>, LogError> {
        let entries = entries.into();
        let room = Arc::clone(&self.room).acquire_many_owned(kib(&entries)).await;
        let room = room.map_err(|_| self.closed())?;
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Append { entries, room, reply }).await.map_err(|_| self.closed())?;
        answer.await.map_err(|_| self.closed())?
    }

    /// Says durably that `reader` needs nothing before `next` any more. Never goes back.
    pub async fn advance(&self, reader: &str, next: i64) -> Result<(), LogError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Advance { reader: reader.to_owned(), next, reply };
        self.jobs.send(job).await.map_err(|_| self.closed())?;
        answer.await.map_err(|_| self.closed())?
    }

    /// The sequence number the next entry will get; changes whenever something was stored.
    pub fn end(&self) -> watch::Receiver<i64> {
        self.end.clone()
    }

    /// Opens the log for reading, on a connection of its own.
    pub fn reader(&self) -> Result<Reader, LogError> {
        Reader::open(&self.path)
    }

    fn closed(&self) -> LogError {
        LogError::Closed { path: self.path.to_path_buf() }
    }
}

fn kib(entries: &[NewEntry]) -> u32 {
    /// What an entry costs beside its payload, roughly.
    const OVERHEAD: usize = 128;
    let bytes: usize = entries.iter().map(|e| e.payload.len() + OVERHEAD).sum();
    bytes.div_ceil(1_024).min(WAITING_KIB_MAX) as u32
}

#[cfg(test)]
mod tests;
