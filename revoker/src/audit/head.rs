//! Signed tree heads (RFC 9162 section 4.10): so many entries, and the root of the tree over them, at such a time.
//!
//! Whoever keeps one can tell later whether the audit still begins with those entries. The key signs nothing but heads.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use detector::Timestamp;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::tree::Hash;
use crate::hex::hex;
use crate::keys::{KeyError, Keys};

/// Where a head begins in a line that holds more than it.
const BEGINS: &str = r#"{"tree_size":"#;

/// A head as it is kept and told: JSON with the names that Certificate Transparency gave them, hashes and signature in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Entries under it: those up to this `seq`.
    pub tree_size: u64,
    /// When it was signed, milliseconds since 1970 UTC.
    pub timestamp: u64,
    /// The root of the tree.
    pub sha256_root_hash: String,
    /// Ed25519 over the `TreeHeadDataV2` of these three.
    pub tree_head_signature: String,
    /// Which key signed: see [`PublicKey::id`].
    pub key: String,
}

/// What verifies heads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicKey {
    /// The first 16 hexadecimal digits of the key's SHA-256.
    pub id: String,
    /// The algorithm, by the name JOSE gives it.
    pub algorithm: &'static str,
    /// The 32 bytes in base64.
    pub public_key: String,
}

/// What signs heads: made from the installation's key file, so that there is no second file to lose.
pub(crate) struct Signer(Ed25519KeyPair);

impl Signer {
    pub(crate) fn new(keys: &Keys) -> Result<Self, KeyError> {
        let seed = keys.mac("audit head key", &[]);
        Ed25519KeyPair::from_seed_unchecked(&seed).map(Self).map_err(|_| KeyError::Cipher)
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        let key = self.0.public_key().as_ref();
        PublicKey { id: self.id(), algorithm: "Ed25519", public_key: STANDARD.encode(key) }
    }

    fn id(&self) -> String {
        hex(&Sha256::digest(self.0.public_key().as_ref())[..8])
    }

    pub(crate) fn sign(&self, tree_size: u64, root: &Hash, now: Timestamp) -> Head {
        let timestamp = u64::try_from(now.as_micros() / 1_000).unwrap_or_default();
        let signature = self.0.sign(&tree_head(timestamp, tree_size, root));
        Head {
            tree_size,
            timestamp,
            sha256_root_hash: STANDARD.encode(root),
            tree_head_signature: STANDARD.encode(signature),
            key: self.id(),
        }
    }

    /// The root, if this key signed the head.
    pub(crate) fn root_of(&self, head: &Head) -> Option<Hash> {
        let root = STANDARD.decode(&head.sha256_root_hash).ok()?.try_into().ok()?;
        let signature = STANDARD.decode(&head.tree_head_signature).ok()?;
        let signed = tree_head(head.timestamp, head.tree_size, &root);
        let key = UnparsedPublicKey::new(&ED25519, self.0.public_key().as_ref());
        (head.key == self.id() && key.verify(&signed, &signature).is_ok()).then_some(root)
    }
}

/// `TreeHeadDataV2` without extensions.
fn tree_head(timestamp: u64, tree_size: u64, root: &Hash) -> Vec<u8> {
    let root_bytes = root.len() as u8;
    [&timestamp.to_be_bytes()[..], &tree_size.to_be_bytes(), &[root_bytes], root, &[0, 0]].concat()
}

impl Head {
    /// The heads in a text: a file of them, one a line, or a log in which some were written down.
    pub fn all_in(text: &str) -> Vec<Self> {
        text.lines().filter_map(Self::in_line).collect()
    }

    fn in_line(line: &str) -> Option<Self> {
        // A log that is JSON itself holds it as text.
        let line = line.replace(r#"\""#, "\"");
        serde_json::Deserializer::from_str(&line[line.find(BEGINS)?..]).into_iter().next()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    fn signer() -> Signer {
        Signer::new(&Keys::from_secret(&[3; 32]).unwrap()).unwrap()
    }

    #[test]
    fn a_head_is_for_what_was_signed_and_by_this_key() {
        let head = signer().sign(7, &[9; 32], at(0));
        assert_eq!(signer().root_of(&head), Some([9; 32]));
        let changed = [
            Head { tree_size: 6, ..head.clone() },
            Head { timestamp: head.timestamp + 1, ..head.clone() },
            Head { sha256_root_hash: STANDARD.encode([8; 32]), ..head.clone() },
            Head { tree_head_signature: STANDARD.encode([0; 64]), ..head.clone() },
            Head { key: "0".repeat(16), ..head.clone() },
        ];
        for other in changed {
            assert_eq!(signer().root_of(&other), None, "{other:?}");
        }
        let other = Signer::new(&Keys::from_secret(&[4; 32]).unwrap()).unwrap();
        assert_eq!(other.root_of(&head), None);
    }

    #[test]
    fn heads_are_found_in_files_and_in_logs() {
        let head = signer().sign(7, &[9; 32], at(0));
        let json = serde_json::to_string(&head).unwrap();
        let log = serde_json::json!({ "message": "the audit's head", "head": json, "n": 1 });
        let text = format!("{json}\nnothing\n2026-03-02 INFO head={json} more\n{log}\n{}\n", &json[..40]);
        assert_eq!(Head::all_in(&text), vec![head; 3]);
    }
}
