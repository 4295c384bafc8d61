//! How often something happened lately, in a bounded number of counts.

use std::collections::VecDeque;
use std::time::Duration;

use detector::Timestamp;
use serde::{Deserialize, Serialize};

/// A stretch of time and how finely it is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    bucket: Duration,
    buckets: i64,
}

/// A minute, to 5 seconds.
pub(super) const MINUTE: Span = Span { bucket: Duration::from_secs(5), buckets: 12 };
/// A day, to the hour.
pub(super) const DAY: Span = Span { bucket: Duration::from_hours(1), buckets: 24 };

impl Span {
    fn place(self, at: Timestamp) -> i64 {
        at.as_micros().div_euclid(i64::try_from(self.bucket.as_micros()).unwrap_or(i64::MAX))
    }
}

/// Counts by place on the clock, oldest first; never more than a span has, and one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Window(VecDeque<(i64, u32)>);

impl Window {
    /// How often within the span until now. Up to one bucket more than that counts too, so that no stretch of the span's length
    /// ever holds more than what a limit on this allows.
    pub(super) fn used(&self, span: Span, now: Timestamp) -> u32 {
        let first = span.place(now) - span.buckets;
        self.0.iter().filter(|(place, _)| *place >= first).fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }

    /// Once more.
    pub(super) fn add(&mut self, span: Span, now: Timestamp) {
        let place = span.place(now);
        self.0.retain(|(at, _)| *at >= place - span.buckets);
        // A clock that was ahead and was set right must not keep a cap shut until it is there again.
        let mut here = 1_u32;
        while let Some((_, n)) = self.0.back().filter(|(at, _)| *at >= place) {
            here = here.saturating_add(*n);
            self.0.pop_back();
        }
        self.0.push_back((place, here));
    }
}
