//! Agents whose pace wanders: how much slower than usual the last gaps were, and how far that carries over.
//!
//! The analogue of volume's echo: φ is the regression of a gap's deviation on the running mean of those before it, so it
//! is zero for agents whose gaps are independent, and costs them nothing.

use serde::{Deserialize, Serialize};

use crate::stored::Stored;

/// Spans of the slow mean and of the pace, in events.
const MEAN_EVENTS: f64 = 500.0;
const PACE_EVENTS: f64 = 12.0;
/// Weight of φ = 0, in events of one octave's deviation each, and memory of the regression.
const PRIOR_EVENTS: f64 = 30.0;
const MEMORY_EVENTS: f64 = 4_000.0;
/// Largest φ, and the most octaves that pace can carry.
const SHARE_MAX: f64 = 0.95;
const OCTAVES_MAX: f64 = 3.0;

/// Running means of the logarithm of gaps, in octaves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pace<S> {
    mean: S,
    /// Running mean of the deviations from it.
    recent: S,
    with: S,
    square: S,
}

impl<S: Stored> Pace<S> {
    pub(super) fn new() -> Self {
        let none = S::default();
        Self { mean: none, recent: none, with: none, square: S::put(PRIOR_EVENTS) }
    }

    /// Octaves by which the next gap is expected to be off.
    pub(super) fn octaves(&self) -> f64 {
        let share = (self.with.get() / self.square.get()).clamp(0.0, SHARE_MAX);
        (share * self.recent.get()).clamp(-OCTAVES_MAX, OCTAVES_MAX)
    }

    /// Takes in a gap of so many octaves.
    pub(super) fn learn(&mut self, octaves: f64, events: u32) {
        let step = (1.0 / MEAN_EVENTS).max(1.0 / (f64::from(events) + 1.0));
        let off = octaves - self.mean.get();
        let recent = self.recent.get();
        let fade = 1.0 - 1.0 / MEMORY_EVENTS;
        self.with.update(|s| s * fade + off * recent);
        self.square.update(|s| s * fade + recent * recent);
        self.recent.update(|r| r + (off - r) / PACE_EVENTS);
        self.mean.update(|m| m + step * off);
    }
}
