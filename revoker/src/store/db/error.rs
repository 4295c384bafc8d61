//! Why a statement failed.

use rusqlite::ErrorCode;

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
}

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Full,
    Busy,
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
        let Self::Sqlite(e) = self else { return Class::Other };
        match e.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Class::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Class::Busy,
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => Class::Disk,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Class::Damaged,
            _ => Class::Other,
        }
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
