//! Secrets in a configuration: written there, in the environment, or in a file.

use std::path::PathBuf;

use super::webhook::SecretText;

/// Where one secret is. Exactly one of the three says it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) text: Option<&'a SecretText>,
    pub(super) env: Option<&'a str>,
    pub(super) file: Option<&'a PathBuf>,
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Which of the three.
    #[error("exactly one of `client_secret`, `client_secret_env` and `client_secret_file` is needed")]
    One,
    /// The variable.
    #[error("`client_secret_env`: the environment variable {0} is not set")]
    NotSet(String),
    /// The file.
    #[error("`client_secret_file`: {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing in it.
    #[error("the client's secret is empty")]
    Empty,
}

impl Source<'_> {
    /// The secret, without white space around it. `environment` looks a variable up.
    pub(super) fn read(self, environment: impl Fn(&str) -> Option<String>) -> Result<String, SecretError> {
        let secret = match (self.text, self.env, self.file) {
            (Some(text), None, None) => text.reveal().to_owned(),
            (None, Some(name), None) => {
                environment(name).ok_or_else(|| SecretError::NotSet(name.to_owned()))?
            }
            (None, None, Some(path)) => std::fs::read_to_string(path)
                .map_err(|source| SecretError::File { path: path.clone(), source })?,
            _ => return Err(SecretError::One),
        };
        let secret = secret.trim();
        if secret.is_empty() { Err(SecretError::Empty) } else { Ok(secret.to_owned()) }
    }
}
