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
/// However far hours lie apart, their parent weighs so many hours.
const WEIGHT_MIN: f64 = 0.1;
/// However near, their parent weighs no more than all that is ever seen.
const APART_MIN: f64 = 1e-6;
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

/// Calls and hours of exposure for every hour of the week, and how far its hours lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "S: Serialize, C: Serialize",
    deserialize = "S: Stored + Deserialize<'de>, C: Stored + Deserialize<'de>"
))]
pub(super) struct Season<S = f32, C = Half> {
    calls: Row<C, WEEK>,
    hours: Row<C, WEEK>,
    /// Sums of both.
    all: [S; 2],
    /// Relative variance that every step to a finer hour adds, as far as it is known; infinite where it is not and the
    /// study's holds.
    apart: [S; 3],
}

/// Calls and hours of exposure.
type Seen = (f64, f64);

impl<S: Stored, C: Stored> Default for Season<S, C> {
    fn default() -> Self {
        let unknown = [S::put(f64::INFINITY); 3];
        Self { calls: Row::default(), hours: Row::default(), all: [S::default(); 2], apart: unknown }
    }
}

impl<S: Stored, C: Stored> Season<S, C> {
    /// Learns a finished hour: its calls, and its exposure at the level of then.
    pub(super) fn learn(&mut self, hour: usize, calls: f64, exposure: f64) {
        let before = self.seen(hour);
        self.calls.0[hour].update(|n| n * WEEKLY + calls);
        self.hours.0[hour].update(|e| e * WEEKLY + exposure);
        let now = self.seen(hour);
        self.all[0].update(|n| n + now.0 - before.0);
        self.all[1].update(|e| e + now.1 - before.1);
    }

    /// Of all that was learned so much counts from now on.
    pub(super) fn fade(&mut self, share: f64) {
        let rows = self.calls.0.iter_mut().chain(&mut self.hours.0);
        rows.for_each(|sum| sum.update(|x| x * share));
        self.all.iter_mut().for_each(|sum| sum.update(|x| x * share));
    }

    fn seen(&self, hour: usize) -> Seen {
        (self.calls.0[hour].get(), self.hours.0[hour].get())
    }

    /// An hour of the day, summed over weekdays and over the weekend.
    fn of_types(&self, hour_of_day: usize) -> [Seen; 2] {
        let mut of_types = [(0.0, 0.0); 2];
        for day in 0..7 {
            let (calls, hours) = self.seen(day * 24 + hour_of_day);
            let of_type = &mut of_types[usize::from(day >= 5)];
            *of_type = (of_type.0 + calls, of_type.1 + hours);
        }
        of_types
    }

    /// Calls an hour over the whole week.
    pub(super) fn overall(&self, prior: Prior) -> f64 {
        let [calls, hours] = self.all.map(Stored::get);
        (calls + prior.hours * prior.per_hour) / (hours + prior.hours)
    }

    /// Estimates how far hours lie apart. `scatter` is the relative variance of an hour's count beyond Poisson.
    ///
    /// The moment estimate of what the children of a step differ by beyond chance (empirical Bayes), give or take two of its
    /// deviations, is believed where it excludes the study's constant. Where days of one type alone were seen, the other
    /// may lie as far off as an hour of the day that was never seen. Gives the moment estimate of hours of the day, without what it
    /// may be off by, where any was seen.
    pub(super) fn compare(&mut self, prior: Prior, scatter: f64) -> Option<f64> {
        let mut all = (0.0, 0.0);
        for hour in 0..WEEK {
            let seen = self.seen(hour);
            all = (all.0 + seen.0, all.1 + seen.1);
        }
        self.all = [S::put(all.0), S::put(all.1)];
        let overall = self.overall(prior);
        let mut spreads = [Spread::default(); 3];
        for hour in 0..24 {
            let of_types = self.of_types(hour);
            let of_day = (of_types[0].0 + of_types[1].0, of_types[0].1 + of_types[1].1);
            spreads[0].add(of_day, overall, scatter);
            let of_day = rate(of_day, overall);
            let both = of_types.iter().all(|of_type| of_type.1 > 0.0);
            let of_types = of_types.map(|of_type| {
                if both {
                    spreads[1].add(of_type, of_day, scatter);
                }
                rate(of_type, of_day)
            });
            for day in 0..7 {
                spreads[2].add(self.seen(day * 24 + hour), of_types[usize::from(day >= 5)], scatter);
            }
        }
        let steps = [(24.0, prior.hour_variance), (24.0, STEP_VARIANCE), (120.0, STEP_VARIANCE)];
        for ((apart, spread), (children, studied)) in self.apart.iter_mut().zip(spreads).zip(steps) {
            *apart = S::put(spread.beyond_chance(children, studied));
        }
        if spreads[1].whole <= 0.0 && prior.hour_variance > 0.0 {
            self.apart[1] = S::put(prior.hour_variance);
        }
        let Spread { square, chance, whole } = spreads[0];
        (whole > 0.0).then(|| (square - chance) / whole)
    }

    /// The expectation for one hour of the week.
    pub(super) fn base(&self, hour: usize, prior: Prior, scatter: f64) -> Base {
        let weekend = usize::from(hour / 24 >= 5);
        let of_types = self.of_types(hour % 24);
        let of_day = (of_types[0].0 + of_types[1].0, of_types[0].1 + of_types[1].1);
        let unit = 1.0 / self.overall(prior).max(RATE_MIN) + scatter;
        let studied = [
            (HOUR_WEIGHT, prior.hour_variance),
            (DAY_TYPE_WEIGHT, STEP_VARIANCE),
            (WEEK_HOUR_WEIGHT, STEP_VARIANCE),
        ];
        // The less the hours lie apart the more their parent weighs; the study's weight is that of its own variance.
        let step = |estimate: Estimate, seen: Seen, step: usize| {
            let ((weight, adds), apart) = (studied[step], self.apart[step].get().max(APART_MIN));
            if apart.is_finite() && apart > adds && adds > 0.0 {
                return estimate.step(seen, (weight * adds / apart).max(WEIGHT_MIN), apart, scatter);
            }
            let closer = (unit / apart - unit / adds).max(0.0);
            estimate.step(seen, weight + closer, apart.min(adds), scatter)
        };
        let overall =
            Estimate::root(prior).step((self.all[0].get(), self.all[1].get()), prior.hours, 0.0, scatter);
        let hour_of_day = step(overall, of_day, 0);
        let of_type = |weekend: usize| step(hour_of_day, of_types[weekend], 1);
        let week_hour = step(of_type(weekend), self.seen(hour), 2);
        Base {
            per_hour: week_hour.per_hour,
            variance: week_hour.variance,
            other: of_type(1 - weekend).per_hour,
            own: 1.0 - week_hour.prior,
        }
    }

    #[cfg(test)]
    pub(super) fn from_tables(calls: &[f64], hours: &[f64]) -> Self {
        let mut season = Self::default();
        for h in 0..WEEK {
            season.learn(h, calls[h], hours[h]);
        }
        season
    }

    #[cfg(test)]
    pub(super) fn tables(&self) -> [[f64; WEEK]; 2] {
        [&self.calls, &self.hours].map(|row| row.0.map(Stored::get))
    }
}

/// How far the children of one step lie from their parents.
#[derive(Clone, Copy, Debug, Default)]
struct Spread {
    /// Squared distances, what chance alone makes of them, and squared expectations.
    square: f64,
    chance: f64,
    whole: f64,
}

impl Spread {
    fn add(&mut self, (calls, hours): Seen, parent: f64, scatter: f64) {
        let m = hours * parent;
        self.square += (calls - m) * (calls - m);
        self.chance += m + m * parent * scatter;
        self.whole += m * m;
    }

    /// τ² of so many children: as near to `studied` as what was seen allows; infinite where nothing is known of them.
    fn beyond_chance(self, children: f64, studied: f64) -> f64 {
        if self.whole <= 0.0 {
            return f64::INFINITY;
        }
        let (beyond, unsure) = (self.square - self.chance, 2.0 * self.chance * libm::sqrt(2.0 / children));
        let [least, most] = [beyond - unsure, beyond.max(0.0) + unsure].map(|apart| apart / self.whole);
        studied.clamp(least, most)
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
