//! A row that was read.

use super::{FromSql, Result, postgres};

/// One row.
pub struct Row<'r>(Inner<'r>);

enum Inner<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

impl<'r> Row<'r> {
    pub(super) fn sqlite(row: &'r rusqlite::Row<'r>) -> Self {
        Self(Inner::Sqlite(row))
    }

    pub(super) fn postgres(row: &'r tokio_postgres::Row) -> Self {
        Self(Inner::Postgres(row))
    }

    /// The value in a column, by its place from 0 or by its name.
    pub fn get<C: Column, T: FromSql>(&self, column: C) -> Result<T> {
        match &self.0 {
            Inner::Sqlite(row) => {
                let index = column.index(|name| row.as_ref().column_index(name).ok());
                Ok(row.get(index)?)
            }
            Inner::Postgres(row) => postgres::get(row, column),
        }
    }
}

/// What names a column.
pub trait Column {
    /// Its place, where `named` finds the place of a name.
    fn index(self, named: impl Fn(&str) -> Option<usize>) -> usize;
}

impl Column for usize {
    fn index(self, _: impl Fn(&str) -> Option<usize>) -> usize {
        self
    }
}

impl Column for &str {
    fn index(self, named: impl Fn(&str) -> Option<usize>) -> usize {
        // A place that no row has: reading it is an error.
        named(self).unwrap_or(usize::MAX)
    }
}
