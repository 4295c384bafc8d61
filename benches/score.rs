//! Decode and score on one core beside a floor on the same bytes, 100,000 agents.
//!
//! The floor is what any detector has to do: a typed, borrowed `serde_json` decode, a hash look-up of the agent, and 256
//! bytes of that agent's state read and written. Both sides run in turn in one process, so the ratio holds on a noisy
//! machine; the median of the rounds is printed. Traffic is that of the bench `observe`: a mixed fleet, and the hard case.

#[path = "support/prove.rs"]
mod prove;
#[path = "observe/traffic.rs"]
mod traffic;

use std::borrow::Cow;
use std::collections::HashMap;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use detector::{Attestation, Call, Detector, DetectorConfig};
use ingest::decode::native::write;
use ingest::decode::{Format, Receipt, SourceContext, Tally, decode};
use ingest::pipeline::score::Scorer;
use serde::Deserialize;

use self::prove::{Figure, is_bench, prove};
use self::traffic::Traffic;

const AGENTS: u32 = 100_000;
const ROUNDS: usize = 7;
/// Simulated hours that make every agent known to both sides and are not counted.
const WARM_HOURS: usize = 4;
/// The share of the floor's speed that decode and score together must reach.
const GOAL: f64 = 0.5;

#[derive(Deserialize)]
#[expect(dead_code, reason = "the floor decodes every field and reads three")]
struct Floor<'a> {
    #[serde(borrow)]
    event_id: Cow<'a, str>,
    #[serde(borrow)]
    ts: Cow<'a, str>,
    #[serde(borrow)]
    agent_id: Cow<'a, str>,
    #[serde(borrow)]
    session_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    token_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    endpoint: Cow<'a, str>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    status: Option<u16>,
    latency_ms: Option<f64>,
    bytes_in: Option<u64>,
    bytes_out: Option<u64>,
    #[serde(borrow)]
    source_ip: Option<Cow<'a, str>>,
    #[serde(borrow)]
    scope: Option<Cow<'a, str>>,
    #[serde(borrow)]
    attestation: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user_agent: Option<Cow<'a, str>>,
}

/// The calls of a batch as a log has them.
fn lines(calls: &[Call<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(calls.len() * 400);
    for call in calls {
        write(call, &mut out).unwrap_or_else(|e| unreachable!("{e}"));
    }
    out
}

fn each_line(bytes: &[u8], mut f: impl FnMut(&[u8])) -> Duration {
    let began = Instant::now();
    bytes.split(|&b| b == b'\n').filter(|l| !l.is_empty()).for_each(&mut f);
    began.elapsed()
}

struct FloorState {
    index: HashMap<String, usize, rustc_hash::FxBuildHasher>,
    states: Vec<[u64; 32]>,
}

impl FloorState {
    fn run(&mut self, bytes: &[u8]) -> Duration {
        each_line(bytes, |line| {
            let Ok(call) = serde_json::from_slice::<Floor<'_>>(line) else { return };
            let next = self.states.len();
            let i = if let Some(&i) = self.index.get(&*call.agent_id) {
                i
            } else {
                self.index.insert(call.agent_id.to_string(), next);
                self.states.push([0; 32]);
                next
            };
            for word in &mut self.states[i] {
                *word = word.wrapping_add(call.ts.len() as u64 ^ call.endpoint.len() as u64);
            }
        })
    }
}

/// Seconds of the floor and of ours over the calls of one simulated hour, and how many those were.
#[derive(Default)]
struct Round {
    calls: usize,
    floor: Duration,
    ours: Duration,
}

/// The shares of the floor's speed over the rounds that count, and our calls a second.
fn beside_floor(mut traffic: Traffic) -> (Figure, Figure) {
    let ctx = SourceContext::new("bench", Attestation::Token, Format::Native);
    let mut tally = Tally::new();
    let mut scorer = Scorer::new(Detector::new(DetectorConfig::default(), &[]), NonZeroUsize::MIN);
    let mut floor = FloorState { index: HashMap::default(), states: Vec::new() };
    let mut rounds = Vec::new();
    for hour in 0..WARM_HOURS + ROUNDS {
        let mut round = Round::default();
        traffic.run((hour + 1) as f64, |_, calls| {
            let bytes = lines(calls);
            round.calls += calls.len();
            round.floor += floor.run(&bytes);
            round.ours +=
                each_line(&bytes, |line| match decode(line, &ctx, Receipt::AsRecorded, &mut tally) {
                    Ok(call) => drop(black_box(scorer.step(&call).verdict)),
                    Err(e) => unreachable!("{e}"),
                });
        });
        rounds.push(round);
    }
    assert_eq!(tally.unknown_fields(), 0);
    let counted = &rounds[WARM_HOURS..];
    let share = |r: &Round| r.floor.as_secs_f64() / r.ours.as_secs_f64();
    let rate = |r: &Round| r.calls as f64 / r.ours.as_secs_f64();
    (Figure::of(counted.iter().map(share).collect()), Figure::of(counted.iter().map(rate).collect()))
}

fn main() {
    if !is_bench() {
        return;
    }
    let mixed = (Traffic::mixed(AGENTS), "mixed traffic", format!("at least {GOAL}"));
    let scattered = (Traffic::scattered(AGENTS), "every agent twice an hour", String::new());
    for (traffic, what, goal) in [mixed, scattered] {
        let (share, rate) = beside_floor(traffic);
        println!(
            "decode + score, {what}: {:.0} calls/s, {:.2} of the floor's speed ({:.2} to {:.2})",
            rate.value, share.value, share.low, share.high
        );
        let holds = goal.is_empty() || share.value >= GOAL;
        prove(&format!("decode + score, {what}, share of the floor's speed"), share, &goal, holds);
    }
}
