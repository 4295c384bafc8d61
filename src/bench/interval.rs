//! Numbers with what they may be off by: 95 % intervals, exact where a law is known.

use serde::Serialize;
use statrs::distribution::{Beta, ChiSquared, ContinuousCDF};
use statrs::function::beta::beta_reg;

/// Left out on either side of an interval.
const TAIL: f64 = 0.025;

/// A number and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Estimate {
    /// How often `count` events in `exposure` are per unit of it, if they fall as a Poisson process.
    pub(crate) fn rate(count: u64, exposure: f64) -> Self {
        let (low, high) = poisson(count);
        let exposure = exposure.max(f64::MIN_POSITIVE);
        Self { value: count as f64 / exposure, low: low / exposure, high: high / exposure }
    }

    /// `hits` of `n`, with the interval of Clopper and Pearson (1934).
    pub(crate) fn share(hits: usize, n: usize) -> Self {
        let (k, m) = (hits as f64, (n - hits) as f64);
        let quantile = |a: f64, b: f64, p: f64| Beta::new(a, b).map_or(p, |law| law.inverse_cdf(p));
        let low = if hits == 0 { 0.0 } else { quantile(k, m + 1.0, TAIL) };
        let high = if hits == n { 1.0 } else { quantile(k + 1.0, m, 1.0 - TAIL) };
        Self { value: if n == 0 { 0.0 } else { k / n as f64 }, low, high }
    }
}

/// The exact 95 % interval of a Poisson mean of which `count` was seen (Garwood, 1936).
fn poisson(count: u64) -> (f64, f64) {
    let low = if count == 0 { 0.0 } else { chi_squared(2 * count, TAIL) / 2.0 };
    (low, chi_squared(2 * count + 2, 1.0 - TAIL) / 2.0)
}

/// What a Poisson mean is below with 95 % confidence when `count` was seen.
pub(crate) fn poisson_upper(count: u64) -> f64 {
    chi_squared(2 * count + 2, 0.95) / 2.0
}

fn chi_squared(freedom: u64, p: f64) -> f64 {
    ChiSquared::new(freedom as f64).map_or(f64::INFINITY, |law| law.inverse_cdf(p))
}

/// Delays over agents. `null` stands for "not found": an agent that was missed waited for ever.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: Option<f64>,
    /// The 95 % interval of the median from order statistics.
    pub(crate) low: Option<f64>,
    pub(crate) high: Option<f64>,
    pub(crate) p90: Option<f64>,
}

impl Spread {
    /// Of delays in which infinity is a miss. `None` of none.
    pub(crate) fn of(mut delays: Vec<f64>) -> Option<Self> {
        delays.sort_by(f64::total_cmp);
        let n = delays.len();
        let at = |i: usize| delays.get(i).copied();
        let found = |x: Option<f64>| x.filter(|x| x.is_finite());
        let median = f64::midpoint(at(n.checked_sub(1)? / 2)?, at(n / 2)?);
        let outside = order_outside(n);
        Some(Self {
            median: found(Some(median)),
            low: found(outside.and_then(|k| at(k - 1))),
            high: found(outside.and_then(|k| at(n - k))),
            p90: found(at((9 * n).div_ceil(10).max(1) - 1)),
        })
    }
}

/// The largest k for which the k-th smallest and the k-th largest of n hold the median between them with 95 %.
fn order_outside(n: usize) -> Option<usize> {
    // P(Binomial(n, 1/2) <= k - 1) is a regularised incomplete beta function.
    let below = |k: usize| beta_reg((n - k + 1) as f64, k as f64, 0.5);
    (1..=n / 2).take_while(|&k| below(k) <= TAIL).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.chi2.ppf([.025, .975], [2 * n, 2 * n + 2]) / 2`
    #[test]
    fn poisson_intervals_are_the_known_ones() {
        for (n, low, high) in
            [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (3, 0.6187, 8.7673), (100, 81.3639, 121.6272)]
        {
            let e = Estimate::rate(n, 1.0);
            assert!((e.low - low).abs() < 1e-3 && (e.high - high).abs() < 1e-3, "{n}: {e:?}");
        }
        assert!((poisson_upper(0) - 2.9957).abs() < 1e-3);
    }

    /// `scipy.stats.binomtest(36, 40).proportion_ci()`
    #[test]
    fn shares_have_exact_intervals() {
        let e = Estimate::share(36, 40);
        assert!((e.low - 0.7634).abs() < 1e-3 && (e.high - 0.9721).abs() < 1e-3, "{e:?}");
        assert_eq!((Estimate::share(0, 5).low, Estimate::share(5, 5).high), (0.0, 1.0));
    }

    /// For n = 40 the tables of the sign test give the 14th and the 27th value.
    #[test]
    fn medians_have_intervals_and_misses_are_infinite() {
        let s = Spread::of((1..=40).map(f64::from).collect()).unwrap();
        assert_eq!((s.low, s.median, s.high, s.p90), (Some(14.0), Some(20.5), Some(27.0), Some(36.0)));
        let s = Spread::of(vec![1.0, 2.0, f64::INFINITY, f64::INFINITY, f64::INFINITY]).unwrap();
        assert_eq!((s.median, s.low, s.p90), (None, None, None));
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
