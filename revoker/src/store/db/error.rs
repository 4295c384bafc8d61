//! Why a statement failed.

use rusqlite::ErrorCode;
use tokio_postgres::error::SqlState;

/// The result of whatever asks the database.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such row.
    #[error("there is no such row")]
    NoRow,
    /// A value is not what its column should hold.
    #[error("{0}")]
    Value(Box<dyn std::error::Error + Send + Sync>),
    /// What SQLite says.
    #[error(transparent)]
    Sqlite(rusqlite::Error),
    /// What PostgreSQL says, or the way to it.
    #[error("{}", said(.0))]
    Postgres(tokio_postgres::Error),
    /// PostgreSQL does not answer.
    #[error("PostgreSQL does not answer")]
    Away,
}

/// Its own words hide what the server said.
fn said(e: &tokio_postgres::Error) -> String {
    match (e.as_db_error(), std::error::Error::source(e)) {
        (Some(db), _) => format!("{} ({})", db.message(), db.code().code()),
        (None, Some(source)) => format!("{e}: {source}"),
        (None, None) => e.to_string(),
    }
}

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Full,
    Busy,
    Away,
    Disk,
    Damaged,
    Other,
}

impl Error {
    /// Of a value that is not what it should be.
    pub(crate) fn value(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Value(why.into())
    }

    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Sqlite(e) => of_sqlite(e),
            Self::Postgres(e) => of_postgres(e),
            Self::Away => Class::Away,
            Self::NoRow | Self::Value(_) => Class::Other,
        }
    }
}

fn of_sqlite(e: &rusqlite::Error) -> Class {
    match e.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Class::Full,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Class::Busy,
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => Class::Disk,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Class::Damaged,
        _ => Class::Other,
    }
}

fn of_postgres(e: &tokio_postgres::Error) -> Class {
    let Some(code) = e.code() else {
        // Not the server's word: the way to it, unless a value of ours did not fit.
        let ours = std::error::Error::source(e).is_some_and(|source| !source.is::<std::io::Error>());
        return if e.is_closed() || !ours { Class::Away } else { Class::Other };
    };
    match *code {
        SqlState::DISK_FULL => Class::Full,
        // It is starting, stopping, or another took its place; or the session ended between preparing and asking.
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::TOO_MANY_CONNECTIONS
        | SqlState::READ_ONLY_SQL_TRANSACTION
        | SqlState::INVALID_SQL_STATEMENT_NAME => Class::Away,
        SqlState::LOCK_NOT_AVAILABLE
        | SqlState::QUERY_CANCELED
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Class::Busy,
        SqlState::IO_ERROR => Class::Disk,
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => Class::Damaged,
        _ => Class::Other,
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(e: tokio_postgres::Error) -> Self {
        Self::Postgres(e)
    }
}

impl From<rusqlite::Error> for Error {
    fn from(e: rusqlite::Error) -> Self {
        match e {
            rusqlite::Error::QueryReturnedNoRows => Self::NoRow,
            e => Self::Sqlite(e),
        }
    }
}

/// A row that need not be there.
pub trait OptionalExtension<T> {
    /// None where there is no such row.
    fn optional(self) -> Result<Option<T>>;
}

impl<T> OptionalExtension<T> for Result<T> {
    fn optional(self) -> Result<Option<T>> {
        match self {
            Ok(found) => Ok(Some(found)),
            Err(Error::NoRow) => Ok(None),
            Err(e) => Err(e),
        }
    }
}
