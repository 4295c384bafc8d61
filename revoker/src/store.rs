//! The system of record: one SQLite file, one writer, and readers beside it; or a PostgreSQL database, and the writers of all
//! processes in turn.
//!
//! WAL with `synchronous = FULL`: a transaction that was answered has been synced, so nothing acknowledged is lost to a
//! crash or a power cut. A full disk is an error of its own and rolls the transaction back; nothing leaves without it.

pub(crate) mod agents;
pub(crate) mod alerts;
pub mod approvals;
pub mod approvers;
pub(crate) mod arguments;
pub mod cases;
pub(crate) mod changes;
pub(crate) mod channels;
pub mod config;
pub mod db;
pub(crate) mod enrolments;
pub(crate) mod escalation;
pub(crate) mod first;
pub(crate) mod handled;
pub(crate) mod kin;
pub mod manifests;
pub(crate) mod notices;
pub(crate) mod open;
pub(crate) mod outbox;
pub(crate) mod passkeys;
pub mod pushes;
pub(crate) mod reach;
pub(crate) mod receipts;
pub mod register;
pub(crate) mod retention;
pub mod revocations;
pub(crate) mod sealed;
pub(crate) mod settings;
pub(crate) mod ssf;
pub(crate) mod transactions;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use self::db::{Class, Connection};
pub use self::open::Place;
use crate::agent::AgentKey;

/// Why the system of record did not do as asked. Nothing of the transaction remains.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room: free some, then the caller may try again.
    #[error("no room left for the revoker's record")]
    Full,
    /// Another process held the file too long: the caller may try again.
    #[error("the revoker's record is held by another process")]
    Busy,
    /// The database cannot be reached: the caller may try again.
    #[error("the database of the revoker's record is away: {0}")]
    Away(db::Error),
    /// The disk failed.
    #[error("the disk under the revoker's record failed: {0}")]
    Disk(db::Error),
    /// A row does not hold what this program writes.
    #[error("the revoker's record is damaged: {what}")]
    Damaged {
        /// Where and how.
        what: String,
    },
    /// The file of the audit's heads cannot be written; the record itself can.
    #[error("the file of audit heads {path}: {source}")]
    Heads {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The mark beside the record cannot be read or written.
    #[error("the mark beside the record {path}: {source}")]
    Mark {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The worker that does the writing was stopped.
    #[error("the revoker is shutting down")]
    Stopped,
    /// Anything else that the database says.
    #[error("the revoker's record: {0}")]
    Database(db::Error),
}

impl StoreError {
    /// Whether the same may succeed later without anybody changing the program or the record.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Full | Self::Busy | Self::Away(_) | Self::Disk(_))
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}

impl From<db::Error> for StoreError {
    fn from(e: db::Error) -> Self {
        match e.class() {
            Class::Full => Self::Full,
            Class::Busy => Self::Busy,
            Class::Away => Self::Away(e),
            Class::Disk => Self::Disk(e),
            Class::Damaged => Self::damaged(e.to_string()),
            Class::Other => Self::Database(e),
        }
    }
}

/// The connections. Writers queue on one; readers never wait for a sync, and what must leave never waits for a list.
pub(crate) struct Store {
    place: Place,
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    outbox: Mutex<Connection>,
}

impl Store {
    /// A transaction that ended in a panic was rolled back, so the connection behind a poisoned lock is sound.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For lists and look-ups, which are short.
    pub(crate) fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the executor.
    pub(crate) fn outbox(&self) -> MutexGuard<'_, Connection> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves when another process committed something; none where there are no others.
    pub(crate) fn listen(&self) -> Option<watch::Receiver<u64>> {
        match &self.place {
            Place::File(_) => None,
            Place::Server(address) => Some(db::listen(address)),
        }
    }

    /// A connection of one's own, for what reads long.
    pub(crate) fn long_reader(&self) -> Result<Connection, StoreError> {
        Ok(self.place.reader()?)
    }
}

/// A page of a list, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    limit: u32,
    before: i64,
}

impl Page {
    /// The longest page.
    pub const LIMIT_MAX: u32 = 1_000;

    /// At most `limit` rows (clamped to 1 to 1,000) older than the row with the cursor `before`, or the newest.
    pub fn new(limit: u32, before: Option<i64>) -> Self {
        Self { limit: limit.clamp(1, Self::LIMIT_MAX), before: before.unwrap_or(i64::MAX) }
    }

    pub(crate) fn limit(self) -> u32 {
        self.limit
    }

    pub(crate) fn before(self) -> i64 {
        self.before
    }
}

/// An issuer as a key column holds it.
pub(crate) fn issuer_column(agent: &AgentKey) -> &str {
    agent.issuer.as_deref().unwrap_or_default()
}

pub(crate) fn agent_of(issuer: &str, agent_id: &str) -> AgentKey {
    AgentKey::new(Some(issuer), agent_id)
}

/// A column of JSON that this program wrote.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::damaged(format!("{what}: {e}")))
}

/// JSON of a value of ours. What the record holds is plain data; were it ever not writable, nothing is written at all.
pub(crate) fn to_json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::damaged(format!("not writable as JSON: {e}")))
}
