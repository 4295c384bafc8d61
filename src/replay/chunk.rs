//! Records that are read together, so that several threads can score them.

use std::ops::Range;

use detector::Call;
use ingest::decode::{ContentDigest, Invalid, Receipt, Reject, SourceContext, Tally, decode_with_digest};

/// Records and bytes of one chunk.
const RECORDS_MAX: usize = 4_096;
const BYTES_MAX: usize = 16 << 20;

/// Lines as they were read.
#[derive(Default)]
pub(super) struct Chunk {
    bytes: Vec<u8>,
    lines: Vec<(u64, Range<usize>)>,
}

/// A record that decoded, and where it came from.
pub(super) struct Decoded<'a> {
    pub(super) call: Call<'a>,
    pub(super) digest: ContentDigest,
    pub(super) line: u64,
    pub(super) bytes: &'a [u8],
}

impl Chunk {
    pub(super) fn push(&mut self, line: u64, bytes: &[u8]) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.lines.push((line, begin..self.bytes.len()));
    }

    pub(super) fn is_full(&self) -> bool {
        self.lines.len() >= RECORDS_MAX || self.bytes.len() >= BYTES_MAX
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
    }

    /// Its records, and what is none.
    pub(super) fn decode<'a>(
        &'a self,
        ctx: &'a SourceContext,
        tally: &'a mut Tally,
    ) -> impl Iterator<Item = Result<Decoded<'a>, Reject>> {
        self.lines.iter().map(move |(line, range)| {
            let (line, bytes) = (*line, &self.bytes[range.clone()]);
            let rejected = |why: Invalid| Reject::new(&ctx.name, line, bytes, &why);
            let (call, digest) =
                decode_with_digest(bytes, ctx, Receipt::AsRecorded, tally).map_err(rejected)?;
            Ok(Decoded { call, digest, line, bytes })
        })
    }
}
