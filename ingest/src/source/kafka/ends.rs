//! When a record must have come, for all that its producer says: after its partition was seen to hold nothing more.

use std::collections::{HashMap, HashSet};

use detector::Timestamp;

/// What the ends of partitions tell. In memory alone: of what is read first after a start nothing is known.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// The client's queue was last empty then. What it brings later, records and ends, it fetched later.
    idle: Option<Timestamp>,
    /// Partitions whose end came after their last record.
    ended: HashSet<i32>,
    not_before: HashMap<i32, Timestamp>,
}

impl Ends {
    pub(super) fn idle(&mut self, now: Timestamp) {
        self.idle = Some(now);
    }

    pub(super) fn end(&mut self, partition: i32) {
        self.ended.insert(partition);
    }

    /// Somebody else reads it; if it comes back it is read again from an older place.
    pub(super) fn taken(&mut self, partition: i32) {
        self.ended.remove(&partition);
        self.not_before.remove(&partition);
    }

    /// Before when the next record of the partition was not there.
    pub(super) fn before(&mut self, partition: i32) -> Option<Timestamp> {
        if self.ended.remove(&partition)
            && let Some(idle) = self.idle
        {
            self.not_before.insert(partition, idle);
        }
        self.not_before.get(&partition).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_came_after_the_last_idle_look_at_a_partition_that_had_ended() {
        let at = Timestamp::from_millis;
        let mut ends = Ends::default();
        ends.idle(at(1));
        assert_eq!(ends.before(0), None, "what lay there at the start may be of any age");
        ends.end(0);
        ends.idle(at(2));
        ends.idle(at(3));
        assert_eq!((ends.before(0), ends.before(1)), (Some(at(3)), None));
        ends.idle(at(4));
        assert_eq!(ends.before(0), Some(at(3)), "it is not at its end again");
        ends.taken(0);
        assert_eq!(ends.before(0), None);
    }
}
