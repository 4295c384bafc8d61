//! Numbers as they lie in an agent's state: small, and the same bytes wherever they are restored.
//!
//! All arithmetic is in `f64`; what is kept of it is an `f32` or, where a millionth of it is never missed, 16 bits. The
//! tests keep `f64` instead, to compare with the reference before rounding and to say what rounding costs.

use std::fmt;
use std::marker::PhantomData;

use hashbrown::HashMap;
use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A place for a number.
pub(crate) trait Stored: Copy + Default + PartialEq + fmt::Debug {
    fn put(x: f64) -> Self;
    fn get(self) -> f64;

    fn update(&mut self, f: impl FnOnce(f64) -> f64) {
        *self = Self::put(f(self.get()));
    }

    /// Keeps the number, rounded up with a chance that makes the rounding right on average: small steps then add up even
    /// where one of them is less than the last digit. `chance` is between 0 and 1 and the same in every run.
    fn put_fairly(x: f64, _chance: f64) -> Self {
        Self::put(x)
    }
}

impl Stored for f64 {
    fn put(x: f64) -> Self {
        x
    }
    fn get(self) -> f64 {
        self
    }
}

impl Stored for f32 {
    fn put(x: f64) -> Self {
        x as f32
    }
    fn get(self) -> f64 {
        f64::from(self)
    }
}

/// A number ≥ 0 in 16 bits: zero, or 2^-30 to 2^44 to three digits (6 bits of exponent, 10 of mantissa, rounded to the
/// nearest, so within 2^-11 of the number and 2^-20). Larger ones are held at the largest.
///
/// The code is the upper half of an `f32` that is larger by 2^-20, so that code 0 is zero without a branch and the compiler
/// takes many of them side by side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Half(u16);

/// What is added, 2^-20, and its upper bits: those of code 0.
const HALF_LEAST: f32 = 1.0 / 1_048_576.0;
const HALF_OFFSET: u32 = (127 - 20) << 10;
const HALF_SHIFT: u32 = 23 - 10;

impl Stored for Half {
    fn put(x: f64) -> Self {
        Self::put_fairly(x, 0.5)
    }

    fn put_fairly(x: f64, chance: f64) -> Self {
        // NaN and negative numbers are kept as nothing.
        let x = (x as f32).max(0.0) + HALF_LEAST;
        let rounded = (x.to_bits() + (chance * f64::from(1 << HALF_SHIFT)) as u32) >> HALF_SHIFT;
        Self(u16::try_from(rounded.saturating_sub(HALF_OFFSET)).unwrap_or(u16::MAX))
    }

    fn get(self) -> f64 {
        f64::from(f32::from_bits((u32::from(self.0) + HALF_OFFSET) << HALF_SHIFT) - HALF_LEAST)
    }
}

/// An array of any length that serde takes as a tuple.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row<S, const N: usize>(pub(crate) [S; N]);

impl<S: Stored, const N: usize> Default for Row<S, N> {
    fn default() -> Self {
        Self([S::default(); N])
    }
}

impl<S: Serialize, const N: usize> Serialize for Row<S, N> {
    fn serialize<Z: Serializer>(&self, s: Z) -> Result<Z::Ok, Z::Error> {
        let mut tuple = s.serialize_tuple(N)?;
        self.0.iter().try_for_each(|x| tuple.serialize_element(x))?;
        tuple.end()
    }
}

impl<'de, S: Stored + Deserialize<'de>, const N: usize> Deserialize<'de> for Row<S, N> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Cells<S, const N: usize>(PhantomData<S>);
        impl<'de, S: Stored + Deserialize<'de>, const N: usize> Visitor<'de> for Cells<S, N> {
            type Value = Row<S, N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{N} numbers")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut row = Row::default();
                for (i, cell) in row.0.iter_mut().enumerate() {
                    *cell = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(i, &self))?;
                }
                Ok(row)
            }
        }
        d.deserialize_tuple(N, Cells(PhantomData))
    }
}

/// The same map is always the same bytes: for `serialize_with`.
pub(crate) fn in_order<K, V, H, S>(map: &HashMap<K, V, H>, s: S) -> Result<S::Ok, S::Error>
where
    K: Ord + Serialize,
    V: Serialize,
    S: Serializer,
{
    let mut sorted: Vec<_> = map.iter().collect();
    sorted.sort_unstable_by(|a, b| a.0.cmp(b.0));
    s.collect_map(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn half_keeps_three_digits(log2 in -40.0..43.9_f64) {
            let x = log2.exp2();
            let kept = Half::put(x).get();
            proptest::prop_assert!((kept - x).abs() <= (x + f64::from(HALF_LEAST)) / 2047.0, "{x} {kept}");
            proptest::prop_assert_eq!(Half::put(kept), Half::put(x));
        }
    }

    #[test]
    fn half_has_ends() {
        for nothing in [0.0, -1.0, f64::NAN, 1e-10] {
            assert_eq!(Half::put(nothing), Half(0), "{nothing}");
        }
        assert_eq!(Half::put(f64::INFINITY), Half::put(1e30));
        assert!(Half::put(1e30).get() > 1e13);
    }
}
