//! How likely so many are, where chance brings so many on average.

use libm::{exp, lgamma, log};

/// Terms under this share of the sum are not added any more.
const NEGLIGIBLE: f64 = 1e-17;

/// P(N ≥ n) for N Poisson with mean `mean` ≥ 0, to about 1e-8 of itself; n counts as the whole number below it.
///
/// The smaller tail is summed from its largest term on, so it takes a few times √mean terms and a chance of 1e-30 is
/// still a number.
pub(crate) fn at_least(n: f64, mean: f64) -> f64 {
    let n = n.floor();
    if n < 1.0 {
        return 1.0;
    }
    if mean <= 0.0 {
        return 0.0;
    }
    let chance_of = |k: f64| exp(k * log(mean) - mean - lgamma(k + 1.0));
    // Each term over the one before it: up from n it is mean/k, down from n − 1 it is k/mean.
    if n > mean {
        chance_of(n) * sum(n, |k| mean / (k + 1.0), 1.0)
    } else {
        1.0 - chance_of(n - 1.0) * sum(n - 1.0, |k| k / mean, -1.0)
    }
}

/// 1 and all that follow, by their ratios; these fall, so the sum is done when a term is nothing beside it.
fn sum(from: f64, ratio: impl Fn(f64) -> f64, step: f64) -> f64 {
    let (mut k, mut term, mut sum) = (from, 1.0, 1.0);
    while term > NEGLIGIBLE * sum {
        term *= ratio(k);
        sum += term;
        k += step;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One less the sum of e^−m m^k/k! for k < n, in 80 digits (Python's `decimal`).
    #[test]
    fn it_is_the_exact_sum() {
        for (n, mean, exact) in TABLE {
            let got = at_least(n, mean);
            assert!((got - exact).abs() <= 1e-8 * exact, "P(N >= {n} | {mean}): {got:e}, not {exact:e}");
        }
        assert_eq!((at_least(0.9, 5.0), at_least(1.0, 0.0)), (1.0, 0.0));
    }

    const TABLE: [(f64, f64, f64); 11] = [
        (1.0, 0.01, 9.950_166_250_832e-3),
        (3.0, 0.3, 3.599_493_183_089e-3),
        (12.0, 0.3, 8.413_024_992_655e-16),
        (5.0, 1.0, 3.659_846_827_344e-3),
        (1.0, 1.0, 6.321_205_588_286e-1),
        (10.0, 10.0, 5.420_702_855_281e-1),
        (50.0, 33.0, 3.473_806_719_301e-3),
        (33.0, 33.0, 5.231_526_113_370e-1),
        (12.0, 33.0, 9.999_913_267_423e-1),
        (4_500.0, 4_285.7, 5.939_386_512_187e-4),
        (60.0, 4.2, 4.804_952_920_223e-47),
    ];
}
