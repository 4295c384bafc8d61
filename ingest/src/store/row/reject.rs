use clickhouse::Row;
use detector::Timestamp;
use serde::Serialize;

use super::{Identity, Place, Raw};
use crate::decode::Reject;

/// A row of `rejects`.
#[derive(Clone, Debug, Row, Serialize)]
pub struct RejectRow<'a> {
    source: &'a str,
    line: u64,
    field: Option<&'a str>,
    reason: &'a str,
    bytes: Raw<'a>,
    len: u64,
    received_at: Timestamp,
    origin: &'a str,
    position: u64,
}

impl<'a> RejectRow<'a> {
    /// The row of a reject, with when and where it was read.
    pub fn new(reject: &'a Reject, received_at: Timestamp, place: Place<'a>) -> Self {
        Self {
            source: &reject.source,
            line: reject.line,
            field: reject.field.as_deref(),
            reason: &reject.reason,
            bytes: Raw(&reject.bytes),
            len: reject.len,
            received_at,
            origin: place.origin,
            position: place.position,
        }
    }

    /// What makes it this reject: where it stands, and what is wrong.
    pub(in crate::store) fn identify(&self, identity: &mut Identity) {
        identity.text(self.source);
        identity.text(self.origin);
        identity.number(self.position);
        identity.number(self.line);
        identity.text(self.reason);
    }
}
