//! How far counts scatter around their means: two moments, and how much of a burst the agent's last windows announce.

use serde::{Deserialize, Serialize};

use super::scale::Idle;
use crate::stored::Stored;

/// Weight of the prior, in windows; 1/r = 3, and a Fano factor of 0.9 of a window's mean where that is over 1 (study §1,
/// "Dispersion").
const PRIOR_WINDOWS: f64 = 30.0;
const PRIOR_SHAPE: f64 = 3.0;
const PRIOR_FANO: f64 = 0.9;
/// Least relative variance beyond Poisson, and the least mean and excess it is divided by.
const RELATIVE_MIN: f64 = 1e-3;
const EXCESS_MIN: f64 = 1e-6;
const MEAN_MIN: f64 = 1e-9;
/// Below this mean a window's Fano factor is not taken at its word.
const FANO_MEAN_MIN: f64 = 0.05;
/// One window is at most six deviations (study: `q`).
const DEVIATIONS2_MAX: f64 = 36.0;
const SQUARE_FREE: f64 = 4.0;

/// Moments of a scale's window counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Scatter<S> {
    /// Σq and Σm² of the quadratic moment, 1/r = Σq/Σm².
    excess: S,
    square: S,
    /// Σq/m and how many, of the linear one, F − 1 = mean(q/m).
    fano: S,
    windows: S,
}

impl<S: Stored> Scatter<S> {
    /// The prior's weight of windows that are expected to hold `m` calls and have this shape.
    pub(super) fn of(m: f64, Shape { relative, fano }: Shape) -> Self {
        let square = PRIOR_WINDOWS * m * m;
        Self {
            excess: S::put(relative * square),
            square: S::put(square),
            fano: S::put(PRIOR_WINDOWS * fano),
            windows: S::put(PRIOR_WINDOWS),
        }
    }

    #[cfg(test)]
    pub(super) fn moments(&self) -> [f64; 4] {
        [self.excess.get(), self.square.get(), self.fano.get(), self.windows.get()]
    }

    /// 1/r, the relative variance beyond Poisson by the quadratic moment.
    pub(super) fn relative(&self) -> f64 {
        (self.excess.get() / self.square.get().max(f64::MIN_POSITIVE)).max(RELATIVE_MIN)
    }

    /// F − 1, the variance beyond Poisson per call, by the linear moment.
    pub(super) fn fano(&self) -> f64 {
        (self.fano.get() / self.windows.get()).max(0.0)
    }

    /// What the windows weigh in [`Echo`] together, each taken for one of the usual size.
    pub(super) fn weight(&self) -> f64 {
        let m = libm::sqrt(self.square.get() / self.windows.get());
        self.windows.get() * m / (1.0 + m)
    }

    /// The shape of whole windows of this scale, at any mean.
    pub(super) fn shape(&self) -> Shape {
        Shape { relative: self.relative(), fano: self.fano() }
    }

    /// A window that was expected to hold `m` calls held `n`; `fade` is what is left of the past after one window.
    pub(super) fn learn(&mut self, n: f64, m: f64, fade: f64) {
        self.learn_many(n, m, fade, 1.0);
    }

    /// `k` windows that were each expected to hold `m` calls held `n`; `fade` is what is left after all of them, and `k`
    /// what they weigh then.
    pub(super) fn learn_many(&mut self, n: f64, m: f64, fade: f64, k: f64) {
        self.take(n, m, self.shape().at(m), fade, k);
    }

    /// The same, where the shape of the law whose six deviations are the most a count may say is given.
    pub(super) fn take(&mut self, n: f64, m: f64, shape: f64, fade: f64, k: f64) {
        let q = beyond_chance(n, m, shape);
        let linear = q / m.max(FANO_MEAN_MIN) * (m / FANO_MEAN_MIN).min(1.0);
        self.fano.update(|f| f * fade + k * linear);
        self.windows.update(|w| w * fade + k);
        self.square.update(|s| s * fade + k * m * m);
        let least = RELATIVE_MIN * self.square.get();
        self.excess.update(|e| (e * fade + k * q).max(least));
    }
}

/// By how much a window of `n` calls where `m` were expected scatters more than chance; at most six deviations of the shape.
fn beyond_chance(n: f64, m: f64, shape: f64) -> f64 {
    ((n - m) * (n - m)).min(DEVIATIONS2_MAX * (m + m * m / shape) + SQUARE_FREE) - m
}

/// How windows of one length scatter among agents that are known well: what a new one is believed to do.
///
/// Sums over windows of what exceeds chance, of squared and of plain expectations, each over 1 + m, so that no busy agent
/// speaks for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PeerScatter {
    excess: f64,
    square: f64,
    calls: f64,
}

/// Calls of peers from which their scatter is believed, and how much wider a newcomer's may be than theirs on the whole.
const PEERS_CALLS: f64 = 1_000.0;
const PEERS_WIDER: f64 = 2.0;

impl PeerScatter {
    /// `k` windows of a peer of this shape, where `m` calls were expected, held `n` each.
    pub(super) fn learn(&mut self, n: f64, m: f64, shape: f64, k: f64) {
        let weight = k / (1.0 + m);
        self.excess += weight * beyond_chance(n, m, shape);
        self.square += weight * m * m;
        self.calls += weight * m;
    }

    pub(super) fn add(&mut self, Self { excess, square, calls }: Self) {
        self.excess += excess;
        self.square += square;
        self.calls += calls;
    }

    /// The prior of windows that are expected to hold `m` calls: their shape, and the size of clumps. At most so many times the
    /// study's, whatever peers do.
    pub(super) fn prior(&self, m: f64, most: f64) -> (Shape, f64) {
        let (mut relative, mut clumps) = (PRIOR_SHAPE, CLUMPS_FANO);
        if self.calls >= PEERS_CALLS {
            let excess = PEERS_WIDER * self.excess.max(0.0);
            relative = (excess / self.square).clamp(RELATIVE_MIN, most * PRIOR_SHAPE);
            clumps = (excess / self.calls).min(most * CLUMPS_FANO);
        }
        let fano = (PRIOR_FANO * relative / PRIOR_SHAPE * m).max(clumps / CLUMPS_FANO);
        (Shape { relative, fano }, clumps)
    }
}

/// How large the clumps are that calls come in, F − 1 = Σq/Σm, believed only as far as calls were seen.
///
/// The moments above weigh windows, so that an agent that works in sessions and rests looks like chance after a day of
/// rest, and its next session like an attack. Here the prior gives way to calls alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Clumps<S> {
    excess: S,
    calls: S,
}

/// The prior's weight in calls, and its F − 1: sessions of five calls, the median of the recorded ones
/// (fixtures/agent-traces).
const CLUMPS_CALLS: f64 = 30.0;
const CLUMPS_FANO: f64 = 4.0;

impl<S: Stored> Clumps<S> {
    /// The prior's weight of calls of a known F − 1.
    pub(super) fn of(fano: f64) -> Self {
        Self { excess: S::put(CLUMPS_CALLS * fano), calls: S::put(CLUMPS_CALLS) }
    }

    /// F − 1.
    pub(super) fn fano(&self) -> f64 {
        if self.calls.get() > 0.0 { (self.excess.get() / self.calls.get()).max(0.0) } else { 0.0 }
    }

    /// As [`Scatter::learn_many`]. One window is at most six deviations, or six clumps where less than a call is expected.
    pub(super) fn learn_many(&mut self, n: f64, m: f64, fade: f64, k: f64) {
        let clump = 1.0 + self.fano();
        let q = ((n - m) * (n - m)).min(DEVIATIONS2_MAX * (m * clump).max(clump * clump)) - m;
        self.excess.update(|e| e * fade + k * q);
        self.calls.update(|c| c * fade + k * m);
    }
}

/// What two moments say of the mixed Poisson's shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) relative: f64,
    pub(super) fano: f64,
}

impl Shape {
    /// The shape r at mean `m`: the smaller of what both moments say. With the linear one r falls with m, so that calls
    /// that come together early in a window are one clump and no evidence by themselves.
    pub(super) fn at(self, m: f64) -> f64 {
        (1.0 / self.relative.max(RELATIVE_MIN)).min(m.max(MEAN_MIN) / self.fano.max(EXCESS_MIN))
    }
}

/// What the last windows announce of the next one: the self-exciting null (study §1).
///
/// No more is announced than the agent has shown: deviations of the running mean count up to (1 + their own root of mean
/// square)^5 − 1, five deviations of a logarithm. A regular agent's tenth that lasts all evening then excuses no attack five times as large, and a session
/// still excuses itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Echo<S> {
    /// Running mean of observed over expected, less 1: a fresh one is zero.
    recent: S,
    /// Σw(x−1)(y−1) and Σw(x−1)² less its prior, from which φ is made.
    with: S,
    square: S,
    /// φ times the deviation.
    next: S,
}

/// Weight of the prior φ = 0, how fast the running mean moves, the largest ratio it takes, and the largest φ.
const ECHO_PRIOR: f64 = 30.0;
pub(super) const ECHO_STEP: f64 = 0.25;
const ECHO_RATIO_MAX: f64 = 30.0;
const ECHO_MAX: f64 = 0.95;

impl<S: Stored> Echo<S> {
    /// A fresh one: nothing is announced.
    pub(super) fn new() -> Self {
        Self { square: S::put(ECHO_PRIOR), ..Self::default() }
    }

    /// φ, the share of a deviation that goes over to the next window.
    pub(super) fn share(&self) -> f64 {
        (self.with.get() / self.square.get()).clamp(0.0, ECHO_MAX)
    }

    /// By what the next window's expectation is multiplied: never below 1 for the test upward, never above for that
    /// downward, or the start of every session would be news.
    pub(super) fn factor(&self) -> f64 {
        1.0 + self.next.get()
    }

    /// `weight` gives that of all windows whose deviations were summed.
    fn announce(&mut self, weight: impl FnOnce() -> f64) {
        let mut x = self.recent.get();
        if x > 0.0 {
            let usual = 1.0 + libm::sqrt(self.square.get() / weight().max(f64::MIN_POSITIVE));
            x = x.min((usual * usual) * (usual * usual) * usual - 1.0);
        }
        self.next = S::put(self.share() * x);
    }

    /// A window that was expected to hold `m` held `n`; all windows weigh what `all` gives. In an excursion upward the share is not
    /// learned: a change that lasts would teach within minutes that it announces itself, and hide.
    pub(super) fn learn(&mut self, n: f64, m: f64, fade: f64, excursion: bool, all: impl FnOnce() -> f64) {
        let (y, mut weight) = ((n / m.max(1e-6)).min(ECHO_RATIO_MAX) - 1.0, m / (1.0 + m));
        if excursion {
            weight = 0.0;
        }
        let x = self.recent.get();
        self.with.update(|s| s * fade + weight * x * y);
        self.square.update(|s| s * fade + weight * x * x);
        self.recent.update(|x| x + ECHO_STEP * (y - x));
        self.announce(all);
    }

    /// Windows without a call that were each expected to hold `m`. The sums of a running mean on its way to nothing are
    /// geometric; what fades within the run itself is not told apart.
    pub(super) fn learn_idle(&mut self, m: f64, idle: &Idle, all: impl FnOnce() -> f64) {
        let (weight, start) = (m / (1.0 + m), self.recent.get() + 1.0);
        let Idle { windows: k, fade, echo: left, .. } = *idle;
        let sum = start * (1.0 - left) / ECHO_STEP;
        let squares = start * start * (1.0 - left * left) / (ECHO_STEP * (2.0 - ECHO_STEP));
        self.with.update(|s| s * fade + weight * (k - sum));
        self.square.update(|s| s * fade + weight * (k - 2.0 * sum + squares));
        self.recent = S::put(start * left - 1.0);
        self.announce(all);
    }

    #[cfg(test)]
    pub(super) fn numbers(&self) -> [f64; 3] {
        [self.recent.get() + 1.0, self.with.get(), self.square.get()]
    }
}
