//! When to try again.

use std::time::Duration;

/// The longest spread of a delay, as a share of it.
const JITTER: f64 = 0.2;

/// Delays before the second, third, … attempt. After the last one a delivery is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder(Vec<Duration>);

impl Ladder {
    /// These delays, in this order.
    pub fn new(delays: Vec<Duration>) -> Self {
        Self(delays)
    }

    /// The delay after `attempts` attempts, spread by `jitter` (0 to 1) to at most a fifth less or more, so that targets
    /// that failed together are not tried together for ever. None when it is time to give up.
    pub(super) fn after(&self, attempts: u32, jitter: f64) -> Option<Duration> {
        let delay = self.0.get(attempts.checked_sub(1)? as usize)?;
        Some(delay.mul_f64(1.0 + JITTER * (2.0 * jitter.clamp(0.0, 1.0) - 1.0)))
    }
}

impl Default for Ladder {
    /// Fast at first, since what is sent stops somebody: 1, 2, 5, 10 and 30 s. Then the hours of Standard Webhooks 1.0,
    /// 76 in all. Its own second attempt after 5 minutes would leave a revoked agent 5 minutes.
    fn default() -> Self {
        const SECONDS: [u64; 17] =
            [1, 2, 5, 10, 30, 60, 120, 300, 900, 1_800, 3_600, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
        Self(SECONDS.iter().map(|s| Duration::from_secs(*s)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_fast_then_patient_then_over() {
        let ladder = Ladder::default();
        let delays: Vec<u64> = (1..).map_while(|n| ladder.after(n, 0.5)).map(|d| d.as_secs()).collect();
        assert_eq!(delays[..5], [1, 2, 5, 10, 30]);
        assert!(delays.is_sorted());
        assert_eq!(delays.iter().sum::<u64>() / 3_600, 76);
        assert_eq!(ladder.after(0, 0.5), None);
    }

    proptest::proptest! {
        #[test]
        fn jitter_stays_within_a_fifth(jitter in -1.0..2.0_f64, attempts in 1..17_u32) {
            let ladder = Ladder::default();
            let (plain, spread) = (ladder.after(attempts, 0.5).unwrap(), ladder.after(attempts, jitter).unwrap());
            let share = spread.as_secs_f64() / plain.as_secs_f64();
            proptest::prop_assert!((0.799..=1.201).contains(&share), "{share}");
        }
    }
}
