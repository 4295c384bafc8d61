//! What a thief does with an agent's credential.

use detector::{MicroBits, Signal, Verdict};
use rand::RngExt;

use super::World;
use super::life::{Event, Life, address, instant};
use crate::bench::chance::{Dice, poisson};

/// A network that no agent calls from.
const LAIR: u32 = 64_321;
/// Calls an hour of a thief beside the agent's own.
const CALLS: f64 = 6.0;
/// A prober's, and how often it is refused.
const PROBES: f64 = 20.0;
const REFUSED: f64 = 0.7;
/// How much larger the answers are that carry data away.
const LARGER: u64 = 64;

/// A way of misusing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Theft {
    /// The agent's own work goes on from a network that nobody knows.
    NewNetwork,
    /// It goes on with a client that nobody knows.
    NewClient,
    /// Beside the agent somebody calls with its token, from such a network, with such a client.
    Replay,
    /// The same from another agent's network, with the agent's own client.
    ReplayInside,
    /// Somebody tries what the agent may not, from where it is.
    Probing,
    /// Its calls bring back 64 times as much.
    Exfiltration,
    /// Somebody calls while it rests, at its pace by day, from where it is.
    OffHours,
    /// Every two hours one call to what others call, from where it is.
    LowAndSlow,
    /// Beside the agent another works with its token and client from where it is: as often as that one does, and at what it calls.
    TwoBehaviours,
    /// The same at what the agent itself calls.
    TwoPaces,
    /// Beside the agent somebody calls what it does with its token from where it is, with another agent's client.
    TwoClients,
}

impl Theft {
    pub(super) const ALL: [Self; 11] = [
        Self::NewNetwork,
        Self::NewClient,
        Self::Replay,
        Self::ReplayInside,
        Self::Probing,
        Self::Exfiltration,
        Self::OffHours,
        Self::LowAndSlow,
        Self::TwoBehaviours,
        Self::TwoPaces,
        Self::TwoClients,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::NewNetwork => "new network",
            Self::NewClient => "new client",
            Self::Replay => "token replay",
            Self::ReplayInside => "replay from a peer's network",
            Self::Probing => "denied-scope probing",
            Self::Exfiltration => "exfiltration by bytes",
            Self::OffHours => "off hours",
            Self::LowAndSlow => "low and slow",
            Self::TwoBehaviours => "two behaviours in one credential",
            Self::TwoPaces => "two paces in one credential",
            Self::TwoClients => "two clients with one credential",
        }
    }

    /// The calls of an hour, the agent's own among them.
    fn hour(self, life: &mut Life, other: &Life, hour: u32, dice: &mut Dice) -> Vec<Event> {
        let mut events = life.hour(hour);
        let mut thief = life.clone();
        let mut more = |events: &mut Vec<Event>, mean: f64| {
            for _ in 0..poisson(dice, mean) {
                let mut event = thief.event(hour);
                event.at = instant(hour, dice.random());
                event.is_theft = true;
                events.push(event);
            }
        };
        let own = events.len();
        match self {
            Self::Replay | Self::ReplayInside | Self::TwoClients => more(&mut events, CALLS),
            Self::Probing => more(&mut events, PROBES),
            Self::OffHours if life.rate_at(hour) < life.rate / 2.0 => more(&mut events, life.rate),
            Self::LowAndSlow => more(&mut events, 0.5),
            Self::TwoBehaviours | Self::TwoPaces => more(&mut events, other.rate_at(hour)),
            Self::NewNetwork | Self::NewClient | Self::Exfiltration | Self::OffHours => {}
        }
        for (i, event) in events.iter_mut().enumerate() {
            match self {
                Self::NewNetwork => (event.ip, event.is_theft) = (address(LAIR, 7), true),
                Self::NewClient => {
                    (event.client, event.is_theft) = ("curl/8.5.0".to_owned(), true);
                }
                Self::Exfiltration => {
                    (event.bytes_out, event.is_theft) = (event.bytes_out.saturating_mul(LARGER), true);
                }
                _ if i < own => {}
                Self::Replay => {
                    (event.ip, event.client) = (address(LAIR, 7), "curl/8.5.0".to_owned());
                }
                Self::ReplayInside => event.ip = address(other.network(), 200),
                Self::Probing if dice.random::<f64>() < REFUSED => event.status = 403,
                Self::LowAndSlow => event.endpoint = "wire_money",
                Self::TwoClients => event.client = other.client(),
                Self::TwoBehaviours => event.endpoint = other.endpoint(dice),
                Self::Probing | Self::OffHours | Self::TwoPaces => {}
            }
        }
        events
    }
}

impl World for Life {
    type Theft = Theft;
    const THEFTS: &'static [Theft] = &Theft::ALL;
    const FLEET: &'static str = "a fleet that moves and is updated";
    const ALONE: &'static str = "context alone";

    fn new(seed: u64, place: usize, all: usize) -> Self {
        Self::new(seed, place, all)
    }

    fn name(theft: Theft) -> &'static str {
        theft.name()
    }

    fn hour(&mut self, hour: u32) -> Vec<Event> {
        self.hour(hour)
    }

    fn rob(&mut self, theft: Theft, other: &Self, hour: u32, dice: &mut Dice) -> Vec<Event> {
        theft.hour(self, other, hour, dice)
    }

    fn alone(verdict: &Verdict) -> MicroBits {
        verdict.part(Signal::Context).map_or(MicroBits::ZERO, |part| part.level)
    }

    fn share() -> f64 {
        Signal::Context.share()
    }
}
