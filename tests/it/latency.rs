//! How long from a call that goes in to the webhook that came of it, at 1,000 calls a second; beside it, in the same run, the
//! least that such a way takes: HTTP in, one durable commit, HTTP out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::post;
use reqwest::Method;
use rusqlite::Connection;

use crate::support::feed::post_until_taken;
use crate::support::fleet::text;
use crate::support::gate::{Agent, HISTORY};
use crate::support::http;
use crate::support::prove;
use crate::support::stage::Stage;
use crate::support::tocsin::Tocsin;

const CALLS_PER_S: u32 = 1_000;
/// Lines in one request: a gateway that flushes every 40 ms.
const CHUNK: usize = 40;
/// Calls of a runaway within its minute of event time.
const BURST: u32 = 900;

#[test]
fn from_call_to_webhook() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    let runaways = prove::scaled(4, 60);
    let lines = interleaved(&tocsin, runaways);
    // What is measured is the way of a call, not what is left of three weeks that came at once.
    let history = u64::from(runaways) * HISTORY as u64;
    stage.count_when(Duration::from_mins(3), "verdicts_once", |verdicts| verdicts >= history);

    let bare = Bare::start(stage.path());
    let sent = send_at_pace(&tocsin.url("/v1/calls"), &lines, &bare);
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
    let quantiles = |waits: &mut Vec<f64>| {
        waits.sort_by(f64::total_cmp);
        [0.0, 0.5, 0.99, 1.0].map(|share| waits[((waits.len() - 1) as f64 * share).round() as usize])
    };
    let [low, p50, p99, high] = quantiles(&mut waits);
    let bare = quantiles(&mut stage.wait("the end of every bare way", || bare.all()));
    let name = |what, which| format!("{what}, {which}, ms at {CALLS_PER_S} calls/s");
    for (what, [p50, p99], range) in [
        ("call in to webhook received", [p50, p99], [low, high]),
        ("HTTP in, commit, HTTP out", [bare[1], bare[2]], [bare[0], bare[3]]),
    ] {
        prove::row(&name(what, "p50"), p50, range, "", true, "latency");
        prove::row(&name(what, "p99"), p99, range, "", true, "latency");
    }
    let ratio = p99 / bare[2];
    prove::row(
        "call in to webhook received, p99 by the bare way's",
        ratio,
        [ratio; 2],
        "at most 3",
        ratio <= 3.0,
        "latency",
    );
}

/// A server that does nothing else: takes a request, commits a row durably, and sends a request.
struct Bare {
    url: String,
    begun: AtomicUsize,
    waits: Arc<Mutex<Vec<f64>>>,
}

impl Bare {
    fn start(folder: &Path) -> Self {
        let db = Connection::open(folder.join("bare.db")).expect("a database");
        db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE rows (body TEXT)",
        )
        .expect("a table");
        let (db, waits) = (Arc::new(Mutex::new(db)), Arc::<Mutex<Vec<f64>>>::default());
        let ended = Arc::clone(&waits);
        // Each request carries when it left.
        let end = move |body: String| async move {
            let left: f64 = body.parse().expect("a time");
            ended.lock().expect("nobody panicked").push(now_ms() - left);
        };
        let out = serve(Router::new().route("/", post(end)));
        let through = move |body: String| async move {
            let (row, db) = (body.clone(), Arc::clone(&db));
            let commit = move || {
                let db = db.lock().expect("nobody panicked");
                db.execute("INSERT INTO rows VALUES (?1)", [row]).expect("a row")
            };
            tokio::task::spawn_blocking(commit).await.expect("a commit");
            let request = http::request(Method::POST, &out).body(body);
            tokio::spawn(async move { request.send().await.expect("an answer") });
        };
        let url = serve(Router::new().route("/", post(through)));
        Self { url, begun: AtomicUsize::new(0), waits }
    }

    /// One request, which is not waited for.
    fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let request = http::request(Method::POST, &self.url).body(now_ms().to_string());
        http::spawn(async move { drop(request.send().await.expect("an answer")) });
    }

    /// How long each took, once all have ended.
    fn all(&self) -> Option<Vec<f64>> {
        let waits = self.waits.lock().expect("nobody panicked").clone();
        (waits.len() == self.begun.load(Ordering::Relaxed)).then_some(waits)
    }
}

/// Serves on a free port until the process ends; gives the address.
fn serve(router: Router) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("to be polled");
    let url = format!("http://{}/", listener.local_addr().expect("its address"));
    http::spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        axum::serve(listener, router).await.expect("it serves");
    });
    url
}

fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64() * 1e3
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
fn send_at_pace(url: &str, lines: &[String], bare: &Bare) -> BTreeMap<String, f64> {
    let began = Instant::now();
    let mut sent = BTreeMap::new();
    for (i, chunk) in lines.chunks(CHUNK).enumerate() {
        let due = Duration::from_secs(1) * (i * CHUNK) as u32 / CALLS_PER_S;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        bare.begin();
        let left = now_ms();
        sent.extend(chunk.iter().map(|line| (event_id(line), left)));
        post_until_taken(url, chunk);
    }
    sent
}

fn event_id(line: &str) -> String {
    let record: serde_json::Value = serde_json::from_str(line).expect("a line of ours");
    text(&record, "event_id")
}
