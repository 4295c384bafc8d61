//! How rejects lie in the log.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use detector::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::decode::{Invalid, Reject, SourceContext};
use crate::log::{Entry, EntryKind, NewEntry};

/// The reject of a record whose id is taken by other content.
pub(crate) fn conflict(source: &SourceContext, line: u64, bytes: &[u8], event_id: &str) -> Reject {
    let reason = format!("conflict: `{event_id}` was told before with other content");
    Reject::refused(&source.name, line, bytes, "event_id", reason)
}

/// The same bytes at the same line of the same source for the same reason are one reject, however often they are sent:
/// so a body sent again after a lost answer leaves no second one.
pub(super) fn reject_entry(reject: &Reject, source: &Arc<SourceContext>, received_at: Timestamp) -> NewEntry {
    let payload = encode_reject(reject);
    let mut key = [0; 16];
    key.copy_from_slice(&Sha256::new_with_prefix(b"reject\0").chain_update(&payload).finalize()[..16]);
    let source = Some(Arc::clone(source));
    NewEntry { key, digest: key, kind: EntryKind::Reject, source, received_at, payload }
}

/// How a [`Reject`] lies in the log.
#[derive(Serialize, Deserialize)]
struct KeptReject {
    line: u64,
    field: Option<String>,
    reason: String,
    bytes: String,
    len: u64,
}

fn encode_reject(reject: &Reject) -> Vec<u8> {
    let Reject { line, field, reason, bytes, len, .. } = reject;
    let (field, reason, bytes) = (field.clone(), reason.clone(), STANDARD.encode(bytes));
    // Plain strings and numbers always serialise.
    serde_json::to_vec(&KeptReject { line: *line, field, reason, bytes, len: *len }).unwrap_or_default()
}

/// The reject that an entry of kind [`EntryKind::Reject`] holds; one that cannot be read says so itself.
pub(in crate::source) fn decode_reject(entry: &Entry, source: &SourceContext) -> Reject {
    let kept = serde_json::from_slice::<KeptReject>(&entry.payload).ok();
    let kept = kept.and_then(|k| STANDARD.decode(&k.bytes).ok().map(|bytes| (k, bytes)));
    let Some((KeptReject { line, field, reason, len, .. }, bytes)) = kept else {
        let why = Invalid::line("a reject that was kept in a form that is no longer understood");
        return Reject::new(&source.name, entry.seq as u64, &entry.payload, &why);
    };
    Reject { source: source.name.clone(), line, field, reason, bytes, len }
}
