use clickhouse::Row;
use detector::Timestamp;
use serde::Serialize;

use super::Identity;

/// A row of `audit`: an entry of the revoker's audit.
#[derive(Clone, Debug, Row, Serialize)]
pub struct AuditRow<'a> {
    /// Its number.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The story it belongs to.
    pub txn: &'a str,
    /// The agent; empty where it is about none.
    pub agent_id: &'a str,
    /// Under which issuer that is a name.
    pub issuer: Option<&'a str>,
    /// What happened.
    pub kind: &'a str,
    /// The particulars, JSON.
    pub body: &'a str,
    /// The seal, hexadecimal.
    pub hash: &'a str,
}

impl AuditRow<'_> {
    /// What makes it this entry: its seal covers all the rest.
    pub(in crate::store) fn identify(&self, identity: &mut Identity) {
        identity.number(self.seq);
        identity.text(self.hash);
    }
}
