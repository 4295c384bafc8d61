//! The manifest's ceiling: no more than so many calls within any minute, wherever that minute begins.
//!
//! Up to [`SLOTS_MAX`] calls a minute the time of every one of them is remembered for a minute, so that the rule is exact:
//! a call breaks it if and only if it is one too many in the 60 s that end with it. Above, a slot stands for several
//! calls in a row, by the time of the first: the rule then never acts on what is allowed, and on what is not by at most one
//! slot's calls, less than one in [`SLOTS_MAX`], too late.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::WINDOW;
use crate::Timestamp;

/// The most times that are remembered of one agent: 32 KiB, for one that makes 68 calls a second and more.
const SLOTS_MAX: u32 = 4_096;

/// Calls of the last minute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ceiling {
    /// Calls that one slot stands for.
    per_slot: u32,
    /// When the first call of each slot was made, oldest first.
    slots: VecDeque<Timestamp>,
    /// Calls in the last slot.
    filled: u32,
}

impl Ceiling {
    /// Counts a call at `ts`, which never goes back: how many there surely were in the minute that ends with it. At the
    /// limit and one slot it stops counting.
    pub(super) fn count(&mut self, ts: Timestamp, limit: NonZeroU32) -> u64 {
        let per_slot = limit.get().div_ceil(SLOTS_MAX);
        if per_slot != self.per_slot {
            *self = Self { per_slot, ..Self::default() };
        }
        while self.slots.front().is_some_and(|first| ts.since(*first) >= WINDOW) {
            self.slots.pop_front();
        }
        if self.slots.is_empty() || self.filled == per_slot {
            // As many full slots as reach the limit, and this one.
            while self.slots.len() > limit.get().div_ceil(per_slot) as usize {
                self.slots.pop_front();
            }
            self.slots.push_back(ts);
            self.filled = 0;
        }
        self.filled += 1;
        (self.slots.len() as u64 - 1) * u64::from(per_slot) + u64::from(self.filled)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// Calls in the minute that ends with the last.
    fn truth(times: &[Timestamp]) -> u64 {
        let now = times[times.len() - 1];
        times.iter().rev().take_while(|t| now.since(**t) < WINDOW).count() as u64
    }

    /// Times of calls, by the gaps between them in milliseconds: bursts, a steady pace, and pauses.
    fn times(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Timestamp>> {
        let gap = prop_oneof![6 => Just(0_u64), 6 => 0..2_000_u64, 1 => 50_000..70_000_u64];
        prop::collection::vec(gap, len).prop_map(|gaps| {
            let mut at = Timestamp::from_millis(1_740_000_000_000);
            let step = |gap| {
                at = at + Duration::from_millis(gap);
                at
            };
            gaps.into_iter().map(step).collect()
        })
    }

    proptest! {
        #[test]
        fn a_call_breaks_it_exactly_if_it_is_one_too_many_in_its_minute(
            times in times(1..400),
            limit in 1..60_u32,
        ) {
            let (mut ceiling, limit) = (Ceiling::default(), NonZeroU32::new(limit).unwrap());
            for i in 0..times.len() {
                let (counted, truth) = (ceiling.count(times[i], limit), truth(&times[..=i]));
                prop_assert_eq!(counted, truth.min(u64::from(limit.get()) + 1));
                prop_assert!(ceiling.slots.len() as u64 <= u64::from(limit.get()) + 1);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6))]

        #[test]
        fn above_the_slots_it_is_late_by_less_than_a_slot_and_never_early(
            gaps_us in prop::collection::vec(0..6_000_u64, 50),
            limit in SLOTS_MAX - 2..3 * SLOTS_MAX,
        ) {
            let (mut ceiling, limit) = (Ceiling::default(), NonZeroU32::new(limit).unwrap());
            let (mut at, mut times, mut from) = (Timestamp::from_millis(1_740_000_000_000), Vec::new(), 0);
            for i in 0..40_000 {
                at = at + Duration::from_micros(gaps_us[i / 10 % 50]);
                times.push(at);
                while at.since(times[from]) >= WINDOW {
                    from += 1;
                }
                let (truth, counted) = ((i + 1 - from) as u64, ceiling.count(at, limit));
                let (limit, late) = (u64::from(limit.get()), u64::from(ceiling.per_slot) - 1);
                prop_assert!(counted <= truth);
                prop_assert!(counted > limit || truth <= limit + late, "{counted} of {truth}, {limit} allowed");
                prop_assert!(ceiling.slots.len() <= SLOTS_MAX as usize + 1);
            }
        }
    }
}
