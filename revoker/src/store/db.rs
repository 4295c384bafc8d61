//! The database under the record: the part of `rusqlite`'s interface that the record uses, over whatever keeps it.
//!
//! Statements are written once, in what SQLite and PostgreSQL 15 both speak, with `?1`, `?2`, … for values. So: `ON CONFLICT`
//! and not `INSERT OR …`; `RETURNING` and not the last row's number; `CASE` and not `iif` or a `max` of two; `IS NOT DISTINCT
//! FROM` and not `IS`; a name for each subquery in `FROM`; `a = ?1 OR ?1 IS NULL` in this order, and a `CAST` where no column
//! beside a value says its type. Values are those of `rusqlite` ([`ToSql`], [`FromSql`]).

mod error;
mod postgres;
mod row;
mod statement;

pub use rusqlite::params;
pub use rusqlite::types::{FromSql, ToSql};

use std::sync::Arc;

pub(crate) use self::error::Class;
pub use self::error::{Error, OptionalExtension, Result};
use self::postgres::Postgres;
pub(in crate::store) use self::postgres::listen;
pub use self::postgres::{Address, AddressError};
pub use self::row::{Column, Row};
pub use self::statement::{MappedRows, Params, Rows, Statement};

/// A connection. At most one thread uses it at a time.
#[derive(Debug)]
pub struct Connection(Backend);

#[derive(Debug)]
enum Backend {
    Sqlite(rusqlite::Connection),
    Postgres(Postgres),
}

/// Processes that write to one record on PostgreSQL take turns, as connections to one file do: the audit is a chain, and what
/// a decision rests on must not change under it. Taken before the first look, so that all that was committed is seen.
const TURN: &str = "BEGIN; SELECT pg_advisory_xact_lock(1, hashtext(current_schema()))";
const MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// The table beside which SQLite's `user_version` stands in the file itself.
const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)";

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
            Backend::Postgres(_) => panic!("this is PostgreSQL"),
        }
    }

    /// A record on a server.
    pub(crate) fn connect(address: Arc<Address>) -> Result<Self> {
        Ok(Self(Backend::Postgres(Postgres::connect(address)?)))
    }

    /// A statement, prepared once and kept.
    pub fn prepare_cached(&self, sql: &str) -> Result<Statement<'_>> {
        tracing::trace!(sql, "statement");
        match &self.0 {
            Backend::Sqlite(db) => Ok(Statement::sqlite(db.prepare_cached(sql)?)),
            Backend::Postgres(db) => Ok(Statement::postgres(db.prepare(sql)?)),
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
            Backend::Postgres(db) => db.execute_batch(sql),
        }
    }

    /// How many migrations the record has seen.
    pub(crate) fn version(&self) -> Result<i64> {
        match &self.0 {
            Backend::Sqlite(db) => Ok(db.pragma_query_value(None, "user_version", |row| row.get(0))?),
            Backend::Postgres(_) => {
                self.execute_batch(VERSIONS)?;
                let version = self.query_row("SELECT version FROM schema_version", [], |row| row.get(0));
                Ok(version.optional()?.unwrap_or(0))
            }
        }
    }

    /// Runs a migration, which is written in SQLite's words.
    pub(crate) fn migrate(&self, sql: &str) -> Result<()> {
        match &self.0 {
            Backend::Sqlite(db) => Ok(db.execute_batch(sql)?),
            Backend::Postgres(db) => db.execute_batch(&postgres::schema(sql)),
        }
    }

    /// Whether other processes may write to the record too.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.0, Backend::Postgres(_))
    }

    /// Wakes the other processes once the transaction is durable.
    pub(crate) fn notify(&self) -> Result<()> {
        match &self.0 {
            Backend::Sqlite(_) => Ok(()),
            Backend::Postgres(db) => db.ring(),
        }
    }

    /// Whether this connection is the one of all that holds `name`: from the first time it asks until it ends. Where nobody else
    /// writes it always is.
    pub(crate) fn claim(&self, name: &str) -> Result<bool> {
        match &self.0 {
            Backend::Sqlite(_) => Ok(true),
            Backend::Postgres(db) => db.claim(name),
        }
    }

    /// Notes that it has seen so many.
    pub(crate) fn set_version(&self, version: i64) -> Result<()> {
        match &self.0 {
            Backend::Sqlite(db) => Ok(db.pragma_update(None, "user_version", version)?),
            Backend::Postgres(_) => {
                self.execute("DELETE FROM schema_version", [])?;
                self.execute("INSERT INTO schema_version (version) VALUES (?1)", [version]).map(drop)
            }
        }
    }

    /// Rows changed since the connection was opened.
    pub(crate) fn total_changes(&self) -> u64 {
        match &self.0 {
            Backend::Sqlite(db) => db.total_changes(),
            Backend::Postgres(db) => db.changes(),
        }
    }

    /// Begins a transaction that writes: one at a time for the whole record, so that what it read is so until it ends.
    pub(crate) fn transaction(&mut self) -> Result<Transaction<'_>> {
        match &self.0 {
            Backend::Sqlite(db) => db.execute_batch("BEGIN IMMEDIATE")?,
            Backend::Postgres(db) => db.begin(TURN)?,
        }
        Ok(Transaction { db: self, ended: false })
    }

    /// Begins a transaction that reads: all of it as of one moment.
    pub(crate) fn snapshot(&self) -> Result<Transaction<'_>> {
        match &self.0 {
            Backend::Sqlite(db) => db.execute_batch("BEGIN DEFERRED")?,
            Backend::Postgres(db) => db.begin(MOMENT)?,
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
    /// Makes all of it durable. After an error it may still have become so, where the answer was lost on its way.
    pub fn commit(mut self) -> Result<()> {
        match &self.db.0 {
            Backend::Sqlite(db) => db.execute_batch("COMMIT")?,
            Backend::Postgres(db) => {
                // Whatever comes of it, it is over.
                self.ended = true;
                db.commit()?;
            }
        }
        self.ended = true;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        let rolled_back = match &self.db.0 {
            _ if self.ended => Ok(()),
            // An error may have ended it already.
            Backend::Sqlite(db) if db.is_autocommit() => Ok(()),
            Backend::Sqlite(db) => db.execute_batch("ROLLBACK").map_err(Error::from),
            Backend::Postgres(db) => db.end("ROLLBACK"),
        };
        if let Err(e) = rolled_back {
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
