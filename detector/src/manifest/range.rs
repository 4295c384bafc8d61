//! The range that an argument of calls must stay within.

use serde::{Deserialize, Serialize};

/// Both ends belong to it; one of them at least is declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArgRange {
    /// The least value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The largest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

impl ArgRange {
    /// Whether it says something, and nothing impossible.
    pub(super) fn is_sound(&self) -> bool {
        let are_finite = self.min.into_iter().chain(self.max).all(f64::is_finite);
        let in_order = self.min.zip(self.max).is_none_or(|(min, max)| min <= max);
        are_finite && in_order && (self.min.is_some() || self.max.is_some())
    }

    /// Where `value` lies outside: the value and the end that it is beyond, as whole numbers, rounded apart; twice 0 where one
    /// of them is negative, as a verdict's numbers are not.
    pub(crate) fn beyond(&self, value: f64) -> Option<(u64, u64)> {
        let above = self.max.filter(|max| value > *max);
        let below = self.min.filter(|min| value < *min);
        let (seen, end) = above
            .map(|max| (libm::ceil(value), libm::floor(max)))
            .or_else(|| below.map(|min| (libm::floor(value), libm::ceil(min))))?;
        Some(if seen < 0.0 || end < 0.0 { (0, 0) } else { (seen as u64, end as u64) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_belong_to_it_and_what_is_beyond_is_told_in_whole_numbers() {
        let range = ArgRange { min: Some(-2.0), max: Some(1_000.0) };
        assert!([-2.0, 0.0, 1_000.0].iter().all(|value| range.beyond(*value).is_none()));
        assert_eq!(range.beyond(1_000.01), Some((1_001, 1_000)));
        assert_eq!(range.beyond(-2.5), Some((0, 0)));
        assert_eq!(ArgRange { min: None, max: Some(-5.0) }.beyond(3.0), Some((0, 0)));
        assert_eq!(ArgRange { min: Some(5.0), max: None }.beyond(-3.0), Some((0, 0)));
        assert_eq!(ArgRange { min: Some(5.0), max: None }.beyond(4.9), Some((4, 5)));
        assert_eq!(range.beyond(1e300), Some((u64::MAX, 1_000)));
    }
}
