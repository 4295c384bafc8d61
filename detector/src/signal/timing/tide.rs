//! How the gaps follow the hour: the volume already expects fewer calls by night, so longer gaps then are no news.
//!
//! The expected rate's deviation from the agent's overall one, in octaves, is taken out of the gap's logarithm by as much
//! as the agent's own past says that it should (a regression through the origin): wholly for one whose calls come by
//! chance, not at all for one that keeps a period whatever the hour.

use serde::{Deserialize, Serialize};

use crate::stored::Stored;

/// Memory of the regression and of the mean, in events.
const MEMORY_EVENTS: f64 = 4_000.0;
/// Weight of "not at all", in events that each deviate by an octave.
const PRIOR_EVENTS: f64 = 30.0;
/// The most that an hour is taken to shift, in octaves.
const OCTAVES_MAX: f64 = 6.0;

/// The regression's sums.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tide<S> {
    mean: S,
    with: S,
    square: S,
}

impl<S: Stored> Tide<S> {
    pub(super) fn new() -> Self {
        Self { mean: S::default(), with: S::default(), square: S::put(PRIOR_EVENTS) }
    }

    /// Of gaps that are as long whatever the hour, as far as is known.
    pub(super) fn at(octaves: f64) -> Self {
        Self { mean: S::put(octaves), ..Self::new() }
    }

    /// By how many octaves a gap is expected to be longer where the rate is `rate_octaves` above the overall one.
    pub(super) fn octaves(&self, rate_octaves: f64) -> f64 {
        let share = (self.with.get() / self.square.get()).clamp(0.0, 1.0);
        -share * rate_octaves.clamp(-OCTAVES_MAX, OCTAVES_MAX)
    }

    /// The usual gap at such a rate, in octaves.
    pub(super) fn usual_octaves(&self, rate_octaves: f64) -> f64 {
        self.mean.get() + self.octaves(rate_octaves)
    }

    /// Takes in a gap of so many octaves at such a rate.
    pub(super) fn learn(&mut self, octaves: f64, rate_octaves: f64, events: u32) {
        let rate = rate_octaves.clamp(-OCTAVES_MAX, OCTAVES_MAX);
        let fade = 1.0 - 1.0 / MEMORY_EVENTS;
        let off = octaves - self.mean.get();
        self.with.update(|s| s * fade - rate * off);
        self.square.update(|s| s * fade + rate * rate);
        let step = (1.0 / MEMORY_EVENTS).max(1.0 / (f64::from(events) + 1.0));
        self.mean.update(|m| m + step * (off + rate * self.with.get() / self.square.get()));
    }
}
