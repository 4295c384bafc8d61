//! Agents that keep a period: how far each gap is from a whole multiple of it (volume-timing study §2, "Periodic
//! agents").

use libm::{exp, fabs, log, rint};
use serde::{Deserialize, Serialize};

use crate::stored::Stored;

/// A gap of more periods than this says nothing of the phase; missed firings are not news.
const PERIODS_MAX: f64 = 4.0;
/// How slowly the estimate moves once it is settled.
const STEP: f64 = 0.01;
/// Largest relative step of the period, least scale, and the scale under which an agent counts as periodic.
const STEP_MAX: f64 = 0.05;
const SCALE_MIN: f64 = 1e-3;
const SCALE_PERIODIC: f64 = 0.12;
const SCALE_YOUNG: f64 = 0.1;
/// Gaps within [`PERIODS_MAX`] after which an agent may count as periodic, what a longer one takes back, and the most that
/// are counted. Without this an agent whose first gap was short would keep a "period" that no gap ever tests.
const KEPT_MIN: u16 = 200;
const KEPT_LOST: u16 = 5;
const KEPT_MAX: u16 = 1_000;
/// The null's share of Laplace; the rest is even over one period. A too regular agent has a fourth of the scale.
const LAPLACE: f64 = 0.97;
const TIGHTER: f64 = 4.0;
/// What a gap of too many periods adds to "not periodic", nats.
const LOST: f64 = 1.0;

/// Period, scale of the residual, and the CUSUMs of its two alternatives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Phase<S> {
    period_s: S,
    scale: S,
    /// Not periodic any more, and too regular.
    sums: [S; 2],
    /// Gaps that the period explained, less those that it did not.
    kept: u16,
}

/// A gap beside the period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Beat {
    /// Of more periods than say anything.
    Lost,
    /// So far from a whole number of them, in periods, where such a scale was usual.
    Off(f64, f64),
}

impl<S: Stored> Phase<S> {
    pub(super) fn new() -> Self {
        Self { period_s: S::default(), scale: S::put(SCALE_YOUNG), sums: [S::default(); 2], kept: 0 }
    }

    /// Whether the agent keeps a period well enough to be held to it.
    pub(super) fn is_periodic(&self) -> bool {
        self.kept >= KEPT_MIN && self.scale.get() < SCALE_PERIODIC
    }

    /// The period in seconds, 0 before the second event.
    pub(super) fn period_s(&self) -> f64 {
        self.period_s.get()
    }

    /// The larger of the two sums less the price of taking it, and which it is.
    pub(super) fn evidence(&self) -> (f64, usize) {
        let [lost, tight] = self.sums.map(Stored::get);
        let (sum, i) = if tight > lost { (tight, 1) } else { (lost, 0) };
        (sum - std::f64::consts::LN_2, i)
    }

    /// Takes a gap in.
    pub(super) fn take(&mut self, gap_s: f64) -> Beat {
        if self.period_s.get() <= 0.0 {
            self.period_s = S::put(gap_s);
        }
        let (period, scale) = (self.period_s.get(), self.scale.get());
        let periods = rint(gap_s / period);
        if (1.0..=PERIODS_MAX).contains(&periods) {
            self.kept = (self.kept + 1).min(KEPT_MAX);
        } else {
            self.kept = self.kept.saturating_sub(KEPT_LOST);
            if self.kept == 0 {
                // No period has held so far, or one that is longer than the agent's: perhaps this gap is it.
                *self = Self { period_s: S::put(gap_s), ..Self::new() };
                return Beat::Lost;
            }
        }
        if periods > PERIODS_MAX {
            return Beat::Lost;
        }
        let periods = periods.max(1.0);
        let off = gap_s / period - periods;
        let step = if self.kept > KEPT_MIN { STEP } else { 1.0 / (f64::from(self.kept) + 1.0) };
        let relative = (off / periods).clamp(-STEP_MAX, STEP_MAX);
        self.period_s.update(|p| p * exp(step * relative));
        let target = fabs(off).min(4.0 * scale + SCALE_MIN);
        self.scale.update(|s| (s + step * (target - s)).max(SCALE_MIN));
        Beat::Off(fabs(off), scale)
    }

    /// Adds to both sums what a gap says.
    pub(super) fn weigh(&mut self, beat: Beat) {
        let [lost, tight] = match beat {
            Beat::Lost => [LOST, 0.0],
            Beat::Off(off, scale) => {
                let laplace = |scale: f64| LAPLACE * exp(-off / scale) / (2.0 * scale) + (1.0 - LAPLACE);
                let null = laplace(scale);
                [-log(null), log(laplace((scale / TIGHTER).max(SCALE_MIN)) / null)]
            }
        };
        self.sums[0].update(|s| (s + lost).max(0.0));
        self.sums[1].update(|s| (s + tight).max(0.0));
    }

    #[cfg(test)]
    pub(super) fn numbers(&self) -> [f64; 4] {
        [self.period_s, self.scale, self.sums[0], self.sums[1]].map(Stored::get)
    }

    pub(super) fn rest(&mut self) {
        self.sums = [S::default(); 2];
    }
}
