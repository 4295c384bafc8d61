//! The step from a call to its verdict, with the ticks due before it; `serve` and `replay` share it.

use std::num::NonZeroUsize;

use detector::{
    Baseline, Call, Detector, GroupMove, Hands, Kind, Manifest, Names, Oddness, RevertError, SourceLate,
    Timestamp, Verdict, VerdictRecord, Work,
};

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
    hands: Threads,
}

/// So many threads at most, begun when there is work for them.
#[derive(Clone, Copy, Debug)]
struct Threads(NonZeroUsize);

impl Hands for Threads {
    fn number(&self) -> NonZeroUsize {
        self.0
    }

    fn work(&self, mut all: Vec<Work<'_>>) {
        let mine = all.pop();
        std::thread::scope(|scope| {
            for work in all {
                scope.spawn(work);
            }
            if let Some(work) = mine {
                work();
            }
        });
    }
}

/// What a record led to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// What was due to be said before the record, of agents that have stopped calling, or had to be amended because of it.
    pub said: Vec<VerdictRecord>,
    /// Sources of heartbeats that have become late.
    pub late: Vec<SourceLate>,
    /// The verdict; none for a record that is no call.
    pub verdict: Option<Verdict>,
    /// What its words call the calls and agents it speaks of.
    pub names: Names,
    /// How odd its session is, were it over with it, where the detector's configuration asks.
    pub odd: Option<Oddness>,
    /// Whether the record's `ts` is too far past its receipt to be true.
    pub future: bool,
    /// Why what a person ruled or ordered by the record was not carried out.
    pub undone: Option<String>,
}

impl Scorer {
    /// Begins with what `detector` knows, at no time yet; at most so many threads score at once, which changes no verdict.
    pub fn new(detector: Detector, workers: NonZeroUsize) -> Self {
        Self::resume(detector, Watermark::default(), workers)
    }

    pub(super) fn resume(detector: Detector, mut watermark: Watermark, workers: NonZeroUsize) -> Self {
        watermark.resume();
        Self { detector, watermark, hands: Threads(workers) }
    }

    /// Scores the next record of the only partition there is.
    pub fn step(&mut self, call: &Call<'_>) -> Step {
        self.steps(std::iter::once(call)).pop().unwrap_or_default()
    }

    /// Scores the next records of the only partition there is, and gives the step of each.
    pub fn steps<'c, 'a: 'c>(&mut self, calls: impl Iterator<Item = &'c Call<'a>>) -> Vec<Step> {
        self.steps_in(calls.map(|call| (ALONE, call)), |_| ())
    }

    /// Scores the next records, each of a partition. `look` sees the detector after every stretch of records between two ticks.
    pub(super) fn steps_in<'c, 'a: 'c>(
        &mut self,
        records: impl Iterator<Item = (&'c str, &'c Call<'a>)>,
        mut look: impl FnMut(&Detector),
    ) -> Vec<Step> {
        let (mut steps, mut stretch) = (Vec::new(), Vec::new());
        for (partition, call) in records {
            let ticks = self.watermark.see(partition, call);
            let mut step = Step { future: is_future(call), ..Step::default() };
            if !ticks.are_none() {
                self.score(&mut stretch, &mut steps);
                look(&self.detector);
                step.late = self.tick(ticks);
                step.said = self.detector.said();
            }
            if matches!(call.kind, Kind::Revert | Kind::Manifest) {
                self.score(&mut stretch, &mut steps);
                let done = if call.kind == Kind::Revert { self.revert(call) } else { self.declare(call) };
                step.undone = done.err();
            }
            steps.push(step);
            stretch.push(call);
        }
        self.score(&mut stretch, &mut steps);
        look(&self.detector);
        steps
    }

    /// Scores a stretch of records between two ticks, whose steps are the last ones.
    fn score(&mut self, stretch: &mut Vec<&Call<'_>>, steps: &mut [Step]) {
        let begin = steps.len() - stretch.len();
        let observed = self.detector.observe_all(stretch.drain(..), &self.hands);
        for (step, observed) in steps[begin..].iter_mut().zip(observed) {
            step.said.extend(observed.amended.map(|record| *record));
            (step.verdict, step.names, step.odd) = (observed.verdict, observed.names, observed.odd);
            if observed.is_moot {
                step.undone = Some(RevertError::Unknown.to_string());
            }
        }
    }

    /// What cannot be gone back to was refused when a person asked for it, unless this is another version of the program.
    fn revert(&mut self, call: &Call<'_>) -> Result<(), String> {
        let state = unpack(call.baseline.as_deref().unwrap_or_default()).map_err(|e| e.to_string())?;
        self.detector.revert(call, state).map_err(|e| e.to_string())
    }

    /// What cannot be read was refused when a person set it, unless this is another version of the program.
    fn declare(&mut self, call: &Call<'_>) -> Result<(), String> {
        let manifest: Manifest =
            serde_json::from_str(call.manifest.as_deref().unwrap_or_default()).map_err(|e| e.to_string())?;
        manifest.check().map_err(|e| e.to_string())?;
        match self.detector.declare([manifest]) {
            0 => Ok(()),
            _ => Err("the configuration holds a manifest of this agent".to_owned()),
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

    /// Agents that came into a peer group or changed it since this was asked last.
    pub(super) fn take_group_moves(&mut self) -> Vec<GroupMove> {
        self.detector.take_group_moves()
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
