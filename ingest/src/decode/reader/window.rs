//! A moving window on a stream: finds where a record ends without ever holding more than one.

use std::io::{self, Read};
use std::ops::Range;

use crate::decode::REJECT_BYTES_MAX;

use super::expand::Expand;

/// How much is asked of the stream at once, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// Finds the byte that ends a record.
pub(super) trait End {
    /// Where in `bytes` the record ends. `bytes` follow on those of the call before.
    fn find(&mut self, bytes: &[u8]) -> Option<usize>;
}

/// A record that was found.
#[derive(Debug)]
pub(super) struct Found {
    /// Its bytes, without the byte that ended it.
    pub(super) kept: Kept,
    /// Its full length in bytes.
    pub(super) len: u64,
    /// The byte that ended it; `None` at the end of the stream.
    pub(super) end: Option<u8>,
}

/// Which bytes of a record are at hand.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    /// All; in the window's buffer.
    Whole(Range<usize>),
    /// The first [`REJECT_BYTES_MAX`] of one that was too long.
    Head,
}

/// The window.
pub(super) struct Window<R> {
    input: Expand<R>,
    buffer: Vec<u8>,
    /// What of the buffer has been read and not yet taken.
    unread: Range<usize>,
    /// Where in the stream `unread` begins.
    offset: u64,
    head: Vec<u8>,
    ended: bool,
}

impl<R: Read> Window<R> {
    pub(super) fn new(input: Expand<R>) -> Self {
        Self { input, buffer: Vec::new(), unread: 0..0, offset: 0, head: Vec::new(), ended: false }
    }

    /// What has been read and not yet taken.
    pub(super) fn unread(&self) -> &[u8] {
        &self.buffer[self.unread.clone()]
    }

    /// How many bytes have been taken since the stream began.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Why the stream ended before its end.
    pub(super) fn fault(&self) -> Option<&str> {
        self.input.fault()
    }

    /// The bytes of a record found last; valid until the next one is looked for.
    pub(super) fn bytes(&self, kept: &Kept) -> &[u8] {
        match kept {
            Kept::Whole(range) => &self.buffer[range.clone()],
            Kept::Head => &self.head,
        }
    }

    /// Reads on; `false` at the end of the stream.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        if self.unread.start > 0 {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        if self.buffer.len() < self.unread.end + READ_BYTES {
            self.buffer.resize((2 * self.buffer.len()).max(self.unread.end + READ_BYTES), 0);
        }
        let count = self.input.read(&mut self.buffer[self.unread.end..])?;
        self.unread.end += count;
        self.ended = count == 0;
        Ok(!self.ended)
    }

    /// Passes over `count` bytes.
    pub(super) fn take(&mut self, count: usize) {
        self.unread.start += count;
        self.offset += count as u64;
    }

    /// Takes everything up to where `end` says, and the byte there. Of more than `max` bytes only the head is kept.
    pub(super) fn take_until(&mut self, end: &mut impl End, max: usize) -> io::Result<Found> {
        let (mut searched, mut dropped) = (0, 0_u64);
        loop {
            let found = end.find(&self.unread()[searched..]).map(|at| searched + at);
            let seen = found.unwrap_or(self.unread.len());
            if dropped > 0 || seen > max {
                self.drop_all_but_head(seen, dropped == 0);
                dropped += seen as u64;
                searched = 0;
            } else {
                searched = seen;
            }
            let byte = found.map(|_| self.unread()[searched]);
            if byte.is_some() || !self.fill()? {
                return Ok(self.found(searched, dropped, byte));
            }
        }
    }

    fn drop_all_but_head(&mut self, count: usize, first: bool) {
        if first {
            self.head.clear();
        }
        let room = REJECT_BYTES_MAX - self.head.len();
        let start = self.unread.start;
        self.head.extend_from_slice(&self.buffer[start..start + count.min(room)]);
        self.take(count);
    }

    fn found(&mut self, len: usize, dropped: u64, end: Option<u8>) -> Found {
        let start = self.unread.start;
        let kept = if dropped > 0 { Kept::Head } else { Kept::Whole(start..start + len) };
        self.take(len + usize::from(end.is_some()));
        Found { kept, len: dropped + len as u64, end }
    }
}
