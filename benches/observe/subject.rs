//! What is measured: a detector, and the event time it lives in.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

use detector::{Call, Detector, DetectorConfig, Hands, Timestamp, Work};

/// Steps of event time, as the pipeline takes them.
const STEP: Duration = Duration::from_secs(10);

pub(crate) struct Subject {
    detector: Detector,
    ticked: Timestamp,
    hands: Threads,
}

/// So many threads, begun for every piece of work but one, which this thread does, as in the pipeline.
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

impl Subject {
    /// One that has a core to itself.
    pub(crate) fn new() -> Self {
        Self::with(NonZeroUsize::MIN)
    }

    /// One on which so many threads work.
    pub(crate) fn with(workers: NonZeroUsize) -> Self {
        let detector = Detector::new(DetectorConfig::default(), &[]);
        Self { detector, ticked: Timestamp::default(), hands: Threads(workers) }
    }

    /// Scores the calls, stretches of them between the ticks that are due.
    pub(crate) fn observe(&mut self, calls: &[Call<'_>]) {
        let mut rest = calls;
        while let Some(first) = rest.first() {
            if first.ts.since(self.ticked) >= STEP {
                self.ticked = first.ts.floor_to(STEP);
                self.detector.tick(self.ticked);
            }
            let is_due = |call: &Call<'_>| call.ts.since(self.ticked) >= STEP;
            let (now, later) = rest.split_at(rest.iter().position(is_due).unwrap_or(rest.len()));
            drop(black_box(self.detector.observe_all(now, &self.hands)));
            rest = later;
        }
    }
}
