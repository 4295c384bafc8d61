//! The installation's own secret: seals other secrets at rest and makes what only this installation can make.
//!
//! It lives in a file beside the database and not in it, so that a copy of the database alone (a backup, a support
//! bundle) yields neither a second factor nor a grant.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;

/// Bytes in the key file.
const KEY_BYTES: usize = 32;

/// Why the installation's secret cannot be used.
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
    /// The file holds something else.
    #[error(
        "the key file {path} does not hold exactly {KEY_BYTES} bytes; restore it from a backup, or remove it and enrol \
         every approver again"
    )]
    Length {
        /// Which file.
        path: PathBuf,
    },
    /// What was sealed does not open: another key file, another purpose, or damaged.
    #[error("`{purpose}` was sealed with another key file; restore that file, or set the secret anew")]
    Sealed {
        /// What it was sealed for.
        purpose: String,
    },
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

/// Keys for every purpose, all derived from the one secret in the file.
pub struct Keys {
    root: hmac::Key,
    seal: LessSafeKey,
}

impl Keys {
    /// Reads the secret from `path`, or makes a new one there that only this user can read.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        match create(path) {
            Ok(secret) => Self::from_secret(&secret),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                let mut bytes = Vec::with_capacity(KEY_BYTES + 1);
                let file = File::open(path).map_err(io)?;
                file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
                let secret = bytes.try_into().map_err(|_| KeyError::Length { path: path.to_owned() })?;
                Self::from_secret(&secret)
            }
            Err(e) => Err(io(e)),
        }
    }

    /// From the secret itself.
    pub fn from_secret(secret: &[u8; KEY_BYTES]) -> Result<Self, KeyError> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let seal = UnboundKey::new(&AES_256_GCM, hmac::sign(&root, b"tocsin seal 1").as_ref())
            .map_err(|_| KeyError::Cipher)?;
        Ok(Self { root, seal: LessSafeKey::new(seal) })
    }

    /// Encrypts `plain` so that it opens only with the same key file and for the same `purpose` (which names the owner
    /// too: `approver/alice`).
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> Result<Vec<u8>, KeyError> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = plain.to_vec();
        self.seal
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose), &mut sealed)
            .map_err(|_| KeyError::Cipher)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// The reverse of [`Keys::seal`].
    pub fn open_sealed(&self, purpose: &str, sealed: &[u8]) -> Result<Secret, KeyError> {
        let wrong = || KeyError::Sealed { purpose: purpose.to_owned() };
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(wrong)?;
        let mut body = body.to_vec();
        let plain = self
            .seal
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(purpose), &mut body)
            .map_err(|_| wrong())?;
        Ok(Secret(plain.to_vec()))
    }

    /// A code over `parts`, in this order and with these borders, that only this installation can make for `purpose`.
    pub fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = hmac::Context::with_key(&self.root);
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

/// Makes the file whole and durable before anybody can find it under its name: written beside it, then linked there.
fn create(path: &Path) -> Result<[u8; KEY_BYTES], std::io::Error> {
    if path.exists() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let secret: [u8; KEY_BYTES] = rand::random();
    let beside = path.with_extension(format!("new-{:016x}", rand::random::<u64>()));
    let linked = write_private(&beside, &secret).and_then(|()| std::fs::hard_link(&beside, path));
    let removed = std::fs::remove_file(&beside);
    linked?;
    removed?;
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(secret)
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), std::io::Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
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
        assert!(matches!(Keys::open(&path), Err(KeyError::Length { .. })));
    }

    #[test]
    fn codes_differ_by_purpose_and_by_border() {
        let keys = Keys::from_secret(&[7; 32]).unwrap();
        assert_eq!(keys.mac("grant", &[b"ab", b"c"]), keys.mac("grant", &[b"ab", b"c"]));
        assert_ne!(keys.mac("grant", &[b"ab", b"c"]), keys.mac("grant", &[b"a", b"bc"]));
        assert_ne!(keys.mac("grant", &[b"ab", b"c"]), keys.mac("form", &[b"ab", b"c"]));
    }
}
