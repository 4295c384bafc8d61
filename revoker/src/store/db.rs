//! The database under the record: the part of `rusqlite`'s interface that the record uses, over whatever keeps it.
//!
//! Statements are written once, in what SQLite and PostgreSQL 15 both speak, with `?1`, `?2`, … for values. So: `ON CONFLICT`
//! and not `INSERT OR …`; `RETURNING` and not the last row's number; `CASE` and not `iif` or a `max` of two; `IS NOT DISTINCT
//! FROM` and not `IS`; a name for each subquery in `FROM`; `a = ?1 OR ?1 IS NULL` in this order, and a `CAST` where no column
//! beside a value says its type. Values are those of `rusqlite` ([`ToSql`], [`FromSql`]).

mod error;
mod row;
mod statement;

pub use rusqlite::params;
pub use rusqlite::types::{FromSql, ToSql};

pub(crate) use self::error::Class;
pub use self::error::{Error, OptionalExtension, Result};
pub use self::row::{Column, Row};
pub use self::statement::{MappedRows, Params, Rows, Statement};

/// A connection. At most one thread uses it at a time.
#[derive(Debug)]
pub struct Connection(Backend);

#[derive(Debug)]
enum Backend {
    Sqlite(rusqlite::Connection),
}

impl Connection {
    /// A record that is gone with the connection.
    #[cfg(test)]
    pub(crate) fn open_in_memory() -> Result<Self> {
        Ok(rusqlite::Connection::open_in_memory()?.into())
    }

    /// A record in a file, as it is.
    #[cfg(test)]
    pub(crate) fn open(path: impl AsRef<std::path::Path>) -> Result<Self> {
        Ok(rusqlite::Connection::open(path)?.into())
    }

    /// For what only SQLite knows.
    #[cfg(test)]
    pub(crate) fn sqlite(&self) -> &rusqlite::Connection {
        match &self.0 {
            Backend::Sqlite(db) => db,
        }
    }

    /// A statement, prepared once and kept.
    pub fn prepare_cached(&self, sql: &str) -> Result<Statement<'_>> {
        match &self.0 {
            Backend::Sqlite(db) => Ok(Statement::sqlite(db.prepare_cached(sql)?)),
        }
    }

    /// Runs a statement once; returns how many rows it changed.
    pub fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        self.prepare_cached(sql)?.execute(params)
    }

    /// Reads the first row of what a statement gives.
    pub fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        f: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        self.prepare_cached(sql)?.query_row(params, f)
    }

    /// Runs statements that take and give nothing, parted by `;`.
    pub fn execute_batch(&self, sql: &str) -> Result<()> {
        match &self.0 {
            Backend::Sqlite(db) => Ok(db.execute_batch(sql)?),
        }
    }

    /// How many migrations the record has seen.
    pub(crate) fn version(&self) -> Result<i64> {
        match &self.0 {
            Backend::Sqlite(db) => Ok(db.pragma_query_value(None, "user_version", |row| row.get(0))?),
        }
    }

    /// Notes that it has seen so many.
    pub(crate) fn set_version(&self, version: i64) -> Result<()> {
        match &self.0 {
            Backend::Sqlite(db) => Ok(db.pragma_update(None, "user_version", version)?),
        }
    }

    /// Rows changed since the connection was opened.
    pub(crate) fn total_changes(&self) -> u64 {
        match &self.0 {
            Backend::Sqlite(db) => db.total_changes(),
        }
    }

    /// Begins a transaction that writes: one at a time for the whole record, so that what it read is so until it ends.
    pub(crate) fn transaction(&mut self) -> Result<Transaction<'_>> {
        match &self.0 {
            Backend::Sqlite(db) => db.execute_batch("BEGIN IMMEDIATE")?,
        }
        Ok(Transaction { db: self, ended: false })
    }

    /// Begins a transaction that reads: all of it as of one moment.
    pub(crate) fn snapshot(&self) -> Result<Transaction<'_>> {
        match &self.0 {
            Backend::Sqlite(db) => db.execute_batch("BEGIN DEFERRED")?,
        }
        Ok(Transaction { db: self, ended: false })
    }
}

impl From<rusqlite::Connection> for Connection {
    fn from(db: rusqlite::Connection) -> Self {
        Self(Backend::Sqlite(db))
    }
}

/// A transaction under way, rolled back unless it is committed.
#[derive(Debug)]
pub struct Transaction<'c> {
    db: &'c Connection,
    ended: bool,
}

impl Transaction<'_> {
    /// Makes all of it durable.
    pub fn commit(mut self) -> Result<()> {
        self.db.execute_batch("COMMIT")?;
        self.ended = true;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        let is_open = match &self.db.0 {
            // An error may have ended it already.
            Backend::Sqlite(db) => !self.ended && !db.is_autocommit(),
        };
        if is_open && let Err(e) = self.db.execute_batch("ROLLBACK") {
            tracing::error!(error = %e, "a transaction could not be rolled back");
        }
    }
}

impl std::ops::Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.db
    }
}
