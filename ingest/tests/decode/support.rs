//! Reads a stream to its end and keeps what came of each record.

use std::io::Read;
use std::path::PathBuf;

use detector::{Attestation, Call};
use ingest::decode::{
    Format, Limits, Receipt, Record, RecordReader, Reject, SourceContext, Tally, decode, native,
};

/// What came of one record.
pub(crate) struct Outcome {
    pub(crate) line: u64,
    /// The record's bytes, as far as they were kept.
    pub(crate) bytes: Vec<u8>,
    /// Its length.
    pub(crate) len: u64,
    /// The call, written as a native line, or the reject.
    pub(crate) result: Result<String, Reject>,
}

impl Outcome {
    fn row(&self) -> String {
        match &self.result {
            Ok(call) => format!("{:>4} call   {call}", self.line),
            Err(Reject { line, field, reason, .. }) => {
                format!("{line:>4} reject {} | {reason}\n", field.as_deref().unwrap_or("-"))
            }
        }
    }

    pub(crate) fn reject(&self) -> Option<&Reject> {
        self.result.as_ref().err()
    }
}

/// All that `input` holds.
pub(crate) struct Outcomes {
    pub(crate) list: Vec<Outcome>,
    pub(crate) tally: Tally,
    pub(crate) blank_lines: u64,
}

impl Outcomes {
    pub(crate) fn calls(&self) -> Vec<&str> {
        self.list.iter().filter_map(|o| o.result.as_deref().ok()).collect()
    }

    pub(crate) fn rejects(&self) -> Vec<&Reject> {
        self.list.iter().filter_map(Outcome::reject).collect()
    }

    /// `calls, rejects`.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.calls().len(), self.rejects().len())
    }

    /// One line a record: what it is or what is wrong with it.
    pub(crate) fn table(&self) -> String {
        self.list.iter().map(Outcome::row).collect()
    }
}

pub(crate) fn context(format: Format) -> SourceContext {
    SourceContext::new("test", Attestation::Platform, format)
}

pub(crate) fn read(input: impl Read, format: Format) -> Outcomes {
    read_within(input, format, Limits::default())
}

pub(crate) fn read_within(input: impl Read, format: Format, limits: Limits) -> Outcomes {
    let ctx = context(format);
    let (mut list, mut tally) = (Vec::new(), Tally::new());
    let mut reader = RecordReader::new(input, format, limits);
    while let Some(item) = reader.next_item().unwrap() {
        let (bytes, len, result) = match item.record {
            Record::Whole(bytes) => {
                let result = decode(bytes, &ctx, Receipt::AsRecorded, &mut tally)
                    .map(|call| line(&call))
                    .map_err(|why| Reject::new(&ctx.name, item.line, bytes, &why));
                (bytes.to_vec(), bytes.len() as u64, result)
            }
            Record::Broken(broken) => {
                let reject = broken.reject(&ctx.name, item.line);
                (broken.head.to_vec(), broken.len, Err(reject))
            }
        };
        list.push(Outcome { line: item.line, bytes, len, result });
    }
    let blank_lines = reader.blank_lines();
    Outcomes { list, tally, blank_lines }
}

pub(crate) fn line(call: &Call<'_>) -> String {
    let mut out = Vec::new();
    native::write(call, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

pub(crate) fn fixture(path: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(path)).unwrap()
}

/// A fixture, unpacked.
pub(crate) fn unpacked(path: &str) -> Vec<u8> {
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(&fixture(path)[..]).read_to_end(&mut text).unwrap();
    text
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(bytes, flate2::Compression::best()).read_to_end(&mut packed).unwrap();
    packed
}
