//! Scheduled calls.

use rand::RngExt;

use crate::bench::chance::{Dice, choose};

/// Some calls every so many minutes; a third of the agents are up to a minute early or late. `fleets.py`, `counts`.
#[derive(Clone, Debug)]
pub(super) struct Cron {
    period: u32,
    calls: u32,
    phase: u32,
    unpunctual: bool,
    /// Calls due in the last, this and the next two minutes: a firing may fall a minute before its time.
    due: [u32; 3],
}

impl Cron {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let period = choose(dice, [1, 5, 10, 15, 30, 60]);
        let calls = dice.random_range(1..6);
        let phase = dice.random_range(0..period);
        let unpunctual = choose(dice, [false, false, true]);
        Self { period, calls, phase, unpunctual, due: [0; 3] }
    }

    pub(super) fn rate(&self) -> f64 {
        f64::from(self.calls) / f64::from(self.period)
    }

    /// Comes to minute `t`, one after the other. `due` then holds minutes t, t + 1 and t + 2.
    pub(super) fn advance(&mut self, t: u32, dice: &mut Dice) {
        self.due = if t == 0 { [0; 3] } else { [self.due[1], self.due[2], 0] };
        if t == 0 {
            self.schedule(0, 0, dice);
        }
        self.schedule(t + 1, 1, dice);
    }

    pub(super) fn count(&self) -> u32 {
        self.due[0]
    }

    fn schedule(&mut self, minute: u32, place: usize, dice: &mut Dice) {
        if minute % self.period != self.phase {
            return;
        }
        let place = match (self.unpunctual, dice.random_range(0..3)) {
            (true, 0) => place.saturating_sub(1),
            (true, 2) => place + 1,
            _ => place,
        };
        self.due[place] += self.calls;
    }
}
