//! Lines to stored rows, beside the engine doing the same by itself.
//!
//! Ours: decode each line, send the rows through the official client and the engine's gateway, batch after batch. The
//! engine's: `INSERT … SELECT … FROM file(…, JSONEachRow)` of the same lines in one statement. Both fill tables of one
//! definition, with the counts per minute derived, on disk when they return. Rounds alternate in one process, so the
//! ratio holds on a noisy machine; the median of the rounds is printed.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on says so by ending")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use detector::{Attestation, Timestamp};
use ingest::decode::{Format, Receipt, SourceContext, Tally, decode_with_digest};
use ingest::engine::default_library;
use ingest::store::{CallRow, Place, Store, StoreConfig};

const ROWS: u64 = 200_000;
const ROUNDS: u64 = 5;
const AGENTS: u64 = 10_000;

/// What the file holds, and what becomes of it in the table.
const FROM_FILE: &str = "INSERT INTO direct (event_id, kind, ts, received_at, agent_id, session_id, token_id, endpoint,
    method, credential_kind, status, latency_ms, bytes_in, bytes_out, claimed_attestation, attestation, digest, origin, position)
SELECT event_id, 'call', ts, now64(6), agent_id, session_id, token_id, endpoint, method, 'unknown', status, latency_ms,
    bytes_in, bytes_out, attestation, attestation, sipHash128(event_id, ts, agent_id, endpoint), 'file', rowNumberInAllBlocks()
FROM file('{path}', JSONEachRow, 'event_id String, ts DateTime64(6, \\'UTC\\'), agent_id String, session_id Nullable(String),
    token_id Nullable(String), endpoint String, method Nullable(String), status Nullable(UInt16),
    latency_ms Nullable(Float64), bytes_in Nullable(UInt64), bytes_out Nullable(UInt64), attestation String')
SETTINGS date_time_input_format = 'best_effort', async_insert = 0, optimize_on_insert = 0";

fn lines(round: u64) -> String {
    let mut out = String::with_capacity(ROWS as usize * 300);
    for i in 0..ROWS {
        let n = round * ROWS + i;
        let scrambled = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let agent = (scrambled >> 32) % AGENTS;
        let ts = Timestamp::from_millis(1_767_600_000_000 + 18 * n.cast_signed());
        let endpoint = ["search_tickets", "read_ticket", "draft_reply", "send_reply", "close_ticket"]
            [(scrambled >> 11) as usize % 5];
        writeln!(
            out,
            r#"{{"event_id":"s-{n:016x}","ts":"{ts}","agent_id":"support/agent-{agent:06}","session_id":"s-{agent:06}-{round}","token_id":"tok-{agent:016x}","endpoint":"{endpoint}","method":"CALL","status":200,"latency_ms":12.5,"bytes_in":{},"bytes_out":{},"attestation":"token"}}"#,
            n % 900,
            n % 9_000
        )
        .unwrap();
    }
    out
}

async fn ours(store: &Store, lines: &str, batch_rows: usize) -> Duration {
    let ctx = SourceContext::new("bench", Attestation::Token, Format::Native);
    let mut tally = Tally::new();
    let began = Instant::now();
    let received = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let receipt = Receipt::At(Timestamp::from_micros(received.as_micros() as i64));
    let all: Vec<&str> = lines.lines().collect();
    for batch in all.chunks(batch_rows) {
        let decoded =
            batch.iter().map(|line| decode_with_digest(line.as_bytes(), &ctx, receipt, &mut tally).unwrap());
        let decoded: Vec<_> = decoded.collect();
        let rows = (0..).zip(&decoded);
        let rows: Vec<_> = rows
            .map(|(position, (call, digest))| {
                CallRow::new(call, *digest, Place { origin: "bench", position })
            })
            .collect();
        store.insert_calls(&rows).await.unwrap();
    }
    began.elapsed()
}

async fn by_itself(store: &Store, path: &Path) -> Duration {
    let began = Instant::now();
    store.query_json(&FROM_FILE.replace("{path}", &path.display().to_string())).await.unwrap();
    began.elapsed()
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(default_library());
    let config = StoreConfig { engine, ..StoreConfig::default() };
    let store = Store::open(&config, folder.path()).await.unwrap();
    twin_tables(&store).await;
    let file = folder.path().join("lines.ndjson");
    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let lines = lines(round);
        std::fs::write(&file, &lines).unwrap();
        let theirs = by_itself(&store, &file).await;
        let ours = ours(&store, &lines, config.batch_rows_max).await;
        // The first round warms both.
        if round > 0 {
            ratios.push(theirs.as_secs_f64() / ours.as_secs_f64());
            rates.push([ours, theirs].map(|took| ROWS as f64 / took.as_secs_f64()));
        }
    }
    let stored = store
        .query_json("SELECT count() AS n FROM calls_once UNION ALL SELECT count() FROM direct FINAL")
        .await;
    assert!(stored.unwrap().iter().all(|row| row["n"] == ROWS * (ROUNDS + 1)), "rows are missing");
    report(&mut ratios, &mut rates);
    store.shutdown().await;
}

/// Tables like `calls` and what derives from it, for the engine to fill by itself.
async fn twin_tables(store: &Store) {
    let fold = include_str!("../migrations/0005_calls_per_minute.sql");
    let fold = fold.split(';').find(|sql| sql.contains("MATERIALIZED")).unwrap();
    let fold = fold.replace("calls_per_minute", "direct_per_minute").replace("FROM calls\n", "FROM direct\n");
    for sql in [
        "CREATE TABLE direct AS calls",
        "CREATE TABLE direct_per_minute_states AS calls_per_minute_states",
        fold.trim(),
    ] {
        store.query_json(sql).await.unwrap();
    }
}

fn report(ratios: &mut [f64], rates: &mut [[f64; 2]]) {
    ratios.sort_by(f64::total_cmp);
    rates.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let (low, median, high) = (ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
    let [ours, theirs] = rates[rates.len() / 2];
    println!(
        "lines to stored rows: {ours:.0} rows/s; the engine by itself from a file {theirs:.0}; ratio {median:.2} ({low:.2} to {high:.2})"
    );
    let (slowest, fastest) = (rates[0][0], rates[rates.len() - 1][0]);
    prove("lines decoded and stored through the gateway, rows/s", ours, (slowest, fastest));
    prove("lines stored, share of the engine's own speed from a file", median, (low, high));
}

/// One row for `make prove`.
fn prove(name: &str, value: f64, (low, high): (f64, f64)) {
    let row = serde_json::json!({
        "name": name, "value": value, "low": low, "high": high, "goal": "", "holds": true,
        "command": "cargo bench -p ingest --bench store",
    });
    println!("PROVE {row}");
    if let Some(path) = std::env::var_os("TOCSIN_PROVE_OUT") {
        let rows = std::fs::File::options().create(true).append(true).open(path);
        rows.and_then(|mut rows| writeln!(rows, "{row}")).unwrap();
    }
}
