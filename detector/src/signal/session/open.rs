//! One session that is under way, call by call: pair, kernel and coverage (endpoint study §1).

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use super::model::{LeftOut, Pair, SessionModel, TEMPLATES_MAX};
use super::order::PATH_MAX;
use super::stock::Asked;
use super::{DISTINCT_MAX, Seen};
use crate::route::Routes;

/// Weight of "any endpoint by its share" beside the templates (study §1, kk).
const KERNEL_PRIOR: f64 = 1.0;
/// A call that repeats one costs this much of it, and only the first few repetitions do: how often is volume's.
const REPEAT_COST: f64 = 0.5;
pub(super) const COUNT_MAX: u8 = 4;
/// Weights of templates grow by one over the share of each endpoint they hold; beyond this all are brought back.
const SCALE_MAX: f64 = 1e100;
const LANES: usize = 8;

/// What a session holds so far, and how well each template explains it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Open {
    calls: Vec<Seen>,
    /// Its first calls in order.
    path: Vec<u64>,
    /// The largest surprise of an endpoint beside another, the sum of surprises under the mixture of templates, and what the
    /// nearest template does not hold.
    pair: f64,
    kernel: f64,
    coverage: f64,
    /// What all its calls cost, and no more than a template explains of that.
    cost: f64,
    most: f64,
    /// The template that explained most when all were looked at.
    nearest: u8,
}

impl Open {
    /// The same in the place of a session that is over.
    pub(super) fn reset(&mut self) {
        self.calls.clear();
        self.path.clear();
        (self.pair, self.kernel, self.coverage, self.cost, self.most) = (0.0, 0.0, 0.0, 0.0, 0.0);
        self.nearest = 0;
    }

    /// The same session under another version of the model or other names of paths.
    pub(super) fn rebuild(&mut self, model: &SessionModel, declared: &[u64], routes: &Routes) {
        // No call takes memory for it: both keep the room that they have.
        let calls: ArrayVec<Seen, DISTINCT_MAX> = self.calls.drain(..).take(DISTINCT_MAX).collect();
        let path: ArrayVec<u64, PATH_MAX> = self.path.drain(..).take(PATH_MAX).collect();
        self.reset();
        for Seen { endpoint, count, harm } in calls {
            for _ in 0..count {
                self.call(model, routes.now(endpoint), harm, declared, None);
            }
        }
        self.path.clear();
        self.path.extend(path.iter().map(|endpoint| routes.now(*endpoint)));
    }

    /// See [`super::Sessions::fetch`].
    pub(super) fn fetch(&self) -> u64 {
        self.calls.first().map_or(0, |seen| seen.endpoint)
    }

    pub(super) fn calls(&self) -> &[Seen] {
        &self.calls
    }

    /// Its first calls in order.
    pub(super) fn path(&self) -> &[u64] {
        &self.path
    }

    /// Pair, kernel and coverage; none of them ever falls.
    pub(super) fn statistics(&self) -> [f64; 3] {
        [self.pair, self.kernel, self.coverage]
    }

    /// The harm of an endpoint that the session has called.
    pub(super) fn harm(&self, endpoint: u64) -> Option<f32> {
        self.calls.iter().find(|s| s.endpoint == endpoint).map(|s| s.harm)
    }

    /// One call more. Gives what its endpoint, new to the session, keeps least company with.
    pub(super) fn call(
        &mut self,
        model: &SessionModel,
        endpoint: u64,
        harm: f32,
        declared: &[u64],
        without: Option<LeftOut<'_>>,
    ) -> Option<Pair> {
        if self.path.len() < PATH_MAX {
            self.path.push(endpoint);
        }
        let at = self.calls.iter().position(|s| s.endpoint == endpoint);
        let count = match at {
            Some(at) if self.calls[at].count >= COUNT_MAX => return None,
            None if self.calls.len() >= DISTINCT_MAX => return None,
            Some(at) => {
                self.calls[at].count += 1;
                self.calls[at].count
            }
            None => 1,
        };
        let (asked, harm_bits) = (model.asked((endpoint, harm), declared, without), f64::from(harm));
        let mut pair = None;
        if count == 1 {
            pair = Some(self.surprise(model, (endpoint, harm_bits, asked), declared, without));
            self.calls.push(Seen { endpoint, count: 1, harm });
        }
        self.cost += harm_bits * asked.bits() * (times(count) - times(count - 1));
        // What a template explains only grows, so where one is known to explain enough the others need no look. Mostly that which
        // explained most still does.
        if self.cost - self.most > self.coverage {
            (self.cost, self.most) = self.explained_by(self.nearest, model, declared, without);
        }
        if self.cost - self.most > self.coverage {
            (self.most, self.nearest) = self.explained(model, declared, without);
            self.coverage = self.coverage.max(self.cost - self.most);
        }
        pair
    }

    /// An endpoint that the session has not called before, and what it keeps least company with.
    fn surprise(
        &mut self,
        model: &SessionModel,
        (endpoint, harm, asked): (u64, f64, Asked<'_>),
        declared: &[u64],
        without: Option<LeftOut<'_>>,
    ) -> Pair {
        let share = asked.share;
        let alone = Pair { first: 0, with: 0.0, both: 0.0, expected: 0.0, bits: asked.bits() };
        let pairs = self.calls.iter().map(|first| model.pair(first.endpoint, endpoint, share, without));
        let most = pairs.max_by(|a, b| a.bits.total_cmp(&b.bits)).unwrap_or(alone);
        self.pair = self.pair.max(harm * most.bits);
        let weights = self.weights(model, declared, without);
        let hit: f64 = asked.holders.iter().map(|&(t, _)| weights[usize::from(t)]).sum();
        let (whole, best) = sum_and_best(&weights[..model.templates()]);
        let best = if best > 0.0 { best } else { 1.0 };
        let chance = (hit / best + KERNEL_PRIOR * share) / (whole / best + KERNEL_PRIOR);
        self.kernel += harm * (-libm::log2(chance)).max(0.0);
        most
    }

    /// How well each template explains what was called, up to one factor.
    ///
    /// Those without an endpoint pay its share, which is to say that those with it gain by as much. Made anew from the calls each time:
    /// kept by session it is most of what one takes, and is seldom in a cache when it is needed.
    fn weights(
        &self,
        model: &SessionModel,
        declared: &[u64],
        without: Option<LeftOut<'_>>,
    ) -> [f64; TEMPLATES_MAX] {
        let (mut weights, mut scale) = ([0.0; TEMPLATES_MAX], 1.0);
        let base = model.weights();
        weights[..base.len()].copy_from_slice(base);
        if let Some(LeftOut { template: Some(own), weight, .. }) = without {
            weights[own] = left(weights[own], weight);
        }
        for seen in &self.calls {
            let asked = model.asked((seen.endpoint, seen.harm), declared, without);
            let gain = 1.0 / asked.share;
            for &(t, _) in asked.holders {
                weights[usize::from(t)] *= gain;
            }
            scale *= gain;
            if scale > SCALE_MAX {
                for weight in &mut weights {
                    *weight /= scale;
                }
                scale = 1.0;
            }
        }
        weights
    }

    /// What the calls cost, and what the template `t` explains of that.
    fn explained_by(
        &self,
        t: u8,
        model: &SessionModel,
        declared: &[u64],
        without: Option<LeftOut<'_>>,
    ) -> (f64, f64) {
        let (mut whole, mut explained) = (0.0, 0.0);
        for seen in &self.calls {
            let costs = seen.costs(model.asked((seen.endpoint, seen.harm), declared, without));
            whole += costs[usize::from(COUNT_MAX)];
            explained += costs[usize::from(model.held_by(usize::from(t), seen.endpoint).min(COUNT_MAX))];
        }
        let is_left_out = nothing_left(model, without).is_some_and(|own| own == usize::from(t));
        (whole, if is_left_out { 0.0 } else { explained })
    }

    /// The most that a template explains of what the calls cost, and which does. One that is left out explains nothing. Both are added up
    /// in one order, so that what is explained whole leaves exactly nothing.
    fn explained(&self, model: &SessionModel, declared: &[u64], without: Option<LeftOut<'_>>) -> (f64, u8) {
        let mut explained = [0.0; TEMPLATES_MAX];
        for seen in &self.calls {
            let asked = model.asked((seen.endpoint, seen.harm), declared, without);
            let costs = seen.costs(asked);
            for &(t, held) in asked.holders {
                explained[usize::from(t)] += costs[usize::from(held.min(COUNT_MAX))];
            }
        }
        if let Some(own) = nothing_left(model, without) {
            explained[own] = 0.0;
        }
        let explained = &explained[..model.templates()];
        let most = largest(explained);
        (most, explained.iter().position(|e| *e >= most).unwrap_or(0) as u8)
    }

    /// What the nearest template does not hold of it as it stands.
    #[cfg(test)]
    pub(super) fn uncovered(&self, model: &SessionModel) -> f64 {
        let (cost, _) = self.explained_by(0, model, &[], None);
        cost - self.explained(model, &[], None).0
    }
}

/// How many times as much as one call of an endpoint so many cost together.
pub(super) fn times(count: u8) -> f64 {
    if count == 0 { 0.0 } else { 1.0 + REPEAT_COST * (f64::from(count) - 1.0) }
}

impl Seen {
    /// What its calls cost, as far as a template explains that holds so many.
    fn costs(&self, asked: Asked<'_>) -> [f64; COUNT_MAX as usize + 1] {
        let once = f64::from(self.harm) * asked.bits();
        std::array::from_fn(|held| once * times(self.count.min(held as u8)))
    }
}

/// The template that only the session left out has shown.
fn nothing_left(model: &SessionModel, without: Option<LeftOut<'_>>) -> Option<usize> {
    let LeftOut { template, weight, .. } = without?;
    template.filter(|own| left(model.weights()[*own], weight) <= 0.0)
}

/// What is left of a template's weight without one of its sessions.
fn left(weight: f64, without: f64) -> f64 {
    Some(weight - without).filter(|left| *left > 1e-9).unwrap_or(0.0)
}

/// The sum of weights, none of which is negative, and the largest, in lanes that do not wait for each other.
fn sum_and_best(weights: &[f64]) -> (f64, f64) {
    let mut sums = [0.0; LANES];
    let (rows, rest) = weights.as_chunks::<LANES>();
    for row in rows {
        for lane in 0..LANES {
            sums[lane] += row[lane];
        }
    }
    (sums.iter().chain(rest).sum(), largest(weights))
}

/// The largest of what is not negative, in the same lanes.
fn largest(weights: &[f64]) -> f64 {
    let mut bests = [0.0; LANES];
    let (rows, rest) = weights.as_chunks::<LANES>();
    for row in rows {
        for lane in 0..LANES {
            bests[lane] = if row[lane] > bests[lane] { row[lane] } else { bests[lane] };
        }
    }
    bests.iter().chain(rest).fold(0.0, |best: f64, w| best.max(*w))
}
