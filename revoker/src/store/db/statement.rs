//! A statement, and what it gives.

use super::postgres::Prepared;
use super::{Error, Result, Row, ToSql};

/// A prepared statement.
pub struct Statement<'c>(Inner<'c>);

enum Inner<'c> {
    Sqlite(rusqlite::CachedStatement<'c>),
    Postgres(Prepared<'c>),
}

impl<'c> Statement<'c> {
    pub(super) fn sqlite(statement: rusqlite::CachedStatement<'c>) -> Self {
        Self(Inner::Sqlite(statement))
    }

    pub(super) fn postgres(statement: Prepared<'c>) -> Self {
        Self(Inner::Postgres(statement))
    }

    /// Runs it; returns how many rows it changed.
    pub fn execute(&mut self, params: impl Params) -> Result<usize> {
        match &mut self.0 {
            Inner::Sqlite(statement) => params.give(|values| Ok(statement.execute(values)?)),
            Inner::Postgres(statement) => statement.execute(params),
        }
    }

    /// Runs it and reads row after row.
    pub fn query(&mut self, params: impl Params) -> Result<Rows<'_>> {
        match &mut self.0 {
            Inner::Sqlite(statement) => {
                params.give(|values| Ok(Rows(RowsInner::Sqlite(statement.query(values)?))))
            }
            Inner::Postgres(statement) => {
                Ok(Rows(RowsInner::Postgres { rows: statement.query(params)?, next: 0 }))
            }
        }
    }

    /// Runs it and reads each row with `f`.
    pub fn query_map<T, F: FnMut(&Row<'_>) -> Result<T>>(
        &mut self,
        params: impl Params,
        f: F,
    ) -> Result<MappedRows<'_, F>> {
        Ok(MappedRows { rows: self.query(params)?, f })
    }

    /// Runs it and reads the first row.
    pub fn query_row<T>(&mut self, params: impl Params, f: impl FnOnce(&Row<'_>) -> Result<T>) -> Result<T> {
        match self.query(params)?.next()? {
            Some(row) => f(&row),
            None => Err(Error::NoRow),
        }
    }
}

/// The rows of a query, read one by one.
pub struct Rows<'s>(RowsInner<'s>);

enum RowsInner<'s> {
    Sqlite(rusqlite::Rows<'s>),
    Postgres { rows: Vec<tokio_postgres::Row>, next: usize },
}

impl Rows<'_> {
    /// The next row; none after the last.
    #[expect(clippy::should_implement_trait, reason = "a row borrows from what reads it")]
    pub fn next(&mut self) -> Result<Option<Row<'_>>> {
        match &mut self.0 {
            RowsInner::Sqlite(rows) => Ok(rows.next()?.map(Row::sqlite)),
            RowsInner::Postgres { rows, next } => {
                *next += 1;
                Ok(rows.get(*next - 1).map(Row::postgres))
            }
        }
    }
}

/// The rows of a query, each read with the same function.
pub struct MappedRows<'s, F> {
    rows: Rows<'s>,
    f: F,
}

impl<T, F: FnMut(&Row<'_>) -> Result<T>> Iterator for MappedRows<'_, F> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next().transpose()?;
        Some(row.and_then(|row| (self.f)(&row)))
    }
}

/// Values for the places `?1`, `?2`, … of a statement: what [`params!`](super::params) makes, or an array of one type.
pub trait Params {
    /// Gives them to `f`.
    fn give<T>(self, f: impl FnOnce(&[&dyn ToSql]) -> Result<T>) -> Result<T>;
}

impl Params for &[&dyn ToSql] {
    fn give<T>(self, f: impl FnOnce(&[&dyn ToSql]) -> Result<T>) -> Result<T> {
        f(self)
    }
}

/// None at all. The type is one that nothing else has, so that `[]` can mean only this.
impl Params for [&(dyn ToSql + Send + Sync); 0] {
    fn give<T>(self, f: impl FnOnce(&[&dyn ToSql]) -> Result<T>) -> Result<T> {
        f(&[])
    }
}

macro_rules! arrays {
    ($($n:literal)+) => {$(
        impl<V: ToSql> Params for [V; $n] {
            fn give<T>(self, f: impl FnOnce(&[&dyn ToSql]) -> Result<T>) -> Result<T> {
                f(&self.each_ref().map(|value| value as &dyn ToSql))
            }
        }
    )+};
}
arrays!(1 2 3);
