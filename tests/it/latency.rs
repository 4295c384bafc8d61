//! How long from a call that goes in to the webhook that came of it, at 2,000 calls a second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::feed::post_until_taken;
use crate::support::fleet::text;
use crate::support::gate::Agent;
use crate::support::prove;
use crate::support::stage::Stage;
use crate::support::tocsin::Tocsin;

const CALLS_PER_S: u32 = 2_000;
/// Lines in one request: a gateway that flushes every 20 ms.
const CHUNK: usize = 40;
/// Calls of a runaway within its minute of event time.
const BURST: u32 = 900;

#[test]
fn from_call_to_webhook() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    let runaways = prove::scaled(4, 60);
    let lines = interleaved(&tocsin, runaways);

    let sent = send_at_pace(&tocsin.url("/v1/calls"), &lines);
    let mut waits = stage.wait("a revocation of every runaway", || {
        let revoked: Vec<_> =
            stage.receiver.recorded().into_iter().filter(|e| e["type"] == "agent.access.revoked").collect();
        (revoked.len() >= runaways as usize).then(|| {
            revoked
                .iter()
                .map(|e| {
                    e["received_ms"].as_f64().expect("a time")
                        - sent[&text(&e["data"]["evidence"], "event_id")]
                })
                .collect::<Vec<f64>>()
        })
    });
    waits.sort_by(f64::total_cmp);
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share).round() as usize];
    let range = [at(0.0), at(1.0)];
    let name = |which| format!("call in to webhook received, {which}, ms at {CALLS_PER_S} calls/s");
    prove::row(&name("p50"), at(0.5), range, "", true, "latency");
    prove::row(&name("p99"), at(0.99), range, "", true, "latency");
}

/// The bursts of that many agents, two at a time, with the times of the log running as fast as the clock.
fn interleaved(tocsin: &Tocsin, runaways: u32) -> Vec<String> {
    let mut bursts: Vec<_> = (0..runaways)
        .map(|i| {
            let name: &'static str = Box::leak(format!("runaway-{i}").into_boxed_str());
            Agent::with_history(tocsin, name).burst(BURST).into_iter()
        })
        .collect();
    let mut lines = Vec::new();
    for pair in bursts.chunks_mut(2) {
        while let Some(line) = pair[0].next() {
            lines.push(line);
            lines.extend(pair.get_mut(1).and_then(Iterator::next));
        }
    }
    lines
}

/// Sends all lines at the pace; gives when the request with each event left, in milliseconds since 1970.
fn send_at_pace(url: &str, lines: &[String]) -> BTreeMap<String, f64> {
    let began = Instant::now();
    let mut sent = BTreeMap::new();
    for (i, chunk) in lines.chunks(CHUNK).enumerate() {
        let due = Duration::from_secs(1) * (i * CHUNK) as u32 / CALLS_PER_S;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64() * 1e3;
        sent.extend(chunk.iter().map(|line| (event_id(line), now_ms)));
        post_until_taken(url, chunk);
    }
    sent
}

fn event_id(line: &str) -> String {
    let record: serde_json::Value = serde_json::from_str(line).expect("a line of ours");
    text(&record, "event_id")
}
