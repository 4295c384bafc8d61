//! From a session's statistics to the chance that a normal session ends as high (endpoint study §1, "Calibration").

use serde::{Deserialize, Serialize};

use super::COMPARES_FROM;

/// A session that stands higher by less than this is no more unusual: where nearly all sessions are alike, a rank alone would make
/// news of a rounding.
const STEP: f64 = 0.15;
/// The share of sessions whose excesses make the tail, and the least mean excess.
const TAIL_SHARE: f64 = 0.1;
const SCALE_MIN: f64 = STEP;
/// An exponential tail from its tenth to its hundredth, where calibration ends, is on average this much shorter than the whole of
/// it: 1 / (1 − ln 10 · 0.1 / 0.9).
const UNCUT: f64 = 1.344;

/// What normal sessions ended at, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ends {
    sorted: Vec<f32>,
    /// Where the tail begins, and the mean excess over it.
    from: f64,
    scale: f64,
}

impl Ends {
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f32> = values.map(|v| v as f32).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let n = sorted.len();
        let first = ((n as f64 * (1.0 - TAIL_SHARE)) as usize).min(n.saturating_sub(1));
        let from = sorted.get(first).map_or(0.0, |&v| f64::from(v));
        let excess: f64 = sorted[first.min(n)..].iter().map(|&v| f64::from(v) - from).sum();
        let scale = (excess / ((n - first.min(n)) as f64).max(1.0)).max(SCALE_MIN) * UNCUT;
        Self { sorted, from, scale }
    }

    #[cfg(test)]
    pub(super) fn bytes_of_lists(&self) -> usize {
        self.sorted.capacity() * size_of::<f32>()
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The chance that a normal session ends at `value` or higher: its rank, and beyond all of them an exponential tail.
    /// Statistics that never fall make it valid, and careful, at every call of a session at once.
    pub(super) fn chance(&self, value: f64) -> f64 {
        let n = self.sorted.len();
        let higher = n - self.sorted.partition_point(|&v| f64::from(v) < value - STEP);
        let rank = (higher as f64 + 1.0) / (n as f64 + 1.0);
        if higher > 0 || n < COMPARES_FROM {
            return rank;
        }
        rank.min(TAIL_SHARE * libm::exp(-(value - self.from) / self.scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chance_is_the_rank_and_beyond_it_a_tail() {
        let few = Ends::of((0..99).map(f64::from));
        assert!((few.chance(-1.0) - 1.0).abs() < 1e-12 && (few.chance(98.0) - 0.02).abs() < 1e-12);
        assert!((few.chance(1e6) - 0.01).abs() < 1e-12, "too few to say more");
        let many = Ends::of((0..999).map(f64::from));
        let mut before = 1.1;
        for value in 0..1_400 {
            let chance = many.chance(f64::from(value));
            assert!(chance > 0.0 && chance <= before, "{value}");
            before = chance;
        }
        // A tenth of the sessions lies 50 above 899 on average, 66 had none been cut off: 400 more is e^-6 of it, or so.
        assert!((1e-4..1e-3).contains(&many.chance(1_299.0)), "{}", many.chance(1_299.0));
        assert!((Ends::default().chance(5.0) - 1.0).abs() < 1e-12);
    }
}
