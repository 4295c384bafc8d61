//! Where the keys that seal are: a file beside the record, another one, or the environment.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{KEY_BYTES, KeyError};
use crate::hex::unhex;

/// Keys at once: the newest, and those of rotations that are not finished.
const KEYS_MAX: usize = 4;
/// The longest file that is looked at.
const FILE_BYTES_MAX: u64 = 1_024;
/// Different bytes in a key. 32 random ones have fewer than 20 less than once in 10^9.
const DIFFERENT_MIN: usize = 16;

/// The section `[keys]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct KeysConfig {
    /// The file; without it `revoker.key` in `data_dir`, which is made at the first start.
    pub file: Option<PathBuf>,
    /// The environment variable, in place of a file: the keys as text, the newest first.
    pub env: Option<String>,
}

impl KeysConfig {
    /// Where that is. `environment` looks a variable up.
    pub fn source(
        &self,
        data_dir: &Path,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<KeySource, KeyError> {
        match (&self.file, &self.env) {
            (None, None) => Ok(KeySource::Own(data_dir.join("revoker.key"))),
            (Some(file), None) => Ok(KeySource::File(file.clone())),
            (None, Some(name)) => {
                let text = environment(name).ok_or_else(|| KeyError::NotSet(name.clone()))?;
                Ok(KeySource::Env { name: name.clone(), text })
            }
            (Some(_), Some(_)) => Err(KeyError::TwoPlaces),
        }
    }
}

/// Where keys are.
#[derive(Clone)]
pub enum KeySource {
    /// A file of ours, made where it is missing.
    Own(PathBuf),
    /// A file of the operator's.
    File(PathBuf),
    /// A variable, and what it holds.
    Env {
        /// The variable.
        name: String,
        /// What it holds.
        text: String,
    },
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySource({self})")
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(path) | Self::File(path) => write!(f, "the key file {}", path.display()),
            Self::Env { name, .. } => write!(f, "the environment variable {name}"),
        }
    }
}

/// Keys, the newest first. Not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Ring(Vec<[u8; KEY_BYTES]>);

impl Ring {
    /// One key.
    pub fn of(key: [u8; KEY_BYTES]) -> Self {
        Self(vec![key])
    }

    pub(super) fn keys(&self) -> &[[u8; KEY_BYTES]] {
        &self.0
    }

    pub(super) fn newest(&self) -> &[u8; KEY_BYTES] {
        // A ring is never empty: it is one key or what `parse` found.
        self.0.first().unwrap_or(&[0; KEY_BYTES])
    }

    /// The same with a new key before.
    pub(super) fn with_new(&self) -> Self {
        Self(std::iter::once(rand::random()).chain(self.0.iter().copied()).take(KEYS_MAX).collect())
    }

    /// Bytes, or words of base64 or hexadecimal.
    fn parse(bytes: &[u8], from: &impl fmt::Display) -> Result<Self, KeyError> {
        let no_key = || KeyError::NoKey { from: from.to_string() };
        let is_text = bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
        let keys: Vec<[u8; KEY_BYTES]> = match std::str::from_utf8(bytes) {
            Ok(text) if is_text => {
                let decoded = text.split_ascii_whitespace().map(word).collect::<Option<_>>();
                decoded.ok_or_else(no_key)?
            }
            _ => match bytes.as_chunks() {
                (keys, []) => keys.to_vec(),
                _ => return Err(no_key()),
            },
        };
        if !(1..=KEYS_MAX).contains(&keys.len()) {
            return Err(no_key());
        }
        let is_weak = |key: &[u8; KEY_BYTES]| {
            let mut seen = key.to_vec();
            seen.sort_unstable();
            seen.dedup();
            seen.len() < DIFFERENT_MIN
        };
        if keys.iter().any(is_weak) {
            return Err(KeyError::Weak { from: from.to_string() });
        }
        Ok(Self(keys))
    }
}

fn word(text: &str) -> Option<[u8; KEY_BYTES]> {
    unhex(text).or_else(|| STANDARD.decode(text).ok()?.try_into().ok())
}

/// A new key as text.
pub fn new_key() -> String {
    STANDARD.encode(rand::random::<[u8; KEY_BYTES]>())
}

impl KeySource {
    /// The keys.
    pub fn read(&self) -> Result<Ring, KeyError> {
        match self {
            Self::Env { text, .. } => Ring::parse(text.as_bytes(), self),
            Self::File(path) if !path.exists() => Err(KeyError::Missing(path.clone())),
            Self::File(path) => self.read_file(path),
            Self::Own(path) => match create(path) {
                Ok(secret) => Ok(Ring::of(secret)),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => self.read_file(path),
                Err(source) => Err(KeyError::Io { path: path.clone(), source }),
            },
        }
    }

    fn read_file(&self, path: &Path) -> Result<Ring, KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        File::open(path).map_err(io)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io)?;
        Ring::parse(&bytes, self)
    }

    /// The file, where it is one: it can be written anew.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Own(path) | Self::File(path) => Some(path),
            Self::Env { .. } => None,
        }
    }
}

/// Puts these keys into the file's place, whole and durable.
pub(super) fn replace(path: &Path, ring: &Ring) -> Result<(), KeyError> {
    let beside = beside(path);
    let replaced = write_private(&beside, ring.0.as_flattened())
        .and_then(|()| std::fs::rename(&beside, path))
        .and_then(|()| sync_folder(path));
    replaced.map_err(|source| KeyError::Io { path: path.to_owned(), source })
}

/// Makes the file whole and durable before anybody can find it under its name: written beside it, then linked there.
fn create(path: &Path) -> Result<[u8; KEY_BYTES], std::io::Error> {
    if path.exists() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let secret: [u8; KEY_BYTES] = rand::random();
    let beside = beside(path);
    let linked = write_private(&beside, &secret).and_then(|()| std::fs::hard_link(&beside, path));
    let removed = std::fs::remove_file(&beside);
    linked?;
    removed?;
    sync_folder(path)?;
    Ok(secret)
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension(format!("new-{:016x}", rand::random::<u64>()))
}

fn sync_folder(path: &Path) -> Result<(), std::io::Error> {
    match path.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
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
    fn keys_are_bytes_or_words_and_nothing_that_can_be_guessed() {
        let parse = |bytes: &[u8]| Ring::parse(bytes, &"a test").map(|ring| ring.0.len());
        let (random, other): ([u8; 32], [u8; 32]) = (rand::random(), rand::random());
        assert_eq!(parse(&random).unwrap(), 1);
        assert_eq!(parse(&[random, other].concat()).unwrap(), 2);
        let words = format!("{}\n{}\n", STANDARD.encode(random), crate::hex::hex(&other));
        assert_eq!(parse(words.as_bytes()).unwrap(), 2);
        let no_key: [&[u8]; 5] =
            [b"", &random[..31], b"correct horse battery staple", &[random; 5].concat(), b"c2hvcnQ="];
        assert!(no_key.iter().all(|bytes| matches!(parse(bytes), Err(KeyError::NoKey { .. }))));
        for weak in [[0; 32].to_vec(), STANDARD.encode([7; 32]).into_bytes()] {
            assert!(matches!(parse(&weak), Err(KeyError::Weak { .. })));
        }
    }

    #[test]
    fn what_is_configured_and_not_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tocsin.key");
        let named = KeysConfig { file: Some(file.clone()), env: None };
        let read =
            |config: &KeysConfig| config.source(folder.path(), |_| None).and_then(|source| source.read());
        assert!(matches!(read(&named), Err(KeyError::Missing(_))) && !file.exists());
        std::fs::write(&file, new_key()).unwrap();
        assert!(read(&named).is_ok());
        let variable = KeysConfig { file: None, env: Some("KEY".to_owned()) };
        assert!(matches!(read(&variable), Err(KeyError::NotSet(_))));
        let set = variable.source(folder.path(), |_| Some(new_key())).unwrap();
        assert!(set.read().is_ok() && set.file().is_none());
        assert!(read(&KeysConfig::default()).is_ok() && folder.path().join("revoker.key").exists());
    }
}
