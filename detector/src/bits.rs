//! Evidence in bits, held so that sums are exact in any order.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Evidence in millionths of a bit.
///
/// Integers add exactly in any order, so a score is the sum of its parts to the last digit. As text and JSON it is a
/// number of bits with at most six decimals; in binary formats it is the integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MicroBits(i64);

/// No finite evidence is larger than this (2^-1000 is less likely than anything a test can show).
const BITS_MAX: f64 = 1_000.0;

/// The nearest integer, of two the one farther from zero, of a number within ±2^51; of NaN zero. As [`f64::round`], which without
/// an instruction for it is a call.
pub(crate) fn rounded(x: f64) -> i64 {
    // The largest number under a half: with a half itself the sum would be rounded up for what is just under one.
    (x + 0.5_f64.next_down().copysign(x)) as i64
}

impl MicroBits {
    /// No evidence either way.
    pub const ZERO: Self = Self(0);

    /// From the integer itself.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Rounds to the nearest millionth; clamped to ±1,000 bits; NaN is read as zero evidence.
    pub fn from_bits(bits: f64) -> Self {
        Self(rounded(bits.clamp(-BITS_MAX, BITS_MAX) * 1e6))
    }

    /// The integer itself.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// As bits.
    pub fn as_bits(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Add for MicroBits {
    type Output = Self;
    fn add(self, rhs: Self) -> Self {
        Self(self.0.saturating_add(rhs.0))
    }
}
impl Sub for MicroBits {
    type Output = Self;
    fn sub(self, rhs: Self) -> Self {
        Self(self.0.saturating_sub(rhs.0))
    }
}
impl Neg for MicroBits {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}
impl AddAssign for MicroBits {
    fn add_assign(&mut self, rhs: Self) {
        *self = *self + rhs;
    }
}
impl Sum for MicroBits {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for MicroBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = f.precision().unwrap_or(1);
        if f.sign_plus() {
            write!(f, "{:+.precision$}", self.as_bits())
        } else {
            write!(f, "{:.precision$}", self.as_bits())
        }
    }
}

impl Serialize for MicroBits {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.serialize_f64(self.as_bits()) } else { s.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for MicroBits {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let bits = f64::deserialize(d)?;
            if bits.is_finite() && bits.abs() <= BITS_MAX {
                Ok(Self::from_bits(bits))
            } else {
                Err(serde::de::Error::custom(format_args!(
                    "{bits} is not a number of bits within ±{BITS_MAX}"
                )))
            }
        } else {
            i64::deserialize(d).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn rounded_is_round(whole in -1_000_000_000..1_000_000_000_i32, off in 0.0..1.0_f64) {
            let half = f64::from(whole) + 0.5;
            for x in [f64::from(whole) + off, half, half.next_up(), half.next_down(), 0.5_f64.next_down()] {
                proptest::prop_assert_eq!(rounded(x), x.round() as i64, "{}", x);
            }
        }

        #[test]
        fn json_keeps_every_millionth(micros in -1_000_000_000_i64..=1_000_000_000) {
            let bits = MicroBits::from_micros(micros);
            let json = serde_json::to_string(&bits).unwrap();
            proptest::prop_assert_eq!(serde_json::from_str::<MicroBits>(&json).unwrap(), bits);
        }
    }
}
