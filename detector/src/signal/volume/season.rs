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
}

/// Calls and hours of exposure.
type Seen = (f64, f64);

/// The week pooled by hour of day and type of day, with how far its hours lie apart: what every hour is estimated from.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    all: Seen,
    of_day: [Seen; 24],
    of_type: [[Seen; 24]; 2],
    /// Weight of the parent in hours and what the step adds to the relative variance, step by step below overall.
    steps: [Step; 3],
}

/// How far the children of one step lie from their parents.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    weight: f64,
    adds: f64,
}

impl Step {
    /// From the squared distances of children from their parents: `of_children` over all of them, of which `by_chance`
    /// would be there if all were alike, in `children` pieces of exposure whose squared expectation sums to `square`.
    ///
    /// Children that lie no further apart than chance alone would put them are one: the parent then weighs as much as
    /// τ² says, the moment estimate of their relative variance and two of its deviations (empirical Bayes). The weight is
    /// never less than the study's.
    fn learned(study: Self, of_children: f64, by_chance: f64, square: f64, children: f64, unit: f64) -> Self {
        if square <= 0.0 {
            return study;
        }
        let spread = (of_children - by_chance).max(0.0) + 2.0 * by_chance * libm::sqrt(2.0 / children);
        let tau2 = spread / square;
        if tau2 >= study.adds {
            return study;
        }
        Self { weight: (unit / tau2).max(study.weight), adds: tau2 }
    }
}

impl<C: Stored> Season<C> {
    /// Pools the week. `scatter` is the relative variance of an hour's count beyond Poisson.
    pub(super) fn pool(&self, prior: Prior, scatter: f64) -> Pool {
        let mut pool = self.pool_as_studied(prior);
        let overall = pool.overall(prior);
        let unit = 1.0 / overall.max(RATE_MIN) + scatter;
        // Squared distances, what chance alone makes of them, and squared expectations, for each step.
        let mut sums = [(0.0, 0.0, 0.0); 3];
        let mut add = |step: usize, child: Seen, parent: f64| {
            let m = child.1 * parent;
            let (square, chance, whole) = &mut sums[step];
            *square += (child.0 - m) * (child.0 - m);
            *chance += m + m * parent * scatter;
            *whole += m * m;
        };
        for hour in 0..24 {
            let of_day = rate(pool.of_day[hour], overall);
            add(0, pool.of_day[hour], overall);
            for of_type in &pool.of_type {
                add(1, of_type[hour], of_day);
            }
            for day in 0..7 {
                let i = day * 24 + hour;
                let of_type = rate(pool.of_type[usize::from(day >= 5)][hour], of_day);
                add(2, (self.calls.0[i].get(), self.hours.0[i].get()), of_type);
            }
        }
        for (step, ((square, chance, whole), children)) in
            sums.into_iter().zip([24.0, 24.0, 120.0]).enumerate()
        {
            pool.steps[step] = Step::learned(pool.steps[step], square, chance, whole, children, unit);
        }
        pool
    }

    /// The same with the study's fixed weights.
    pub(super) fn pool_as_studied(&self, prior: Prior) -> Pool {
        let mut pool = Pool {
            all: (0.0, 0.0),
            of_day: [(0.0, 0.0); 24],
            of_type: [[(0.0, 0.0); 24]; 2],
            steps: [
                Step { weight: HOUR_WEIGHT, adds: prior.hour_variance },
                Step { weight: DAY_TYPE_WEIGHT, adds: STEP_VARIANCE },
                Step { weight: WEEK_HOUR_WEIGHT, adds: STEP_VARIANCE },
            ],
        };
        for i in 0..WEEK {
            let (calls, hours) = (self.calls.0[i].get(), self.hours.0[i].get());
            let of_type = &mut pool.of_type[usize::from(i / 24 >= 5)][i % 24];
            for sum in [&mut pool.all, &mut pool.of_day[i % 24], of_type] {
                sum.0 += calls;
                sum.1 += hours;
            }
        }
        pool
    }

    /// The expectation for one hour of the week.
    pub(super) fn base(&self, hour: usize, pool: &Pool, prior: Prior, scatter: f64) -> Base {
        let (of_day, weekend) = (hour % 24, usize::from(hour / 24 >= 5));
        let [by_day, by_type, by_hour] = pool.steps;
        let seen = (self.calls.0[hour].get(), self.hours.0[hour].get());
        let overall = Estimate::root(prior).step(pool.all, prior.hours, 0.0, scatter);
        let hour_of_day = overall.step(pool.of_day[of_day], by_day.weight, by_day.adds, scatter);
        let of_type = |weekend: usize| {
            hour_of_day.step(pool.of_type[weekend][of_day], by_type.weight, by_type.adds, scatter)
        };
        let week_hour = of_type(weekend).step(seen, by_hour.weight, by_hour.adds, scatter);
        Base {
            per_hour: week_hour.per_hour,
            variance: week_hour.variance,
            other: of_type(1 - weekend).per_hour,
            own: 1.0 - week_hour.prior,
        }
    }
}

impl Pool {
    /// Calls an hour over the whole week.
    pub(super) fn overall(&self, prior: Prior) -> f64 {
        (self.all.0 + prior.hours * prior.per_hour) / (self.all.1 + prior.hours)
    }
}

/// The rate of what was seen, or the parent's where nothing was.
fn rate((calls, hours): Seen, parent: f64) -> f64 {
    if hours > 0.0 { calls / hours } else { parent }
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
