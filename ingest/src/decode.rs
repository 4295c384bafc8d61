//! Bytes in, calls out: the decoders of every log format, and the reader that finds records in files and streams.
//!
//! Pure apart from [`RecordReader`], which reads what it is given. A record becomes a [`Call`] or an [`Invalid`];
//! nothing is dropped and nothing panics on data. A `Call` borrows from the record, so decoding a plain record does
//! not allocate.
//!
//! ```
//! use detector::{Attestation, Timestamp};
//! use ingest::decode::{Format, Limits, Receipt, Record, RecordReader, Reject, SourceContext, Tally, decode};
//!
//! let file = br#"{"event_id":"1","ts":"2025-03-03T09:18:18Z","agent_id":"a","endpoint":"search"}"#;
//! let ctx = SourceContext::new("example", Attestation::Token, Format::Auto);
//! let (mut tally, mut rejects) = (Tally::new(), Vec::new());
//! let mut reader = RecordReader::new(&file[..], ctx.format, Limits::default());
//! while let Some(item) = reader.next_item()? {
//!     match item.record {
//!         Record::Whole(bytes) => match decode(bytes, &ctx, Receipt::AsRecorded, &mut tally) {
//!             Ok(call) => assert_eq!(call.endpoint, "search"),
//!             Err(why) => rejects.push(Reject::new(&ctx.name, item.line, bytes, &why)),
//!         },
//!         Record::Broken(broken) => rejects.push(broken.reject(&ctx.name, item.line)),
//!     }
//! }
//! assert!(rejects.is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```

mod context;
mod digest;
mod fields;
mod format;
mod json;
mod names;
mod reader;
mod reject;
mod secret;
mod tally;
mod time;
mod value;

pub mod cloudtrail;
pub mod native;

use std::time::Duration;

use detector::Call;

pub use context::{Receipt, SourceContext};
pub use digest::{ContentDigest, EventKey, content_digest, event_key};
pub use format::{Format, UnknownFormat};
pub use reader::{Broken, Item, Limits, Record, RecordReader};
pub use reject::{Invalid, REJECT_BYTES_MAX, Reject};
pub use secret::masked;
pub use tally::{Tally, UNKNOWN_NAMES_MAX};

/// How far past its receipt a call's `ts` may lie before it counts as false.
pub const FUTURE_MAX: Duration = Duration::from_mins(5);

/// Decodes one record and stamps it with what its source is worth: effective attestation, default issuer, receipt.
///
/// `record` is one record of the source's format without its line end; surrounding JSON white space is allowed.
pub fn decode<'a>(
    record: &'a [u8],
    ctx: &'a SourceContext,
    receipt: Receipt,
    tally: &mut Tally,
) -> Result<Call<'a>, Invalid> {
    let mut call = decode_claims(record, ctx, tally)?;
    ctx.stamp(&mut call, receipt);
    Ok(call)
}

/// As [`decode`], with the digest of the record's own content, for telling a duplicate from a conflict.
///
/// The digest is taken before the source's stamp, so one record that arrives by two sources has one digest.
pub fn decode_with_digest<'a>(
    record: &'a [u8],
    ctx: &'a SourceContext,
    receipt: Receipt,
    tally: &mut Tally,
) -> Result<(Call<'a>, ContentDigest), Invalid> {
    let mut call = decode_claims(record, ctx, tally)?;
    let digest = content_digest(&call);
    ctx.stamp(&mut call, receipt);
    Ok((call, digest))
}

/// What the record itself says, before anything is known of its source.
fn decode_claims<'a>(record: &'a [u8], ctx: &SourceContext, tally: &mut Tally) -> Result<Call<'a>, Invalid> {
    let call = match ctx.format.of(record) {
        Format::CloudTrail => cloudtrail::decode(record, tally)?,
        Format::Native | Format::Auto => native::decode(record, tally)?,
    };
    ctx.allows(call.kind)?;
    Ok(call)
}

/// Whether the call claims to be made more than [`FUTURE_MAX`] after it was received.
///
/// Such a call is stored and scored, but its `ts` must not move the watermark and is a finding.
pub fn is_future(call: &Call<'_>) -> bool {
    call.ts > call.received_at + FUTURE_MAX
}
