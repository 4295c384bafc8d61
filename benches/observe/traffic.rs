//! Calls of simulated fleets, in time order over all agents, made ready before anything is timed.
//!
//! *Mixed* traffic is what a company's agents look like together. Their rates are log-normal: the median agent calls 20
//! times a day, one in thirteen less than once, one in a hundred every half minute, the busiest a few times a second; so a
//! twentieth of the agents makes two thirds of the calls. A third keeps a period, a third is Poisson, a third works in
//! sessions. *Scattered* traffic is the hard case: all agents alike, two calls an hour each, so that every call meets a
//! profile that has long left the caches, and closes its idle windows first.
//!
//! Calls carry what a gateway's log does: the token, the session (a task of twenty calls or so), address and client, which an
//! agent changes but rarely, how it went, and how much came back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

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
const CLIENTS: [&str; 4] = ["python-httpx/0.28.1", "openai-agents/0.6.2", "langchain/1.2.0", "okhttp/5.3.0"];
/// An agent calls from its second address once in so many calls.
const ELSEWHERE_ONE_IN: u32 = 500;
/// A session is over when its agent has paused so long.
const PAUSE_US: i64 = 15 * 60 * 1_000_000;

/// One call to be.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    pub(crate) agent: u32,
    pub(crate) us: i64,
    endpoint: u8,
    session: u32,
    is_elsewhere: bool,
    status: u16,
    bytes_out: u32,
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
    session: u32,
}

impl Agent {
    fn draw(dice: &mut Xoshiro256PlusPlus) -> Self {
        let z: f64 = StandardNormal.sample(dice);
        let per_s = (MEDIAN_PER_DAY / 86_400.0 * (SD_LN * z).exp()).min(PER_S_MAX);
        let rhythm = [Rhythm::Periodic, Rhythm::Poisson, Rhythm::Sessions][dice.random_range(0..3)];
        Self { mean_gap_s: (1.0 / per_s) as f32, rhythm, session: 0 }
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
        let (agent, us, session, dice) = match self {
            Self::Mixed { agents, due, dice } => {
                let mut first = due.peek_mut().filter(|first| first.0.0 < end_us)?;
                let (us, agent) = first.0;
                let caller = &mut agents[agent as usize];
                let (session, gap_us) = (caller.session, (caller.gap_s(dice) * 1e6) as i64);
                caller.session += u32::from(gap_us > PAUSE_US || dice.random_bool(1.0 / SESSION_CALLS));
                *first = Reverse((us + gap_us + 1, agent));
                (agent, us, session, dice)
            }
            Self::Scattered { agents, us, dice } => {
                let now = *us;
                if now >= end_us as f64 {
                    return None;
                }
                *us += HOUR_US as f64 / (SCATTERED_PER_HOUR * f64::from(*agents));
                // Its calls are half an hour apart, so each is a session.
                (dice.random_range(0..*agents), now as i64, (now / 1e6) as u32, dice)
            }
        };
        let pick = dice.random_range(0..ENDPOINTS_OF_ONE).min(dice.random_range(0..ENDPOINTS_OF_ONE));
        Some(Event {
            agent,
            us,
            endpoint: ((agent as usize + pick) % ENDPOINTS.len()) as u8,
            session,
            is_elsewhere: dice.random_range(0..ELSEWHERE_ONE_IN) == 0,
            // Of a thousand calls ten find nothing, five fail and one is denied.
            status: match dice.random_range(0..1_000) {
                0..10 => 404,
                10..15 => 500,
                15 => 403,
                _ => 200,
            },
            bytes_out: (200 + 37 * (agent % 100)) << dice.random_range(0..3),
        })
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

/// Where the texts of an event end: its id, its agent's name, token and session.
const ENDS: [usize; 4] = [20, 41, 61, 81];
const TEXT_LEN: usize = ENDS[3];

/// The calls as a decoder would hand them on: texts borrowed from what was read.
fn calls<'a>(events: &[Event], text: &'a mut String) -> Vec<Call<'a>> {
    text.clear();
    for Event { agent, us, session, .. } in events {
        let id = (*us as u64) << 20 ^ u64::from(*agent);
        write!(text, "evt-{id:016x}support/agent-{agent:07}tok-{agent:016x}ses-{agent:08x}{session:08x}")
            .unwrap_or_else(|e| unreachable!("{e}"));
    }
    let call = |(i, e): (usize, &Event)| {
        let texts: &'a str = &text[i * TEXT_LEN..(i + 1) * TEXT_LEN];
        let (id, agent) = (&texts[..ENDS[0]], &texts[ENDS[0]..ENDS[1]]);
        let mut call = Call::new(id, Timestamp::from_micros(e.us), agent, ENDPOINTS[usize::from(e.endpoint)]);
        call.identity.token_id = Some(texts[ENDS[1]..ENDS[2]].into());
        call.identity.session_id = Some(texts[ENDS[2]..].into());
        call.method = Some("CALL".into());
        call.user_agent = Some(CLIENTS[e.agent as usize % CLIENTS.len()].into());
        let [_, high, middle, low] = e.agent.to_be_bytes();
        call.source_ip = Some(IpAddr::V4(Ipv4Addr::new(10 + u8::from(e.is_elsewhere), high, middle, low)));
        (call.status, call.bytes_out) = (Some(e.status), Some(e.bytes_out.into()));
        call
    };
    events.iter().enumerate().map(call).collect()
}
