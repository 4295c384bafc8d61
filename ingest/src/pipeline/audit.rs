//! Entries of the revoker's audit as they lie in their log on the way to ClickHouse.

use detector::Timestamp;
use serde::{Deserialize, Serialize};

use super::verdict::{DecodeError, EncodeError, VERSION, Written, digest, encode, entry};
use crate::log::NewEntry;
use crate::store::AuditRow;

/// An entry of the audit as the executable passes it on, for the table `audit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are AuditRow's")]
pub struct AuditRecord {
    pub seq: u64,
    pub at: Timestamp,
    pub txn: String,
    pub agent_id: String,
    pub issuer: Option<String>,
    pub kind: String,
    pub body: String,
    pub hash: String,
}

impl AuditRecord {
    /// The entry for the log of the audit; passed on twice it is one.
    pub fn entry(&self) -> Result<NewEntry, EncodeError> {
        let payload = encode(self)?;
        let digest = digest(&payload);
        Ok(entry(digest, digest, payload))
    }

    pub(super) fn row(&self) -> AuditRow<'_> {
        AuditRow {
            seq: self.seq,
            at: self.at,
            txn: &self.txn,
            agent_id: &self.agent_id,
            issuer: self.issuer.as_deref(),
            kind: &self.kind,
            body: &self.body,
            hash: &self.hash,
        }
    }
}

impl Written for AuditRecord {
    fn read(version: u8, body: &[u8]) -> Result<Self, DecodeError> {
        match version {
            // Written since version 5.
            5..=VERSION => Ok(postcard::from_bytes(body)?),
            other => Err(DecodeError::Version(other)),
        }
    }
}
