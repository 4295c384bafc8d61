//! The step from a call to its verdict, with the ticks due before it; `serve` and `replay` share it.

use detector::{Baseline, Call, Detector, Kind, SourceLate, Timestamp, Verdict, VerdictRecord};

use super::watermark::{Ticks, Watermark};
use crate::baseline::unpack;
use crate::decode::is_future;

/// The partition of calls that lie in none.
const ALONE: &str = "alone";

/// A detector and the event time it lives in.
#[derive(Debug)]
pub struct Scorer {
    pub(super) detector: Detector,
    pub(super) watermark: Watermark,
}

/// What a record led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What was due to be said before the record, of agents that have stopped calling, or had to be amended because of it.
    pub said: Vec<VerdictRecord>,
    /// Sources of heartbeats that have become late.
    pub late: Vec<SourceLate>,
    /// The verdict; none for a record that is no call.
    pub verdict: Option<Verdict>,
    /// Whether the record's `ts` is too far past its receipt to be true.
    pub future: bool,
}

impl Scorer {
    /// Begins with what `detector` knows, at no time yet.
    pub fn new(detector: Detector) -> Self {
        Self::resume(detector, Watermark::default())
    }

    pub(super) fn resume(detector: Detector, mut watermark: Watermark) -> Self {
        watermark.resume();
        Self { detector, watermark }
    }

    /// Scores the next record of the only partition there is.
    pub fn step(&mut self, call: &Call<'_>) -> Step {
        self.step_in(ALONE, call)
    }

    /// Scores the next record of one of several partitions.
    pub(super) fn step_in(&mut self, partition: &str, call: &Call<'_>) -> Step {
        let ticks = self.watermark.see(partition, call);
        let late = self.tick(ticks);
        if call.kind == Kind::Revert {
            self.revert(call);
        }
        let verdict = self.detector.observe(call);
        Step { said: self.detector.said(), late, verdict, future: is_future(call) }
    }

    /// What cannot be gone back to was refused when a person asked for it, unless this is another version of the program.
    fn revert(&mut self, call: &Call<'_>) {
        let agent_id = &*call.identity.agent_id;
        match unpack(call.baseline.as_deref().unwrap_or_default()) {
            Ok(state) => {
                if let Err(error) = self.detector.revert(call, state) {
                    tracing::warn!(agent_id, %error, "an agent keeps its baseline");
                }
            }
            Err(error) => tracing::error!(agent_id, %error, "an agent keeps its baseline"),
        }
    }

    /// Versions of baselines that became due since this was last asked.
    pub(super) fn baselines(&mut self) -> Vec<Baseline> {
        self.detector.baselines()
    }

    /// A partition has nothing more for now; gives what is said of that.
    pub(super) fn at_end(&mut self, partition: &str) -> (Vec<VerdictRecord>, Vec<SourceLate>) {
        let ticks = self.watermark.at_end(partition);
        let late = self.tick(ticks);
        (self.detector.said(), late)
    }

    fn tick(&mut self, ticks: Ticks) -> Vec<SourceLate> {
        let mut late = Vec::new();
        for tick in ticks {
            self.detector.tick(tick);
            late.extend(self.detector.late_sources(tick));
        }
        late
    }

    /// The detector, to ask it things.
    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Where event time stands; none before the first call.
    pub fn watermark(&self) -> Option<Timestamp> {
        self.watermark.ticked()
    }
}
