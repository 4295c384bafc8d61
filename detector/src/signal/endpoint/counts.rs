//! In how many of an agent's last sessions each of its endpoints was called, in six bits each.

use serde::{Deserialize, Serialize};

use super::SLOTS;

const BITS: usize = 6;
/// At so many sessions all counts are halved, so that they are of the last 32 to 63.
const SESSIONS_MAX: u8 = (1 << BITS) - 1;

/// Counts by slot, and of all sessions. 25 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SessionCounts {
    packed: [u8; SLOTS * BITS / 8],
    all: u8,
}

impl SessionCounts {
    /// Sessions counted.
    pub(super) fn all(&self) -> u8 {
        self.all
    }

    /// The byte that a slot begins in and its bit there; and the 16 bits from that byte on.
    fn place(&self, slot: usize) -> (usize, usize, u16) {
        let (byte, bit) = (slot * BITS / 8, slot * BITS % 8);
        let high = self.packed.get(byte + 1).copied().unwrap_or(0);
        (byte, bit, u16::from_le_bytes([self.packed[byte], high]))
    }

    /// Those that called the endpoint of `slot`.
    pub(super) fn of(&self, slot: usize) -> u8 {
        let (_, bit, word) = self.place(slot);
        (word >> bit) as u8 & SESSIONS_MAX
    }

    fn set(&mut self, slot: usize, sessions: u8) {
        let (byte, bit, word) = self.place(slot);
        let kept = word & !(u16::from(SESSIONS_MAX) << bit);
        let [low, high] = (kept | u16::from(sessions) << bit).to_le_bytes();
        self.packed[byte] = low;
        if let Some(next) = self.packed.get_mut(byte + 1) {
            *next = high;
        }
    }

    /// One session more, which called the endpoints of these slots, each named once.
    pub(super) fn count(&mut self, slots: impl Iterator<Item = usize>) {
        if self.all == SESSIONS_MAX {
            self.all /= 2;
            let first = self.of(0);
            for slot in 0..SLOTS {
                // Up in every other slot, so that what is rare is neither kept for ever nor forgotten at once.
                let up = (slot as u8 + first) % 2;
                self.set(slot, u8::midpoint(self.of(slot), up).min(self.all));
            }
        }
        self.all += 1;
        for slot in slots {
            self.set(slot, (self.of(slot) + 1).min(self.all));
        }
    }

    /// The slot is empty, and the last one takes its place.
    pub(super) fn swap_remove(&mut self, slot: usize, last: usize) {
        self.set(slot, self.of(last));
        self.set(last, 0);
    }

    /// As many sessions as `old`, by endpoints that are yet to come.
    pub(super) fn begin_as(&mut self, old: &Self) {
        self.all = old.all;
    }

    pub(super) fn raise(&mut self, slot: usize, sessions: u8) {
        self.set(slot, self.of(slot).max(sessions));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slots_do_not_touch_each_other(writes in prop::collection::vec((0..SLOTS, 0..=SESSIONS_MAX), 0..100)) {
            let (mut counts, mut plain) = (SessionCounts::default(), [0; SLOTS]);
            for (slot, sessions) in writes {
                counts.set(slot, sessions);
                plain[slot] = sessions;
                prop_assert_eq!(std::array::from_fn(|slot| counts.of(slot)), plain);
            }
        }
    }

    #[test]
    fn of_many_sessions_the_share_stays() {
        let mut counts = SessionCounts::default();
        for session in 0..1_000 {
            counts.count([1, 2, 3].into_iter().filter(|every| session % every == 0));
            assert!(counts.all() <= SESSIONS_MAX && (1..4).all(|slot| counts.of(slot) <= counts.all()));
        }
        let share = |counts: &SessionCounts, slot| f64::from(counts.of(slot)) / f64::from(counts.all());
        assert!(counts.all() >= 32 && (share(&counts, 2) - 0.5).abs() < 0.05);
        assert!((share(&counts, 3) - 0.33).abs() < 0.05);
        counts.swap_remove(1, 2);
        assert!((share(&counts, 1) - 0.5).abs() < 0.05 && counts.of(2) == 0);
    }
}
