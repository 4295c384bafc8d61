//! Lines that break the schema: each becomes a reject that names what is wrong and keeps the bytes.

use std::io::Write;

use ingest::decode::{Format, Limits, REJECT_BYTES_MAX};

use crate::support::{Outcomes, fixture, read, read_within};

/// Every line that is not blank is there once, in order, with its length and its bytes but for what was masked.
fn assert_all_accounted_for(text: &[u8], outcomes: &Outcomes) {
    let lines: Vec<_> =
        text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).filter(|l| !l.is_empty()).collect();
    assert_eq!(outcomes.list.len(), lines.len());
    for (line, outcome) in lines.into_iter().zip(&outcomes.list) {
        assert_eq!(outcome.len, line.len() as u64, "line {}", outcome.line);
        assert!(line.starts_with(&outcome.bytes));
        if let Some(reject) = outcome.reject() {
            assert_eq!(reject.len, outcome.len);
            assert_eq!(reject.bytes.len(), outcome.bytes.len().min(REJECT_BYTES_MAX));
            assert!(reject.bytes.iter().zip(line).all(|(kept, was)| kept == was || *kept == b'*'));
            assert!(!String::from_utf8_lossy(&reject.bytes).contains("c2lnbmF0dXJl"), "line {}", reject.line);
            assert!(!reject.reason.contains("eyJ"), "line {}: {}", reject.line, reject.reason);
        }
    }
}

#[test]
fn native() {
    let text = fixture("bad/native.ndjson");
    let outcomes = read(&text[..], Format::Native);
    assert_all_accounted_for(&text, &outcomes);
    assert_eq!(outcomes.calls().len(), 2);
    insta::assert_snapshot!("bad_native", outcomes.table());
}

#[test]
fn cloudtrail() {
    let text = fixture("bad/cloudtrail.ndjson");
    let outcomes = read(&text[..], Format::CloudTrail);
    assert_all_accounted_for(&text, &outcomes);
    assert_eq!(outcomes.calls().len(), 2);
    insta::assert_snapshot!("bad_cloudtrail", outcomes.table());
}

#[test]
fn detected_or_told_the_same_lines_are_refused() {
    for (path, format) in
        [("bad/native.ndjson", Format::Native), ("bad/cloudtrail.ndjson", Format::CloudTrail)]
    {
        let text = fixture(path);
        let (detected, told) = (read(&text[..], Format::Auto), read(&text[..], format));
        assert_all_accounted_for(&text, &detected);
        assert_eq!(detected.calls(), told.calls());
    }
}

const FINE: &[u8] = br#"{"event_id":"e","ts":"2025-03-03T09:18:18Z","agent_id":"a","endpoint":"search"}"#;

#[test]
fn a_line_of_10_mb_is_one_reject_and_reading_goes_on() {
    let mut text = FINE.to_vec();
    text.extend(b"\n{\"event_id\":\"");
    text.extend(vec![b'x'; 10_000_000]);
    text.extend(b"\"}\n");
    text.extend(FINE);
    for limits in [Limits::default(), Limits { record_bytes_max: 1_000, ..Limits::default() }] {
        let outcomes = read_within(&text[..], Format::Auto, limits);
        assert_all_accounted_for(&text, &outcomes);
        assert_eq!(outcomes.counts(), (2, 1));
        let reject = outcomes.rejects()[0];
        assert_eq!((reject.line, reject.len, reject.bytes.len()), (2, 10_000_015, REJECT_BYTES_MAX));
        assert_eq!(reject.reason, format!("longer than {} bytes", limits.record_bytes_max));
    }
}

#[test]
fn nesting_a_million_deep_exhausts_nothing() {
    for open in ["[", "{\"a\":"] {
        let mut text = Vec::new();
        for field in ["unknown", "args", "status", "event_id"] {
            writeln!(text, "{{\"{field}\":{}", open.repeat(180_000)).unwrap();
        }
        writeln!(text, "{}", open.repeat(180_000)).unwrap();
        // Deep, closed and of no interest: skipped.
        let (deep, closed) = ("[".repeat(400_000), "]".repeat(400_000));
        writeln!(text, r#"{{"event_id":"e","ts":"2025-03-03T09:18:18Z","agent_id":"a","endpoint":"x","deep":{deep}{closed}}}"#)
            .unwrap();
        let outcomes = read(&text[..], Format::Auto);
        assert_all_accounted_for(&text, &outcomes);
        assert_eq!(outcomes.counts(), (1, 5));
    }
}

#[test]
fn blank_lines_are_nothing_and_are_counted() {
    let mut text = b"\xef\xbb\xbf\n  \r\n\t\n".to_vec();
    text.extend(FINE);
    text.extend(b"\r\n\n");
    text.extend(FINE);
    text.extend(b"\r\n \n");
    let outcomes = read(&text[..], Format::Auto);
    assert_eq!((outcomes.counts(), outcomes.blank_lines), ((2, 0), 5));
    assert_eq!(outcomes.list.iter().map(|o| o.line).collect::<Vec<_>>(), [4, 6]);

    let nothing = read(&b""[..], Format::Auto);
    assert_eq!((nothing.counts(), nothing.blank_lines), ((0, 0), 0));
}

#[test]
fn the_last_line_may_lack_its_line_end() {
    let outcomes = read(FINE, Format::Auto);
    assert_eq!(outcomes.counts(), (1, 0));
    let outcomes = read(&FINE[..50], Format::Auto);
    assert_eq!(outcomes.rejects()[0].bytes, &FINE[..50]);
}
