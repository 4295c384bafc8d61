//! Finds the records in a file, a stream or a request body, plain or gzipped.

mod document;
mod expand;
mod window;

use std::fmt;
use std::io::{self, Read};

use memchr::memchr;

use super::{Format, Invalid, REJECT_BYTES_MAX, Reject};
use document::{Opening, ValueEnd, opening};
use expand::Expand;
use window::{End, Found, Kept, Window};

/// How much white space the opening of a document may hold, in bytes.
const OPENING_BYTES_MAX: usize = 4 * 1024;

/// The byte order mark that some programs put before UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

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
/// Gzip (any number of members) is told from the first bytes; `{"Records":[…]}` documents, of which a stream may hold
/// any number, from their first key. Blank lines are nothing: not a record, not a reject, only counted. A byte order
/// mark at the beginning is passed over.
pub struct RecordReader<R> {
    window: Window<R>,
    format: Format,
    limits: Limits,
    state: State,
    lines: u64,
    blank: u64,
}

/// Where reading stands.
#[derive(Clone, Copy)]
enum State {
    /// Nothing read yet.
    Start,
    /// Between lines.
    Lines,
    /// Within `Records` of a document that began at this offset, after so many of its records.
    Records { from: u64, count: u64 },
    /// After `Records`, within its document.
    Rest,
    /// At the end of the stream, or of what will be read of it.
    Ended,
}

/// What an [`Item`] is made of.
struct Next {
    found: Found,
    line: u64,
    why: Option<Invalid>,
}

impl<R: Read> RecordReader<R> {
    /// A reader of `input`, which need not be buffered.
    pub fn new(input: R, format: Format, limits: Limits) -> Self {
        let window = Window::new(Expand::new(input, limits));
        Self { window, format, limits, state: State::Start, lines: 0, blank: 0 }
    }

    /// The next record; `None` at the end of the stream.
    ///
    /// The error is the input's own. What is wrong with the bytes is no error but a [`Record::Broken`].
    pub fn next_item(&mut self) -> io::Result<Option<Item<'_>>> {
        let next = loop {
            let next = match self.state {
                State::Start => self.start()?,
                State::Lines => self.line()?,
                State::Records { from, count } => self.record(from, count)?,
                State::Rest => self.rest()?,
                State::Ended => return Ok(None),
            };
            if let Some(next) = next {
                break next;
            }
        };
        Ok(Some(self.item(next)))
    }

    /// Blank lines met so far.
    pub fn blank_lines(&self) -> u64 {
        self.blank
    }

    fn start(&mut self) -> io::Result<Option<Next>> {
        self.state = State::Lines;
        while self.window.unread().len() < BOM.len() && BOM.starts_with(self.window.unread()) {
            if !self.window.fill()? {
                break;
            }
        }
        if self.window.unread().starts_with(BOM) {
            self.window.take(BOM.len());
        }
        Ok(None)
    }

    /// A line, unless a document begins here.
    fn line(&mut self) -> io::Result<Option<Next>> {
        if self.format != Format::Native && self.open_document()? {
            return Ok(None);
        }
        let found = self.window.take_until(&mut LineEnd, self.limits.record_bytes_max)?;
        if found.end.is_none() {
            self.state = State::Ended;
            if let Some(fault) = self.window.fault() {
                let why = Some(Invalid::line(fault.to_owned()));
                return Ok(Some(Next { found, line: self.lines + 1, why }));
            }
            if found.len == 0 {
                return Ok(None);
            }
        }
        self.lines += 1;
        if self.is_blank(&found) {
            self.blank += 1;
            return Ok(None);
        }
        let why = self.too_long(&found);
        Ok(Some(Next { found, line: self.lines, why }))
    }

    fn open_document(&mut self) -> io::Result<bool> {
        loop {
            match opening(self.window.unread()) {
                Opening::Yes(len) => {
                    self.lines += newlines(&self.window.unread()[..len]);
                    self.state = State::Records { from: self.window.offset(), count: 0 };
                    self.window.take(len);
                    return Ok(true);
                }
                Opening::No => return Ok(false),
                Opening::TooFew if self.window.unread().len() > OPENING_BYTES_MAX => return Ok(false),
                Opening::TooFew if !self.window.fill()? => return Ok(false),
                Opening::TooFew => {}
            }
        }
    }

    /// A record of a document that began at `from`, of which `count` came before.
    fn record(&mut self, from: u64, count: u64) -> io::Result<Option<Next>> {
        let mut end = ValueEnd::default();
        let found = self.window.take_until(&mut end, self.limits.record_bytes_max)?;
        self.lines += end.newlines;
        let blank = self.is_blank(&found);
        let line = count + 1;
        let why = match found.end {
            None => {
                self.state = State::Ended;
                Some(Invalid::line(
                    self.window.fault().unwrap_or("the document ends within Records").to_owned(),
                ))
            }
            Some(_) if self.window.offset() - from > self.limits.document_bytes_max => {
                self.state = State::Ended;
                let max = self.limits.document_bytes_max;
                Some(Invalid::line(format!("the document is longer than {max} bytes; its rest was not read")))
            }
            Some(b',') => {
                self.state = State::Records { from, count: line };
                self.too_long(&found)
            }
            Some(end) => {
                // A `}` here closes the document although `Records` is still open; what that leaves is not JSON, yet
                // each record in it is whole.
                self.state = if end == b']' { State::Rest } else { State::Lines };
                if blank && end == b']' {
                    return Ok(None);
                }
                self.too_long(&found)
            }
        };
        Ok(Some(Next { found, line, why }))
    }

    /// What follows `Records` in its document: nothing, unless somebody else than AWS wrote it.
    fn rest(&mut self) -> io::Result<Option<Next>> {
        let mut end = ValueEnd::of_object();
        let found = self.window.take_until(&mut end, self.limits.record_bytes_max)?;
        self.lines += end.newlines;
        self.state = if found.end.is_some() { State::Lines } else { State::Ended };
        let why = match found.end {
            Some(_) if self.is_blank(&found) => return Ok(None),
            Some(_) => "members after Records are not read",
            None => self.window.fault().unwrap_or("the document is not closed"),
        };
        let why = Some(Invalid::line(why.to_owned()));
        Ok(Some(Next { found, line: self.lines + 1, why }))
    }

    fn is_blank(&self, found: &Found) -> bool {
        matches!(found.kept, Kept::Whole(_)) && self.window.bytes(&found.kept).trim_ascii().is_empty()
    }

    fn too_long(&self, found: &Found) -> Option<Invalid> {
        let max = self.limits.record_bytes_max;
        matches!(found.kept, Kept::Head).then(|| Invalid::line(format!("longer than {max} bytes")))
    }

    fn item(&self, next: Next) -> Item<'_> {
        let Next { found, line, why } = next;
        let bytes = self.window.bytes(&found.kept);
        let record = match why {
            None => Record::Whole(bytes.trim_ascii()),
            Some(why) => {
                let head = &bytes[..bytes.len().min(REJECT_BYTES_MAX)];
                Record::Broken(Broken { why, head, len: found.len })
            }
        };
        Item { line, record, end: self.window.offset(), ended: found.end.is_some() }
    }
}

impl<R> fmt::Debug for RecordReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordReader")
            .field("format", &self.format)
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}

/// Finds the end of a line.
struct LineEnd;

impl End for LineEnd {
    fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        memchr(b'\n', bytes)
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
