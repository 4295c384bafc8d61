//! The log's tables and every statement on them.

use std::time::Duration;

use detector::{Attestation, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::{EntryKind, NewEntry};
use crate::decode::{Format, SourceContext};

const SCHEMA: &str = "
-- AUTOINCREMENT: a sequence number is never given twice, not even after every entry was removed.
CREATE TABLE IF NOT EXISTS entries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  kind INTEGER NOT NULL,
  source INTEGER,
  received_at INTEGER NOT NULL,
  payload BLOB NOT NULL
);
-- One row for each description a source ever had, so that old entries keep the one they were received under.
CREATE TABLE IF NOT EXISTS sources (id INTEGER PRIMARY KEY, description TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS positions (reader TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
";

/// What makes a commit durable, and a second process wait instead of fail.
pub(crate) fn configure(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(Duration::from_secs(10))?;
    db.set_prepared_statement_cache_capacity(32);
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    // A larger write-ahead file means fewer checkpoints, each of which syncs twice; 16 MiB is replayed in no time.
    db.pragma_update(None, "wal_autocheckpoint", 4_096)?;
    db.pragma_update(None, "journal_size_limit", 64 << 20)
}

/// A name for this file, made up once and kept in it: positions in it mean nothing in a file that came in its place.
pub(crate) fn instance(db: &Connection) -> rusqlite::Result<String> {
    db.execute_batch(
        "CREATE TABLE IF NOT EXISTS instance (one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT)",
    )?;
    db.execute("INSERT OR IGNORE INTO instance VALUES (1, lower(hex(randomblob(8))))", [])?;
    db.query_row("SELECT name FROM instance", [], |r| r.get(0))
}

/// Makes the tables if need be and registers the readers.
pub(super) fn open(db: &Connection, bytes_max: i64, readers: &[String]) -> rusqlite::Result<()> {
    configure(db)?;
    db.execute_batch(SCHEMA)?;
    let page_bytes: i64 = db.pragma_query_value(None, "page_size", |r| r.get(0))?;
    let pages_max = (bytes_max / page_bytes.max(1)).clamp(1, i64::from(u32::MAX) - 1);
    db.pragma_update_and_check(None, "max_page_count", pages_max, |_| Ok(()))?;
    for reader in readers {
        db.execute("INSERT OR IGNORE INTO positions VALUES (?1, 1)", [reader])?;
    }
    // Who is no reader any more would hold everything for ever.
    let known = serde_json::to_string(readers).unwrap_or_default();
    db.execute("DELETE FROM positions WHERE reader NOT IN (SELECT value FROM json_each(?1))", [known])?;
    Ok(())
}

/// Whether there is no room for it: the disk, a quota or the log's own limit.
///
/// SQLite reports a quota (`EDQUOT`), a file size limit (`EFBIG`) and a disk on which its shared memory cannot grow as
/// failed writes.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|e| {
        e.code == ErrorCode::DiskFull
            || matches!(
                e.extended_code,
                rusqlite::ffi::SQLITE_IOERR_WRITE
                    | rusqlite::ffi::SQLITE_IOERR_FSYNC
                    | rusqlite::ffi::SQLITE_IOERR_SHMSIZE
            )
    })
}

/// The number of the source with this description; it is given one if it has none.
pub(super) fn source_id(db: &Connection, source: &SourceContext) -> rusqlite::Result<i64> {
    let description = Description::from(source);
    let description = serde_json::to_string(&description)
        .map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
    db.execute("INSERT OR IGNORE INTO sources (description) VALUES (?1)", [&description])?;
    db.query_row("SELECT id FROM sources WHERE description = ?1", [&description], |r| r.get(0))
}

/// The source with this number, as it was described when its entries were received.
pub(super) fn source(db: &Connection, id: i64) -> rusqlite::Result<SourceContext> {
    let text: String = db.query_row("SELECT description FROM sources WHERE id = ?1", [id], |r| r.get(0))?;
    let description = serde_json::from_str::<Description>(&text);
    description
        .map(Into::into)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(e)))
}

/// A [`SourceContext`] as the table keeps it.
#[derive(Serialize, Deserialize)]
struct Description {
    name: String,
    ceiling: Attestation,
    issuer: Option<String>,
    format: Format,
    control: bool,
}

impl From<&SourceContext> for Description {
    fn from(s: &SourceContext) -> Self {
        Self {
            name: s.name.clone(),
            ceiling: s.ceiling,
            issuer: s.default_issuer.clone(),
            format: s.format,
            control: s.control,
        }
    }
}

impl From<Description> for SourceContext {
    fn from(d: Description) -> Self {
        Self {
            name: d.name,
            ceiling: d.ceiling,
            default_issuer: d.issuer,
            format: d.format,
            control: d.control,
        }
    }
}

/// Writes the entry and returns its sequence number.
pub(super) fn insert(db: &Connection, entry: &NewEntry, source: Option<i64>) -> rusqlite::Result<i64> {
    db.prepare_cached("INSERT INTO entries (kind, source, received_at, payload) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![entry.kind as i64, source, entry.received_at.as_micros(), entry.payload])?;
    Ok(db.last_insert_rowid())
}

/// An entry as it lies in the table.
pub(super) struct RawEntry {
    pub(super) seq: i64,
    pub(super) kind: EntryKind,
    pub(super) source: Option<i64>,
    pub(super) received_at: Timestamp,
    pub(super) payload: Vec<u8>,
}

impl RawEntry {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let kind = match row.get(1)? {
            0 => EntryKind::Record,
            1 => EntryKind::Reject,
            other => return Err(rusqlite::Error::IntegralValueOutOfRange(1, other)),
        };
        Ok(Self {
            seq: row.get(0)?,
            kind,
            source: row.get(2)?,
            received_at: Timestamp::from_micros(row.get(3)?),
            payload: row.get(4)?,
        })
    }
}

/// Entries from `from` on, in order, until there are `rows_max` or their payloads fill `bytes_max`; at least one if
/// there is one.
pub(super) fn read(
    db: &Connection,
    from: i64,
    rows_max: usize,
    bytes_max: usize,
) -> rusqlite::Result<Vec<RawEntry>> {
    let mut select = db.prepare_cached(
        "SELECT seq, kind, source, received_at, payload FROM entries WHERE seq >= ?1 ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = select.query(params![from, i64::try_from(rows_max).unwrap_or(i64::MAX)])?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while bytes < bytes_max
        && let Some(row) = rows.next()?
    {
        let entry = RawEntry::read(row)?;
        bytes += entry.payload.len();
        entries.push(entry);
    }
    Ok(entries)
}

/// The oldest sequence number still there.
pub(super) fn first(db: &Connection) -> rusqlite::Result<Option<i64>> {
    db.query_row("SELECT min(seq) FROM entries", [], |r| r.get(0))
}

/// The sequence number the next entry will get.
pub(super) fn end(db: &Connection) -> rusqlite::Result<i64> {
    let last =
        db.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'entries'", [], |r| r.get::<_, i64>(0));
    Ok(last.optional()?.unwrap_or(0) + 1)
}

/// Bytes of the file that are in use.
pub(super) fn used_bytes(db: &Connection) -> rusqlite::Result<i64> {
    let pragma = |name| db.pragma_query_value(None, name, |r| r.get::<_, i64>(0));
    Ok((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?)
}

/// Where a reader stands.
pub(super) fn position(db: &Connection, reader: &str) -> rusqlite::Result<Option<i64>> {
    db.query_row("SELECT next FROM positions WHERE reader = ?1", [reader], |r| r.get(0)).optional()
}

/// Moves a reader forward.
pub(super) fn advance(db: &Connection, reader: &str, next: i64) -> rusqlite::Result<()> {
    let mut upsert = db.prepare_cached(
        "INSERT INTO positions VALUES (?1, ?2) ON CONFLICT DO UPDATE SET next = max(next, excluded.next)",
    )?;
    upsert.execute(params![reader, next])?;
    Ok(())
}

/// Removes the oldest entries, `rows_max` at most, that all readers are past and that were received before `before`; returns how many.
pub(super) fn trim(db: &Connection, before: Timestamp, rows_max: usize) -> rusqlite::Result<usize> {
    let mut delete = db.prepare_cached(
        "DELETE FROM entries WHERE seq <= (
           SELECT max(seq) FROM (SELECT seq, received_at FROM entries ORDER BY seq LIMIT ?1)
           WHERE received_at < ?2 AND seq < (SELECT coalesce(min(next), 0) FROM positions))",
    )?;
    delete.execute(params![i64::try_from(rows_max).unwrap_or(i64::MAX), before.as_micros()])
}
