//! Digests over named fields that no two different contents share.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of plain bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Hashes fields one after another, each with its length, so that `("ab", "c")` and `("a", "bc")` differ, and so do a
/// missing text and an empty one.
pub(super) struct Fields(Sha256);

impl Fields {
    /// `purpose` keeps digests of different things apart.
    pub(super) fn of(purpose: &str) -> Self {
        Self(Sha256::new()).text(purpose)
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        self.0.update([1]);
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text);
        self
    }

    pub(super) fn maybe(mut self, text: Option<&str>) -> Self {
        if let Some(text) = text {
            return self.text(text);
        }
        self.0.update([0]);
        self
    }

    pub(super) fn integer(mut self, n: i64) -> Self {
        self.0.update([2]);
        self.0.update(n.to_be_bytes());
        self
    }

    pub(super) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}
