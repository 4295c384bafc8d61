//! How far event time has come.

use std::time::Duration;

use detector::{Call, Kind, Timestamp};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::decode::is_future;

/// Calls may come this much out of order (design: architecture, "Event time drives detection").
const LATENESS: Duration = Duration::from_secs(30);
/// The detector's clock ticks at multiples of this.
const TICK: Duration = Duration::from_secs(10);
/// After a gap in event time the clock ticks at most this often, over the last hour of it: an idle night needs no
/// thousands of ticks, and neither does a first call from 1970.
const TICKS_MAX: u32 = 360;

/// The clock of event time. In a partition it follows the largest `ts` less 30 s, or the source's heartbeat; over all it
/// follows the partition that is furthest behind among those that still have something to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Watermark {
    partitions: FxHashMap<String, Mark>,
    ticked: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    reached: Timestamp,
    #[serde(skip)]
    at_end: bool,
}

impl Watermark {
    /// Takes note of a record, and gives the ticks that are due before it.
    pub(super) fn see(&mut self, partition: &str, call: &Call<'_>) -> Ticks {
        // Control records are dated by the person's clock, which in a log of old calls is years ahead.
        if is_future(call) || call.kind.is_control() {
            return Ticks::none();
        }
        let reached = if call.kind == Kind::Heartbeat { call.ts } else { call.ts - LATENESS };
        match self.partitions.get_mut(partition) {
            Some(mark) => {
                mark.at_end = false;
                if reached <= mark.reached {
                    return Ticks::none();
                }
                mark.reached = reached;
            }
            None => {
                self.partitions.insert(partition.to_owned(), Mark { reached, at_end: false });
            }
        }
        self.advance(reached)
    }

    /// A partition has nothing more for now and holds nobody back; gives the ticks that become due by that.
    pub(super) fn at_end(&mut self, partition: &str) -> Ticks {
        let Some(mark) = self.partitions.get_mut(partition) else { return Ticks::none() };
        if mark.at_end {
            return Ticks::none();
        }
        mark.at_end = true;
        let furthest = self.partitions.values().map(|m| m.reached).max();
        furthest.map_or_else(Ticks::none, |reached| self.advance(reached))
    }

    /// After a restart nobody is waited for who may never be heard of again.
    pub(super) fn resume(&mut self) {
        for mark in self.partitions.values_mut() {
            mark.at_end = true;
        }
    }

    /// Where event time stands: the last tick.
    pub(super) fn ticked(&self) -> Option<Timestamp> {
        self.ticked
    }

    fn advance(&mut self, reached: Timestamp) -> Ticks {
        let Some(last) = self.ticked else {
            let first = self.now().floor_to(TICK);
            self.ticked = Some(first);
            return Ticks { next: first, last: first };
        };
        // Only a step over the next boundary is worth a look at all partitions.
        if reached < last + TICK {
            return Ticks::none();
        }
        let due = self.now().floor_to(TICK);
        if due <= last {
            return Ticks::none();
        }
        self.ticked = Some(due);
        Ticks { next: (last + TICK).max(due - TICK * (TICKS_MAX - 1)), last: due }
    }

    fn now(&self) -> Timestamp {
        let reading = self.partitions.values().filter(|m| !m.at_end).map(|m| m.reached).min();
        let furthest = self.partitions.values().map(|m| m.reached).max();
        reading.or(furthest).unwrap_or_default()
    }
}

/// Ticks that are due, oldest first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ticks {
    next: Timestamp,
    last: Timestamp,
}

impl Ticks {
    fn none() -> Self {
        Self { next: Timestamp::from_micros(1), last: Timestamp::from_micros(0) }
    }

    /// Whether none are due.
    pub(super) fn are_none(&self) -> bool {
        self.next > self.last
    }
}

impl Iterator for Ticks {
    type Item = Timestamp;
    fn next(&mut self) -> Option<Timestamp> {
        let tick = self.next;
        (tick <= self.last).then(|| {
            self.next = tick + TICK;
            tick
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [i64; 0] = [];

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(s * 1_000)
    }

    fn seconds(ticks: Ticks) -> Vec<i64> {
        ticks.map(|t| t.as_millis() / 1_000).collect()
    }

    fn see(watermark: &mut Watermark, partition: &str, s: i64) -> Vec<i64> {
        seconds(watermark.see(partition, &Call::new("e", at(s), "a", "x")))
    }

    #[test]
    fn ticks_every_ten_seconds_half_a_minute_behind() {
        let mut w = Watermark::default();
        assert_eq!(see(&mut w, "p", 1_000), [970]);
        assert_eq!(see(&mut w, "p", 1_009), NONE);
        assert_eq!(see(&mut w, "p", 1_010), [980]);
        assert_eq!(see(&mut w, "p", 1_005), NONE, "out of order");
        assert_eq!(see(&mut w, "p", 1_045), [990, 1_000, 1_010]);
    }

    #[test]
    fn a_gap_is_crossed_in_a_bounded_number_of_ticks() {
        let mut w = Watermark::default();
        see(&mut w, "p", 30);
        let ticks = see(&mut w, "p", 1_000_000_030);
        assert_eq!((ticks.len(), ticks[0], ticks[359]), (360, 999_996_410, 1_000_000_000));
    }

    #[test]
    fn the_furthest_behind_leads_while_it_has_something_to_read() {
        let mut w = Watermark::default();
        assert_eq!(see(&mut w, "slow", 130), [100]);
        assert_eq!(see(&mut w, "fast", 530), NONE);
        assert_eq!(see(&mut w, "slow", 150), [110, 120]);
        assert_eq!(seconds(w.at_end("slow")).last(), Some(&500));
        assert_eq!(see(&mut w, "slow", 160), NONE, "time does not go back");
    }

    #[test]
    fn the_future_moves_nothing_and_a_heartbeat_moves_all_the_way() {
        let mut w = Watermark::default();
        let mut future = Call::new("e", at(10_000), "a", "x");
        future.received_at = at(10_000 - 301);
        assert_eq!(seconds(w.see("p", &future)), NONE);
        let mut heartbeat = Call::new("h", at(200), "", "");
        heartbeat.kind = Kind::Heartbeat;
        assert_eq!(seconds(w.see("p", &heartbeat)), [200]);
    }
}
