//! People at keyboards, and agents that borrow their accounts.

use detector::{MicroBits, Signal, Verdict};
use rand::RngExt;

use super::World;
use super::life::{Event, HOUR_US, Life, instant};
use crate::bench::chance::{Dice, Purpose, normal, poisson, stream};

/// Sittings an hour of a person at work, and the calls of one on average.
const SITTINGS: f64 = 1.5;
const CALLS: f64 = 20.0;
/// Seconds between two calls: the median, and the deviation of its logarithm.
const HUMAN: (f64, f64) = (8.0, 1.18);
const AGENT: (f64, f64) = (3.0, 0.3);

/// Somebody who works from nine to five by a clock of his own, and seldom at weekends.
#[derive(Clone, Debug)]
pub(super) struct Person {
    life: Life,
    dice: Dice,
}

/// An agent that works under such an account, beside the person, from where he is and with his client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Borrowed {
    /// While he works, at what he calls.
    AtWork,
    /// While he works, at what others call.
    Elsewhere,
    /// While he does not, at what he calls.
    AtNight,
}

impl Person {
    fn works(&self, hour: u32) -> f64 {
        let away = ((f64::from(hour % 24) - self.life.noon + 12.0).rem_euclid(24.0) - 12.0).abs();
        let is_weekend = hour / 24 % 7 >= 5;
        if away >= 4.0 {
            0.0
        } else if is_weekend {
            SITTINGS / 20.0
        } else {
            SITTINGS
        }
    }

    /// Calls one after the other until the sitting, or the hour, is over.
    fn sit(
        life: &mut Life,
        hour: u32,
        (median, spread): (f64, f64),
        dice: &mut Dice,
        events: &mut Vec<Event>,
    ) {
        let mut at = dice.random_range(0.0..1.0);
        while at < 1.0 {
            events.push(Event { at: instant(hour, at), ..life.event(hour) });
            if dice.random_bool(1.0 / CALLS) {
                break;
            }
            at += median * (spread * normal(dice)).exp() * 1e6 / HOUR_US as f64;
        }
    }
}

impl World for Person {
    type Theft = Borrowed;
    const THEFTS: &'static [Borrowed] = &[Borrowed::AtWork, Borrowed::Elsewhere, Borrowed::AtNight];
    const FLEET: &'static str = "people at keyboards";
    const ALONE: &'static str = "timing alone";

    fn new(seed: u64, place: usize, all: usize) -> Self {
        Self { life: Life::new(seed, place, all), dice: stream(seed, "person", place, Purpose::Agent) }
    }

    fn name(theft: Borrowed) -> &'static str {
        match theft {
            Borrowed::AtWork => "borrowed person, at work and at what he calls",
            Borrowed::Elsewhere => "borrowed person, at work and at what others call",
            Borrowed::AtNight => "borrowed person, at night and at what he calls",
        }
    }

    fn hour(&mut self, hour: u32) -> Vec<Event> {
        // What has become of the person meanwhile is what becomes of an agent; when he calls is not.
        self.life.hour(hour);
        let mut events = Vec::new();
        let sittings = self.works(hour);
        for _ in 0..poisson(&mut self.dice, sittings) {
            Self::sit(&mut self.life, hour, HUMAN, &mut self.dice, &mut events);
        }
        events
    }

    fn rob(&mut self, theft: Borrowed, other: &Self, hour: u32, dice: &mut Dice) -> Vec<Event> {
        let mut events = World::hour(self, hour);
        let own = events.len();
        let is_at_work = self.works(hour) > 0.0;
        if is_at_work != (theft == Borrowed::AtNight) {
            for _ in 0..poisson(dice, SITTINGS) {
                Self::sit(&mut self.life.clone(), hour, AGENT, dice, &mut events);
            }
        }
        for event in &mut events[own..] {
            event.is_theft = true;
            if theft == Borrowed::Elsewhere {
                event.endpoint = other.life.endpoint(dice);
            }
        }
        events
    }

    fn alone(verdict: &Verdict) -> MicroBits {
        verdict.part(Signal::Timing).map_or(MicroBits::ZERO, |part| part.level)
    }

    fn share() -> f64 {
        Signal::Timing.share()
    }
}
