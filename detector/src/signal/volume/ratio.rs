//! Likelihood ratios of a mixed-Poisson (Polya) process, which may be read at any moment of an open window.
//!
//! `l_ρ(n, m) = n ln ρ − (r + n) ln((r + ρm)/(r + m))`: n events where m were expected so far, of an agent whose rate is
//! multiplied by ρ, against one whose is not (volume-timing study §1, "Sequential likelihood ratio"). In n it is a line,
//! so what does not depend on the count is computed once, and bounds of the logarithm tell where it need not be.

use std::f64::consts::{LN_2, LN_10};

use crate::ln::{ln, octaves_of};

/// Rate factors told apart upward (study: `rho_up`), and their logarithms.
pub(super) const UP: [f64; 5] = [1.5, 2.0, 4.0, 12.0, 50.0];
pub(super) const LN_UP: [f64; 5] =
    [0.405_465_108_108_164_4, LN_2, 2.0 * LN_2, 2.484_906_649_788_000_4, 3.912_023_005_428_146];
/// The same downward (study: `rho_dn`).
pub(super) const DOWN: [f64; 3] = [0.67, 0.4, 0.1];
pub(super) const LN_DOWN: [f64; 3] = [-0.400_477_566_597_125_25, -0.916_290_731_874_155, -LN_10];

/// The ratios of one direction as lines in the count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<const N: usize> {
    /// What one event adds, and what none at all gives.
    slope: [f64; N],
    none: [f64; N],
}

/// What an event says upward at most, after any `m` from this on whose shape is for it no larger than `r` is for this
/// one.
pub(super) fn most_per_event(m: f64, r: f64) -> f64 {
    LN_UP[4] - least_turn(UP[4], m / (r + m))
}

/// What the factor that explains them best says of `n` events where `m` were expected, nats: by Markov's inequality such an agent makes
/// as many in no more than one of e to that windows. Zero for no more than were expected.
pub(super) fn most_of_any(n: f64, m: f64, r: f64) -> f64 {
    if n <= m {
        return 0.0;
    }
    let [times, turn] = ln([n / m.max(f64::MIN_POSITIVE), (r + n) / (r + m)]);
    n * times - (r + n) * turn
}

/// Nowhere above ln(1 + x), x = (factor − 1)·`share` ≥ 0, by less than 3e-5: the octaves of 1 + x, and of what is left, y from 0
/// to 1, the Padé approximant of order 3/3, y(60 + y(60 + 11y))/(60 + y(90 + y(36 + 3y))).
fn least_turn(factor: f64, share: f64) -> f64 {
    let (octaves, mantissa) = octaves_of(1.0 + (factor - 1.0) * share);
    let y = mantissa - 1.0;
    octaves * LN_2 + y * (60.0 + y * (60.0 + 11.0 * y)) / (60.0 + y * (90.0 + y * (36.0 + 3.0 * y)))
}

impl Lines<5> {
    /// Upward, with `m` expected so far and the shape `r`.
    pub(super) fn up(m: f64, r: f64) -> Self {
        let part = 1.0 / (r + m);
        Self::new(r, LN_UP, ln(UP.map(|factor| (r + factor * m) * part)))
    }

    /// Nowhere below [`Self::up`], and without a logarithm.
    pub(super) fn up_bound(m: f64, r: f64) -> Self {
        let (share, mut turns) = (m / (r + m), UP);
        // A loop the compiler takes side by side; what maps an array it calls.
        for turn in &mut turns {
            *turn = least_turn(*turn, share);
        }
        Self::new(r, LN_UP, turns)
    }

    /// Nowhere below [`Self::up`] of any `m` from this on whose shape is `r_min` or more, and for its `m` no larger than
    /// `r_max` is for this one: what an event adds grows with the shape over the mean and depends on nothing else, and none at
    /// all says the less the smaller both are.
    pub(super) fn up_between(m: f64, (r_min, r_max): (f64, f64)) -> Self {
        Self { slope: Self::up_bound(m, r_max).slope, none: Self::up_bound(m, r_min).none }
    }

    /// Nowhere below what these lines, of `m` and `r`, become for any `m` or `r` that is larger, `r` up to `r_max`. With r
    /// the slope grows by less than its tangent, and everything else that m or r changes only lowers the ratios.
    pub(super) fn while_shape_grows(mut self, m: f64, r: f64, r_max: f64) -> Self {
        for (slope, factor) in self.slope.iter_mut().zip(UP) {
            *slope += (r_max - r) * (factor - 1.0) * m / ((r + m) * (r + factor * m));
        }
        self
    }

    /// The least count at which a sum that now stands at `sums` can reach `evidence`; below it no answer changes.
    pub(super) fn least_count(&self, sums: impl Fn(usize) -> f64, evidence: f64) -> u32 {
        let reach = |i: usize| (evidence - sums(i) - self.none[i]) / self.slope[i].max(f64::MIN_POSITIVE);
        let least = (0..5).map(reach).fold(f64::INFINITY, f64::min);
        // Less by one for the rounding of this very division: a count too small only means a look too early.
        (least.floor() - 1.0).clamp(0.0, f64::from(u32::MAX)) as u32
    }
}

impl Lines<3> {
    /// Downward.
    pub(super) fn down(m: f64, r: f64) -> Self {
        let part = 1.0 / (r + m);
        Self::new(r, LN_DOWN, ln(DOWN.map(|factor| (r + factor * m) * part)))
    }

    /// Nowhere below [`Self::down`]: for x ≥ 0, ln(1 + x) ≤ x(6 + x)/(6 + 4x), the Padé approximant of order 2/1.
    pub(super) fn down_bound(m: f64, r: f64) -> Self {
        let turn = |factor: f64| {
            let x = (1.0 - factor) * m / (r + factor * m);
            -x * (6.0 + x) / (6.0 + 4.0 * x)
        };
        Self::new(r, LN_DOWN, DOWN.map(turn))
    }

    /// Nowhere below [`Self::down`] of any shape up to `r_max`: the larger it is the more none at all says, and no event
    /// is evidence downward.
    pub(super) fn down_at_most(m: f64, r_max: f64) -> Self {
        Self { slope: [0.0; 3], ..Self::down_bound(m, r_max) }
    }
}

impl<const N: usize> Lines<N> {
    /// From the logarithms of the factors, and of what they turn the expectation by.
    fn new(r: f64, ln_factors: [f64; N], turns: [f64; N]) -> Self {
        Self { slope: std::array::from_fn(|i| ln_factors[i] - turns[i]), none: turns.map(|turn| -r * turn) }
    }

    /// The ratio of factor `i` after `n` events.
    pub(super) fn at(&self, i: usize, n: f64) -> f64 {
        self.none[i] + n * self.slope[i]
    }

    /// The largest of the sums with the ratios after `n` events added, and its place.
    pub(super) fn best(&self, sums: impl Fn(usize) -> f64, n: f64) -> (f64, usize) {
        let mut best = (f64::NEG_INFINITY, 0);
        for i in 0..N {
            let sum = sums(i) + self.at(i, n);
            if sum > best.0 {
                best = (sum, i);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_the_factors() {
        for (f, l) in UP.iter().zip(LN_UP).chain(DOWN.iter().zip(LN_DOWN)) {
            assert!((f.ln() - l).abs() < 1e-15, "{f}: {} != {l}", f.ln());
        }
    }

    proptest::proptest! {
        #[test]
        fn bounds_are_never_below(m in 0.0..1e4_f64, r in 1e-3..1e3_f64, more in 0.0..9.0_f64, n in 0..10_000_u32) {
            let n = f64::from(n);
            for i in 0..5 {
                let slack = 1e-9 * (1.0 + n);
                proptest::prop_assert!(Lines::up_bound(m, r).at(i, n) + slack >= Lines::up(m, r).at(i, n));
                let between = Lines::up_between(m, (r / 3.0, r));
                for share in [0.0, 0.3, 1.0] {
                    let (low, high) = (r / 3.0, r * (1.0 + more));
                    let later = Lines::up(m * (1.0 + more), low + share * (high - low));
                    proptest::prop_assert!(between.at(i, n) + slack >= later.at(i, n));
                    proptest::prop_assert!(n * most_per_event(m, r) + slack >= later.at(i, n));
                }
            }
            for i in 0..3 {
                let slack = 1e-9 * (1.0 + n);
                proptest::prop_assert!(Lines::down_bound(m, r).at(i, n) + slack >= Lines::down(m, r).at(i, n));
                let less = Lines::down(m, r / (1.0 + more));
                proptest::prop_assert!(Lines::down_at_most(m, r).at(i, n) + slack >= less.at(i, n));
            }
        }

        #[test]
        fn under_the_least_count_nothing_reaches(m in 0.0..1e3_f64, r in 1e-3..1e3_f64, s in 0.0..3.0_f64) {
            let (bound, exact) = (Lines::up_bound(m, r), Lines::up(m, r));
            let least = bound.least_count(|_| s, 3.6);
            for n in [0, least / 2, least.saturating_sub(1)] {
                proptest::prop_assert!(n >= least || exact.best(|_| s, f64::from(n)).0 < 3.6, "{n} of {least}");
            }
        }
    }
}
