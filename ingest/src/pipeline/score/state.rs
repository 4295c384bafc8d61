//! What the pipeline `score` knows, and its saving.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use detector::{AgentState, Call, Detector, DetectorConfig, Manifest, Snapshot, Timestamp};
use metrics::histogram;
use serde::{Deserialize, Serialize};

use super::Scorer;
use crate::finding::{Finding, Findings};
use crate::metric;
use crate::pipeline::watermark::Watermark;
use crate::snapshot::{Layout, Loaded, SnapshotError, Snapshots};
use crate::source::{Batch, Begin, Positions};

/// The detector, the event time it lives in, and the positions behind the last call it has seen: saved as one.
pub(super) struct State {
    pub(super) scorer: Scorer,
    positions: Positions,
    every: Duration,
    saved_at: Instant,
    dirty: bool,
    /// Within a batch the detector is ahead of the positions, and the two must not be saved together.
    within: bool,
    saving: Saving,
    /// Positions of the newest snapshot on disk, and of the one before it.
    on_disk: [Option<Positions>; 2],
    covered: Option<Positions>,
}

/// Saving takes a sync of a large file, so it is done beside the pipeline, one at a time.
enum Saving {
    Idle(Snapshots),
    Busy(JoinHandle<(Snapshots, Result<(), SnapshotError>)>, Positions),
    Broken,
}

#[derive(Serialize)]
struct Saved {
    positions: Positions,
    watermark: Watermark,
    detector: Snapshot,
}

#[derive(Deserialize)]
struct Restored {
    positions: Positions,
    watermark: Watermark,
    detector: Detector,
}

impl Scorer {
    fn saved(&self, positions: Positions) -> Saved {
        Saved { positions, watermark: self.watermark.clone(), detector: self.detector.snapshot() }
    }
}

impl State {
    /// Reads the newest saved state that can be used, or begins with none. Settings are those of now in any case.
    pub(super) fn restore(
        (dir, every): (&Path, Duration),
        (config, manifests, workers): (DetectorConfig, &[Manifest], NonZeroUsize),
        findings: &Findings,
    ) -> Result<Self, SnapshotError> {
        let snapshots = Snapshots::open(dir, layout()?)?;
        let Loaded { state, unusable } = snapshots.load::<Restored>()?;
        let instead = match &state {
            Some(_) => "the snapshot before it",
            None => "the oldest calls there are",
        };
        for lost in unusable {
            let (reason, instead) = (lost.to_string(), instead.to_owned());
            findings.raise(Finding::SnapshotLost { reason, instead });
        }
        let on_disk = [state.as_ref().map(|s| s.positions.clone()), None];
        let (scorer, positions) = match state {
            Some(Restored { positions, watermark, mut detector }) => {
                detector.reconfigure(config, manifests);
                (Scorer::resume(detector, watermark, workers), positions)
            }
            None => (Scorer::new(Detector::new(config, manifests), workers), Positions::default()),
        };
        let saving = Saving::Idle(snapshots);
        let saved_at = Instant::now();
        Ok(Self {
            scorer,
            positions,
            every,
            saved_at,
            dirty: false,
            within: false,
            saving,
            on_disk,
            covered: None,
        })
    }

    /// Where a source has to begin.
    pub(super) fn begin(&self) -> Begin {
        Begin::At(self.positions.clone())
    }

    /// A batch is about to be scored.
    pub(super) fn enter(&mut self) {
        self.within = true;
    }

    /// All of the batch was scored.
    pub(super) fn advance(&mut self, batch: &Batch) {
        self.within = false;
        self.dirty |= batch.next.iter().next().is_some();
        self.positions.merge(&batch.next);
    }

    /// Whether there is something to save and it is time.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        self.collect();
        self.dirty
            && matches!(self.saving, Saving::Idle(_))
            && now.duration_since(self.saved_at) >= self.every
    }

    /// Begins to write the state as it is now. What goes wrong is said, and tried again when it is time again: the calls since
    /// the last snapshot are not forgotten by their source before.
    pub(super) fn save(&mut self) {
        let Saving::Idle(mut snapshots) = std::mem::replace(&mut self.saving, Saving::Broken) else { return };
        self.saved_at = Instant::now();
        self.dirty = false;
        let started = Instant::now();
        let saved = self.scorer.saved(self.positions.clone());
        histogram!(metric::SNAPSHOT_PAUSE).record(started.elapsed().as_secs_f64());
        let write = move || {
            let written = snapshots.save(&saved);
            histogram!(metric::SNAPSHOT_SECONDS).record(started.elapsed().as_secs_f64());
            (snapshots, written)
        };
        match std::thread::Builder::new().name("snapshot".to_owned()).spawn(write) {
            Ok(thread) => self.saving = Saving::Busy(thread, self.positions.clone()),
            Err(error) => tracing::error!(%error, "the detector's state is not saved any more"),
        }
    }

    /// Saves the state and waits for it; for the end of the program.
    pub(super) fn save_last(&mut self) {
        self.finish();
        if self.dirty && !self.within {
            self.save();
            self.finish();
        }
    }

    /// Positions that a snapshot covers now and did not before. The older of the two on disk counts, since the newer
    /// may turn out damaged.
    pub(super) fn covered(&mut self) -> Option<Positions> {
        self.covered.take()
    }

    /// Takes the result of a write that is done.
    fn collect(&mut self) {
        if let Saving::Busy(thread, _) = &self.saving
            && thread.is_finished()
        {
            self.finish();
        }
    }

    /// Waits for the write that is under way, if one is.
    fn finish(&mut self) {
        let (thread, positions) = match std::mem::replace(&mut self.saving, Saving::Broken) {
            Saving::Busy(thread, positions) => (thread, positions),
            other => {
                self.saving = other;
                return;
            }
        };
        let Ok((snapshots, written)) = thread.join() else {
            tracing::error!("writing a snapshot panicked; the detector's state is not saved any more");
            return;
        };
        self.saving = Saving::Idle(snapshots);
        match written {
            Ok(()) => self.landed(positions),
            Err(error) => {
                self.dirty = true;
                tracing::error!(%error, "the detector's state was not saved");
            }
        }
    }

    fn landed(&mut self, positions: Positions) {
        let [newest, _] = std::mem::replace(&mut self.on_disk, [Some(positions), None]);
        self.covered.clone_from(&newest);
        self.on_disk[1] = newest;
    }
}

/// How the state of this version is laid out: its field names, from an example with something in it.
fn layout() -> Result<Layout, SnapshotError> {
    Layout::of(&example().saved(Positions::default()))
}

/// A baseline like those that are packed, to tell their layout by.
pub(crate) fn example_state() -> Option<AgentState> {
    example().detector.agent_state(None, "agent")
}

/// What is there for agents of a kind has to be there in the example.
fn example() -> Scorer {
    let declared = Manifest {
        agent_id: "agent".to_owned(),
        calls_per_minute_max: Some(NonZeroU32::MAX),
        group: Some("group".to_owned()),
        ..Manifest::default()
    };
    let child =
        Manifest { agent_id: "another".to_owned(), parent: Some("agent".to_owned()), ..Manifest::default() };
    let config = DetectorConfig { agents_max: 2, ..DetectorConfig::default() };
    let mut scorer = Scorer::new(Detector::new(config, &[declared, child]), NonZeroUsize::MIN);
    let mut call = |agent, minute: i64| {
        let ts = Timestamp::from_millis(1_700_000_000_000 + minute * 60_000);
        scorer.step(&Call::new(format!("{agent} {minute}"), ts, agent, "endpoint"));
    };
    // One that is dormant at the end, since two others come.
    (0..30).for_each(|hour| call("dormant", hour * 60));
    (0..600).for_each(|minute| call("agent", 6_000 + minute));
    call("another", 6_600);
    scorer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_all_there_is() {
        let Scorer { detector, .. } = &example();
        assert_eq!((detector.agents(), detector.dormant(), detector.lines()), (2, 1, 1));
        let saved = example().saved(Positions::default());
        let (all, nothing) = (Layout::of(&saved).unwrap(), Layout::of(&()).unwrap());
        assert_ne!(all, nothing);
        let empty = Saved { detector: Detector::new(DetectorConfig::default(), &[]).snapshot(), ..saved };
        assert_ne!(all, Layout::of(&empty).unwrap());
    }
}
