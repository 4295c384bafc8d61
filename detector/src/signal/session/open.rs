//! One session that is under way, call by call: pair, kernel and coverage (endpoint study §1).

use serde::{Deserialize, Serialize};

use super::model::{LeftOut, Pair, SessionModel};
use super::order::PATH_MAX;
use super::{DISTINCT_MAX, Seen};
use crate::route::Routes;

/// Weight of "any endpoint by its share" beside the templates (study §1, kk).
const KERNEL_PRIOR: f64 = 1.0;
/// A call that repeats one costs this much of it, and only the first few repetitions do: how often is volume's.
pub(super) const REPEAT_COST: f64 = 0.5;
pub(super) const COUNT_MAX: u8 = 4;
/// Weights of templates are relative to the best, which is brought back to 1 beyond this.
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
    /// By template: its weight after what it lacks was paid for, up to one factor; and by how much less than `cost` it lacks.
    weights: Vec<f64>,
    covered: Vec<f32>,
    cost: f64,
    /// The most that a template explains, kept up with call by call.
    most: f32,
}

impl Open {
    /// A session of which nothing has been called yet.
    pub(super) fn begin(model: &SessionModel, without: LeftOut<'_>) -> Self {
        let mut open = Self::default();
        open.reset(model, without);
        open
    }

    /// The same in the place of a session that is over.
    pub(super) fn reset(&mut self, model: &SessionModel, without: LeftOut<'_>) {
        let n = model.templates();
        self.calls.clear();
        self.path.clear();
        (self.pair, self.kernel, self.coverage, self.cost, self.most) = (0.0, 0.0, 0.0, 0.0, 0.0);
        self.weights.clear();
        self.weights.extend((0..n).map(|t| model.template_weight(t)));
        self.covered.clear();
        self.covered.resize(n, 0.0);
        if let Some((session, weight)) = without
            && let Some(own) = model.template_of(session)
        {
            let left = self.weights[own] - weight;
            self.weights[own] = if left > 1e-9 { left } else { 0.0 };
        }
    }

    /// The same session under another version of the model or other names of paths.
    pub(super) fn rebuild(&mut self, model: &SessionModel, declared: &[u64], routes: &Routes) {
        let (calls, mut path) = (std::mem::take(&mut self.calls), std::mem::take(&mut self.path));
        self.reset(model, None);
        for Seen { endpoint, count, harm } in calls {
            for _ in 0..count {
                self.call(model, routes.now(endpoint), harm, declared, None);
            }
        }
        for endpoint in &mut path {
            *endpoint = routes.now(*endpoint);
        }
        self.path = path;
    }

    /// See [`super::Sessions::fetch`].
    pub(super) fn fetch(&self) -> u64 {
        self.calls.first().map_or(0, |seen| seen.endpoint) ^ u64::from(self.most.to_bits())
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
        without: LeftOut<'_>,
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
        let share = model.share((endpoint, harm), declared, without);
        let harm_bits = f64::from(harm);
        let mut pair = None;
        if count == 1 {
            pair = Some(self.surprise(model, endpoint, harm_bits, share, without));
            self.calls.push(Seen { endpoint, count: 1, harm });
        }
        let cost = harm_bits * -libm::log2(share) * if count == 1 { 1.0 } else { REPEAT_COST };
        self.cost += cost;
        for &(t, held) in model.holders(endpoint) {
            if held >= count {
                let (covered, weight) = (&mut self.covered[usize::from(t)], self.weights[usize::from(t)]);
                *covered += cost as f32;
                // A template that is left out has no weight and explains nothing. None ever explains less.
                if weight > 0.0 {
                    self.most = self.most.max(*covered);
                }
            }
        }
        self.coverage = self.coverage.max(self.cost - f64::from(self.most));
        pair
    }

    /// An endpoint that the session has not called before, and what it keeps least company with.
    fn surprise(
        &mut self,
        model: &SessionModel,
        endpoint: u64,
        harm: f64,
        share: f64,
        without: LeftOut<'_>,
    ) -> Pair {
        let alone = Pair { with: 0.0, both: 0.0, expected: 0.0, bits: -libm::log2(share) };
        let pairs = self.calls.iter().map(|first| model.pair(first.endpoint, endpoint, share, without));
        let most = pairs.max_by(|a, b| a.bits.total_cmp(&b.bits)).unwrap_or(alone);
        self.pair = self.pair.max(harm * most.bits);
        let holders = model.holders(endpoint);
        let hit: f64 = holders.iter().map(|&(t, _)| self.weights[usize::from(t)]).sum();
        let (whole, best) = sum_and_best(&self.weights);
        let best = if best > 0.0 { best } else { 1.0 };
        let chance = (hit / best + KERNEL_PRIOR * share) / (whole / best + KERNEL_PRIOR);
        self.kernel += harm * (-libm::log2(chance)).max(0.0);
        // Those without the endpoint pay its share, which is to say that those with it gain by as much.
        for &(t, _) in holders {
            self.weights[usize::from(t)] /= share;
        }
        if best / share > SCALE_MAX {
            self.weights.iter_mut().for_each(|w| *w /= best);
            // What has fallen to nothing against the best explains nothing either.
            self.most = self.most_of_all();
        }
        most
    }

    /// The most that a template explains, by a look at all of them.
    fn most_of_all(&self) -> f32 {
        let weighs = self.covered.iter().zip(&self.weights).filter(|(_, w)| **w > 0.0);
        weighs.fold(0.0, |most, (covered, _)| most.max(*covered))
    }

    #[cfg(test)]
    pub(super) fn most_kept_and_of_all(&self) -> [u32; 2] {
        [self.most, self.most_of_all()].map(f32::to_bits)
    }
}

/// The sum of weights, none of which is negative, and the largest, in lanes that do not wait for each other.
fn sum_and_best(weights: &[f64]) -> (f64, f64) {
    let (mut sums, mut bests) = ([0.0; LANES], [0.0; LANES]);
    let (rows, rest) = weights.as_chunks::<LANES>();
    for row in rows {
        for lane in 0..LANES {
            sums[lane] += row[lane];
            bests[lane] = if row[lane] > bests[lane] { row[lane] } else { bests[lane] };
        }
    }
    let largest = bests.iter().chain(rest).fold(0.0, |best: f64, w| best.max(*w));
    (sums.iter().chain(rest).sum(), largest)
}
