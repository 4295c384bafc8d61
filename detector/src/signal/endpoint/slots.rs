//! What an agent has called, how often, and whether for the first time lately.

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use super::counts::SessionCounts;
use crate::Timestamp;
use crate::ruling::{Period, Reach};

/// Endpoints an agent's past remembers; the least used makes room (endpoint study §7: 32 slots).
pub(super) const SLOTS: usize = 32;

/// What an agent has called, how often, and in how many of its last sessions: rows, as a pair of these pads four bytes, and one length
/// for both, that of `calls`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Slots {
    /// Zero where nothing is.
    endpoints: [u64; SLOTS],
    pub(super) calls: ArrayVec<f32, SLOTS>,
    pub(super) sessions: SessionCounts,
    /// Bit i: slot i was first called in the period, or in the one before.
    pub(super) recent: u32,
    pub(super) before: u32,
    pub(super) period: Period,
}

impl Slots {
    pub(super) fn endpoints(&self) -> &[u64] {
        &self.endpoints[..self.calls.len()]
    }

    pub(super) fn at(&self, endpoint: u64) -> Option<usize> {
        self.endpoints().iter().position(|e| *e == endpoint)
    }

    /// How often it has called `endpoint`.
    pub(super) fn calls(&self, endpoint: u64) -> f64 {
        self.at(endpoint).map_or(0.0, |at| f64::from(self.calls[at]))
    }

    /// So many calls more; True if there were none. The least used makes room.
    pub(super) fn add(&mut self, endpoint: u64, calls: f32) -> bool {
        if let Some(at) = self.at(endpoint) {
            self.calls[at] += calls;
            return false;
        }
        if self.calls.is_full() {
            let least = (0..SLOTS).min_by(|&a, &b| self.calls[a].total_cmp(&self.calls[b])).unwrap_or(0);
            self.remove(least);
        }
        let at = self.calls.len();
        self.recent |= 1 << at;
        self.endpoints[at] = endpoint;
        self.calls.push(calls);
        true
    }

    /// The last slot takes the place of one that goes.
    pub(super) fn remove(&mut self, at: usize) {
        let last = self.calls.len() - 1;
        self.endpoints.swap(at, last);
        self.endpoints[last] = 0;
        self.calls.swap_remove(at);
        self.sessions.swap_remove(at, last);
        for marks in [&mut self.recent, &mut self.before] {
            let moved = *marks >> last & 1;
            *marks = *marks & !(1 << last) & !(1 << at) | if at == last { 0 } else { moved << at };
        }
    }

    /// Time goes on to `ts`.
    pub(super) fn age(&mut self, ts: Timestamp) {
        let period = Period::of(ts);
        match period.since(self.period) {
            0 => return,
            1 => (self.before, self.recent) = (self.recent, 0),
            _ => (self.before, self.recent) = (0, 0),
        }
        self.period = period;
    }

    /// Forgets what was first called within `reach`.
    pub(super) fn forget(&mut self, reach: Reach) {
        for at in (0..self.calls.len()).rev() {
            let marks = if reach == Reach::Recent { self.recent } else { self.recent | self.before };
            if marks & (1 << at) != 0 {
                self.remove(at);
            }
        }
    }

    /// What was first called lately is part of the agent.
    pub(super) fn settle(&mut self) {
        (self.recent, self.before) = (0, 0);
    }

    /// This one is part of the agent, if it has called it.
    pub(super) fn keep(&mut self, endpoint: u64) {
        if let Some(at) = self.at(endpoint) {
            self.calls[at] = self.calls[at].max(1.0);
            self.recent &= !(1 << at);
            self.before &= !(1 << at);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, f32)> {
        self.endpoints().iter().copied().zip(self.calls.iter().copied())
    }

    /// The same by other names: what several were is one, and new if one of them is. What is called often stays a name of its own
    /// ([`crate::route`]), so it costs little that is old to forget what an incident brought.
    pub(super) fn renamed(self, now: impl Fn(u64) -> u64) -> Self {
        let mut renamed = Self { period: self.period, ..Self::default() };
        renamed.sessions.begin_as(&self.sessions);
        for (i, (old, calls)) in self.iter().enumerate() {
            let endpoint = now(old);
            let is_first = renamed.add(endpoint, calls);
            // Of two that are one no more sessions are sure than held either.
            if let Some(at) = renamed.at(endpoint) {
                renamed.sessions.raise(at, self.sessions.of(i));
                if is_first {
                    renamed.recent &= !(1 << at);
                }
                renamed.recent |= (self.recent >> i & 1) << at;
                renamed.before |= (self.before >> i & 1) << at;
            }
        }
        renamed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [u64; 3] = [1, 2, 3];

    /// Three names of three periods, in whatever order they lie.
    fn slots(order: [usize; 3]) -> Slots {
        let mut slots = Slots::default();
        for i in order {
            slots.add(NAMES[i], 1.0);
        }
        let bit = |i: usize| 1 << slots.at(NAMES[i]).unwrap();
        (slots.before, slots.recent) = (bit(1), bit(2));
        slots
    }

    #[test]
    fn what_several_were_goes_with_the_newest_of_them() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            for (old, reach, goes) in [
                (0, Reach::Recent, true),
                (1, Reach::Recent, true),
                (2, Reach::Recent, false),
                (2, Reach::Both, true),
            ] {
                // Two of the three become one, and the third, `old`, stays itself.
                let mut slots = slots(order).renamed(|name| if name == NAMES[old] { name } else { 9 });
                slots.forget(reach);
                assert_eq!(slots.at(9).is_none(), goes, "{order:?} without {old}, {reach:?}");
            }
        }
    }
}
