//! Decoding beside a floor: `serde_json` reading the same bytes into a typed, borrowed struct with nothing checked.
//!
//! `cargo bench -p ingest --bench decode`. Prints megabytes and records a second, and the share of the floor's speed.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on says so by ending")]

use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use detector::{Attestation, Timestamp};
use ingest::decode::{
    Format, Limits, Receipt, Record, RecordReader, SourceContext, Tally, decode, decode_with_digest,
};
use serde::Deserialize;

/// How long each row is measured.
const MEASURED: Duration = Duration::from_millis(1_500);

#[derive(Deserialize)]
#[expect(dead_code, reason = "read to be dropped: the floor is the reading")]
struct NativeFloor<'a> {
    event_id: &'a str,
    ts: &'a str,
    agent_id: &'a str,
    endpoint: &'a str,
    method: Option<&'a str>,
    session_id: Option<&'a str>,
    token_id: Option<&'a str>,
    scope: Option<&'a str>,
    status: Option<u16>,
    latency_ms: Option<f64>,
    bytes_in: Option<u64>,
    bytes_out: Option<u64>,
    source_ip: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "read to be dropped: the floor is the reading")]
struct CloudTrailFloor<'a> {
    #[serde(rename = "eventID")]
    event_id: &'a str,
    event_time: &'a str,
    event_source: &'a str,
    event_name: &'a str,
    error_code: Option<&'a str>,
    read_only: Option<bool>,
    #[serde(rename = "sourceIPAddress")]
    source_ip: &'a str,
    user_agent: &'a str,
    #[serde(borrow)]
    user_identity: IdentityFloor<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "read to be dropped: the floor is the reading")]
struct IdentityFloor<'a> {
    r#type: &'a str,
    arn: &'a str,
    account_id: &'a str,
    access_key_id: Option<&'a str>,
}

fn main() {
    let native = [text("agent-traces/train.ndjson.gz"), text("agent-traces/test.ndjson.gz")].concat();
    table("native", &native, |line| {
        black_box(serde_json::from_slice::<NativeFloor<'_>>(line).unwrap());
    });
    table("cloudtrail", &text("cloudtrail/records.ndjson.gz"), |line| {
        black_box(serde_json::from_slice::<CloudTrailFloor<'_>>(line).unwrap());
    });
}

fn table(name: &str, text: &[u8], floor: impl Fn(&[u8])) {
    let lines: Vec<&[u8]> = text.split(|&b| b == b'\n').filter(|line| !line.is_empty()).collect();
    let ctx = SourceContext::new("bench", Attestation::Token, Format::Auto);
    let receipt = Receipt::At(Timestamp::from_millis(1_800_000_000_000));
    let mut tally = Tally::new();
    let row = |what: &str, pass: &mut dyn FnMut()| {
        let seconds = best_pass(pass);
        let megabytes = text.len() as f64 / 1e6 / seconds;
        let records = lines.len() as f64 / 1e6 / seconds;
        println!("{name:<11} {what:<24} {megabytes:>7.0} MB/s {records:>6.2} M records/s");
        seconds
    };
    let floor = row("floor", &mut || lines.iter().for_each(|line| floor(line)));
    let decoded = row("decode", &mut || {
        for line in &lines {
            black_box(decode(line, &ctx, receipt, &mut tally).unwrap());
        }
    });
    let read = row("read and decode", &mut || {
        each_record(text, |line| {
            black_box(decode(line, &ctx, receipt, &mut tally).unwrap());
        });
    });
    row("read, decode and digest", &mut || {
        each_record(text, |line| {
            black_box(decode_with_digest(line, &ctx, receipt, &mut tally).unwrap());
        });
    });
    println!(
        "{name:<11} share of the floor: decode {:.2}, with reading {:.2}",
        floor / decoded,
        floor / read
    );
}

/// Seconds of the fastest pass: what the machine can do when nothing else disturbs it.
fn best_pass(pass: &mut dyn FnMut()) -> f64 {
    let began = Instant::now();
    let mut best = f64::INFINITY;
    while began.elapsed() < MEASURED {
        let one = Instant::now();
        pass();
        best = best.min(one.elapsed().as_secs_f64());
    }
    best
}

fn each_record(text: &[u8], mut then: impl FnMut(&[u8])) {
    let mut reader = RecordReader::new(text, Format::Auto, Limits::default());
    while let Some(item) = reader.next_item().unwrap() {
        if let Record::Whole(bytes) = item.record {
            then(bytes);
        }
    }
}

fn text(fixture: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(fixture);
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(&std::fs::read(path).unwrap()[..]).read_to_end(&mut text).unwrap();
    text
}
