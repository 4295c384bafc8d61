//! Calls of simulated fleets, in time order over all agents, made ready before anything is timed.
//!
//! *Mixed* traffic is what a company's agents look like together. Their rates are log-normal: the median agent calls 20
//! times a day, one in thirteen less than once, one in a hundred every half minute, the busiest a few times a second; so a
//! twentieth of the agents makes two thirds of the calls. A third keeps a period, a third is Poisson, a third works in
//! sessions. *Scattered* traffic is the hard case: all agents alike, two calls an hour each, so that every call meets a
//! profile that has long left the caches, and closes its idle windows first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write;

use detector::{Call, Timestamp};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp1, StandardNormal};

const HOUR_US: i64 = 3_600_000_000;
/// Where all traffic begins: Monday, 2026-01-05, 08:00 UTC.
const BEGIN_US: i64 = 1_767_600_000_000_000;
/// Calls made ready at once: few enough to fit the memory, so many that making them spoils the caches but rarely.
const BATCH: usize = 20_000;

const MEDIAN_PER_DAY: f64 = 20.0;
const SD_LN: f64 = 2.1;
const PER_S_MAX: f64 = 5.0;
const SCATTERED_PER_HOUR: f64 = 2.0;
/// Calls of a session, on average, and the seconds between them.
const SESSION_CALLS: f64 = 20.0;
const SESSION_GAP_S: f64 = 2.0;
const JITTER: f64 = 0.01;

const ENDPOINTS: [&str; 20] = [
    "search_tickets",
    "read_ticket",
    "draft_reply",
    "send_reply",
    "close_ticket",
    "list_orders",
    "read_order",
    "refund_order",
    "search_docs",
    "read_doc",
    "write_doc",
    "list_files",
    "read_file",
    "write_file",
    "query_table",
    "insert_row",
    "list_users",
    "read_user",
    "post_message",
    "read_channel",
];
/// An agent calls so many of them, the first more often than the last.
const ENDPOINTS_OF_ONE: usize = 6;

/// One call to be.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    pub(crate) agent: u32,
    pub(crate) us: i64,
    endpoint: u8,
}

/// When an agent calls next, its rate given.
#[derive(Clone, Copy)]
enum Rhythm {
    Periodic,
    Poisson,
    Sessions,
}

pub(crate) struct Agent {
    mean_gap_s: f32,
    rhythm: Rhythm,
}

impl Agent {
    fn draw(dice: &mut Xoshiro256PlusPlus) -> Self {
        let z: f64 = StandardNormal.sample(dice);
        let per_s = (MEDIAN_PER_DAY / 86_400.0 * (SD_LN * z).exp()).min(PER_S_MAX);
        let rhythm = [Rhythm::Periodic, Rhythm::Poisson, Rhythm::Sessions][dice.random_range(0..3)];
        Self { mean_gap_s: (1.0 / per_s) as f32, rhythm }
    }

    fn gap_s(&self, dice: &mut Xoshiro256PlusPlus) -> f64 {
        let mean = f64::from(self.mean_gap_s);
        let exponential = |dice: &mut _, mean: f64| mean * Distribution::<f64>::sample(&Exp1, dice);
        match self.rhythm {
            Rhythm::Periodic => {
                let z: f64 = StandardNormal.sample(dice);
                mean * (1.0 + JITTER * z).max(0.5)
            }
            Rhythm::Poisson => exponential(dice, mean),
            Rhythm::Sessions => {
                let within = SESSION_GAP_S.min(0.3 * mean);
                if dice.random_bool(1.0 / SESSION_CALLS) {
                    exponential(dice, SESSION_CALLS * mean - (SESSION_CALLS - 1.0) * within)
                } else {
                    exponential(dice, within)
                }
            }
        }
    }
}

/// Where calls come from.
pub(crate) enum Traffic {
    Mixed { agents: Vec<Agent>, due: BinaryHeap<Reverse<(i64, u32)>>, dice: Xoshiro256PlusPlus },
    Scattered { agents: u32, us: f64, dice: Xoshiro256PlusPlus },
}

impl Traffic {
    /// A mixed fleet; every agent first calls at some time of the first hour.
    pub(crate) fn mixed(agents: u32) -> Self {
        let mut dice = Xoshiro256PlusPlus::seed_from_u64(u64::from(agents));
        let due = (0..agents).map(|a| Reverse((BEGIN_US + dice.random_range(0..HOUR_US), a))).collect();
        Self::Mixed { agents: (0..agents).map(|_| Agent::draw(&mut dice)).collect(), due, dice }
    }

    /// Agents that are all alike.
    pub(crate) fn scattered(agents: u32) -> Self {
        Self::Scattered { agents, us: BEGIN_US as f64, dice: Xoshiro256PlusPlus::seed_from_u64(1) }
    }

    fn next(&mut self, end_us: i64) -> Option<Event> {
        let (agent, us, dice) = match self {
            Self::Mixed { agents, due, dice } => {
                let mut first = due.peek_mut().filter(|first| first.0.0 < end_us)?;
                let (us, agent) = first.0;
                let gap_us = agents[agent as usize].gap_s(dice) * 1e6;
                *first = Reverse((us + gap_us as i64 + 1, agent));
                (agent, us, dice)
            }
            Self::Scattered { agents, us, dice } => {
                let now = *us;
                if now >= end_us as f64 {
                    return None;
                }
                *us += HOUR_US as f64 / (SCATTERED_PER_HOUR * f64::from(*agents));
                (dice.random_range(0..*agents), now as i64, dice)
            }
        };
        let pick = dice.random_range(0..ENDPOINTS_OF_ONE).min(dice.random_range(0..ENDPOINTS_OF_ONE));
        Some(Event { agent, us, endpoint: ((agent as usize + pick) % ENDPOINTS.len()) as u8 })
    }

    /// Hands on all calls up to `hours` after the beginning, a batch at a time.
    pub(crate) fn run(&mut self, hours: f64, mut each: impl FnMut(&[Event], &[Call<'_>])) {
        let end_us = BEGIN_US + (hours * HOUR_US as f64) as i64;
        let (mut events, mut text) = (Vec::with_capacity(BATCH), String::with_capacity(BATCH * TEXT_LEN));
        loop {
            events.clear();
            events.extend(std::iter::from_fn(|| self.next(end_us)).take(BATCH));
            if events.is_empty() {
                return;
            }
            let calls = calls(&events, &mut text);
            each(&events, &calls);
        }
    }
}

/// Bytes of an event's id and its agent's name.
const ID_LEN: usize = 20;
const TEXT_LEN: usize = ID_LEN + "support/agent-0000000".len();

/// The calls as a decoder would hand them on: texts borrowed from what was read.
fn calls<'a>(events: &[Event], text: &'a mut String) -> Vec<Call<'a>> {
    text.clear();
    for Event { agent, us, .. } in events {
        let id = (*us as u64) << 20 ^ u64::from(*agent);
        write!(text, "evt-{id:016x}support/agent-{agent:07}").unwrap_or_else(|e| unreachable!("{e}"));
    }
    let texts = (0..events.len()).map(|i| text[i * TEXT_LEN..(i + 1) * TEXT_LEN].split_at(ID_LEN));
    let call = |(e, (id, agent)): (&Event, (&'a str, &'a str))| {
        Call::new(id, Timestamp::from_micros(e.us), agent, ENDPOINTS[usize::from(e.endpoint)])
    };
    events.iter().zip(texts).map(call).collect()
}
