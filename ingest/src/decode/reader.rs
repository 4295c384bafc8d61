//! Finds the records in a file, a stream or a request body, plain or gzipped.

use std::io::{self, Read};

use super::{Format, Invalid, Reject};

/// Bounds of one stream. All are bytes after expansion, except the ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest record; a longer one becomes a reject and reading goes on behind it.
    pub record_bytes_max: usize,
    /// Most bytes a gzipped stream may expand to; reading ends there with a reject.
    pub expanded_bytes_max: u64,
    /// Most bytes out for each byte in, averaged over a gzipped stream; reading ends there with a reject.
    pub gzip_ratio_max: u64,
    /// Largest `{"Records":[…]}` document; reading ends there with a reject.
    pub document_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_bytes_max: 1 << 20,
            expanded_bytes_max: 16 << 30,
            gzip_ratio_max: 256,
            document_bytes_max: 256 << 20,
        }
    }
}

/// One record of a stream, or what stands where one should be.
#[derive(Debug)]
pub struct Item<'a> {
    /// Line number from 1, blank lines counted; in a `{"Records":[…]}` document the record's number in it, from 1.
    pub line: u64,
    /// The record.
    pub record: Record<'a>,
    /// Where the next record begins: bytes from the start of the stream, expanded where it is gzipped.
    pub end: u64,
    /// Whether the record was ended by a line end or a document's bracket and not by the end of the stream:
    /// a file that is still being written may yet complete an unended one.
    pub ended: bool,
}

/// The bytes of one record.
#[derive(Debug)]
pub enum Record<'a> {
    /// All of it, for [`super::decode`].
    Whole(&'a [u8]),
    /// Not to be had whole.
    Broken(Broken<'a>),
}

/// A record that cannot be decoded for its outer form: too long, cut off, beyond a limit.
#[derive(Debug)]
pub struct Broken<'a> {
    /// What is wrong.
    pub why: Invalid,
    /// Its first bytes, at most [`super::REJECT_BYTES_MAX`].
    pub head: &'a [u8],
    /// Its full length in bytes, as far as it was read.
    pub len: u64,
}

impl Broken<'_> {
    /// The reject it becomes.
    pub fn reject(&self, source: &str, line: u64) -> Reject {
        Reject::cut(source, line, self.head, self.len, &self.why)
    }
}

/// Reads records one after the other, in memory bounded by [`Limits::record_bytes_max`].
///
/// Gzip (any number of members) is told from the first two bytes; `{"Records":[…]}` documents from their first key.
/// Blank lines are nothing: not a record, not a reject, only counted.
#[derive(Debug)]
pub struct RecordReader<R> {
    _input: R,
}

impl<R: Read> RecordReader<R> {
    /// A reader of `input`, which need not be buffered.
    pub fn new(input: R, _format: Format, _limits: Limits) -> Self {
        Self { _input: input }
    }

    /// The next record; `None` at the end of the stream.
    ///
    /// The error is the input's own. What is wrong with the bytes is no error but a [`Record::Broken`].
    #[expect(clippy::unnecessary_wraps, reason = "reading comes with the next change")]
    pub fn next_item(&mut self) -> io::Result<Option<Item<'_>>> {
        Ok(None)
    }

    /// Blank lines met so far.
    pub fn blank_lines(&self) -> u64 {
        0
    }
}
