//! Which events were seen before: an index from an event's key to its content, so that the same record told twice
//! counts once and the same id told with other content is noticed.
//!
//! On disk the index is a list to which is only ever added: keys are hashes, and a tree of them would write a page for
//! each. Where a key stands in the list is known in memory, and read into it at the start.
//!
//! The index forgets in whole generations: it looks in two lists and writes to the younger; when that one is full or
//! old enough, the elder is dropped. So forgetting costs nothing per row, and an event is remembered for at least half
//! of each limit and at most for the whole of it.

use std::collections::HashMap;
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
    /// The most events in both generations together, ≥ 2; about 60 bytes of disk and 35 of memory each.
    pub rows_max: u32,
    /// After this an event may be forgotten.
    pub age_max: Duration,
}

impl Default for SeenLimits {
    /// Four million events (140 MB of memory at most) and a week: half an hour at least of 1,000 a second.
    fn default() -> Self {
        Self { rows_max: 4_000_000, age_max: Duration::from_hours(7 * 24) }
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
  row INTEGER PRIMARY KEY, key BLOB NOT NULL, digest BLOB NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS seen_young (
  row INTEGER PRIMARY KEY, key BLOB NOT NULL, digest BLOB NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS seen_born (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL);
";

const TURN: &str = "
DROP TABLE seen_old;
ALTER TABLE seen_young RENAME TO seen_old;
CREATE TABLE seen_young (
  row INTEGER PRIMARY KEY, key BLOB NOT NULL, digest BLOB NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL
);
";

/// Where a key stands in its list. The hasher is the standard one: whoever chooses ids must not choose collisions.
type Places = HashMap<Key, u32>;

/// The index inside some database; every call is given the connection, so that it can be part of a larger transaction.
#[derive(Debug)]
pub struct Seen {
    limits: SeenLimits,
    young: Places,
    old: Places,
    young_since: Option<Timestamp>,
    /// Keys added since the last [`Self::keep`].
    added: Vec<Key>,
}

impl Seen {
    /// Makes the tables if need be, and reads the keys that are in them.
    pub fn open(db: &Connection, limits: SeenLimits) -> rusqlite::Result<Self> {
        db.execute_batch(SCHEMA)?;
        let born: Option<i64> = db.query_row("SELECT at FROM seen_born", [], |r| r.get(0)).optional()?;
        Ok(Self {
            limits,
            young: places(db, "SELECT key, row FROM seen_young")?,
            old: places(db, "SELECT key, row FROM seen_old")?,
            young_since: born.map(Timestamp::from_micros),
            added: Vec::new(),
        })
    }

    /// Looks the event up and remembers it if it is new. Once the caller's transaction is durable it says [`Self::keep`],
    /// or [`Self::undo`] if it was rolled back.
    pub fn admit(
        &mut self,
        db: &Connection,
        key: &Key,
        digest: &Digest,
        origin: Origin,
    ) -> rusqlite::Result<Admission> {
        let known = match (self.young.get(key), self.old.get(key)) {
            (Some(row), _) => Some(("SELECT digest, partition, offset FROM seen_young WHERE row = ?1", *row)),
            (_, Some(row)) => Some(("SELECT digest, partition, offset FROM seen_old WHERE row = ?1", *row)),
            (None, None) => None,
        };
        let Some((select, row)) = known else {
            let row = self.young.len() as u32 + 1;
            db.prepare_cached("INSERT INTO seen_young VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
                row,
                key,
                digest,
                origin.partition,
                origin.offset
            ])?;
            self.young.insert(*key, row);
            self.added.push(*key);
            return Ok(Admission::New);
        };
        let (same_content, at) = db.prepare_cached(select)?.query_row([row], |r| {
            let same_content = r.get_ref(0)?.as_blob().is_ok_and(|known| known == digest);
            Ok((same_content, Origin { partition: r.get(1)?, offset: r.get(2)? }))
        })?;
        Ok(match same_content {
            false => Admission::Conflict,
            true if at == origin => Admission::Redelivered,
            true => Admission::Duplicate,
        })
    }

    /// What was admitted is on disk.
    pub fn keep(&mut self) {
        self.added.clear();
    }

    /// What was admitted since the last [`Self::keep`] is not on disk, and never was seen.
    pub fn undo(&mut self) {
        for key in self.added.drain(..) {
            self.young.remove(&key);
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
        let full = self.young.len() >= (self.limits.rows_max as usize / 2).max(1);
        if !full && now.since(since) < self.limits.age_max / 2 {
            return Ok(false);
        }
        let tx = db.transaction()?;
        tx.execute_batch(TURN)?;
        tx.execute("INSERT OR REPLACE INTO seen_born VALUES (1, ?1)", [now.as_micros()])?;
        tx.commit()?;
        self.old = std::mem::take(&mut self.young);
        self.young_since = Some(now);
        Ok(true)
    }
}

fn places(db: &Connection, select: &str) -> rusqlite::Result<Places> {
    let mut select = db.prepare(select)?;
    let rows = select.query_map([], |r| Ok((r.get::<_, Key>(0)?, r.get(1)?)))?;
    rows.collect()
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
        // Nothing in here panics, so nothing is half done behind a poisoned lock.
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (db, seen) = &mut *guard;
        seen.turn(db, now)?;
        let answers = (|| {
            let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let answers = events.iter().map(|(key, digest, origin)| seen.admit(&tx, key, digest, *origin));
            let answers = answers.collect::<rusqlite::Result<Vec<_>>>()?;
            tx.commit().map(|()| answers)
        })();
        match &answers {
            Ok(_) => seen.keep(),
            Err(_) => seen.undo(),
        }
        answers
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
    fn what_was_rolled_back_was_never_seen() {
        let mut db = Connection::open_in_memory().unwrap();
        let mut seen = Seen::open(&db, SeenLimits::default()).unwrap();
        let admit = |db: &Connection, seen: &mut Seen, id| {
            let (key, digest, origin) = event(id, 0, 0);
            seen.admit(db, &key, &digest, origin).unwrap()
        };
        assert_eq!(admit(&db, &mut seen, 1), Admission::New);
        seen.keep();
        let tx = db.transaction().unwrap();
        assert_eq!(admit(&tx, &mut seen, 2), Admission::New);
        drop(tx);
        seen.undo();
        assert_eq!(admit(&db, &mut seen, 1), Admission::Redelivered);
        assert_eq!(admit(&db, &mut seen, 2), Admission::New);
        assert_eq!(admit(&db, &mut seen, 3), Admission::New);
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
