//! Finished hours wait before they are learned, so that what turns out to be an attack never was (volume-timing study §1,
//! "Poison gate").

use serde::{Deserialize, Serialize};

use crate::stored::{Half, Stored};

/// Hours that wait at most, and the share of an agent's age that they do (study: min(24, age/8)).
const HOURS: usize = 24;
const AGE_SHARE: i64 = 8;

/// The newest finished hours, newest last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(bound(serialize = "C: Serialize", deserialize = "C: Stored + Deserialize<'de>"))]
pub(super) struct Pending<C = Half> {
    calls: [C; HOURS],
    /// Bit i: hour i was struck and teaches nothing.
    struck: u32,
    waiting: u8,
}

impl<C: Stored> Pending<C> {
    /// An hour has ended; one under suspicion teaches nothing.
    pub(super) fn push(&mut self, calls: f64, suspect: bool) {
        let i = usize::from(self.waiting).min(HOURS - 1);
        self.calls[i] = C::put(calls);
        self.struck = self.struck & !(1 << i) | u32::from(suspect) << i;
        self.waiting = i as u8 + 1;
    }

    /// The oldest hour once it has waited long enough at this age: how many hours before the newest it was, and its
    /// calls, or none where it was struck.
    pub(super) fn pop(&mut self, age_hours: i64) -> Option<(i64, Option<f64>)> {
        let waiting = usize::from(self.waiting);
        let delay = usize::try_from(age_hours / AGE_SHARE).unwrap_or(0).min(HOURS);
        if waiting == 0 || (waiting <= delay && waiting < HOURS) {
            return None;
        }
        let oldest = (i64::from(self.waiting) - 1, (self.struck & 1 == 0).then(|| self.calls[0].get()));
        self.calls.copy_within(1..waiting, 0);
        self.struck >>= 1;
        self.waiting -= 1;
        Some(oldest)
    }

    /// Strikes so many of the newest hours.
    pub(super) fn strike(&mut self, newest: usize) {
        let waiting = usize::from(self.waiting);
        for i in waiting.saturating_sub(newest)..waiting {
            self.struck |= 1 << i;
        }
    }
}
