//! Natural logarithms of several numbers at once.
//!
//! Likelihood ratios over a grid of factors take five logarithms of a kind. Without a branch or a call in it the compiler
//! takes them side by side, at a fourth of the price of five calls; and the digits are the same on every machine, which
//! those of the system's mathematics library are not.

/// Bits of √½: mantissas from there to √2 are nearest to 1.
const SQRT_HALF: u64 = 0x3FE6_A09E_667F_3BCD;
const ONE: u64 = 1023 << 52;
const FRACTION: u64 = (1 << 52) - 1;
/// 2^52 as a number and as bits; an integer in its mantissa is that number more.
const WHOLE: f64 = 4_503_599_627_370_496.0;
const WHOLE_BITS: u64 = 0x4330_0000_0000_0000;

/// A positive, finite, normal number as 2^octaves times one of 1 to 2.
pub(crate) fn octaves_of(number: f64) -> (f64, f64) {
    let bits = number.to_bits();
    let octaves = f64::from_bits(WHOLE_BITS | bits >> 52) - (WHOLE + 1023.0);
    (octaves, f64::from_bits(bits & FRACTION | ONE))
}

/// The logarithms of positive, finite, normal numbers, to 1e-15 of the larger of 1 and themselves.
///
/// Of a mantissa m, ln m = 2 atanh s with s = (m − 1)/(m + 1), |s| < 0.172, whose series ends below the last digit at s^21.
pub(crate) fn ln<const N: usize>(numbers: [f64; N]) -> [f64; N] {
    let mut logarithms = [0.0; N];
    for (logarithm, number) in logarithms.iter_mut().zip(numbers) {
        let bits = number.to_bits();
        let exponent = (bits + (ONE - SQRT_HALF)) >> 52;
        let octaves = f64::from_bits(WHOLE_BITS | exponent) - (WHOLE + 1023.0);
        let mantissa = f64::from_bits(bits.wrapping_sub(exponent << 52).wrapping_add(ONE));
        let s = (mantissa - 1.0) / (mantissa + 1.0);
        let (s2, s4) = (s * s, s * s * s * s);
        // Every second term of the series in s²: two halves that do not wait for each other.
        let odd = (((1.0 / 19.0 * s4 + 1.0 / 15.0) * s4 + 1.0 / 11.0) * s4 + 1.0 / 7.0) * s4 + 1.0 / 3.0;
        let even =
            ((((1.0 / 21.0 * s4 + 1.0 / 17.0) * s4 + 1.0 / 13.0) * s4 + 1.0 / 9.0) * s4 + 1.0 / 5.0) * s4;
        *logarithm = octaves * std::f64::consts::LN_2 + 2.0 * s * (1.0 + (even + s2 * odd));
    }
    logarithms
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn it_is_the_logarithm(octaves in -1_000.0..1_000.0_f64, near in -1e-3..1e-3_f64) {
            for x in [octaves.exp2(), 1.0 + near, std::f64::consts::FRAC_1_SQRT_2, 1.0, 2.0] {
                let ([got], want) = (ln([x]), libm::log(x));
                proptest::prop_assert!((got - want).abs() <= 1e-15 * want.abs().max(1.0), "{x}: {got} {want}");
            }
        }
    }
}
