//! Versions of baselines on their way to their file. Nobody waits for them, and everybody for verdicts: a thread of its own writes
//! them, and what cannot be written now is held and tried again.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use detector::Baseline;

use crate::baseline::Baselines;
use crate::finding::{Finding, Findings};

/// Versions held, 4 MiB or so; the oldest make room.
const HELD_MAX: usize = 1_024;
/// After a failure the file is left alone for so long.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// What was told within so many batches of records may wait for the thread.
const BATCHES_MAX: usize = 8;

/// The thread.
pub(super) struct Keeping {
    send: SyncSender<Vec<Baseline>>,
    thread: JoinHandle<()>,
    findings: Findings,
}

impl Keeping {
    pub(super) fn start(baselines: Baselines, findings: Findings) -> io::Result<Self> {
        let (send, receive) = sync_channel(BATCHES_MAX);
        let mut keeper = Keeper::new(baselines);
        let its = findings.clone();
        let thread = std::thread::Builder::new().name("baselines".to_owned()).spawn(move || {
            loop {
                let versions = match receive.recv_timeout(AGAIN_AFTER) {
                    Ok(versions) => versions,
                    Err(RecvTimeoutError::Timeout) => Vec::new(),
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                keeper.keep(versions, Instant::now(), &its);
            }
            keeper.end(&its);
        })?;
        Ok(Self { send, thread, findings })
    }

    /// Hands versions on; where there is no room they are lost, and that is told.
    pub(super) fn keep(&self, versions: Vec<Baseline>) {
        let lost = versions.len() as u64;
        if lost > 0 && self.send.try_send(versions).is_err() {
            let reason = "they come faster than they are written".to_owned();
            self.findings.raise(Finding::BaselinesUnwritten { reason, held: 0, lost });
        }
    }

    /// Waits for the last attempt.
    pub(super) fn end(self) {
        drop(self.send);
        if self.thread.join().is_err() {
            tracing::error!("writing versions of baselines panicked");
        }
    }
}

struct Keeper {
    baselines: Baselines,
    held: Vec<Baseline>,
    lost: u64,
    again_at: Option<Instant>,
}

impl Keeper {
    fn new(baselines: Baselines) -> Self {
        Self { baselines, held: Vec::new(), lost: 0, again_at: None }
    }

    /// Keeps these, and what is held from before, as soon as that can be done.
    fn keep(&mut self, versions: Vec<Baseline>, now: Instant, findings: &Findings) {
        self.held.extend(versions);
        if self.again_at.is_none_or(|at| now >= at) {
            self.write(now, findings);
        }
        let beyond = self.held.len().saturating_sub(HELD_MAX);
        self.held.drain(..beyond);
        self.lost += beyond as u64;
    }

    /// The last attempt.
    fn end(&mut self, findings: &Findings) {
        self.write(Instant::now(), findings);
        if !self.held.is_empty() {
            tracing::error!(versions = self.held.len(), "versions of baselines are lost");
        }
    }

    fn write(&mut self, now: Instant, findings: &Findings) {
        self.again_at = match self.baselines.keep(&self.held) {
            Ok(()) => {
                self.held.clear();
                None
            }
            Err(error) => {
                let (reason, held, lost) = (error.to_string(), self.held.len(), self.lost);
                findings.raise(Finding::BaselinesUnwritten { reason, held, lost });
                Some(now + AGAIN_AFTER)
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use detector::{Call, Detector, DetectorConfig, Kind, Timestamp};
    use rusqlite::Connection;

    use super::*;
    use crate::finding::Recorded;

    /// What an agent was like before each of so many rulings.
    fn versions(n: usize) -> Vec<Baseline> {
        let config = DetectorConfig { keeps_baselines: true, ..DetectorConfig::default() };
        let mut detector = Detector::new(config, &[]);
        let ts = Timestamp::from_millis(1_767_571_200_000);
        detector.observe(&Call::new("call", ts, "agent", "read"));
        for word in 0..n {
            let mut call = Call::new(word.to_string(), ts, "agent", "");
            call.kind = Kind::Feedback;
            detector.observe(&call);
        }
        detector.baselines()
    }

    #[test]
    fn what_cannot_be_written_is_told_held_and_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baselines.db");
        let baselines = Baselines::open(&path).unwrap();
        let recorded = Arc::new(Recorded::default());
        let findings = Findings::new(Arc::<Recorded>::clone(&recorded));
        let mut keeper = Keeper::new(baselines.clone());
        let number = || baselines.of(None, "agent").unwrap().len();

        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let (mut told, began) = (versions(3), Instant::now());
        let last = told.split_off(2);
        keeper.keep(told, began, &findings);
        keeper.keep(last, began + AGAIN_AFTER / 2, &findings);
        other.execute_batch("ROLLBACK").unwrap();
        insta::assert_snapshot!(recorded.texts().join("\n"), @"versions of baselines cannot be kept, 2 wait in memory and 0 are lost: the file of baselines: database is locked");
        keeper.keep(Vec::new(), began + AGAIN_AFTER / 2, &findings);
        assert_eq!(number(), 0, "it is left alone for a while");
        keeper.keep(Vec::new(), began + AGAIN_AFTER, &findings);
        assert_eq!(number(), 3);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baselines.db");
        let mut keeper = Keeper::new(Baselines::open(&path).unwrap());
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let findings = Findings::new(Arc::new(Recorded::default()));
        keeper.keep(versions(HELD_MAX + 2), Instant::now(), &findings);
        assert_eq!((keeper.held.len(), keeper.lost, &*keeper.held[0].event_id), (HELD_MAX, 2, "2"));
    }
}
