//! Which format a record is written in, told from its first bytes and never from a file's name.

use std::fmt;
use std::str::FromStr;

use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::{cloudtrail, native};

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
    #[must_use]
    pub fn of(self, record: &[u8]) -> Self {
        match self {
            Self::Auto => Self::detect(record),
            known => known,
        }
    }

    /// The format `record` looks like: `CloudTrail` or `Native`, and `Native` for what looks like neither.
    ///
    /// The two have no field name in common, so the first key tells; where neither format knows it, a field that
    /// every CloudTrail record has does.
    pub fn detect(record: &[u8]) -> Self {
        match first_key(record) {
            Some(key) if native::knows(key) => Self::Native,
            Some(key) if cloudtrail::knows(key) || memmem::find(record, b"\"eventVersion\"").is_some() => {
                Self::CloudTrail
            }
            _ => Self::Native,
        }
    }
}

/// The first key of a JSON object, if it is plain text.
fn first_key(record: &[u8]) -> Option<&str> {
    let inside = record.trim_ascii_start().strip_prefix(b"{")?;
    let key = inside.trim_ascii_start().strip_prefix(b"\"")?;
    // No field of either format has a name as long as this.
    let end = key.iter().take(64).position(|&b| b == b'"')?;
    std::str::from_utf8(&key[..end]).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_tells() {
        for (record, format) in [
            (r#"{"event_id":"1"}"#, Format::Native),
            (r#" { "ts" : 1"#, Format::Native),
            (r#"{"eventVersion":"1.08"}"#, Format::CloudTrail),
            (r#"{"awsRegion":"eu-west-1","eventVersion":"1.08"}"#, Format::CloudTrail),
            (r#"{"newAwsField":1,"eventVersion":"1.11"}"#, Format::CloudTrail),
            (r#"{"event_id":"1","x":"\"eventVersion\""}"#, Format::Native),
            (r#"{"unknown":1}"#, Format::Native),
            ("", Format::Native),
            ("{", Format::Native),
            ("[1,2]", Format::Native),
        ] {
            assert_eq!(Format::detect(record.as_bytes()), format, "{record}");
            assert_eq!(Format::CloudTrail.of(record.as_bytes()), Format::CloudTrail);
        }
    }

    #[test]
    fn names_read_back() {
        for format in [Format::Auto, Format::Native, Format::CloudTrail] {
            assert_eq!(format.to_string().parse(), Ok(format));
            assert_eq!(serde_json::to_string(&format).unwrap(), format!("\"{format}\""));
        }
        assert_eq!(
            "ocsf".parse::<Format>().unwrap_err().to_string(),
            "`ocsf` is no format; known are auto, native and cloudtrail"
        );
    }
}
