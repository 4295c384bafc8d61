//! `Detector::observe_all` on one core: beside a floor, beside a random cut forest, and from 1,000 agents to a million; by two
//! threads beside one; and the memory that a million agents take.
//!
//! What is timed is what users run, less the decoding: calls that are ready, with all that a log says, all four families, the whole verdict, and the
//! ticks of event time that are due. Whatever is compared takes its turn in one process over the same calls, a batch
//! each, so that a noisy machine is noisy to both; the ratio is taken a round, and the median of the rounds is the figure.

#[path = "../support/prove.rs"]
mod prove;

mod fleets;
mod floor;
mod forest;
mod resident;
mod subject;
mod traffic;

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use self::floor::Floor;
use self::forest::Forests;
use self::prove::{Figure, is_bench, prove};
use self::subject::Subject;
use self::traffic::Traffic;

const ROUNDS: usize = 7;
/// Simulated hours that pass before anything is counted.
const WARM_HOURS: usize = 4;
const AGENTS: u32 = 100_000;
/// The share of the floor's speed that `observe` must reach,
const FLOOR_GOAL: f64 = 0.45;
/// and how many times a forest's.
const FOREST_GOAL: f64 = 20.0;
const FOREST_AGENTS: u32 = 1_000;
/// Simulated hours of a round beside forests, which take their time.
const FOREST_HOURS: f64 = 0.5;

fn main() {
    if !is_bench() {
        return;
    }
    // `cargo bench --bench observe -- mixed` measures that alone. The million agents come first, while no freed memory can
    // hide what they take.
    let only: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let parts: [(&str, fn()); 5] = [
        ("fleets", fleets::compare),
        ("mixed", mixed),
        ("scattered", scattered),
        ("workers", workers),
        ("forest", forest),
    ];
    for (_, measure) in parts.iter().filter(|(name, _)| only.is_empty() || only.iter().any(|o| o == name)) {
        measure();
    }
}

/// What a fleet looks like.
fn mixed() {
    let share = beside_floor("mixed traffic", Traffic::mixed(AGENTS));
    let name = "observe, mixed traffic, share of a floor's speed";
    prove(name, share, "at least 0.45", share.value >= FLOOR_GOAL);
}

/// The hard case.
fn scattered() {
    let share = beside_floor("every agent twice an hour", Traffic::scattered(AGENTS));
    prove("observe, every agent twice an hour, share of a floor's speed", share, "", true);
}

/// Two threads beside one.
fn workers() {
    let (mut traffic, mut one) = (Traffic::mixed(AGENTS), Subject::new());
    let mut two = Subject::with(NonZeroUsize::MIN.saturating_add(1));
    let mut rounds = Vec::new();
    for hour in 0..WARM_HOURS + ROUNDS {
        let mut race = Race::default();
        traffic.run((hour + 1) as f64, |_, calls| {
            race.calls += calls.len();
            race.theirs += timed(|| one.observe(calls));
            race.ours += timed(|| two.observe(calls));
        });
        rounds.push(race);
    }
    let times = tell("two workers", "one", &rounds[WARM_HOURS..]);
    prove("observe, two workers, times one's speed", times, "", true);
}

fn timed(f: impl FnOnce()) -> Duration {
    let began = Instant::now();
    f();
    began.elapsed()
}

/// Two ways to take the same calls, and how long each has taken.
#[derive(Default)]
struct Race {
    calls: usize,
    ours: Duration,
    theirs: Duration,
}

impl Race {
    fn ratio(&self) -> f64 {
        self.theirs.as_secs_f64() / self.ours.as_secs_f64()
    }
}

fn per_s(calls: usize, took: Duration) -> f64 {
    calls as f64 / took.as_secs_f64()
}

/// Prints the speeds of both; gives ours as a multiple of theirs.
fn tell(what: &str, rival: &str, rounds: &[Race]) -> Figure {
    let ours = Figure::of(rounds.iter().map(|r| per_s(r.calls, r.ours)).collect());
    let theirs = Figure::of(rounds.iter().map(|r| per_s(r.calls, r.theirs)).collect());
    let ratio = Figure::of(rounds.iter().map(Race::ratio).collect());
    println!(
        "{what}: observe {:.0} calls/s, {rival} {:.0}; {:.2} times ({:.2} to {:.2}); {} calls a round",
        ours.value,
        theirs.value,
        ratio.value,
        ratio.low,
        ratio.high,
        rounds[rounds.len() / 2].calls
    );
    ratio
}

fn beside_floor(what: &str, mut traffic: Traffic) -> Figure {
    let (mut subject, mut floor) = (Subject::new(), Floor::default());
    let mut rounds = Vec::new();
    for hour in 0..WARM_HOURS + ROUNDS {
        let mut race = Race::default();
        traffic.run((hour + 1) as f64, |_, calls| {
            race.calls += calls.len();
            race.theirs += timed(|| calls.iter().for_each(|c| floor.observe(c)));
            race.ours += timed(|| subject.observe(calls));
        });
        rounds.push(race);
    }
    tell(what, "floor", &rounds[WARM_HOURS..])
}

/// The usual tool for anomalies in a stream.
fn forest() {
    let mut traffic = Traffic::mixed(FOREST_AGENTS);
    let (mut subject, mut forests) = (Subject::new(), Forests::new(FOREST_AGENTS as usize));
    traffic.run(WARM_HOURS as f64, |events, calls| {
        subject.observe(calls);
        forests.points(events);
    });
    let mut rounds = Vec::new();
    // The first round brings the copies of the trained forests apart and is not counted.
    for round in 0..=ROUNDS {
        let mut race = Race::default();
        traffic.run(WARM_HOURS as f64 + FOREST_HOURS * (round + 1) as f64, |events, calls| {
            let points = forests.points(events);
            race.calls += calls.len();
            race.theirs += timed(|| {
                for (agent, point) in &points {
                    black_box(forests.observe(*agent, point));
                }
            });
            race.ours += timed(|| subject.observe(calls));
        });
        rounds.push(race);
    }
    let times = tell("1,000 agents", "forest", &rounds[1..]);
    prove(
        "observe, 1,000 agents, times a random cut forest's speed",
        times,
        "at least 20",
        times.value >= FOREST_GOAL,
    );
}
