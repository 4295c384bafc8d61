//! Decoding a plain record allocates nothing once it is under way.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails fails its test")]

use std::path::Path;

use detector::{Attestation, Timestamp};
use ingest::decode::{
    Format, Limits, Receipt, Record, RecordReader, SourceContext, Tally, decode_with_digest,
};

#[path = "../../detector/tests/support/counting.rs"]
mod counting;

use self::counting::allocations;

/// Records read from a gzipped fixture, and allocations from the second of two equal passes over its plain bytes:
/// read, decoded and digested.
fn records_and_allocations(path: &str, format: Format) -> (u64, u64) {
    let packed = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(path)).unwrap();
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&packed[..]), &mut text).unwrap();
    let twice = [&text[..], &text[..]].concat();

    let ctx = SourceContext::new("source", Attestation::Token, format).with_issuer("https://idp.example");
    let now = Timestamp::from_millis(1_800_000_000_000);
    let mut tally = Tally::new();
    let mut reader = RecordReader::new(&twice[..], format, Limits::default());
    let (mut records, mut before) = (0, 0);
    while let Some(item) = reader.next_item().unwrap() {
        let Record::Whole(bytes) = item.record else { panic!("line {}", item.line) };
        drop(decode_with_digest(bytes, &ctx, Receipt::At(now), &mut tally).unwrap());
        records += 1;
        if item.end == text.len() as u64 {
            before = allocations();
        }
    }
    (records / 2, allocations() - before)
}

#[test]
fn a_plain_native_record_costs_no_allocation() {
    for format in [Format::Auto, Format::Native] {
        assert_eq!(records_and_allocations("agent-traces/train.ndjson.gz", format), (2716, 0));
    }
}

/// Half the records hold something nested or escaped that is skipped or read through `serde_json`'s scratch space,
/// which it allocates at most once a record; what the decoder itself makes (endpoints, folded ARNs) costs nothing.
#[test]
fn a_cloudtrail_record_costs_at_most_the_parsers_scratch_space() {
    for format in [Format::Auto, Format::CloudTrail] {
        let (records, allocations) = records_and_allocations("cloudtrail/records.ndjson.gz", format);
        assert_eq!(records, 310);
        assert!(allocations < 200, "{allocations} allocations for {records} records");
    }
}
