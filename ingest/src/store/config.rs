//! The `[store]` section.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::{EngineConfig, MEMORY_BYTES_DEFAULT, default_library};

/// The most rows a batch may be configured to have; the engine takes as many in one piece.
const BATCH_ROWS_MAX: usize = 1_000_000;
/// The most bytes a batch may be configured to have.
const BATCH_BYTES_MAX: usize = 256 << 20;
/// The longest a row may be configured to wait for others.
const BATCH_MS_MAX: u64 = 60_000;

/// Where and how to store; `[store]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Whether the engine runs in this process. Unset: it does unless `url` is given.
    pub embedded: Option<bool>,
    /// The embedded engine's library.
    pub engine: PathBuf,
    /// The embedded engine's folder; `engine` in the data folder if unset.
    pub path: Option<PathBuf>,
    /// The most memory the embedded engine may use, in bytes.
    pub engine_memory_bytes_max: u64,
    /// A server's HTTP interface, `http://host:8123` or `https://host:8443`.
    pub url: Option<String>,
    /// A PEM file of the authorities that may vouch for that server; those that browsers trust if unset.
    pub tls_ca: Option<PathBuf>,
    /// The user at that server.
    pub user: String,
    /// The environment variable that holds the user's password; no password if unset.
    pub password_env: Option<String>,
    /// The database, made if missing.
    pub database: DatabaseName,
    /// A batch goes when it has this many rows,
    pub batch_rows_max: usize,
    /// or this many bytes,
    pub batch_bytes_max: usize,
    /// or when its first row has waited this long, in milliseconds.
    pub batch_ms_max: u64,
    /// How long rows stay.
    pub keep: KeepConfig,
}

/// For how many days rows stay, counted from when we received or stored them; `[store.keep]`. At most a week longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeepConfig {
    /// Calls and verdicts.
    pub calls_days: u16,
    /// Alerts, and the counts of calls per minute.
    pub alerts_days: u16,
    /// The mirror of the audit.
    pub audit_days: u16,
    /// Rejected lines with their bytes.
    pub rejects_days: u16,
}

impl Default for KeepConfig {
    fn default() -> Self {
        Self { calls_days: 90, alerts_days: 400, audit_days: 400, rejects_days: 30 }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            embedded: None,
            engine: default_library(),
            path: None,
            engine_memory_bytes_max: MEMORY_BYTES_DEFAULT,
            url: None,
            tls_ca: None,
            user: "default".to_owned(),
            password_env: None,
            database: DatabaseName("tocsin".to_owned()),
            batch_rows_max: 50_000,
            batch_bytes_max: 32 << 20,
            batch_ms_max: 1_000,
            keep: KeepConfig::default(),
        }
    }
}

/// A database's name: letters, digits and `_`, at most 63, and no digit first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatabaseName(String);

impl DatabaseName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for DatabaseName {
    type Error = StoreConfigError;
    fn try_from(name: String) -> Result<Self, StoreConfigError> {
        let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let begins = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        if letters && begins && name.len() <= 63 {
            Ok(Self(name))
        } else {
            Err(StoreConfigError::Database(name))
        }
    }
}

impl From<DatabaseName> for String {
    fn from(name: DatabaseName) -> Self {
        name.0
    }
}

/// Why `[store]` cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreConfigError {
    /// `database` is not a name.
    #[error("store.database: {0:?} is not a name of letters, digits and `_` (at most 63, no digit first)")]
    Database(String),
    /// Both an engine of our own and a server.
    #[error("store: `embedded = true` and `url = {0:?}` exclude each other")]
    Both(String),
    /// Neither.
    #[error("store: `embedded = false` needs the `url` of a ClickHouse server")]
    Neither,
    /// `url` is none we can speak to.
    #[error("store.url: {0:?} does not begin with http:// or https://")]
    Url(String),
    /// `tls_ca` is given where nothing is encrypted.
    #[error("store.tls_ca: the url {0:?} does not begin with https://")]
    Plain(String),
    /// `tls_ca` cannot be used.
    #[error("store.tls_ca: {path}: {reason}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The variable of `password_env` is not set.
    #[error("store.password_env: the environment has no variable {0:?}")]
    Password(String),
    /// A number is out of its range.
    #[error("store.{key}: {value} is not within 1 to {max}")]
    Range {
        /// The key.
        key: &'static str,
        /// What it says.
        value: u64,
        /// The most it may say.
        max: u64,
    },
}

/// When a batch is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// The most rows, ≥ 1.
    pub rows_max: usize,
    /// The most bytes; one row larger than this is a batch of its own.
    pub bytes_max: usize,
    /// How long the first row waits for others.
    pub age_max: Duration,
}

/// Whom to store to.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// The engine in this process.
    Embedded(EngineConfig),
    /// A server, with the password if there is one.
    Served { url: String, authorities: Option<PathBuf>, user: String, password: Option<String> },
}

impl StoreConfig {
    /// Checks what the types cannot: ranges, and that exactly one target is named. Reads no file and no environment.
    pub fn validate(&self) -> Result<(), StoreConfigError> {
        for (key, value, max) in [
            ("batch_rows_max", self.batch_rows_max as u64, BATCH_ROWS_MAX as u64),
            ("batch_bytes_max", self.batch_bytes_max as u64, BATCH_BYTES_MAX as u64),
            ("batch_ms_max", self.batch_ms_max, BATCH_MS_MAX),
            ("engine_memory_bytes_max", self.engine_memory_bytes_max, 1 << 50),
            ("keep.calls_days", self.keep.calls_days.into(), u16::MAX.into()),
            ("keep.alerts_days", self.keep.alerts_days.into(), u16::MAX.into()),
            ("keep.audit_days", self.keep.audit_days.into(), u16::MAX.into()),
            ("keep.rejects_days", self.keep.rejects_days.into(), u16::MAX.into()),
        ] {
            if !(1..=max).contains(&value) {
                return Err(StoreConfigError::Range { key, value, max });
            }
        }
        self.check_target()
    }

    fn check_target(&self) -> Result<(), StoreConfigError> {
        let Some(url) = self.url.clone() else {
            return if self.embedded == Some(false) { Err(StoreConfigError::Neither) } else { Ok(()) };
        };
        let encrypted = url.starts_with("https://");
        if self.embedded == Some(true) {
            Err(StoreConfigError::Both(url))
        } else if !encrypted && !url.starts_with("http://") {
            Err(StoreConfigError::Url(url))
        } else if !encrypted && self.tls_ca.is_some() {
            Err(StoreConfigError::Plain(url))
        } else {
            Ok(())
        }
    }

    /// When a batch is full.
    pub fn batch_limits(&self) -> BatchLimits {
        BatchLimits {
            rows_max: self.batch_rows_max,
            bytes_max: self.batch_bytes_max,
            age_max: Duration::from_millis(self.batch_ms_max),
        }
    }

    /// Whom to store to; reads the password from the environment.
    pub(super) fn target(&self, data_dir: &Path) -> Result<Target, StoreConfigError> {
        self.validate()?;
        let Some(url) = self.url.clone() else {
            return Ok(Target::Embedded(EngineConfig {
                library: self.engine.clone(),
                path: self.path.clone().unwrap_or_else(|| data_dir.join("engine")),
                memory_bytes_max: self.engine_memory_bytes_max,
            }));
        };
        let read = |name: &String| std::env::var(name).map_err(|_| StoreConfigError::Password(name.clone()));
        let password = self.password_env.as_ref().map(read).transpose()?;
        let (authorities, user) = (self.tls_ca.clone(), self.user.clone());
        Ok(Target::Served { url, authorities, user, password })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl FnOnce(&mut StoreConfig)) -> String {
        let mut config = StoreConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn exactly_one_target_is_named() {
        assert_eq!(StoreConfig::default().validate(), Ok(()));
        let url = || Some("https://ch.example:8443".to_owned());
        assert_eq!(StoreConfig { url: url(), ..StoreConfig::default() }.validate(), Ok(()));
        insta::assert_snapshot!(wrong(|c| (c.url, c.embedded) = (url(), Some(true))), @r#"store: `embedded = true` and `url = "https://ch.example:8443"` exclude each other"#);
        insta::assert_snapshot!(wrong(|c| c.embedded = Some(false)), @"store: `embedded = false` needs the `url` of a ClickHouse server");
        insta::assert_snapshot!(
            wrong(|c| (c.url, c.tls_ca) = (Some("http://ch.example".to_owned()), Some("ca.pem".into()))),
            @r#"store.tls_ca: the url "http://ch.example" does not begin with https://"#
        );
        insta::assert_snapshot!(wrong(|c| c.url = Some("ch.example".to_owned())), @r#"store.url: "ch.example" does not begin with http:// or https://"#);
    }

    #[test]
    fn numbers_have_ranges() {
        insta::assert_snapshot!(wrong(|c| c.batch_rows_max = 0), @"store.batch_rows_max: 0 is not within 1 to 1000000");
        insta::assert_snapshot!(wrong(|c| c.batch_ms_max = 3_600_000), @"store.batch_ms_max: 3600000 is not within 1 to 60000");
        insta::assert_snapshot!(wrong(|c| c.keep.rejects_days = 0), @"store.keep.rejects_days: 0 is not within 1 to 65535");
    }

    #[test]
    fn a_database_is_a_plain_name() {
        for bad in ["", "1st", "a-b", "a.b", "a`b", "naïve", &"x".repeat(64)] {
            assert!(DatabaseName::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert_eq!(DatabaseName::try_from("tocsin_2".to_owned()).unwrap().as_str(), "tocsin_2");
    }

    #[test]
    fn a_password_that_is_not_there_is_named() {
        let url = Some("https://ch.example".to_owned());
        let password_env = Some("TOCSIN_TEST_NO_SUCH_VARIABLE".to_owned());
        let config = StoreConfig { url, password_env, ..StoreConfig::default() };
        let error = config.target(Path::new("/nowhere")).unwrap_err();
        insta::assert_snapshot!(error, @r#"store.password_env: the environment has no variable "TOCSIN_TEST_NO_SUCH_VARIABLE""#);
    }
}
