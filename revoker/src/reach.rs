//! How far an agent's calls count in where it stands.
//!
//! What changes a standing is known by its verdict. What a standing only remembers (normal calls, whose the evidence is, bytes) is written
//! down now and then, and a pipeline that was killed, or an operator who winds a topic back, says again what is in it already. So the
//! position of the last call that counts is written with it, in the same transaction: what lies before counts no second time, and what
//! was lost with the memory counts when it is said again.

use detector::Position;
use serde::{Deserialize, Serialize};

/// Partitions in which an agent's calls are followed; past it the one that was silent for longest is let go.
const PARTITIONS_MAX: usize = 64;

/// How far calls count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reach {
    /// Of each partition, up to where.
    marks: Vec<Position>,
    /// The call with which something began to be held against the agent.
    since: Option<Position>,
}

impl Reach {
    /// Begins with the call at this position.
    pub(crate) fn begin(&mut self, at: &Position) {
        self.since = Some(at.clone());
    }

    /// Whether the call at this position of another partition was taken in before anything was held against the agent: it was heard of
    /// an agent that was trusted, or is late.
    pub(crate) fn is_before(&self, at: &Position) -> bool {
        let is_earlier = |since: &Position| since.partition != at.partition && at.taken_in < since.taken_in;
        self.since.as_ref().is_some_and(is_earlier)
    }

    /// Whether the call at this position counts already. A log that was made anew begins with low positions again, at a later time.
    pub(crate) fn covers(&self, at: &Position) -> bool {
        let place = |position: &Position| (position.offset, position.line);
        let is_before = |mark: &Position| {
            mark.partition == at.partition && place(at) <= place(mark) && at.taken_in <= mark.taken_in
        };
        self.marks.iter().any(is_before)
    }

    /// The call at this position counts.
    pub(crate) fn extend(&mut self, at: &Position) {
        if let Some(mark) = self.marks.iter_mut().find(|mark| mark.partition == at.partition) {
            *mark = Position { taken_in: mark.taken_in.max(at.taken_in), ..at.clone() };
            return;
        }
        let oldest = self.marks.iter().enumerate().min_by_key(|(_, mark)| mark.taken_in).map(|(i, _)| i);
        if let Some(oldest) = oldest.filter(|_| self.marks.len() >= PARTITIONS_MAX) {
            self.marks.swap_remove(oldest);
        }
        self.marks.push(at.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    fn position(partition: &str, offset: i64, line: u64, taken_in_s: i64) -> Position {
        Position { partition: partition.to_owned(), offset, line, taken_in: at(taken_in_s) }
    }

    #[test]
    fn what_lies_before_in_its_partition_counts_already_and_a_log_made_anew_does_not() {
        let mut reach = Reach::default();
        assert!(!reach.covers(&position("calls/0", 7, 1, 70)));
        reach.extend(&position("calls/0", 7, 2, 70));
        for (offset, line, counts) in [(6, 9, true), (7, 1, true), (7, 2, true), (7, 3, false), (8, 1, false)]
        {
            assert_eq!(reach.covers(&position("calls/0", offset, line, 70)), counts, "{offset} {line}");
        }
        assert!(!reach.covers(&position("calls/1", 6, 1, 60)), "another partition");
        // Made anew, the same partition begins with low offsets again.
        let anew = position("calls/0", 0, 1, 71);
        assert!(!reach.covers(&anew));
        reach.extend(&anew);
        assert!(reach.covers(&anew) && !reach.covers(&position("calls/0", 1, 1, 71)));
    }

    #[test]
    fn an_agent_in_many_partitions_takes_bounded_room() {
        let mut reach = Reach::default();
        for n in 0..200 {
            reach.extend(&position(&format!("calls/{n}"), 1, 1, n));
        }
        assert_eq!(reach.marks.len(), PARTITIONS_MAX);
        assert!(
            reach.covers(&position("calls/199", 1, 1, 199)) && !reach.covers(&position("calls/0", 1, 1, 0))
        );
    }
}
