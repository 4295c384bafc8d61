//! Chance that can be had again: every scenario prints its seed and takes it back from `TOCSIN_SEED`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// A source of chance for one scenario.
pub(crate) struct Chance(StdRng);

impl Chance {
    /// Seeded from `TOCSIN_SEED`, else from the clock; a failing test shows the seed.
    pub(crate) fn new() -> Self {
        let given = std::env::var("TOCSIN_SEED")
            .ok()
            .map(|seed| seed.parse().expect("TOCSIN_SEED is a whole number"));
        let clock = || {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::from(since.subsec_nanos()))
        };
        let seed = given.unwrap_or_else(clock);
        println!("TOCSIN_SEED={seed}");
        Self(StdRng::seed_from_u64(seed))
    }

    /// A time between the two.
    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        self.0.random_range(low..high)
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: u32) -> bool {
        self.0.random_range(0..n) == 0
    }
}
