//! Secrets in a configuration: written there, in the environment, or in a file.

use std::path::PathBuf;

use super::webhook::SecretText;

/// Where one secret is. Exactly one of the three says it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What it is called in the configuration; `_env` and `_file` behind it name the other two places.
    pub key: &'static str,
    /// The secret itself.
    pub text: Option<&'a SecretText>,
    /// The variable that holds it.
    pub env: Option<&'a str>,
    /// The file that holds it.
    pub file: Option<&'a PathBuf>,
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Which of the three.
    #[error("exactly one of `{0}`, `{0}_env` and `{0}_file` is needed")]
    One(&'static str),
    /// The variable.
    #[error("`{key}_env`: the environment variable {name} is not set")]
    NotSet {
        /// What it is called in the configuration.
        key: &'static str,
        /// The variable.
        name: String,
    },
    /// The file.
    #[error("`{key}_file`: {path}: {source}")]
    File {
        /// What it is called in the configuration.
        key: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing in it.
    #[error("`{0}` is empty")]
    Empty(&'static str),
}

impl Source<'_> {
    /// Whether none of the three says it.
    pub(super) fn is_nowhere(&self) -> bool {
        self.text.is_none() && self.env.is_none() && self.file.is_none()
    }

    /// The secret, without white space around it. `environment` looks a variable up.
    pub fn read(self, environment: impl Fn(&str) -> Option<String>) -> Result<String, SecretError> {
        let key = self.key;
        let secret = match (self.text, self.env, self.file) {
            (Some(text), None, None) => text.reveal().to_owned(),
            (None, Some(name), None) => {
                environment(name).ok_or_else(|| SecretError::NotSet { key, name: name.to_owned() })?
            }
            (None, None, Some(path)) => std::fs::read_to_string(path)
                .map_err(|source| SecretError::File { key, path: path.clone(), source })?,
            _ => return Err(SecretError::One(key)),
        };
        let secret = secret.trim();
        if secret.is_empty() { Err(SecretError::Empty(key)) } else { Ok(secret.to_owned()) }
    }
}
