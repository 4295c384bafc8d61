//! What becomes of a line that breaks the schema: why, and the reject that keeps its bytes.

use std::borrow::Cow;
use std::fmt::Display;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

use super::secret;

/// The most bytes of a rejected line that a [`Reject`] keeps.
pub const REJECT_BYTES_MAX: usize = 64 * 1024;

/// Why a record is not a call, and which of its fields says so.
///
/// All a caller can do is to reject the record, so this carries words, not cases. The words never repeat a text
/// of the record: the bytes are kept beside them, and a text may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", .field.as_deref().map(|f| format!("{f}: ")).unwrap_or_default())]
pub struct Invalid {
    /// The failing field by its name in the source's format; `None` where the line as a whole is at fault.
    pub field: Option<Cow<'static, str>>,
    /// What is wrong, in words.
    pub reason: Cow<'static, str>,
}

impl Invalid {
    /// The line as a whole is at fault.
    pub fn line(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { field: None, reason: reason.into() }
    }

    /// `field` is at fault.
    pub fn field(field: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { field: Some(field.into()), reason: reason.into() }
    }
}

/// A line that was not taken, with its bytes and the reason; one row of `rejects.ndjson`.
///
/// Whatever looks like a bearer token in the bytes is overwritten with `*`, at the same length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reject {
    /// The source the line came from, by the name the operator gave it.
    pub source: String,
    /// Line number in that source's file or body, from 1; in a CloudTrail document the record's number.
    pub line: u64,
    /// The failing field, where one is to blame.
    pub field: Option<String>,
    /// What is wrong, in words.
    pub reason: String,
    /// The line's first bytes, at most [`REJECT_BYTES_MAX`]; base64 when serialised.
    #[serde(serialize_with = "base64_text")]
    pub bytes: Vec<u8>,
    /// The full length of the line in bytes, without its line end.
    pub len: u64,
}

impl Reject {
    /// The reject of `line`, whole.
    pub fn new(source: &str, line_number: u64, line: &[u8], why: &Invalid) -> Self {
        Self::cut(source, line_number, line, line.len() as u64, why)
    }

    /// The reject of a line of `len` bytes of which only `head` was kept.
    pub fn cut(source: &str, line_number: u64, head: &[u8], len: u64, why: &Invalid) -> Self {
        let mut bytes = head[..head.len().min(REJECT_BYTES_MAX)].to_vec();
        secret::mask(&mut bytes);
        Self {
            source: source.to_owned(),
            line: line_number,
            field: why.field.as_deref().map(str::to_owned),
            reason: why.reason.clone().into_owned(),
            bytes,
            len,
        }
    }

    /// A record that decodes, yet is refused for what is known elsewhere, such as a conflict with an earlier one.
    pub fn refused(source: &str, line_number: u64, line: &[u8], field: &str, reason: impl Display) -> Self {
        Self::new(source, line_number, line, &Invalid::field(field.to_owned(), reason.to_string()))
    }
}

fn base64_text<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serialises_as_a_row_of_rejects_ndjson() {
        let why = Invalid::field("status", "expected a whole number");
        let row = serde_json::to_string(&Reject::new("gateway", 7, b"{\"status\":\"x\"}", &why)).unwrap();
        insta::assert_snapshot!(row, @r#"{"source":"gateway","line":7,"field":"status","reason":"expected a whole number","bytes":"eyJzdGF0dXMiOiJ4In0=","len":14}"#);
    }

    #[test]
    fn keeps_the_first_64_kib_and_the_full_length() {
        let line = vec![b'a'; 10_000_000];
        let reject = Reject::new("f", 1, &line, &Invalid::line("too long"));
        assert_eq!((reject.bytes.len(), reject.len), (REJECT_BYTES_MAX, 10_000_000));
    }

    #[test]
    fn a_token_does_not_survive_in_the_bytes() {
        let line = br#"{"token_id":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl","x":1}"#;
        let reject = Reject::new("f", 1, line, &Invalid::field("token_id", "a token"));
        insta::assert_snapshot!(String::from_utf8_lossy(&reject.bytes), @r#"{"token_id":"*************************************************","x":1}"#);
        assert_eq!(reject.len, line.len() as u64);
    }
}
