//! The recorded data sets decode, all of them.

use std::collections::BTreeMap;

use crate::support::{fixture, read};
use ingest::decode::{Format, Record, RecordReader};

/// Calls, rejects, agents, sessions and statuses of a data set, and its first calls.
fn summary(path: &str, samples: &[usize]) -> String {
    let outcomes = read(&fixture(path)[..], Format::Auto);
    let calls: Vec<serde_json::Value> =
        outcomes.calls().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let distinct = |field: &str| {
        let mut counts = BTreeMap::new();
        for call in &calls {
            *counts.entry(call[field].to_string()).or_insert(0) += 1;
        }
        counts
    };
    let mut text = format!(
        "calls {}, rejects {}, blank {}, unknown fields {}\n",
        calls.len(),
        outcomes.rejects().len(),
        outcomes.blank_lines,
        outcomes.tally.unknown_fields(),
    );
    let mut say = |line: String| text.push_str(&line);
    for field in ["event_id", "agent_id", "session_id", "endpoint"] {
        say(format!("different {field}: {}\n", distinct(field).len()));
    }
    for field in ["status", "method", "credential_kind", "attestation"] {
        say(format!("{field}: {:?}\n", distinct(field)));
    }
    for &sample in samples {
        say(format!("{sample}: {}", outcomes.calls()[sample]));
    }
    text
}

#[test]
fn agent_traces() {
    insta::assert_snapshot!("train", summary("agent-traces/train.ndjson.gz", &[0, 2715]));
    insta::assert_snapshot!("test", summary("agent-traces/test.ndjson.gz", &[0, 5685]));
    insta::assert_snapshot!("tau", summary("agent-traces/tau-airline-benign.ndjson.gz", &[0, 1163]));
}

#[test]
fn cloudtrail() {
    insta::assert_snapshot!("cloudtrail", summary("cloudtrail/records.ndjson.gz", &[0, 1, 2, 100, 309]));
}

#[test]
fn plain_and_gzipped_files_hold_the_same_records() {
    let packed = fixture("cloudtrail/records.ndjson.gz");
    let plain = crate::support::unpacked("cloudtrail/records.ndjson.gz");
    let (packed, plain) = (read(&packed[..], Format::Auto), read(&plain[..], Format::CloudTrail));
    assert_eq!(packed.calls(), plain.calls());
    assert_eq!(packed.calls().len(), 310);
}

#[test]
fn an_item_says_where_the_next_begins() {
    let text = crate::support::unpacked("agent-traces/tau-airline-benign.ndjson.gz");
    let mut reader = RecordReader::new(&text[..], Format::Auto, ingest::decode::Limits::default());
    let mut from = 0;
    while let Some(item) = reader.next_item().unwrap() {
        let Record::Whole(bytes) = item.record else { panic!("line {}", item.line) };
        let end = usize::try_from(item.end).unwrap();
        assert_eq!(text[from..end].trim_ascii(), bytes);
        assert!(item.ended);
        from = end;
    }
    assert_eq!(from, text.len());
}
