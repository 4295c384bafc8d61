//! How many calls an hour this agent makes at this hour of the week.
//!
//! A gamma-Poisson mean, shrunk in four steps: overall to the prior, hour of day to overall, hour of weekday or weekend
//! to hour of day, hour of week to that (volume-timing study §1, "Mean").

use serde::{Deserialize, Serialize};

use crate::stored::{Half, Row, Stored};

/// Hours of a week; the first is Monday's first.
pub(super) const WEEK: usize = 168;
/// What is left of an hour's past when it comes again a week later: a half-life of six weeks (study: ×0.89).
const WEEKLY: f64 = 0.89;
/// Weight of the parent in hours, step by step below overall (study: k).
const HOUR_WEIGHT: f64 = 1.0;
const DAY_TYPE_WEIGHT: f64 = 1.5;
const WEEK_HOUR_WEIGHT: f64 = 1.5;
/// Relative variance that a step to a finer hour adds (study: t2).
const STEP_VARIANCE: f64 = 0.02;
/// No rate is estimated from less than this in its own variance.
const RATE_MIN: f64 = 1e-3;

/// What is believed of an agent before it has said anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Prior {
    /// Calls an hour.
    pub(super) per_hour: f64,
    /// Its relative variance.
    pub(super) variance: f64,
    /// Its weight in hours.
    pub(super) hours: f64,
    /// The relative variance that going from overall to one hour of the day adds.
    pub(super) hour_variance: f64,
}

/// What one hour of the week is expected to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Base {
    /// Calls an hour.
    pub(super) per_hour: f64,
    /// Relative variance of that.
    pub(super) variance: f64,
    /// The same hour of day under the other type of day: of a weekday the weekend's, and the reverse.
    pub(super) other: f64,
    /// Weight of the agent's own past in it.
    pub(super) own: f64,
}

/// Calls and hours of exposure for every hour of the week.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(serialize = "C: Serialize", deserialize = "C: Stored + Deserialize<'de>"))]
pub(super) struct Season<C = Half> {
    calls: Row<C, WEEK>,
    hours: Row<C, WEEK>,
}

/// Sums over the whole week.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    calls: f64,
    hours: f64,
}

impl<C: Stored> Default for Season<C> {
    fn default() -> Self {
        Self { calls: Row::default(), hours: Row::default() }
    }
}

impl<C: Stored> Season<C> {
    /// Learns a finished hour: its calls, and its exposure at the level of then.
    pub(super) fn learn(&mut self, hour: usize, calls: f64, exposure: f64) {
        self.calls.0[hour].update(|n| n * WEEKLY + calls);
        self.hours.0[hour].update(|e| e * WEEKLY + exposure);
    }

    #[cfg(test)]
    pub(super) fn from_tables(calls: &[f64], hours: &[f64]) -> Self {
        let mut season = Self::default();
        for h in 0..WEEK {
            season.calls.0[h] = C::put(calls[h]);
            season.hours.0[h] = C::put(hours[h]);
        }
        season
    }

    #[cfg(test)]
    pub(super) fn tables(&self) -> [[f64; WEEK]; 2] {
        [&self.calls, &self.hours].map(|row| row.0.map(Stored::get))
    }

    pub(super) fn whole(&self) -> Whole {
        Whole {
            calls: self.calls.0.iter().map(|n| n.get()).sum(),
            hours: self.hours.0.iter().map(|e| e.get()).sum(),
        }
    }

    /// Calls an hour over the whole week.
    pub(super) fn overall(whole: Whole, prior: Prior) -> f64 {
        (whole.calls + prior.hours * prior.per_hour) / (whole.hours + prior.hours)
    }

    /// The expectation for one hour of the week. `scatter` is the relative variance of an hour's count beyond Poisson.
    pub(super) fn base(&self, hour: usize, whole: Whole, prior: Prior, scatter: f64) -> Base {
        let (of_day, weekend) = (hour % 24, hour / 24 >= 5);
        let [mut all, mut same, mut other] = [(0.0, 0.0); 3];
        for day in 0..7 {
            let i = day * 24 + of_day;
            let seen = (self.calls.0[i].get(), self.hours.0[i].get());
            let of_type = if (day >= 5) == weekend { &mut same } else { &mut other };
            for sum in [&mut all, of_type] {
                sum.0 += seen.0;
                sum.1 += seen.1;
            }
        }
        let seen = (self.calls.0[hour].get(), self.hours.0[hour].get());
        let overall = Estimate::root(prior).step((whole.calls, whole.hours), prior.hours, 0.0, scatter);
        let hour_of_day = overall.step(all, HOUR_WEIGHT, prior.hour_variance, scatter);
        let day_type = hour_of_day.step(same, DAY_TYPE_WEIGHT, STEP_VARIANCE, scatter);
        let week_hour = day_type.step(seen, WEEK_HOUR_WEIGHT, STEP_VARIANCE, scatter);
        Base {
            per_hour: week_hour.per_hour,
            variance: week_hour.variance,
            other: (other.0 + DAY_TYPE_WEIGHT * hour_of_day.per_hour) / (other.1 + DAY_TYPE_WEIGHT),
            own: 1.0 - week_hour.prior,
        }
    }
}

/// A shrunken mean on its way down the hierarchy.
#[derive(Clone, Copy)]
struct Estimate {
    per_hour: f64,
    variance: f64,
    /// Weight of the prior in it.
    prior: f64,
}

impl Estimate {
    fn root(prior: Prior) -> Self {
        Self { per_hour: prior.per_hour, variance: prior.variance, prior: 1.0 }
    }

    /// `p = (N + k·parent)/(E + k)`, and its variance with `w = k/(E + k)`: `w²(v + t) + (1 − w)²(1/p + 1/r)/max(E, 1)`.
    fn step(self, (calls, hours): (f64, f64), weight: f64, adds: f64, scatter: f64) -> Self {
        let per_hour = (calls + weight * self.per_hour) / (hours + weight);
        let w = weight / (hours + weight);
        let of_data = (1.0 / per_hour.max(RATE_MIN) + scatter) / hours.max(1.0);
        let variance = w * w * (self.variance + adds) + (1.0 - w) * (1.0 - w) * of_data;
        Self { per_hour, variance, prior: self.prior * w }
    }
}
