//! Opening the record: a file or a database, permissions, migrations.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::OpenFlags;

use super::db::{self, Address, Connection};
use super::{Store, StoreError, approvals};

/// In order, each once. The record's version counts how many have run.
const MIGRATIONS: [&str; 17] = [
    include_str!("../../migrations/0001_record.sql"),
    include_str!("../../migrations/0002_register.sql"),
    include_str!("../../migrations/0003_proof.sql"),
    include_str!("../../migrations/0004_audit_heads.sql"),
    include_str!("../../migrations/0005_ssf.sql"),
    include_str!("../../migrations/0006_subjects.sql"),
    include_str!("../../migrations/0008_questions.sql"),
    include_str!("../../migrations/0009_transactions.sql"),
    include_str!("../../migrations/0010_passkeys.sql"),
    include_str!("../../migrations/0011_ciba.sql"),
    include_str!("../../migrations/0012_manifests.sql"),
    include_str!("../../migrations/0013_pushes.sql"),
    include_str!("../../migrations/0014_first_seen.sql"),
    include_str!("../../migrations/0015_stream_subjects.sql"),
    include_str!("../../migrations/0016_arguments.sql"),
    include_str!("../../migrations/0017_lifted.sql"),
    include_str!("../../migrations/0018_reach.sql"),
];

/// What PostgreSQL needs beside them.
const POSTGRES: &str = include_str!("../../migrations/postgres.sql");

/// A command beside the server (enrolling an approver) holds the file for milliseconds; longer than this is a fault.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a record is.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a file, written by one process.
    File(PathBuf),
    /// On a server, where several processes share the work.
    Server(Arc<Address>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(address) => address.fmt(f),
        }
    }
}

/// Why the revoker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or file cannot be made.
    #[error("cannot create {path}: {source}")]
    Create {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The record was written by a newer program.
    #[error("{place} is of version {found}; this program knows versions up to {known}")]
    Newer {
        /// Which record.
        place: Place,
        /// Its version.
        found: i64,
        /// The newest version known.
        known: usize,
    },
    /// The key file cannot be used.
    #[error(transparent)]
    Key(#[from] crate::keys::KeyError),
    /// Two targets have the same name, and receipts could not be told apart.
    #[error("two targets are named `{0}`")]
    TwoTargets(String),
    /// The record cannot be opened.
    #[error("{place}: {source}")]
    Closed {
        /// Which record.
        place: Place,
        /// Why.
        source: StoreError,
    },
    /// The record cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<db::Error> for OpenError {
    fn from(e: db::Error) -> Self {
        Self::Store(e.into())
    }
}

impl Store {
    /// Opens or makes the record; runs the migrations that are missing.
    pub(crate) fn open(place: &Place) -> Result<Self, OpenError> {
        if let Place::File(path) = place {
            create_private(path).map_err(|source| OpenError::Create { path: path.clone(), source })?;
        }
        let failed = |e: db::Error| OpenError::Closed { place: place.clone(), source: e.into() };
        let mut writer = place.writer().map_err(failed)?;
        if let Some(found) = migrate(&mut writer).map_err(failed)? {
            return Err(OpenError::Newer { place: place.clone(), found, known: MIGRATIONS.len() });
        }
        let (reader, outbox) = (place.reader().map_err(failed)?, place.reader().map_err(failed)?);
        let [writer, reader, outbox] = [writer, reader, outbox].map(Mutex::new);
        Ok(Self { place: place.clone(), writer, reader, outbox })
    }
}

impl Place {
    /// The file that a server keeps in its folder.
    pub fn in_dir(data_dir: &Path) -> Self {
        Self::File(data_dir.join("revoker.db"))
    }

    fn writer(&self) -> db::Result<Connection> {
        let path = match self {
            Self::Server(address) => return Connection::connect(Arc::clone(address)),
            Self::File(path) => path,
        };
        let writer = rusqlite::Connection::open(path)?;
        writer.busy_timeout(BUSY_TIMEOUT)?;
        writer.set_prepared_statement_cache_capacity(64);
        writer.pragma_update(None, "journal_mode", "WAL")?;
        writer.pragma_update(None, "synchronous", "FULL")?;
        // Fewer checkpoints, which sync twice while a decision waits; 16 MiB is replayed in no time.
        writer.pragma_update(None, "wal_autocheckpoint", 4_096)?;
        writer.pragma_update(None, "foreign_keys", true)?;
        Ok(writer.into())
    }

    /// A connection that only reads.
    pub(crate) fn reader(&self) -> db::Result<Connection> {
        let path = match self {
            Self::Server(address) => return Connection::connect(Arc::clone(address)),
            Self::File(path) => path,
        };
        let reader = rusqlite::Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        reader.busy_timeout(BUSY_TIMEOUT)?;
        Ok(reader.into())
    }
}

/// Brings the record to this program's version. Where it has a newer one that is returned, and nothing was changed.
fn migrate(db: &mut Connection) -> db::Result<Option<i64>> {
    let tx = db.transaction()?;
    let found = tx.version()?;
    let done = usize::try_from(found).ok().filter(|done| *done <= MIGRATIONS.len());
    let Some(done) = done else { return Ok(Some(found)) };
    // The oldest tables, which the first versions did not count; later migrations change them.
    tx.migrate(approvals::SCHEMA)?;
    for migration in &MIGRATIONS[done..] {
        tx.migrate(migration)?;
    }
    if tx.is_shared() {
        tx.execute_batch(POSTGRES)?;
    }
    tx.set_version(i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))?;
    tx.commit()?;
    Ok(None)
}

/// A record that is gone with the connection.
#[cfg(test)]
pub(crate) fn in_memory() -> Connection {
    let mut db = Connection::open_in_memory().unwrap();
    assert_eq!(migrate(&mut db).unwrap(), None);
    db
}

/// The file is made before SQLite opens it, so that it is never readable by others; its WAL takes its mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_record_of_a_newer_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let place = testing::place(folder.path());
        Store::open(&place).unwrap().writer().set_version(99).unwrap();
        assert!(matches!(Store::open(&place), Err(OpenError::Newer { found: 99, .. })));
    }

    #[test]
    #[cfg(unix)]
    fn only_this_user_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/revoker.db");
        let store = Store::open(&Place::File(path.clone())).unwrap();
        store.writer().execute("INSERT INTO settings VALUES ('a', 'b')", []).unwrap();
        for name in ["revoker.db", "revoker.db-wal"] {
            let mode = std::fs::metadata(path.with_file_name(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
        }
    }
}
