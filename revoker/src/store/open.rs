//! Opening the file: permissions, pragmas, migrations.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::OpenFlags;

use super::db::{self, Connection};
use super::{Store, StoreError, approvals};

/// In order, each once. `user_version` counts how many have run.
const MIGRATIONS: [&str; 9] = [
    include_str!("../../migrations/0001_record.sql"),
    include_str!("../../migrations/0002_register.sql"),
    include_str!("../../migrations/0003_proof.sql"),
    include_str!("../../migrations/0004_audit_heads.sql"),
    include_str!("../../migrations/0005_ssf.sql"),
    include_str!("../../migrations/0006_subjects.sql"),
    include_str!("../../migrations/0008_questions.sql"),
    include_str!("../../migrations/0009_transactions.sql"),
    include_str!("../../migrations/0010_passkeys.sql"),
];

/// A command beside the server (enrolling an approver) holds the file for milliseconds; longer than this is a fault.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// The file was written by a newer program.
    #[error("{path} is of version {found}; this program knows versions up to {known}")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The file's version.
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
    /// Opens or makes the file; runs the migrations that are missing.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        create_private(path).map_err(|source| OpenError::Create { path: path.to_owned(), source })?;
        let mut writer = writer(path)?;
        migrate(&mut writer, path)?;
        let (reader, outbox) = (Mutex::new(reader(path)?), Mutex::new(reader(path)?));
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer), reader, outbox })
    }
}

fn writer(path: &Path) -> db::Result<Connection> {
    let writer = rusqlite::Connection::open(path)?;
    writer.busy_timeout(BUSY_TIMEOUT)?;
    writer.set_prepared_statement_cache_capacity(64);
    writer.pragma_update(None, "journal_mode", "WAL")?;
    writer.pragma_update(None, "synchronous", "FULL")?;
    writer.pragma_update(None, "foreign_keys", true)?;
    Ok(writer.into())
}

pub(crate) fn reader(path: &Path) -> db::Result<Connection> {
    let reader = rusqlite::Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    reader.busy_timeout(BUSY_TIMEOUT)?;
    Ok(reader.into())
}

fn migrate(db: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let tx = db.transaction()?;
    let found = tx.version()?;
    let known = MIGRATIONS.len();
    let done = usize::try_from(found).ok().filter(|done| *done <= known);
    let Some(done) = done else { return Err(OpenError::Newer { path: path.to_owned(), found, known }) };
    // The oldest tables, which the first versions did not count; later migrations change them.
    tx.execute_batch(approvals::SCHEMA)?;
    for migration in &MIGRATIONS[done..] {
        tx.execute_batch(migration)?;
    }
    tx.set_version(i64::try_from(known).unwrap_or(i64::MAX))?;
    tx.commit()?;
    Ok(())
}

/// A record that is gone with the connection.
#[cfg(test)]
pub(crate) fn in_memory() -> Connection {
    let mut db = Connection::open_in_memory().unwrap();
    migrate(&mut db, Path::new("memory")).unwrap();
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

    #[test]
    fn a_file_of_a_newer_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoker.db");
        Store::open(&path).unwrap().writer().set_version(99).unwrap();
        assert!(matches!(Store::open(&path), Err(OpenError::Newer { found: 99, .. })));
    }

    #[test]
    #[cfg(unix)]
    fn only_this_user_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/revoker.db");
        let store = Store::open(&path).unwrap();
        store.writer().execute("INSERT INTO settings VALUES ('a', 'b')", []).unwrap();
        for name in ["revoker.db", "revoker.db-wal"] {
            let mode = std::fs::metadata(path.with_file_name(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
        }
    }
}
