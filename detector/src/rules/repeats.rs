//! Loops: the same call again and again.
//!
//! A minute's calls are counted by name in a few counters that forget the rare ones (Misra and Gries, *Finding repeated
//! elements*, 1982): a call that finds no counter takes one from each. That takes [`COUNTERS`] other calls for every one it
//! hides, so a call made f times among o others in the window is counted between f − o/[`COUNTERS`] and f times. An agent
//! that makes no more than [`COUNTERS`] different calls is counted exactly.
//!
//! A window begins with the first call after the one before it was over. A minute touches two at most, so a loop is cut
//! off at the latest when it has made the same call more than 2·limit + o/[`COUNTERS`] times within a minute, o being the
//! other calls of that minute and the one before; at limit + 1 where it begins after a pause. Never at or under the limit.

use serde::{Deserialize, Serialize};

use super::WINDOW;
use crate::Timestamp;

/// 5 others hide one; each counter is 12 bytes.
const COUNTERS: usize = 5;

/// Which calls the agent makes most, in one minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Repeats {
    began: Timestamp,
    names: [u64; COUNTERS],
    /// Zero where a counter is free.
    counts: [u32; COUNTERS],
}

impl Repeats {
    pub(super) fn new(began: Timestamp) -> Self {
        Self { began, names: [0; COUNTERS], counts: [0; COUNTERS] }
    }

    pub(super) fn fetch(&self) -> u32 {
        self.names[0] as u32 ^ self.counts[COUNTERS - 1]
    }

    /// Counts a call at `ts`, which never goes back: how often it was surely made in this window.
    pub(super) fn count(&mut self, ts: Timestamp, name: u64) -> u32 {
        if ts.since(self.began) >= WINDOW {
            *self = Self::new(ts);
        }
        let own = (0..COUNTERS).find(|&i| self.counts[i] > 0 && self.names[i] == name);
        let Some(i) = own.or_else(|| self.counts.iter().position(|n| *n == 0)) else {
            self.counts.iter_mut().for_each(|n| *n -= 1);
            return 0;
        };
        self.names[i] = name;
        self.counts[i] = self.counts[i].saturating_add(1);
        self.counts[i]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// Gap to the call before in milliseconds, and which call.
    fn calls() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let name = prop_oneof![3 => Just(0_u64), 2 => 0..COUNTERS as u64, 2 => 0..40_u64];
        let gap = prop_oneof![8 => 0..400_u64, 1 => 0..20_000_u64];
        prop::collection::vec((gap, name), 1..800)
    }

    /// Their times, from the gaps.
    fn timed(calls: &[(u64, u64)]) -> Vec<(Timestamp, u64)> {
        let mut at = Timestamp::from_millis(1_740_000_000_000);
        let step = |&(gap, name): &(u64, u64)| {
            at = at + Duration::from_millis(gap);
            (at, name)
        };
        calls.iter().map(step).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn never_more_than_were_made_and_five_others_hide_one(calls in calls()) {
            let (mut repeats, calls) = (Repeats::new(Timestamp::from_micros(i64::MIN)), timed(&calls));
            for (i, (at, name)) in calls.iter().enumerate() {
                let counted = repeats.count(*at, *name);
                let window = calls[..=i].iter().filter(|(t, _)| *t >= repeats.began && at.since(*t) < WINDOW);
                let (same, others): (Vec<&_>, Vec<&_>) = window.partition(|(_, n)| n == name);
                prop_assert!(counted as usize <= same.len());
                prop_assert!(counted as usize + others.len() / COUNTERS >= same.len());
            }
        }

        #[test]
        fn few_different_calls_are_counted_exactly_in_any_order(
            mut names in prop::collection::vec(0..COUNTERS as u64, 1..300),
        ) {
            let count = |names: &[u64]| {
                let mut repeats = Repeats::new(Timestamp::from_micros(i64::MIN));
                let mut most = [0; COUNTERS];
                for name in names {
                    most[*name as usize] = repeats.count(Timestamp::from_micros(0), *name);
                }
                most
            };
            let forward = count(&names);
            for (name, counted) in forward.into_iter().enumerate() {
                prop_assert_eq!(counted as usize, names.iter().filter(|n| **n == name as u64).count());
            }
            names.reverse();
            prop_assert_eq!(count(&names), forward);
        }

        /// The bound that the head of this file states.
        #[test]
        fn a_loop_is_cut_off_within_the_bound(calls in calls(), limit in 1..40_u32) {
            let (mut repeats, calls) = (Repeats::new(Timestamp::from_micros(i64::MIN)), timed(&calls));
            let broken: Vec<bool> =
                calls.iter().map(|(at, name)| repeats.count(*at, *name) > limit).collect();
            for (i, (at, name)) in calls.iter().enumerate() {
                let within = |j: &usize, minutes| at.since(calls[*j].0) < minutes * WINDOW;
                let same: Vec<usize> = (0..=i).filter(|j| within(j, 1) && calls[*j].1 == *name).collect();
                let others = (0..=i).filter(|j| within(j, 2) && calls[*j].1 != *name).count();
                let cut_off = same.iter().any(|j| broken[*j]);
                prop_assert!(cut_off || same.len() <= 2 * limit as usize + others / COUNTERS);
                prop_assert!(!broken[i] || same.len() > limit as usize, "at or under the limit");
            }
        }
    }
}
