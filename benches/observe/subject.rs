//! What is measured: a detector, and the event time it lives in.

use std::hint::black_box;
use std::time::Duration;

use detector::{Call, Detector, DetectorConfig, Timestamp};

/// Steps of event time, as the pipeline takes them.
const STEP: Duration = Duration::from_secs(10);

pub(crate) struct Subject {
    detector: Detector,
    ticked: Timestamp,
}

impl Subject {
    pub(crate) fn new() -> Self {
        Self { detector: Detector::new(DetectorConfig::default(), &[]), ticked: Timestamp::default() }
    }

    /// Scores the calls, each after the tick that is due.
    pub(crate) fn observe(&mut self, calls: &[Call<'_>]) {
        for call in calls {
            if call.ts.since(self.ticked) >= STEP {
                self.ticked = call.ts.floor_to(STEP);
                self.detector.tick(self.ticked);
            }
            drop(black_box(self.detector.observe(call)));
        }
    }
}
