//! PostgreSQL as the database under the record.
//!
//! The client is asynchronous and the record is not, so each connection is driven by a thread of its own and whoever asks
//! waits for it. A connection that broke is made anew when the next statement begins that is not part of a transaction.

mod address;
mod bell;
mod dialect;
mod session;
mod tls;
mod values;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use tokio_postgres::Row;

pub use self::address::{Address, AddressError};
pub(in crate::store) use self::bell::listen;
pub(super) use self::dialect::schema;
use self::session::Session;
use self::values::Given;
pub(super) use self::values::get;
use super::{Error, Params, Result};

/// The oldest version that is known to speak as the record does.
const VERSION_MIN: i32 = 15_00_00;

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Postgres {
    address: Arc<Address>,
    session: RefCell<Session>,
    in_transaction: Cell<bool>,
    changes: Cell<u64>,
}

/// A statement that the server has prepared.
pub(super) struct Prepared<'c> {
    db: &'c Postgres,
    statement: tokio_postgres::Statement,
    /// Whether it changes rows, and does not only read them.
    writes: bool,
}

impl Postgres {
    pub(super) fn connect(address: Arc<Address>) -> Result<Self> {
        let session = RefCell::new(Session::connect(&address)?);
        let db = Self { address, session, in_transaction: Cell::new(false), changes: Cell::new(0) };
        let asked = "SELECT current_setting('server_version_num'), current_setting('server_encoding')";
        let (version, encoding): (String, String) =
            db.prepare(asked)?.first_of([], |row| Ok((get(row, 0)?, get(row, 1)?)))?;
        if version.parse().is_ok_and(|version: i32| version < VERSION_MIN) {
            return Err(Error::value(format!("it is PostgreSQL {version}; 15 is the oldest that will do")));
        }
        if encoding != "UTF8" {
            return Err(Error::value(format!("its texts are in {encoding}; they must be in UTF8")));
        }
        Ok(db)
    }

    /// The session, a new one if the last has ended and nothing of it is under way.
    fn session(&self) -> Result<std::cell::Ref<'_, Session>> {
        if !self.in_transaction.get() && self.session.borrow().is_over() {
            self.session.replace(Session::connect(&self.address)?);
        }
        Ok(self.session.borrow())
    }

    pub(super) fn prepare(&self, sql: &str) -> Result<Prepared<'_>> {
        let statement = self.session()?.prepare(sql)?;
        let writes = ["INSERT", "UPDATE", "DELETE"].iter().any(|verb| sql.trim_start().starts_with(verb));
        Ok(Prepared { db: self, statement, writes })
    }

    pub(super) fn execute_batch(&self, sql: &str) -> Result<()> {
        self.session()?.batch(sql)
    }

    pub(super) fn begin(&self, how: &str) -> Result<()> {
        if let Err(e) = self.execute_batch(how) {
            // It may have begun before it failed, as where its turn did not come in time.
            self.session.borrow().batch("ROLLBACK").ok();
            return Err(e);
        }
        self.in_transaction.set(true);
        Ok(())
    }

    /// A statement that failed has undone the transaction already, which `COMMIT` alone would not say.
    pub(super) fn commit(&self) -> Result<()> {
        let committed = self.end("SELECT 1; COMMIT");
        if committed.is_err() {
            self.session.borrow().batch("ROLLBACK").ok();
        }
        committed
    }

    pub(super) fn end(&self, how: &str) -> Result<()> {
        let ended = self.session.borrow().batch(how);
        self.in_transaction.set(false);
        ended
    }

    pub(super) fn ring(&self) -> Result<()> {
        self.execute_batch(bell::RING)
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// Whether this connection is the one of all that holds `name`: from the first time it asks until it ends.
    pub(super) fn claim(&self, name: &str) -> Result<bool> {
        let session = self.session()?;
        if session.has_claimed(name) {
            return Ok(true);
        }
        drop(session);
        let claimed = self
            .prepare("SELECT pg_try_advisory_lock(2, hashtext(current_schema() || ':' || ?1))")?
            .first_of([name], |row| get(row, 0))?;
        if claimed {
            self.session.borrow().note_claim(name);
        }
        Ok(claimed)
    }
}

impl Prepared<'_> {
    pub(super) fn execute(&self, params: impl Params) -> Result<usize> {
        let changed =
            params.give(|values| self.db.session.borrow().execute(&self.statement, &Given::all(values)?))?;
        self.count(changed);
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    /// All rows. They are read whole: an unread rest would hold up the next statement.
    pub(super) fn query(&self, params: impl Params) -> Result<Vec<Row>> {
        let rows =
            params.give(|values| self.db.session.borrow().query(&self.statement, &Given::all(values)?))?;
        self.count(rows.len() as u64);
        Ok(rows)
    }

    fn first_of<T>(&self, params: impl Params, f: impl FnOnce(&Row) -> Result<T>) -> Result<T> {
        self.query(params)?.first().map_or(Err(Error::NoRow), f)
    }

    fn count(&self, rows: u64) {
        if self.writes {
            self.db.changes.set(self.db.changes.get().wrapping_add(rows));
        }
    }
}
