//! Decode and score on one core beside a floor on the same bytes, 100,000 agents, and the bytes each agent costs.
//!
//! The floor is what any detector has to do: a typed, borrowed `serde_json` decode, a hash look-up of the agent, and 256
//! bytes of that agent's state read and written. Both sides run in turn in one process, so the ratio holds on a noisy
//! machine; the median of the rounds is printed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use detector::{Attestation, Detector, DetectorConfig, Timestamp};
use ingest::decode::{Format, Receipt, SourceContext, Tally, decode};
use ingest::pipeline::score::Scorer;
use serde::Deserialize;

const AGENTS: u64 = 100_000;
const CALLS_PER_ROUND: u64 = 200_000;
const ROUNDS: usize = 7;
/// The share of the floor's speed that decode and score together must reach.
const GOAL: f64 = 0.3;
/// What volume and timing may cost together.
const STATE_BYTES_MAX: usize = 2_048;

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
    let ctx = SourceContext::new("bench", Attestation::Token, Format::Native);
    let mut tally = Tally::new();
    let mut scorer = Scorer::new(Detector::new(DetectorConfig::default(), &[]));
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
    ratios.sort_by(f64::total_cmp);
    rates.sort_by(f64::total_cmp);
    let (low, median, high) = (ratios[0], ratios[ROUNDS / 2], ratios[ROUNDS - 1]);
    println!(
        "decode + score: {:.0} calls/s, {median:.2} of the floor's speed ({low:.2} to {high:.2}); goal {GOAL}",
        rates[ROUNDS / 2]
    );
    let state = Detector::bytes_of_volume_and_timing();
    println!(
        "state: {state} bytes an agent for volume and timing, {} with all else but its names ({} agents)",
        Detector::bytes_per_agent(),
        scorer.detector().agents()
    );
    prove("decode + score, share of the floor's speed", median, (low, high), "at least 0.3", median >= GOAL);
    let fits = state <= STATE_BYTES_MAX;
    prove(
        "volume and timing of an agent, bytes",
        state as f64,
        (state as f64, state as f64),
        "at most 2048",
        fits,
    );
}

/// One row for `make prove`.
fn prove(name: &str, value: f64, (low, high): (f64, f64), goal: &str, holds: bool) {
    let row = serde_json::json!({
        "name": name, "value": value, "low": low, "high": high, "goal": goal, "holds": holds,
        "command": "cargo bench --bench score",
    });
    println!("PROVE {row}");
    if let Some(path) = std::env::var_os("TOCSIN_PROVE_OUT") {
        let rows = std::fs::File::options().create(true).append(true).open(path);
        rows.and_then(|mut rows| writeln!(rows, "{row}"))
            .unwrap_or_else(|e| eprintln!("the row is not kept: {e}"));
    }
}
