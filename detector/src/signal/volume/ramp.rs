//! The boiling frog: whole days against an anchor that moves too slowly for a ramp to carry it along (volume-timing
//! study §1, "Anchored ramp test").

use serde::{Deserialize, Serialize};

use crate::stored::Stored;

/// Days of anchor before the test begins, half-life of the anchor in days once it is settled, and the rise that an
/// operator allows (study: 5 d, 56 d, ×1.5).
const DAYS_MIN: f64 = 5.0;
const HALF_LIFE_DAYS: f64 = 56.0;
const SETTLED_DAYS: f64 = 14.0;
const ALLOWED: f64 = 1.5;
/// The rise that is looked for above it: among the factors the nearest to the study's 1.4.
const FACTOR: f64 = 1.4;
const LN_FACTOR: f64 = 0.336_472_236_621_212_9;
/// One quiet day takes back at most this much.
const DAY_MIN: f64 = -50.0;
/// A day's count scatters this much less than an hour's, relative to its mean (study: r60·4).
const SHAPE_OVER_HOUR: f64 = 4.0;
/// The test is granted a quarter of the false alarms of its family (study: alarm at ln(4·90)).
pub(super) const LOOKS_PER_DAY: f64 = 4.0;

/// The anchor and the evidence against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ramp<S> {
    /// Sum of the daily ratios of observed over profile, and of their weights.
    ratios: S,
    weight: S,
    /// The CUSUM, nats.
    sum: S,
    calls: S,
    profile: S,
    days_since_zero: u8,
}

/// What a day looked like to the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Day {
    pub(super) calls: f64,
    pub(super) expected: f64,
    pub(super) allowed: f64,
}

impl<S: Stored> Ramp<S> {
    /// A minute was expected to hold `profile` calls, its level left out; an hour held `calls`.
    pub(super) fn expose(&mut self, profile: f64) {
        self.profile.update(|p| p + profile);
    }

    /// Calls of a finished hour.
    pub(super) fn count(&mut self, calls: f64) {
        self.calls.update(|n| n + calls);
    }

    /// The evidence, nats, and for how many days it has been above zero.
    pub(super) fn evidence(&self) -> (f64, u8) {
        (self.sum.get(), self.days_since_zero)
    }

    /// The present day against the anchor.
    pub(super) fn today(&self) -> Day {
        let expected = if self.weight.get() > 0.0 {
            self.ratios.get() / self.weight.get() * self.profile.get()
        } else {
            self.profile.get()
        };
        Day { calls: self.calls.get(), expected, allowed: expected * ALLOWED }
    }

    #[cfg(test)]
    pub(super) fn anchor(&self) -> [f64; 2] {
        [self.ratios.get(), self.weight.get()]
    }

    /// A day has ended. `hour_shape` is the shape of an hour's count; a `suspect` day does not move the anchor.
    pub(super) fn close_day(&mut self, hour_shape: f64, age_days: f64, suspect: bool) {
        let day = self.today();
        if self.weight.get() > DAYS_MIN && day.expected > 0.0 {
            let r = hour_shape * SHAPE_OVER_HOUR;
            let turn = libm::log1p((FACTOR - 1.0) * day.allowed / (r + day.allowed));
            let ratio = day.calls * LN_FACTOR - (r + day.calls) * turn;
            self.sum.update(|s| (s + ratio.max(DAY_MIN)).max(0.0));
            self.days_since_zero =
                if self.sum.get() > 0.0 { self.days_since_zero.saturating_add(1) } else { 0 };
        }
        if !suspect && self.profile.get() > 0.0 {
            let fade = if age_days > SETTLED_DAYS { libm::exp2(-1.0 / HALF_LIFE_DAYS) } else { 1.0 };
            let ratio = self.calls.get() / self.profile.get();
            self.ratios.update(|a| a * fade + ratio);
            self.weight.update(|w| w * fade + 1.0);
        }
        [self.calls, self.profile] = [S::default(); 2];
    }

    /// What stands out was ruled normal: the anchor begins anew where the agent is now.
    pub(super) fn accept(&mut self, ratio: f64) {
        self.ratios = S::put(ratio * (DAYS_MIN + 1.0));
        self.weight = S::put(DAYS_MIN + 1.0);
        self.rest();
    }

    /// The agent has come down to `ratio`: what was once accepted of it holds no longer, and an anchor left up there would be
    /// blind for weeks. Below its profile the anchor does not fall with it: a day off is no new normal.
    pub(super) fn fall(&mut self, ratio: f64) {
        let (now, weight) = (ratio.max(1.0), self.weight.get());
        if weight > 0.0 && now * weight < self.ratios.get() {
            self.ratios = S::put(now * weight);
        }
    }

    /// The present day held what is no part of the agent: what is left of it stands for it.
    pub(super) fn forget_day(&mut self) {
        [self.calls, self.profile] = [S::default(); 2];
    }

    /// Drops the evidence.
    pub(super) fn rest(&mut self) {
        self.sum = S::default();
        self.days_since_zero = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Days of so many calls where the profile expects 100.
    fn live(ramp: &mut Ramp<f64>, days: u32, calls: f64) {
        for _ in 0..days {
            ramp.expose(100.0);
            ramp.count(calls);
            ramp.close_day(100.0, 30.0, false);
        }
    }

    #[test]
    fn an_anchor_that_was_accepted_up_high_comes_down_with_the_agent() {
        let mut ramp = Ramp::<f64>::default();
        live(&mut ramp, 10, 100.0);
        ramp.accept(5.0);
        let mut left_behind = ramp;
        ramp.fall(0.9);
        for ramp in [&mut ramp, &mut left_behind] {
            live(ramp, 3, 100.0);
            live(ramp, 3, 250.0);
        }
        assert!(ramp.evidence().0 > 5.0 && left_behind.evidence().0 <= 0.0, "{ramp:?} {left_behind:?}");
    }

    #[test]
    fn a_day_off_is_no_new_normal() {
        let mut ramp = Ramp::<f64>::default();
        live(&mut ramp, 10, 100.0);
        let before = ramp;
        ramp.fall(0.3);
        assert_eq!(ramp, before);
    }
}
