//! Where an operator puts the record, and how long its list of revoked subjects tells of tokens.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::Place;
use super::db::{Address, AddressError};
use crate::config::Seconds;
use crate::connector::webhook::SecretText;

/// Where the record is: at most one of the three names a database; without one it is a file in `data_dir`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordConfig {
    store: Option<SecretText>,
    /// The environment variable that holds it, or
    store_env: Option<String>,
    /// the file.
    store_file: Option<PathBuf>,
    /// Authorities whose certificates the database's server may have, as PEM; without it those known publicly.
    store_ca_file: Option<PathBuf>,
    /// How long tokens of agents live at most.
    token_lifetime_max_s: Option<Seconds>,
}

/// Where nobody said how long tokens live: few issuers give out longer ones.
const TOKEN_LIFETIME_MAX: Duration = Duration::from_hours(30 * 24);

/// Why the record's place cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordConfigError {
    /// Which of the three.
    #[error("revoker: at most one of `store`, `store_env` and `store_file` may be there")]
    One,
    /// The variable.
    #[error("revoker.store_env: the environment variable {0} is not set")]
    NotSet(String),
    /// The file.
    #[error("revoker.store_file: {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What it says.
    #[error("revoker.store: {0}")]
    Address(#[from] AddressError),
}

impl RecordConfig {
    /// So long an entry of the list of revoked subjects stays once its agent was given its access back.
    pub fn token_lifetime_max(&self) -> Duration {
        self.token_lifetime_max_s.map_or(TOKEN_LIFETIME_MAX, Seconds::duration)
    }

    /// The place; `environment` looks a variable up.
    pub fn place(
        &self,
        data_dir: &Path,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Place, RecordConfigError> {
        let url = match (&self.store, &self.store_env, &self.store_file) {
            (None, None, None) => return Ok(Place::in_dir(data_dir)),
            (Some(url), None, None) => url.reveal().to_owned(),
            (None, Some(name), None) => {
                environment(name).ok_or_else(|| RecordConfigError::NotSet(name.clone()))?
            }
            (None, None, Some(path)) => std::fs::read_to_string(path)
                .map_err(|source| RecordConfigError::File { path: path.clone(), source })?,
            _ => return Err(RecordConfigError::One),
        };
        Ok(Place::Server(Arc::new(Address::new(url.trim(), self.store_ca_file.as_ref())?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_file_unless_a_database_is_named_in_one_way() {
        let place = |json: &str| {
            let config: RecordConfig = serde_json::from_str(json).unwrap();
            let known = |name: &str| {
                (name == "RECORD").then(|| "postgres://ann:secret@db.example/tocsin\n".to_owned())
            };
            config.place(Path::new("data"), known).map(|place| place.to_string()).map_err(|e| e.to_string())
        };
        insta::assert_debug_snapshot!([
            place("{}"),
            place(r#"{ "store": "postgres://ann:secret@127.0.0.1/tocsin" }"#),
            place(r#"{ "store_env": "RECORD" }"#),
            place(r#"{ "store_env": "OTHER" }"#),
            place(r#"{ "store_env": "RECORD", "store": "postgres://ann:secret@127.0.0.1/tocsin" }"#),
            place(r#"{ "store": "sqlite:///tmp/a" }"#),
        ]);
    }
}
