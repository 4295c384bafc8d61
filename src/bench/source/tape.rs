//! Calls that were recorded, by the row.

use std::sync::Arc;

use rand_distr::{Binomial, Distribution};

use crate::bench::chance::Dice;
use crate::bench::recording::Recording;

/// Plays a recording from one of its minutes on, thinned, each row's events spread evenly at random over its minutes.
#[derive(Clone, Debug)]
pub(super) struct Tape {
    recording: Arc<Recording>,
    from: u32,
    /// The chance of an event to be kept.
    kept: f64,
    /// Of this row, kept and not yet played.
    left: u32,
    count: u32,
    rate: f64,
}

impl Tape {
    pub(super) fn new(recording: &Arc<Recording>, from: u32, one_in: u32) -> Self {
        let kept = 1.0 / f64::from(one_in);
        Self { recording: Arc::clone(recording), from, kept, left: 0, count: 0, rate: 0.0 }
    }

    /// Comes to minute `t`, one after the other.
    pub(super) fn advance(&mut self, t: u32, dice: &mut Dice) {
        let minute = self.from + t;
        if let Some(events) = self.recording.row(minute) {
            self.left = thinned(events, self.kept, dice);
        }
        self.count = thinned(self.left, 1.0 / f64::from(self.recording.minutes_left(minute)), dice);
        self.left -= self.count;
        self.rate = f64::from(self.recording.hour(minute)) * self.kept / 60.0;
    }

    /// Calls of the minute.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The pace of the hour, calls a minute. The true rate of what was recorded nobody knows.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Whether anything happens in the hour of minute `t`.
    pub(super) fn is_awake(&self, t: u32) -> bool {
        self.recording.hour(self.from + t) > 0
    }
}

/// How many of `events` are kept if each is with probability `p`.
pub(super) fn thinned(events: u32, p: f64, dice: &mut Dice) -> u32 {
    if p >= 1.0 {
        return events;
    }
    Binomial::new(u64::from(events), p).map_or(0, |b| b.sample(dice) as u32)
}
