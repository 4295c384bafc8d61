//! Decode and score on one core beside a floor on the same bytes, 100,000 agents.
//!
//! The floor is what any detector has to do: a typed, borrowed `serde_json` decode, a hash look-up of the agent, and 256
//! bytes of that agent's state read and written. Both sides run in turn in one process, so the ratio holds on a noisy
//! machine; the median of the rounds is printed.

#[path = "support/prove.rs"]
mod prove;

use std::borrow::Cow;
use std::collections::HashMap;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use detector::{Attestation, Detector, DetectorConfig, Timestamp};
use ingest::decode::{Format, Receipt, SourceContext, Tally, decode};
use ingest::pipeline::score::Scorer;
use serde::Deserialize;

use self::prove::{Figure, is_bench, prove};

const AGENTS: u64 = 100_000;
const CALLS_PER_ROUND: u64 = 200_000;
const ROUNDS: usize = 7;
/// The share of the floor's speed that decode and score together must reach.
const GOAL: f64 = 0.3;

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
}

/// The lines of one round: agents in a scrambled order, so that each call meets a cold profile.
fn lines(round: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(CALLS_PER_ROUND as usize * 320);
    let start = 1_767_600_000_000 + round as u64 * 3_600_000;
    for i in 0..CALLS_PER_ROUND {
        let n = round as u64 * CALLS_PER_ROUND + i;
        let scrambled = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let agent = (scrambled >> 32) % AGENTS;
        let ts = Timestamp::from_millis((start + i * 3_600_000 / CALLS_PER_ROUND).cast_signed());
        let endpoint = ["search_tickets", "read_ticket", "draft_reply", "send_reply", "close_ticket"]
            [(scrambled >> 11) as usize % 5];
        let line = format!(
            "{{\"event_id\":\"s-{n:016x}\",\"ts\":\"{ts}\",\"agent_id\":\"support/agent-{agent:06}\",\"session_id\":\
             \"s-{agent:06}-{round}\",\"token_id\":\"tok-{agent:016x}\",\"endpoint\":\"{endpoint}\",\"method\":\"CALL\",\
             \"status\":200,\"latency_ms\":12.5,\"bytes_in\":{},\"bytes_out\":{},\"source_ip\":null,\"scope\":null,\
             \"attestation\":\"token\"}}\n",
            n % 900,
            n % 9_000
        );
        out.extend_from_slice(line.as_bytes());
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

fn main() {
    if !is_bench() {
        return;
    }
    let ctx = SourceContext::new("bench", Attestation::Token, Format::Native);
    let mut tally = Tally::new();
    let mut scorer = Scorer::new(Detector::new(DetectorConfig::default(), &[]), NonZeroUsize::MIN);
    let mut floor = FloorState { index: HashMap::default(), states: Vec::new() };
    let mut ratios = Vec::new();
    let mut rates = Vec::new();
    // The first two rounds make every agent known to both sides and are not counted.
    for round in 0..ROUNDS + 2 {
        let bytes = lines(round);
        let floor_took = floor.run(&bytes);
        let ours = each_line(&bytes, |line| match decode(line, &ctx, Receipt::AsRecorded, &mut tally) {
            Ok(call) => drop(black_box(scorer.step(&call).verdict)),
            Err(e) => unreachable!("{e}"),
        });
        if round >= 2 {
            ratios.push(floor_took.as_secs_f64() / ours.as_secs_f64());
            rates.push(CALLS_PER_ROUND as f64 / ours.as_secs_f64());
        }
    }
    assert_eq!(tally.unknown_fields(), 0);
    let (share, rate) = (Figure::of(ratios), Figure::of(rates));
    println!(
        "decode + score: {:.0} calls/s, {:.2} of the floor's speed ({:.2} to {:.2}); goal {GOAL}",
        rate.value, share.value, share.low, share.high
    );
    prove("decode + score, share of the floor's speed", share, "at least 0.3", share.value >= GOAL);
}
