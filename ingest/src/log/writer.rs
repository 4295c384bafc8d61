//! The one thread that writes a log: takes all that waits, writes it in one transaction, then answers.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use detector::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, watch};

use super::{Job, LogConfig, LogError, NewEntry, Outcome, table};
use crate::decode::SourceContext;
use crate::seen::{Admission, Origin, Seen};

/// Entries in one transaction, roughly: what a disk syncs in some tens of milliseconds.
const GROUP_ENTRIES: usize = 8_192;
/// How often the writer looks for what can go while it is written to. Of much it takes a piece after every group: twice what came, so
/// that it gets to the end, and at least this, some milliseconds for which appends wait.
const TIDY_EVERY: Duration = Duration::from_secs(1);
const TIDY_ENTRIES: usize = 1_000;
/// Descriptions of sources whose numbers are kept at hand.
const SOURCES_AT_HAND: usize = 64;

/// Opens the file and starts the thread; it ends when the last sender of jobs is gone.
pub(super) fn start(
    path: &Path,
    config: LogConfig,
    queue: mpsc::Receiver<Job>,
) -> Result<(watch::Receiver<i64>, Arc<str>), LogError> {
    let error = |e| LogError::from_sqlite(path, e);
    let db = Connection::open(path).map_err(error)?;
    table::open(&db, config.bytes_max, &config.readers).map_err(error)?;
    let seen = Seen::open(&db, config.seen).map_err(error)?;
    let instance = table::instance(&db).map_err(error)?;
    let (end, watch) = watch::channel(table::end(&db).map_err(error)?);
    let writer =
        Writer { path: path.into(), db, seen, config, end, sources: Vec::new(), tidied: Instant::now() };
    let name = path.file_name().map_or_else(|| "log".into(), |n| n.to_string_lossy().into_owned());
    let spawned = std::thread::Builder::new().name(name).spawn(move || writer.run(queue));
    spawned.map_err(|e| LogError::Storage {
        path: path.into(),
        source: Arc::new(rusqlite::Error::ToSqlConversionFailure(Box::new(e))),
    })?;
    Ok((watch, instance.into()))
}

struct Writer {
    path: Arc<Path>,
    db: Connection,
    seen: Seen,
    config: LogConfig,
    end: watch::Sender<i64>,
    sources: Vec<(Arc<SourceContext>, i64)>,
    tidied: Instant,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            let mut group = vec![first];
            let mut entries = size(&group[0]);
            while entries < GROUP_ENTRIES
                && let Ok(job) = queue.try_recv()
            {
                entries += size(&job);
                group.push(job);
            }
            self.settle(group);
            if self.tidied.elapsed() >= TIDY_EVERY && !self.tidy(TIDY_ENTRIES.max(2 * entries)) {
                self.tidied = Instant::now();
            }
        }
    }

    /// Writes the group and answers every job in it, all with the same error where it fails.
    fn settle(&mut self, group: Vec<Job>) {
        let written = match self.write(&group) {
            // What every reader is past can go before anybody is turned away.
            Err(e) if table::is_full(&e) && self.make_room() => self.write(&group),
            other => other,
        };
        match written {
            Ok(outcomes) => {
                for (job, outcomes) in group.into_iter().zip(outcomes) {
                    match job {
                        Job::Append { reply, room, .. } => {
                            drop(room);
                            answer(reply, Ok(outcomes));
                        }
                        Job::Advance { reply, .. } => answer(reply, Ok(())),
                    }
                }
            }
            Err(e) => {
                let error = LogError::from_sqlite(&self.path, e);
                tracing::warn!(%error, jobs = group.len(), "nothing of this group was written");
                for job in group {
                    match job {
                        Job::Append { reply, .. } => answer(reply, Err(error.clone())),
                        Job::Advance { reply, .. } => answer(reply, Err(error.clone())),
                    }
                }
            }
        }
    }

    fn write(&mut self, group: &[Job]) -> rusqlite::Result<Vec<Vec<Outcome>>> {
        let written = self.attempt(group);
        if written.is_ok() {
            self.seen.keep();
        } else {
            self.seen.undo();
            // Numbers given in a transaction that was taken back are worth nothing.
            self.sources.clear();
        }
        written
    }

    fn attempt(&mut self, group: &[Job]) -> rusqlite::Result<Vec<Vec<Outcome>>> {
        let Self { db, seen, sources, .. } = self;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut end = None;
        let mut answers = Vec::with_capacity(group.len());
        for job in group {
            let outcomes = match job {
                Job::Append { entries, .. } => append(&tx, seen, sources, entries),
                Job::Advance { reader, next, .. } => table::advance(&tx, reader, *next).map(|()| Vec::new()),
            };
            let outcomes = outcomes?;
            let last = outcomes.iter().rev().find_map(|o| match o {
                Outcome::Stored { seq } => Some(*seq),
                _ => None,
            });
            end = last.or(end);
            answers.push(outcomes);
        }
        tx.commit()?;
        if let Some(last) = end {
            self.end.send_replace(last + 1);
        }
        Ok(answers)
    }

    /// Forgets and removes what is old enough, so many entries at most; whether there may be more. What fails is tried again a second
    /// later.
    fn tidy(&mut self, entries_max: usize) -> bool {
        let now = crate::clock::now();
        if let Err(error) = self.seen.turn(&mut self.db, now) {
            tracing::warn!(path = %self.path.display(), %error, "could not forget old events");
        }
        let crowded = table::used_bytes(&self.db).is_ok_and(|used| used > self.config.bytes_max / 10 * 9);
        let before = if crowded { Timestamp::from_micros(i64::MAX) } else { now - self.config.keep };
        match table::trim(&self.db, before, entries_max) {
            Ok(removed) => removed > 0,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "could not remove old entries");
                false
            }
        }
    }

    /// Removes some entries that every reader is past, however young; whether there were any.
    fn make_room(&self) -> bool {
        let removed = table::trim(&self.db, Timestamp::from_micros(i64::MAX), GROUP_ENTRIES);
        if let Ok(rows @ 1..) = removed {
            tracing::warn!(path = %self.path.display(), rows, "removed entries early to make room");
            return true;
        }
        false
    }
}

fn append(
    db: &Connection,
    seen: &mut Seen,
    sources: &mut Vec<(Arc<SourceContext>, i64)>,
    entries: &[NewEntry],
) -> rusqlite::Result<Vec<Outcome>> {
    let mut outcomes = Vec::with_capacity(entries.len());
    for entry in entries {
        // Every append is another place, so the same content is always a duplicate here, never a redelivery.
        let nowhere = Origin { partition: 0, offset: 0 };
        outcomes.push(match seen.admit(db, &entry.key, &entry.digest, nowhere)? {
            Admission::New => {
                let source = entry.source.as_ref().map(|s| source_id(db, sources, s)).transpose()?;
                Outcome::Stored { seq: table::insert(db, entry, source)? }
            }
            Admission::Redelivered | Admission::Duplicate => Outcome::Duplicate,
            Admission::Conflict => Outcome::Conflict,
        });
    }
    Ok(outcomes)
}

fn source_id(
    db: &Connection,
    at_hand: &mut Vec<(Arc<SourceContext>, i64)>,
    source: &Arc<SourceContext>,
) -> rusqlite::Result<i64> {
    if let Some((_, id)) = at_hand.iter().find(|(known, _)| Arc::ptr_eq(known, source)) {
        return Ok(*id);
    }
    let id = table::source_id(db, source)?;
    if at_hand.len() >= SOURCES_AT_HAND {
        at_hand.clear();
    }
    at_hand.push((Arc::clone(source), id));
    Ok(id)
}

fn size(job: &Job) -> usize {
    match job {
        Job::Append { entries, .. } => entries.len(),
        Job::Advance { .. } => 1,
    }
}

fn answer<T>(reply: super::Reply<T>, result: Result<T, LogError>) {
    // Who asked may be gone (a client that hung up); what it asked for is durable all the same.
    drop(reply.send(result));
}
