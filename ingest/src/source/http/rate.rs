//! How many lines a caller may send over time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much of its allowance a caller may use up at once.
const BURST: Duration = Duration::from_secs(1);

/// A caller's allowance. Lines are counted after they were taken, so a body is never refused half way: who sent much
/// waits until it is paid off before the next.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    paid_at: Mutex<Option<Instant>>,
}

impl Rate {
    pub(super) fn new(lines_per_second: u32) -> Self {
        Self { per_second: f64::from(lines_per_second.max(1)), paid_at: Mutex::new(None) }
    }

    /// How long the caller has to wait, if it has to.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let paid_at = *self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let debt = paid_at?.saturating_duration_since(now);
        debt.checked_sub(BURST).filter(|wait| !wait.is_zero())
    }

    /// Counts lines.
    pub(super) fn charge(&self, lines: u64, now: Instant) {
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = Duration::from_secs_f64(lines as f64 / self.per_second);
        *paid_at = Some(paid_at.map_or(now, |at| at.max(now)) + cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sent_much_waits_until_it_is_paid_off() {
        let (rate, start) = (Rate::new(100), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        assert_eq!(rate.wait(at(0)), None);
        rate.charge(1_000, at(0));
        assert_eq!(rate.wait(at(0)), Some(Duration::from_secs(9)));
        assert_eq!(rate.wait(at(8)), Some(Duration::from_secs(1)));
        assert_eq!(rate.wait(at(9)), None);
        rate.charge(100, at(9));
        assert_eq!(rate.wait(at(9)), Some(Duration::from_secs(1)));
        assert_eq!(rate.wait(at(3_600)), None);
    }
}
