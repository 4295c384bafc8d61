//! The installation's own secrets: keys that seal other secrets at rest, and the root of what only this installation can make.
//!
//! Keys lie in a file or the environment and not in the database, so that a copy of the database alone (a backup, a support
//! bundle) yields neither a second factor nor a grant. There may be several while they are rotated: the first seals, all open.
//! The root (it seals the audit and makes codes) is one for ever; once the record holds it, sealed, keys may change.

mod lock;
mod rotation;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;

pub use self::lock::Lock;
pub use self::rotation::{Census, begin, census, finish, reseal};
pub use self::source::{KeySource, KeysConfig, Ring, new_key};
use crate::hex::hex;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Why the installation's secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can be neither read nor made.
    #[error("cannot read or create the key file {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file that is configured is not there.
    #[error("keys.file: {0} is not there; `tocsin keys new > {0}` makes one, for a new installation")]
    Missing(PathBuf),
    /// The variable that is configured is not set.
    #[error(
        "keys.env: the environment variable {0} is not set; `tocsin keys new` makes a key, for a new installation"
    )]
    NotSet(String),
    /// Two places.
    #[error("keys: `file` and `env` are two places; give one")]
    TwoPlaces,
    /// It holds something else.
    #[error(
        "{from} does not hold keys ({KEY_BYTES} bytes each, or as text in base64 or hexadecimal, the newest first); restore it \
         from a backup, or take another and enrol every approver again"
    )]
    NoKey {
        /// Which file or variable.
        from: String,
    },
    /// It can be guessed.
    #[error("{from}: a key is not random; `tocsin keys new` makes one")]
    Weak {
        /// Which file or variable.
        from: String,
    },
    /// What was sealed does not open: another key, another purpose, or damaged.
    #[error("`{purpose}` was sealed with another key; restore that key, or set the secret anew")]
    Sealed {
        /// What it was sealed for.
        purpose: String,
    },
    /// Somebody else works with the keys.
    #[error("a server or a command uses the record in {0}: stop it first")]
    InUse(PathBuf),
    /// The cipher refused its key or input; not expected to happen.
    #[error("the cipher failed")]
    Cipher,
}

/// A secret in the clear, for as long as it is used. Not printed, not stored.
pub struct Secret(Vec<u8>);

impl Secret {
    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The keys in use.
pub struct Keys {
    root: [u8; KEY_BYTES],
    mac: hmac::Key,
    /// The newest first: it seals.
    seals: Vec<(LessSafeKey, String)>,
}

impl Keys {
    /// Reads the keys in the file at `path`, or makes one there that only this user can read. The newest is the root, too.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        Self::new(&KeySource::Own(path.to_owned()).read()?)
    }

    /// From one key, which is the root, too.
    pub fn from_secret(secret: &[u8; KEY_BYTES]) -> Result<Self, KeyError> {
        Self::new(&Ring::of(*secret))
    }

    /// From all keys; until the record says otherwise the newest is the root.
    pub fn new(ring: &Ring) -> Result<Self, KeyError> {
        let seal = |secret: &[u8; KEY_BYTES]| {
            let derived = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let key = UnboundKey::new(&AES_256_GCM, hmac::sign(&derived, b"tocsin seal 1").as_ref());
            let id = hex(&hmac::sign(&derived, b"tocsin key id 1").as_ref()[..8]);
            key.map(|key| (LessSafeKey::new(key), id)).map_err(|_| KeyError::Cipher)
        };
        let seals = ring.keys().iter().map(seal).collect::<Result<_, _>>()?;
        let root = *ring.newest();
        Ok(Self { root, mac: hmac::Key::new(hmac::HMAC_SHA256, &root), seals })
    }

    /// The same with another root.
    #[must_use]
    pub(crate) fn rooted(self, root: [u8; KEY_BYTES]) -> Self {
        Self { root, mac: hmac::Key::new(hmac::HMAC_SHA256, &root), ..self }
    }

    /// To seal it into the record.
    pub(crate) fn root(&self) -> &[u8; KEY_BYTES] {
        &self.root
    }

    /// What each key is called, the newest first: 16 hexadecimal digits that say nothing of it.
    pub fn ids(&self) -> Vec<&str> {
        self.seals.iter().map(|(_, id)| id.as_str()).collect()
    }

    /// Encrypts `plain` so that it opens only with the same key and for the same `purpose` (which names the owner
    /// too: `approver/alice`). Whatever is kept of it in the record stands in `store::sealed`, or a change of keys loses it.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> Result<Vec<u8>, KeyError> {
        let (seal, _) = self.seals.first().ok_or(KeyError::Cipher)?;
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = plain.to_vec();
        seal.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose), &mut sealed)
            .map_err(|_| KeyError::Cipher)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// The reverse of [`Keys::seal`], with whichever key it was.
    pub fn open_sealed(&self, purpose: &str, sealed: &[u8]) -> Result<Secret, KeyError> {
        self.opened(purpose, sealed).map(|(secret, _)| secret)
    }

    /// The same with the place of the key: 0 is the newest.
    pub fn opened(&self, purpose: &str, sealed: &[u8]) -> Result<(Secret, usize), KeyError> {
        let wrong = || KeyError::Sealed { purpose: purpose.to_owned() };
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(wrong)?;
        for (place, (seal, _)) in self.seals.iter().enumerate() {
            let mut body = body.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            if let Ok(plain) = seal.open_in_place(nonce, Aad::from(purpose), &mut body) {
                return Ok((Secret(plain.to_vec()), place));
            }
        }
        Err(wrong())
    }

    /// A code over `parts`, in this order and with these borders, that only this installation can make for `purpose`.
    pub fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = hmac::Context::with_key(&self.mac);
        mac.update(b"tocsin mac 1");
        for part in [purpose.as_bytes()].iter().chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let mut out = [0; 32];
        out.copy_from_slice(mac.sign().as_ref());
        out
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_file_and_for_the_same_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoker.key");
        let sealed = Keys::open(&path).unwrap().seal("approver/alice", b"secret").unwrap();
        assert!(!sealed.windows(6).any(|w| w == b"secret"));

        let again = Keys::open(&path).unwrap();
        assert_eq!(again.open_sealed("approver/alice", &sealed).unwrap().expose(), b"secret");
        assert!(again.open_sealed("approver/bob", &sealed).is_err());
        let other = Keys::open(&folder.path().join("other.key")).unwrap();
        assert!(other.open_sealed("approver/alice", &sealed).is_err());
        assert!(again.open_sealed("approver/alice", b"").is_err());
    }

    #[test]
    #[cfg(unix)]
    fn the_file_is_for_this_user_only_and_nothing_else_is_left() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoker.key");
        Keys::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

        std::fs::write(&path, b"too short").unwrap();
        assert!(matches!(Keys::open(&path), Err(KeyError::NoKey { .. })));
    }

    #[test]
    fn codes_differ_by_purpose_and_by_border() {
        let keys = Keys::from_secret(&[7; 32]).unwrap();
        assert_eq!(keys.mac("grant", &[b"ab", b"c"]), keys.mac("grant", &[b"ab", b"c"]));
        assert_ne!(keys.mac("grant", &[b"ab", b"c"]), keys.mac("grant", &[b"a", b"bc"]));
        assert_ne!(keys.mac("grant", &[b"ab", b"c"]), keys.mac("form", &[b"ab", b"c"]));
    }
}
