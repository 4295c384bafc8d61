//! The bytes of a stream, unpacked where they are gzipped, within bounds.

use std::io::{self, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use super::Limits;

/// How gzip data begins (RFC 1952, 2.3.1): two magic bytes and the method, of which there is one.
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// The ratio is judged from this much output on: below, a few repeated lines may well have a high one.
const RATIO_FROM_BYTES: u64 = 1 << 20;

/// What was read ahead to tell gzip, and then the rest.
type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

/// A stream that expands itself.
pub(super) struct Expand<R> {
    input: Input<R>,
    limits: Limits,
    out: u64,
    fault: Option<String>,
}

enum Input<R> {
    Unread(R),
    Plain(Whole<R>),
    Gzip(Box<MultiGzDecoder<BufReader<Counted<Whole<R>>>>>),
    Ended,
}

impl<R: Read> Expand<R> {
    pub(super) fn new(input: R, limits: Limits) -> Self {
        Self { input: Input::Unread(input), limits, out: 0, fault: None }
    }

    /// Why the stream ended before its end, once [`Self::read`] has given 0 bytes.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// The next bytes; 0 at the end, and where a bound or damaged data makes an end.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Input::Unread(_) = self.input {
            self.open()?;
        }
        match &mut self.input {
            Input::Plain(input) => retry(|| input.read(into)),
            Input::Gzip(_) => self.inflate(into),
            Input::Unread(_) | Input::Ended => Ok(0),
        }
    }

    /// Tells gzip from plain by the first bytes.
    fn open(&mut self) -> io::Result<()> {
        let Input::Unread(mut input) = std::mem::replace(&mut self.input, Input::Ended) else {
            return Ok(());
        };
        let mut head = Vec::with_capacity(GZIP_MAGIC.len());
        let mut byte = [0];
        while head.len() < GZIP_MAGIC.len() && GZIP_MAGIC.starts_with(&head) {
            if retry(|| input.read(&mut byte))? == 0 {
                break;
            }
            head.extend(byte);
        }
        let gzip = head == GZIP_MAGIC;
        let whole = Cursor::new(head).chain(input);
        self.input = if gzip {
            let counted = Counted { input: whole, bytes: 0, failed: false };
            Input::Gzip(Box::new(MultiGzDecoder::new(BufReader::new(counted))))
        } else {
            Input::Plain(whole)
        };
        Ok(())
    }

    fn inflate(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Input::Gzip(gzip) = &mut self.input else { return Ok(0) };
        let count = match retry(|| gzip.read(into)) {
            Ok(count) => count,
            Err(e) if gzip.get_ref().get_ref().failed => return Err(e),
            Err(e) => return Ok(self.end(damage(&e))),
        };
        self.out += count as u64;
        let packed = gzip.get_ref().get_ref().bytes;
        let Limits { expanded_bytes_max, gzip_ratio_max, .. } = self.limits;
        if self.out > expanded_bytes_max {
            let over = (self.out - expanded_bytes_max).min(count as u64) as usize;
            self.end(format!("gzip data expands to more than {expanded_bytes_max} bytes"));
            return Ok(count - over);
        }
        if self.out > RATIO_FROM_BYTES && self.out > packed.saturating_mul(gzip_ratio_max) {
            self.end(format!("gzip data expands more than {gzip_ratio_max} to 1"));
        }
        Ok(count)
    }

    fn end(&mut self, fault: String) -> usize {
        self.fault = Some(fault);
        self.input = Input::Ended;
        0
    }
}

fn damage(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "gzip data is cut off".to_owned(),
        _ => format!("gzip data is damaged: {error}"),
    }
}

fn retry(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Counts what it lets through, and remembers whether an error came from below and not from the unpacking.
struct Counted<R> {
    input: R,
    bytes: u64,
    failed: bool,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = retry(|| self.input.read(into));
        match &read {
            Ok(count) => self.bytes += *count as u64,
            Err(_) => self.failed = true,
        }
        read
    }
}
