//! Values as `rusqlite` knows them, on PostgreSQL's wire.

use bytes::BytesMut;
use rusqlite::types::{FromSql, ToSqlOutput, ValueRef};
use tokio_postgres::Row;
use tokio_postgres::types::{self, IsNull, Type, to_sql_checked};

use crate::store::db::{Column, Error, Result, ToSql};

/// A value for a place of a statement.
#[derive(Debug)]
pub(super) struct Given<'a>(ToSqlOutput<'a>);

type Refused = Box<dyn std::error::Error + Sync + Send>;

impl<'a> Given<'a> {
    pub(super) fn all(values: &'a [&dyn ToSql]) -> Result<Vec<Self>> {
        values.iter().map(|value| Ok(Self(value.to_sql()?))).collect()
    }
}

impl types::ToSql for Given<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> std::result::Result<IsNull, Refused> {
        let value = match &self.0 {
            ToSqlOutput::Borrowed(value) => *value,
            ToSqlOutput::Owned(value) => ValueRef::from(value),
            _ => return Err("not a plain value".into()),
        };
        match (value, ty) {
            (ValueRef::Null, _) => Ok(IsNull::Yes),
            (ValueRef::Integer(n), &Type::BOOL) => types::ToSql::to_sql(&(n != 0), ty, out),
            (ValueRef::Integer(n), &Type::INT4) => types::ToSql::to_sql(&i32::try_from(n)?, ty, out),
            (ValueRef::Integer(n), &Type::INT8) => types::ToSql::to_sql(&n, ty, out),
            (ValueRef::Text(text), &Type::TEXT) => put_text(std::str::from_utf8(text)?, out),
            (ValueRef::Blob(bytes), &Type::BYTEA) => types::ToSql::to_sql(&bytes, ty, out),
            (value, ty) => Err(format!("{} where {ty} is wanted", value.data_type()).into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// PostgreSQL has no text with a NUL in it, and logs may name an agent so. It is written as two characters, the first of
/// them one that stands for nothing (of a private plane), which is written as two then itself.
const ESCAPE: char = '\u{10fffd}';
const ESCAPED: [(char, char); 2] = [('\0', '0'), (ESCAPE, '1')];

fn put_text(text: &str, out: &mut BytesMut) -> std::result::Result<IsNull, Refused> {
    if !text.contains(ESCAPED.map(|(plain, _)| plain)) {
        return types::ToSql::to_sql(&text, &Type::TEXT, out);
    }
    for c in text.chars() {
        match ESCAPED.iter().find(|(plain, _)| *plain == c) {
            None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Some((_, instead)) => {
                out.extend_from_slice(ESCAPE.encode_utf8(&mut [0; 4]).as_bytes());
                out.extend_from_slice(instead.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }
    Ok(IsNull::No)
}

/// The text as it was before it was escaped; none where it was not.
fn unescaped(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.contains(ESCAPE))?;
    Some(ESCAPED.iter().fold(text.to_owned(), |text, (plain, instead)| {
        text.replace(&format!("{ESCAPE}{instead}"), &plain.to_string())
    }))
}

/// A value in a row.
struct Taken<'a>(ValueRef<'a>);

impl<'a> types::FromSql<'a> for Taken<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> std::result::Result<Self, Refused> {
        Ok(Self(match *ty {
            Type::BOOL => ValueRef::Integer(bool::from_sql(ty, raw)?.into()),
            Type::INT4 => ValueRef::Integer(i32::from_sql(ty, raw)?.into()),
            Type::INT8 => ValueRef::Integer(i64::from_sql(ty, raw)?),
            Type::BYTEA => ValueRef::Blob(raw),
            _ => ValueRef::Text(<&str>::from_sql(ty, raw)?.as_bytes()),
        }))
    }

    fn from_sql_null(_: &Type) -> std::result::Result<Self, Refused> {
        Ok(Self(ValueRef::Null))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::BOOL | Type::INT4 | Type::INT8 | Type::BYTEA) || <&str>::accepts(ty)
    }
}

/// The value in a column of a row.
pub(in crate::store::db) fn get<C: Column, T: FromSql>(row: &Row, column: C) -> Result<T> {
    let index = column.index(|name| row.columns().iter().position(|c| c.name() == name));
    let Taken(value) = row.try_get(index)?;
    let plain = if let ValueRef::Text(text) = value { unescaped(text) } else { None };
    let value = plain.as_ref().map_or(value, |plain| ValueRef::Text(plain.as_bytes()));
    T::column_result(value).map_err(|e| Error::value(format!("column {index}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_whatever_is_in_it() {
        let e = ESCAPE;
        for text in ["", "plain", "a\0b", &format!("{e}"), &format!("{e}0{e}1\0{e}"), &format!("\0{e}0")] {
            let mut out = BytesMut::new();
            put_text(text, &mut out).unwrap();
            assert!(!out.contains(&0));
            assert_eq!(unescaped(&out).as_deref().unwrap_or(std::str::from_utf8(&out).unwrap()), text);
        }
    }
}
