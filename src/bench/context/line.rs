//! Planners with fifty sub-agents each, and what becomes of one that is hijacked.

use detector::{MicroBits, Signal, Verdict};
use rand::RngExt;

use super::World;
use super::life::{Event, Life, instant};
use crate::bench::chance::{Dice, Purpose, log_uniform, poisson, stream};

/// Sub-agents of one.
const CHILDREN: usize = 50;
/// Calls an hour of each by day; the planner's own are a life's.
const RATES: (f64, f64) = (0.2, 2.0);
/// Calls an hour of each that is new, whatever the time of day.
const FRESH: f64 = 0.5;

/// One planner, first, and its sub-agents, who work when it does.
#[derive(Clone, Debug)]
pub(super) struct Line {
    members: Vec<Life>,
    head: usize,
}

/// What a hijacked planner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FanOut {
    /// Its sub-agents do so many times what they do, in tenths.
    Split(u32),
    /// Fifty more come, with a call every two hours.
    Fresh,
}

impl World for Line {
    type Theft = FanOut;
    const THEFTS: &'static [FanOut] =
        &[FanOut::Split(15), FanOut::Split(20), FanOut::Split(30), FanOut::Fresh];
    const FLEET: &'static str = "planners with 50 sub-agents";
    const ALONE: &'static str = "the line alone";
    const AGENTS: usize = CHILDREN + 1;

    fn new(seed: u64, place: usize, all: usize) -> Self {
        let head = place * Self::AGENTS;
        let mut dice = stream(seed, "line", place, Purpose::Agent);
        let noon = dice.random_range(0.0..24.0);
        let member = |agent: usize| {
            let mut life = Life::new(seed, agent, all * Self::AGENTS);
            if agent != head {
                life.rate = log_uniform(&mut dice, RATES);
            }
            life.noon = noon;
            life
        };
        Self { members: (head..head + Self::AGENTS).map(member).collect(), head }
    }

    fn name(theft: FanOut) -> &'static str {
        match theft {
            FanOut::Split(15) => "x1.5 split over 50 sub-agents",
            FanOut::Split(20) => "x2 split over 50 sub-agents",
            FanOut::Split(_) => "x3 split over 50 sub-agents",
            FanOut::Fresh => "fan-out over 50 new sub-agents",
        }
    }

    fn hour(&mut self, hour: u32) -> Vec<Event> {
        let head = self.head;
        let of = |life: &mut Life| life.hour(hour);
        let mut events: Vec<Event> = self.members.iter_mut().flat_map(of).collect();
        for event in events.iter_mut().filter(|event| event.agent != head) {
            event.parent = Some(head);
        }
        events
    }

    fn rob(&mut self, theft: FanOut, _: &Self, hour: u32, dice: &mut Dice) -> Vec<Event> {
        let mut events = World::hour(self, hour);
        for mut life in self.members[1..].iter().cloned() {
            let more = match theft {
                FanOut::Split(tenths) => (f64::from(tenths) / 10.0 - 1.0) * life.rate_at(hour),
                FanOut::Fresh => FRESH,
            };
            for _ in 0..poisson(dice, more) {
                let event = life.event(hour);
                let agent = event.agent + if theft == FanOut::Fresh { NEW } else { 0 };
                let at = instant(hour, dice.random());
                events.push(Event { at, agent, is_theft: true, parent: Some(self.head), ..event });
            }
        }
        events
    }

    fn alone(verdict: &Verdict) -> MicroBits {
        let part = verdict.part(Signal::Volume).filter(|part| part.is_of_line());
        part.map_or(MicroBits::ZERO, |part| part.level)
    }

    fn share() -> f64 {
        Signal::share_of_line()
    }
}

/// What the numbers of new sub-agents are beyond.
const NEW: usize = 1_000_000;
