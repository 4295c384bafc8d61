//! Where an agent stands: in which line, as its head or below, by a manifest's word or by its own.

use serde::{Deserialize, Serialize};

use crate::profile::Key;

/// The line of an agent, in eight bytes of its profile: 62 bits of the head's key, and two of what follows. To give an agent the
/// line of another by its name takes 2^62 tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place(u64);

/// Membership is the agent's own claim.
const CLAIMED: u64 = 1;
/// A person was told of the line in a verdict on this agent.
const TOLD: u64 = 2;
const FLAGS: u64 = CLAIMED | TOLD;

impl Place {
    /// In the line that manifests put under `head`.
    pub(super) fn declared(head: Key) -> Self {
        Self(head.hash() & !FLAGS)
    }

    /// Among those that say they are under `head`.
    pub(super) fn claimed(head: Key) -> Self {
        Self(head.hash() & !FLAGS | CLAIMED)
    }

    /// In no line.
    pub(crate) fn is_none(self) -> bool {
        self.0 & !FLAGS == 0
    }

    /// The same head's, among those that say so.
    pub(super) fn as_claimed(self) -> Self {
        Self(self.0 & !FLAGS | CLAIMED)
    }

    /// By what the line is found.
    pub(super) fn line(self) -> u64 {
        self.0 & !TOLD
    }

    /// Whether the agent of this key is the head.
    pub(super) fn is_head(self, key: Key) -> bool {
        self.0 & !FLAGS == key.hash() & !FLAGS
    }

    /// What the hash of the head's key may be: two bits of it are not kept.
    pub(super) fn head_hashes(self) -> impl Iterator<Item = u64> {
        (0..=FLAGS).map(move |low| self.0 & !FLAGS | low)
    }

    pub(super) fn is_claimed(self) -> bool {
        self.0 & CLAIMED != 0
    }

    /// Whether verdicts on the agent of this key say what its line does. Those on a head that others only claim do not.
    pub(crate) fn carries(self, key: Key) -> bool {
        !(self.is_none() || self.is_claimed() && self.is_head(key))
    }

    /// Whether a manifest put the agent of this key under another.
    pub(super) fn is_declared_child(self, key: Key) -> bool {
        !self.is_none() && !self.is_claimed() && !self.is_head(key)
    }

    /// What is left of it where no manifest puts the agent under another.
    pub(crate) fn without_manifest(self, key: Key) -> Self {
        if self.is_declared_child(key) { Self::default() } else { self }
    }

    pub(super) fn is_told(self) -> bool {
        self.0 & TOLD != 0
    }

    /// The same, and whether a person was told of the line.
    pub(super) fn told(self, told: bool) -> Self {
        Self(self.line() | if told { TOLD } else { 0 })
    }
}
