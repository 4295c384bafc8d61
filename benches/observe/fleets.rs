//! Fleets from a thousand agents to a million: does `observe` stay as fast, and what memory does it take?

use std::time::Duration;

use detector::Detector;

use crate::prove::{Figure, prove};
use crate::subject::Subject;
use crate::traffic::Traffic;
use crate::{ROUNDS, per_s, resident, timed};

const MILLION: u32 = 1_000_000;
const FLEETS: [u32; 4] = [1_000, 10_000, 100_000, MILLION];
/// Their speeds may differ by this factor at most.
const FLAT_GOAL: f64 = 2.0;
/// A round is at least so many calls, or its time would be all chance.
const CALLS_PER_ROUND: f64 = 100_000.0;
/// What volume and timing may cost together,
const STATE_BYTES_MAX: f64 = 2_048.0;
/// and all signals.
const AGENT_BYTES_MAX: f64 = 3_584.0;

/// One fleet, and how long each round took it; the first makes its agents known and does not count.
struct Fleet {
    traffic: Traffic,
    subject: Subject,
    hours: f64,
    rounds: Vec<(usize, Duration)>,
}

impl Fleet {
    fn new(agents: u32) -> Self {
        Self { traffic: Traffic::mixed(agents), subject: Subject::new(), hours: 0.0, rounds: Vec::new() }
    }

    fn round(&mut self, hours: f64) {
        let Self { traffic, subject, .. } = self;
        let (mut n, mut took) = (0, Duration::ZERO);
        self.hours += hours;
        traffic.run(self.hours, |_, calls| {
            n += calls.len();
            took += timed(|| subject.observe(calls));
        });
        self.rounds.push((n, took));
    }

    /// Calls a second over the rounds that count: all of them, since only some hold the end of an hour.
    fn per_s(&self) -> f64 {
        let counted = &self.rounds[1..];
        per_s(counted.iter().map(|r| r.0).sum(), counted.iter().map(|r| r.1).sum())
    }
}

/// All fleets in turn. Of large ones the rounds make up an hour; small ones go on for longer.
pub(crate) fn compare() {
    let mut fleets: Vec<Fleet> = FLEETS.iter().map(|&agents| Fleet::new(agents)).collect();
    for (agents, fleet) in FLEETS.iter().zip(&mut fleets) {
        let before = resident::bytes();
        fleet.round(1.0);
        if let (&MILLION, Some(before), Some(after)) = (agents, before, resident::bytes()) {
            let agent = (after - before) / f64::from(MILLION);
            let name = "resident memory of an agent, of 1,000,000, with its name, its place and open sessions, bytes";
            prove(name, exact(agent), "at most 3584", agent <= AGENT_BYTES_MAX);
        }
    }
    compiled();
    for _ in 0..ROUNDS {
        for fleet in &mut fleets {
            let an_hour = fleet.rounds[0].0 as f64;
            fleet.round((CALLS_PER_ROUND / an_hour).max(1.0 / ROUNDS as f64));
        }
    }
    for (agents, fleet) in FLEETS.iter().zip(&fleets) {
        println!("{agents} agents: observe {:.0} calls/s", fleet.per_s());
    }
    let spread = |speeds: Vec<f64>| {
        let Figure { low, high, .. } = Figure::of(speeds);
        high / low
    };
    let value = spread(fleets.iter().map(Fleet::per_s).collect());
    let of_round = |i: usize| spread(fleets.iter().map(|f| per_s(f.rounds[i].0, f.rounds[i].1)).collect());
    let Figure { low, high, .. } = Figure::of((1..=ROUNDS).map(of_round).collect());
    let figure = Figure { value, low: low.min(value), high: high.max(value) };
    prove(
        "observe, 1,000 to 1,000,000 agents, fastest over slowest",
        figure,
        "at most 2",
        value <= FLAT_GOAL,
    );
}

/// What an agent takes whether it does anything or not, and what is left of a dormant one.
fn compiled() {
    let row = |name: &str, bytes: usize, most: f64| {
        let bytes = exact(bytes as f64);
        prove(name, bytes, &format!("at most {most}"), bytes.value <= most);
    };
    row("volume and timing of an agent, bytes", Detector::bytes_of_volume_and_timing(), STATE_BYTES_MAX);
    row("all signals of an agent, bytes", Detector::bytes_per_agent(), AGENT_BYTES_MAX);
    let dormant = exact(Detector::bytes_per_dormant_agent() as f64);
    prove("a dormant agent, bytes", dormant, "", true);
}

/// A figure that does not vary.
fn exact(value: f64) -> Figure {
    Figure { value, low: value, high: value }
}
