//! What entries of the configuration that describe targets have in common.

use super::secret::SecretError;
use super::target::{Target, TargetError};
use super::webhook::is_name;

/// Why an entry is no target.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The name.
    #[error("`name` must be 1 to 64 letters, digits, `-` and `_`")]
    Name,
    /// An empty word.
    #[error("`{0}` must not be empty")]
    Empty(&'static str),
    /// An address.
    #[error("`{key}`: {source}")]
    Target {
        /// Which key.
        key: &'static str,
        /// What is wrong with it.
        source: TargetError,
    },
    /// A secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Nothing to sign with.
    #[error(
        "its tokens are signed with the key of the section `[ssf]`, and there is none: set `ssf.key_file`"
    )]
    Unsigned,
    /// Keys that contradict each other or lack one another.
    #[error("{0}")]
    Keys(&'static str),
    /// The HTTP client does not start.
    #[error("the HTTP client does not start: {0}")]
    Client(String),
}

/// Checks the name and that none of these words is empty.
pub(super) fn check(name: &str, words: &[(&'static str, &str)]) -> Result<(), EntryError> {
    if !is_name(name) {
        return Err(EntryError::Name);
    }
    match words.iter().find(|(_, word)| word.is_empty()) {
        Some((key, _)) => Err(EntryError::Empty(key)),
        None => Ok(()),
    }
}

/// The address under this key.
pub(super) fn target(key: &'static str, url: &str, insecure: bool) -> Result<Target, EntryError> {
    Target::new(url, insecure).map_err(|source| EntryError::Target { key, source })
}
