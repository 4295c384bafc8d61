//! Which events were seen before: an index from an event's key to its content, so that the same record told twice
//! counts once and the same id told with other content is noticed.
//!
//! The index forgets in whole generations: it looks in two tables and writes to the younger; when that one is full or
//! old enough, the elder is dropped. So forgetting costs nothing per row, and an event is remembered for at least half
//! of each limit and at most for the whole of it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use detector::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

/// An event's identity: the hash of its id.
pub type Key = [u8; 16];
/// What an event says: the hash of its content.
pub type Digest = [u8; 16];

/// How much the index remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenLimits {
    /// The most events in both generations together, ≥ 2; about 60 bytes of disk each.
    pub rows_max: i64,
    /// After this an event may be forgotten.
    pub age_max: Duration,
}

impl Default for SeenLimits {
    /// Ten million events (600 MB at most) and a week: a client that retries later than that has other troubles.
    fn default() -> Self {
        Self { rows_max: 10_000_000, age_max: Duration::from_hours(7 * 24) }
    }
}

/// Where a record was first read: the same place again is a redelivery, another place is a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Which partition, as a stable 64-bit name.
    pub partition: i64,
    /// Where in it.
    pub offset: i64,
}

/// What the index says of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Never seen; it is now.
    New,
    /// Seen, with this content and from this very place: delivered again after a restart.
    Redelivered,
    /// Seen, with this content, from elsewhere.
    Duplicate,
    /// The id was seen with other content.
    Conflict,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS seen_old (
  key BLOB PRIMARY KEY, digest BLOB NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen_young (
  key BLOB PRIMARY KEY, digest BLOB NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen_born (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL);
";

const TURN: &str = "
DROP TABLE seen_old;
ALTER TABLE seen_young RENAME TO seen_old;
CREATE TABLE seen_young (
  key BLOB PRIMARY KEY, digest BLOB NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL
) WITHOUT ROWID;
";

/// The index inside some database; every call is given the connection, so that it can be part of a larger transaction.
#[derive(Debug)]
pub struct Seen {
    limits: SeenLimits,
    young_rows: i64,
    young_since: Option<Timestamp>,
}

impl Seen {
    /// Makes the tables if need be, and counts what they hold.
    pub fn open(db: &Connection, limits: SeenLimits) -> rusqlite::Result<Self> {
        db.execute_batch(SCHEMA)?;
        let young_rows = db.query_row("SELECT count(*) FROM seen_young", [], |r| r.get(0))?;
        let born: Option<i64> = db.query_row("SELECT at FROM seen_born", [], |r| r.get(0)).optional()?;
        Ok(Self { limits, young_rows, young_since: born.map(Timestamp::from_micros) })
    }

    /// Looks the event up and remembers it if it is new. Durable when the caller's transaction is.
    pub fn admit(
        &mut self,
        db: &Connection,
        key: &Key,
        digest: &Digest,
        origin: Origin,
    ) -> rusqlite::Result<Admission> {
        let mut look_up = db.prepare_cached(
            "SELECT digest, partition, offset FROM seen_young WHERE key = ?1
             UNION ALL SELECT digest, partition, offset FROM seen_old WHERE key = ?1 LIMIT 1",
        )?;
        let known = look_up.query_row([key], |r| {
            let same_content = r.get_ref(0)?.as_blob().is_ok_and(|known| known == digest);
            Ok((same_content, Origin { partition: r.get(1)?, offset: r.get(2)? }))
        });
        match known.optional()? {
            Some((false, _)) => Ok(Admission::Conflict),
            Some((true, at)) if at == origin => Ok(Admission::Redelivered),
            Some((true, _)) => Ok(Admission::Duplicate),
            None => {
                db.prepare_cached("INSERT INTO seen_young VALUES (?1, ?2, ?3, ?4)")?.execute(params![
                    key,
                    digest,
                    origin.partition,
                    origin.offset
                ])?;
                self.young_rows += 1;
                Ok(Admission::New)
            }
        }
    }

    /// Starts a new generation if this one is full or old; call it now and then, outside of any transaction.
    ///
    /// Returns whether it did.
    pub fn turn(&mut self, db: &mut Connection, now: Timestamp) -> rusqlite::Result<bool> {
        let Some(since) = self.young_since else {
            db.execute("INSERT OR REPLACE INTO seen_born VALUES (1, ?1)", [now.as_micros()])?;
            self.young_since = Some(now);
            return Ok(false);
        };
        if self.young_rows < (self.limits.rows_max / 2).max(1) && now.since(since) < self.limits.age_max / 2 {
            return Ok(false);
        }
        let tx = db.transaction()?;
        tx.execute_batch(TURN)?;
        tx.execute("INSERT OR REPLACE INTO seen_born VALUES (1, ?1)", [now.as_micros()])?;
        tx.commit()?;
        self.young_rows = 0;
        self.young_since = Some(now);
        Ok(true)
    }
}

/// The index in a file of its own, shared by the pipelines that read the same topic.
#[derive(Debug)]
pub struct SeenFile(Mutex<(Connection, Seen)>);

impl SeenFile {
    /// Opens or creates the file.
    pub fn open(path: &Path, limits: SeenLimits) -> rusqlite::Result<Self> {
        let db = Connection::open(path)?;
        crate::log::table::configure(&db)?;
        let seen = Seen::open(&db, limits)?;
        Ok(Self(Mutex::new((db, seen))))
    }

    /// A name for this installation, made up once and kept in the file.
    pub fn instance(&self) -> rusqlite::Result<String> {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        crate::log::table::instance(&guard.0)
    }

    /// Looks all of them up and remembers the new ones, durably. Answers stand in the order of `events`.
    pub fn admit(
        &self,
        events: &[(Key, Digest, Origin)],
        now: Timestamp,
    ) -> rusqlite::Result<Vec<Admission>> {
        // A panic cannot have left half a transaction: the guard inside rolls back. So poison says nothing here.
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (db, seen) = &mut *guard;
        seen.turn(db, now)?;
        let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let answers = events.iter().map(|(key, digest, origin)| seen.admit(&tx, key, digest, *origin));
        let answers = answers.collect::<rusqlite::Result<Vec<_>>>()?;
        tx.commit()?;
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u8, content: u8, offset: i64) -> (Key, Digest, Origin) {
        ([id; 16], [content; 16], Origin { partition: 7, offset })
    }

    fn minute(m: i64) -> Timestamp {
        Timestamp::from_millis(m * 60_000)
    }

    #[test]
    fn tells_redelivery_duplicate_and_conflict_apart_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seen.db");
        let told = [
            event(1, 1, 10),
            event(1, 1, 10),
            event(1, 1, 11),
            event(1, 2, 12),
            event(1, 1, 10),
            event(2, 1, 13),
        ];
        let seen = SeenFile::open(&path, SeenLimits::default()).unwrap();
        insta::assert_debug_snapshot!(seen.admit(&told[..3], minute(0)).unwrap(), @"
        [
            New,
            Redelivered,
            Duplicate,
        ]
        ");
        drop(seen);
        let seen = SeenFile::open(&path, SeenLimits::default()).unwrap();
        insta::assert_debug_snapshot!(seen.admit(&told[3..], minute(1)).unwrap(), @"
        [
            Conflict,
            Redelivered,
            New,
        ]
        ");
    }

    #[test]
    fn forgets_by_generations_and_never_within_half_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let limits = SeenLimits { rows_max: 20, age_max: Duration::from_hours(1) };
        let seen = SeenFile::open(&dir.path().join("seen.db"), limits).unwrap();
        for id in 0..100 {
            assert_eq!(seen.admit(&[event(id, 0, 0)], minute(0)).unwrap(), [Admission::New]);
            let recent = id.saturating_sub(9);
            assert_eq!(
                seen.admit(&[event(recent, 0, 1)], minute(0)).unwrap(),
                [Admission::Duplicate],
                "{id}"
            );
        }
        let (db, _) = &*seen.0.lock().unwrap();
        let rows: i64 = db
            .query_row(
                "SELECT (SELECT count(*) FROM seen_old) + (SELECT count(*) FROM seen_young)",
                [],
                |r| r.get(0),
            )
            .unwrap();
        assert!(rows <= 20, "{rows}");
    }

    #[test]
    fn forgets_by_age() {
        let dir = tempfile::tempdir().unwrap();
        let limits = SeenLimits { rows_max: 1_000, age_max: Duration::from_hours(1) };
        let seen = SeenFile::open(&dir.path().join("seen.db"), limits).unwrap();
        let told_at = |m| seen.admit(&[event(1, 1, m)], minute(m)).unwrap()[0];
        assert_eq!(told_at(0), Admission::New);
        assert_eq!(told_at(29), Admission::Duplicate);
        assert_eq!(told_at(31), Admission::Duplicate, "the elder generation still knows it");
        assert_eq!(told_at(62), Admission::New, "both generations are older");
    }
}
