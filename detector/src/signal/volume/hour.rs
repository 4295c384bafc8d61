//! What the present hour is expected to hold, minute by minute, and the level that shifts the whole profile.

use libm::{exp, sqrt};
use serde::{Deserialize, Serialize};

use super::scale::Expected;
use super::season::{Prior, Season, WEEK};
use crate::stored::{Half, Stored};

/// Width of the credibility band in standard deviations and its tolerance beyond, and the widest it gets, in nats
/// (study: z, d, cap).
const BAND_DEVIATIONS: f64 = 1.0;
const BAND_TOLERANCE: f64 = 0.1;
const BAND_MAX: f64 = 3.0;
/// Weight of level 1 in hours of base rate, and what is left of the level's past after an hour: a half-life of 3 days.
const LEVEL_HOURS: f64 = 12.0;
const LEVEL_HALF_LIFE_HOURS: f64 = 72.0;
/// Least rate that a level's variance is taken from.
const LEVEL_RATE_MIN: f64 = 0.01;
/// A level that is set anew has at most this weight in hours, reached when it was seen for one hour; its variance is that of a
/// tenth as many (study: "60 minutes-equivalent", `EH = 6`).
const RESEED_HOURS: f64 = 60.0;
const RESEED_VARIANCE_SHARE: f64 = 0.1;

/// How many times its profile the agent makes now: drift, and deploys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Level<S> {
    calls: S,
    expected: S,
    hours: S,
}

impl<S: Stored> Level<S> {
    /// An hour of base rate `base` was learned with so many calls.
    pub(super) fn learn(&mut self, calls: f64, base: f64) {
        let fade = libm::exp2(-1.0 / LEVEL_HALF_LIFE_HOURS);
        self.calls.update(|n| n * fade + calls);
        self.expected.update(|e| e * fade + base);
        self.hours.update(|h| h * fade + 1.0);
    }

    /// The level was seen to be `ratio` for so many hours.
    pub(super) fn reseed(&mut self, ratio: f64, base: f64, hours: f64) {
        let weight = RESEED_HOURS * hours.clamp(0.0, 1.0);
        self.calls = S::put(ratio * weight * base);
        self.expected = S::put(weight * base);
        self.hours = S::put(weight * RESEED_VARIANCE_SHARE);
    }

    /// The level is `ratio`, as somebody knows: it weighs as much as one that was seen for an hour, its prior included.
    pub(super) fn set(&mut self, ratio: f64, base: f64) {
        self.reseed(ratio, base, 1.0);
        self.calls.update(|n| (n + (ratio - 1.0) * LEVEL_HOURS * base).max(0.0));
    }

    /// The level of an hour of base rate `base`.
    pub(super) fn get(&self, base: f64) -> f64 {
        (self.calls.get() + LEVEL_HOURS * base) / (self.expected.get() + LEVEL_HOURS * base)
    }

    #[cfg(test)]
    pub(super) fn sums(&self) -> [f64; 3] {
        [self.calls.get(), self.expected.get(), self.hours.get()]
    }
}

/// The expectation of one hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Hour<S> {
    /// Calls an hour by the profile: this hour's, the neighbours', and this hour's under the other type of day.
    pub(super) base: S,
    before: S,
    after: S,
    other: S,
    /// The other type's as far as this day may still be of it, for the upper edge alone.
    maybe: S,
    pub(super) level: S,
    /// What a base rate is multiplied by to give the band's edges, a minute.
    high: S,
    low: S,
    /// Relative variance of the base rate, and the weight of the agent's own past in it.
    pub(super) variance: Half,
    pub(super) own: Half,
}

impl<S: Stored> Hour<S> {
    /// The hour of the week `hour`; `scatter` is the relative variance of an hour's count beyond Poisson, `off` how much
    /// this day may be of the other type, 0 to 1.
    pub(super) fn new<C: Stored>(
        hour: usize,
        season: &Season<S, C>,
        level: &Level<S>,
        prior: Prior,
        scatter: f64,
        off: f64,
    ) -> Self {
        let base = season.base(hour, prior, scatter);
        let near = |h: usize| season.base(h % WEEK, prior, scatter).per_hour;
        let (before, after) = (near(hour + WEEK - 1), near(hour + 1));
        let now = level.get(base.per_hour);
        let of_level =
            (1.0 / base.per_hour.max(LEVEL_RATE_MIN) + scatter) / (level.hours.get() + LEVEL_HOURS);
        let width = exp((BAND_DEVIATIONS * sqrt(base.variance + of_level)).min(BAND_MAX));
        Self {
            base: S::put(base.per_hour),
            before: S::put(before),
            after: S::put(after),
            other: S::put(base.other),
            maybe: S::put(base.per_hour * libm::pow(base.other / base.per_hour, off)),
            level: S::put(now),
            high: S::put(now / 60.0 * width * (1.0 + BAND_TOLERANCE)),
            low: S::put(now / 60.0 / width / (1.0 + BAND_TOLERANCE)),
            variance: Half::put(base.variance),
            own: Half::put(base.own),
        }
    }

    /// By how many nats a holiday would move the rate.
    pub(super) fn holiday(&self) -> f64 {
        libm::log(self.other.get() / self.base.get())
    }

    /// The same in the middle of the hour, where its neighbours have no say and the band is narrowest.
    pub(super) fn middle(&self) -> Expected {
        let (base, other) = (self.base.get(), self.other.get());
        Expected {
            mean: self.level.get() * base / 60.0,
            high: self.high.get() * base.max(self.maybe.get()),
            low: self.low.get() * base.min(other),
        }
    }

    /// Expected in one minute of the hour. The mean goes from the middle of one hour to that of the next. The edges take the
    /// larger and the smaller of this hour's rate, that mean, and the other type of day's: neither an hour's edge nor a
    /// holiday is news.
    pub(super) fn minute(&self, minute: i64) -> Expected {
        let (base, other) = (self.base.get(), self.other.get());
        let at = (minute as f64 + 0.5) / 60.0;
        let neighbour = if at < 0.5 { self.before.get() } else { self.after.get() };
        let weight = (at - 0.5).abs();
        let between = base * (1.0 - weight) + neighbour * weight;
        Expected {
            mean: self.level.get() * between / 60.0,
            high: self.high.get() * base.max(between).max(self.maybe.get()),
            low: self.low.get() * base.min(between).min(other),
        }
    }
}
