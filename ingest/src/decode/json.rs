//! Reading one JSON object with the failing field always named.

use std::borrow::Cow;
use std::fmt;

use detector::Text;
use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

use super::{Invalid, Tally, secret};

/// The longest name of a nested member that a reject repeats, in bytes.
const MEMBER_BYTES_MAX: usize = 64;

/// Where in the record reading stands; what an error will be said to be about.
#[derive(Default)]
pub(super) struct Place<'de> {
    /// The field being read.
    pub(super) field: Option<&'static str>,
    /// The member of that field being read, where the record names it.
    pub(super) member: Option<Text<'de>>,
}

impl Place<'_> {
    /// Lays what went wrong to the field being read.
    pub(super) fn blame(self, why: Invalid) -> Invalid {
        Invalid { field: self.name(), ..why }
    }

    fn name(self) -> Option<Cow<'static, str>> {
        let field = self.field?;
        match self.member {
            Some(member) if member.len() <= MEMBER_BYTES_MAX && !secret::is_token(&member) => {
                Some(format!("{field}.{member}").into())
            }
            _ => Some(field.into()),
        }
    }
}

/// Reads `record`, one JSON object and nothing else.
///
/// The text is checked to be UTF-8 once and as a whole: that costs less than by string, and covers what is skipped.
/// Nesting cannot exhaust the stack: what is read has a fixed depth, and what is skipped is skipped in a loop.
pub(super) fn read_object<'de, V: Visitor<'de>>(record: &'de [u8], visitor: V) -> Result<V::Value, Invalid> {
    let text = std::str::from_utf8(record)
        .map_err(|e| Invalid::line(format!("not UTF-8 from byte {} on", e.valid_up_to())))?;
    // Any other JSON value would be repeated in serde_json's message.
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'{') => {}
        Some(_) => return Err(Invalid::line("not a JSON object")),
        None => return Err(Invalid::line("blank")),
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let value = json.deserialize_map(visitor).map_err(|e| in_words(&e))?;
    json.end().map_err(|e| in_words(&e))?;
    Ok(value)
}

/// The message with the position in the record; the record's place in its file is told elsewhere.
fn in_words(error: &serde_json::Error) -> Invalid {
    let (line, column) = (error.line(), error.column());
    let words = error.to_string();
    let bare = words.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&words);
    Invalid::line(match line {
        0 | 1 => format!("{bare}, at column {column}"),
        _ => format!("{bare}, at column {column} of the record's line {line}"),
    })
}

/// Reads a key: the field of that name, or `None` and a count where there is no such field.
pub(super) struct Key<'t, F> {
    from_name: F,
    tally: &'t mut Tally,
}

impl<'t, F> Key<'t, F> {
    pub(super) fn new(from_name: F, tally: &'t mut Tally) -> Self {
        Self { from_name, tally }
    }
}

impl<'de, T, F: Fn(&str) -> Option<T>> DeserializeSeed<'de> for Key<'_, F> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T, F: Fn(&str) -> Option<T>> Visitor<'_> for Key<'_, F> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<T>, E> {
        let field = (self.from_name)(name);
        if field.is_none() {
            self.tally.unknown(name);
        }
        Ok(field)
    }
}
