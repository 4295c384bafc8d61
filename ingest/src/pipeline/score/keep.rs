//! Versions of baselines on their way to their file. Nobody waits for them, and everybody for verdicts: what cannot be written
//! now is held and tried again.

use std::time::{Duration, Instant};

use detector::Baseline;

use crate::baseline::Baselines;
use crate::finding::{Finding, Findings};

/// Versions held, 4 MiB or so; the oldest make room.
const HELD_MAX: usize = 1_024;
/// After a failure the file is left alone for so long.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

pub(super) struct Keeper {
    baselines: Baselines,
    held: Vec<Baseline>,
    lost: u64,
    again_at: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(baselines: Baselines) -> Self {
        Self { baselines, held: Vec::new(), lost: 0, again_at: None }
    }

    /// Keeps these, and what is held from before, as soon as that can be done.
    pub(super) fn keep(&mut self, versions: Vec<Baseline>, now: Instant, findings: &Findings) {
        self.held.extend(versions);
        if self.again_at.is_none_or(|at| now >= at) {
            self.write(now, findings);
        }
        let beyond = self.held.len().saturating_sub(HELD_MAX);
        self.held.drain(..beyond);
        self.lost += beyond as u64;
    }

    /// The last attempt.
    pub(super) fn end(&mut self, findings: &Findings) {
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
