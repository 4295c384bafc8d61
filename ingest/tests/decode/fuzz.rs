//! Whatever the bytes: no panic, nothing lost, and nothing read twice.

use std::io::{self, Read};

use ingest::decode::{Format, Limits, Receipt, Tally, content_digest, decode, native};
use proptest::prelude::*;

use crate::support::{Outcomes, context, line, read, read_within, unpacked};

const FORMATS: [Format; 3] = [Format::Auto, Format::Native, Format::CloudTrail];

/// Gives its bytes in pieces, as a socket does.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes.next().copied().unwrap_or(1).min(into.len()).min(self.bytes.len());
        let (piece, rest) = self.bytes.split_at(size);
        into[..size].copy_from_slice(piece);
        self.bytes = rest;
        Ok(size)
    }
}

/// Bytes with some structure: pieces of records, documents and gzip.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        r#"[{}\[\]",:\\ \n0-9a-z]{0,40}"#.prop_map(String::into_bytes),
        prop::sample::select(vec![
            &b"{\"Records\":["[..],
            b"{\"Records\" :\n [ {",
            b"{\"event_id\":\"e\",\"ts\":\"2025-03-03T09:18:18Z\",\"agent_id\":\"a\",\"endpoint\":\"x\"}",
            b"\n",
            b"\r\n",
            b"]}",
            b"},",
            b"\xef\xbb\xbf",
            b"\x1f\x8b\x08",
            b"{\"args\":{\"n\":1e9}}",
            b"{\"eventID\":\"e\",\"userIdentity\":{\"sessionContext\":{}}}",
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn small() -> Limits {
    Limits {
        record_bytes_max: 100,
        expanded_bytes_max: 10_000,
        document_bytes_max: 2_000,
        ..Limits::default()
    }
}

/// Bytes, lengths and results of all records.
fn content(outcomes: &Outcomes) -> Vec<String> {
    outcomes.list.iter().map(|o| format!("{} {:?} {} {:?}", o.line, o.bytes, o.len, o.result)).collect()
}

/// A line of each recorded data set and both corpora of bad lines.
fn lines() -> Vec<Vec<u8>> {
    let split = |text: Vec<u8>| text.split(|&b| b == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let mut lines = split(crate::support::fixture("bad/native.ndjson"));
    lines.extend(split(crate::support::fixture("bad/cloudtrail.ndjson")));
    lines.extend(split(unpacked("cloudtrail/records.ndjson.gz")).into_iter().step_by(10));
    lines.extend(split(unpacked("agent-traces/train.ndjson.gz")).into_iter().step_by(100));
    lines
}

proptest! {
    #[test]
    fn any_stream_ends_and_is_the_same_in_pieces(
        bytes in stream(),
        sizes in prop::collection::vec(1..50_usize, 1..5),
        format in prop::sample::select(FORMATS.to_vec()),
    ) {
        for limits in [Limits::default(), small()] {
            let whole = read_within(&bytes[..], format, limits);
            let pieces = Pieces { bytes: &bytes, sizes: sizes.iter().cycle() };
            prop_assert_eq!(content(&whole), content(&read_within(pieces, format, limits)));
        }
    }

    #[test]
    fn every_line_is_there_once(bytes in stream()) {
        prop_assume!(!bytes.starts_with(b"\x1f\x8b\x08"));
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        prop_assume!(!bytes.starts_with(b"\xef\xbb\xbf") && !bytes.starts_with(b"\x1f\x8b\x08"));
        let outcomes = read(bytes, Format::Native);
        let lines: Vec<_> = bytes.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).filter(|l| !l.is_empty()).collect();
        prop_assert_eq!(outcomes.list.iter().map(|o| &o.bytes[..]).collect::<Vec<_>>(), lines);
    }

    #[test]
    fn a_damaged_line_is_a_call_or_a_reject(
        line_at in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        thread_local!(static LINES: Vec<Vec<u8>> = lines());
        let mut record = LINES.with(|lines| line_at.get(lines).clone());
        prop_assume!(!record.is_empty());
        for (at, byte) in damage {
            let at = at.index(record.len());
            record[at] = byte;
        }
        for bytes in [&record[..], &record[..cut.index(record.len())]] {
            for format in FORMATS {
                let ctx = context(format);
                let Ok(call) = decode(bytes, &ctx, Receipt::AsRecorded, &mut Tally::new()) else { continue };
                // What was accepted is within the schema: it can be written and read again.
                let written = line(&call);
                let again = native::decode(written.as_bytes(), &mut Tally::new());
                prop_assert_eq!(again.map(|call| content_digest(&call)), Ok(content_digest(&call)));
            }
        }
    }
}
