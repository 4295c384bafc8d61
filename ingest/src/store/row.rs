//! Rows as the tables have them. Each borrows from what it is made of; times and scores travel as their integers.
//!
//! Column names and order stand in the migrations; the client compares names and types before it sends a row.

mod alert;
mod audit;
mod call;
mod reject;
mod verdict;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

pub use alert::AlertRow;
pub use audit::AuditRow;
pub use call::CallRow;
pub use reject::RejectRow;
pub use verdict::VerdictRow;

/// Where a record stands in our input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The local log, or a topic's partition, by a stable name.
    pub origin: &'a str,
    /// Sequence number in the log, or offset in the partition.
    pub position: u64,
}

/// Names a batch by the identity of its rows, so that the database knows the very same batch when it comes again.
///
/// Made of the rows alone: a token by position would, once the positions start over, name another batch alike, and the
/// database would drop it without a word.
pub(super) fn token<T>(rows: &[T], each: impl Fn(&T, &mut Identity)) -> String {
    let mut identity = Identity(Sha256::new());
    for row in rows {
        each(row, &mut identity);
    }
    crate::store::migrate::hex(&identity.0.finalize())
}

/// A hash over what makes rows what they are; each piece is told apart from the next.
pub(super) struct Identity(Sha256);

impl Identity {
    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }
}

/// Bytes for a `String` column, which holds any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}
