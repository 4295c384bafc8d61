//! Digests that tell the same record from another one under the same id.

use std::net::IpAddr;

use detector::{Call, Ruling, Timestamp};
use sha2::{Digest, Sha256};

/// SHA-256 of an `event_id`, cut to 128 bits: the key of the index of ids seen.
pub type EventKey = [u8; 16];

/// SHA-256 of a record's content, cut to 128 bits.
pub type ContentDigest = [u8; 16];

/// Goes in first. A change of what is digested, or in which order, changes it, for digests are kept on disk.
const LAYOUT: u8 = 1;

/// The key under which an event id is remembered.
pub fn event_key(event_id: &str) -> EventKey {
    cut(Sha256::new_with_prefix(event_id))
}

/// Digest of what a record says, whatever the order of its keys and the spelling of its numbers and strings.
///
/// Leaves out what the source stamped on: receipt and effective attestation. A default issuer cannot be told from
/// the record's own, so take the digest before the stamp: [`super::decode_with_digest`].
pub fn content_digest(call: &Call<'_>) -> ContentDigest {
    let mut content = Content::new();
    let who = &call.identity;
    for text in [&call.event_id, &who.agent_id, &call.endpoint] {
        content.bytes(text.as_bytes());
    }
    content.bytes(call.kind.as_str().as_bytes());
    content.bytes(call.claimed.as_str().as_bytes());
    content.bytes(call.credential.kind.as_str().as_bytes());
    content.bytes(&call.ts.as_micros().to_le_bytes());
    for text in [
        &who.issuer,
        &who.instance_id,
        &who.session_id,
        &who.parent_agent_id,
        &who.delegator,
        &who.token_id,
        &call.method,
        &call.call_id,
        &call.source,
        &call.resource,
        &call.scope,
        &call.user_agent,
        &call.model,
        &call.args_digest,
    ] {
        content.optional(text.as_deref().map(str::as_bytes));
    }
    for instant in [call.credential.issued_at, call.credential.expires_at] {
        content.optional(instant.map(Timestamp::as_micros).map(i64::to_le_bytes));
    }
    content.optional(call.status.map(u16::to_le_bytes));
    content.optional(call.latency_ms.map(number));
    content.optional(call.bytes_in.map(u64::to_le_bytes));
    content.optional(call.bytes_out.map(u64::to_le_bytes));
    content.address(call.source_ip);
    content.args(call);
    // Last, and nothing where there is none: the digest of a record without it is that of always.
    if call.operation.is_some() {
        content.optional(call.operation.as_deref().map(str::as_bytes));
    }
    if call.ruling != Ruling::default() {
        content.bytes(b"ruling");
        content.bytes(call.ruling.as_str().as_bytes());
    }
    if let Some(baseline) = &call.baseline {
        content.bytes(b"baseline");
        content.bytes(baseline.as_bytes());
    }
    if let Some(manifest) = &call.manifest {
        content.bytes(b"manifest");
        content.bytes(manifest.as_bytes());
    }
    if let Some(key) = &who.key_thumbprint {
        content.bytes(b"key_thumbprint");
        content.bytes(key.as_bytes());
    }
    content.digest()
}

/// Feeds fields so that no two different contents feed the same bytes: each with its length before it.
///
/// Gathers them first, for hashing a few bytes at a time is slow.
struct Content {
    hash: Sha256,
    gathered: [u8; 512],
    len: usize,
}

impl Content {
    fn new() -> Self {
        Self { hash: Sha256::new_with_prefix([LAYOUT]), gathered: [0; 512], len: 0 }
    }

    fn digest(mut self) -> ContentDigest {
        self.hash.update(&self.gathered[..self.len]);
        cut(self.hash)
    }

    fn feed(&mut self, bytes: &[u8]) {
        if self.gathered.len() - self.len < bytes.len() {
            self.hash.update(&self.gathered[..self.len]);
            self.len = 0;
        }
        match self.gathered.get_mut(self.len..self.len + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.hash.update(bytes),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.feed(&(bytes.len() as u32).to_le_bytes());
        self.feed(bytes);
    }

    fn optional(&mut self, bytes: Option<impl AsRef<[u8]>>) {
        match bytes {
            Some(bytes) => self.bytes(bytes.as_ref()),
            // No field is as long as this.
            None => self.feed(&u32::MAX.to_le_bytes()),
        }
    }

    fn address(&mut self, address: Option<IpAddr>) {
        match address {
            Some(IpAddr::V4(v4)) => self.bytes(&v4.octets()),
            Some(IpAddr::V6(v6)) => self.bytes(&v6.octets()),
            None => self.optional(None::<&[u8]>),
        }
    }

    /// By name, for an object has no order.
    fn args(&mut self, call: &Call<'_>) {
        let mut order: [usize; detector::ARGS_MAX] = std::array::from_fn(|at| at);
        let order = &mut order[..call.args.len()];
        order.sort_unstable_by_key(|&at| &call.args[at].0);
        for &mut at in order {
            let (name, value) = &call.args[at];
            self.bytes(name.as_bytes());
            self.bytes(&number(*value));
        }
    }
}

/// The number's bits, zero without its sign.
fn number(value: f64) -> [u8; 8] {
    (value + 0.0).to_bits().to_le_bytes()
}

fn cut(hash: Sha256) -> [u8; 16] {
    let whole: [u8; 32] = hash.finalize().into();
    let [first, ..] = *whole.as_chunks::<16>().0 else { return [0; 16] };
    first
}
