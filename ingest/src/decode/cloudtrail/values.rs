//! Values that AWS writes in its own way.

use std::fmt;
use std::net::IpAddr;

use detector::{Text, Timestamp};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

use crate::decode::json::{Fill, Object};
use crate::decode::value::{self, Unfit, Want};

/// A time, RFC 3339 or, as in some older records, its basic form `20131102T010628Z`.
pub(super) struct Instant;

impl<'de> Want<'de> for Instant {
    type Out = Timestamp;
    const EXPECTED: &'static str = "a time";

    fn text(text: Text<'de>) -> Result<Option<Timestamp>, Unfit> {
        match extended(&text) {
            Some(extended) => value::Instant::text(Text::Owned(extended)),
            None => value::Instant::text(text),
        }
    }
}

/// `20131102T010628Z` as `2013-11-02T01:06:28Z`.
fn extended(basic: &str) -> Option<String> {
    let time = basic.strip_suffix('Z').filter(|t| t.len() == 15 && t.is_ascii())?;
    let (year, month, day) = (&time[..4], &time[4..6], &time[6..8]);
    let (hour, minute, second) = (&time[9..11], &time[11..13], &time[13..]);
    Some(format!("{year}-{month}-{day}{}{hour}:{minute}:{second}Z", &time[8..9]))
}

/// An IP address, or anything else that says where a call came from, which is none.
pub(super) struct IpOrName;

impl<'de> Want<'de> for IpOrName {
    type Out = IpAddr;
    const EXPECTED: &'static str = "an IP address or the name of a service";

    fn text(text: Text<'de>) -> Result<Option<IpAddr>, Unfit> {
        Ok(text.parse().ok())
    }
}

/// Whether there is any text.
pub(super) struct Presence;

impl<'de> Want<'de> for Presence {
    type Out = ();
    const EXPECTED: &'static str = "a string";

    fn text(text: Text<'de>) -> Result<Option<()>, Unfit> {
        Ok((!text.is_empty()).then_some(()))
    }
}

/// Reads the first element of an array and passes over the others; `null` and `[]` are nothing.
pub(super) struct First<'r, 'de, T>(pub(super) Object<'r, 'de, T>);

impl<'de, T: Fill<'de>> DeserializeSeed<'de> for First<'_, 'de, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Fill<'de>> Visitor<'de> for First<'_, 'de, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    // The default would repeat the text.
    fn visit_str<E: Error>(self, _text: &str) -> Result<(), E> {
        Err(E::invalid_type(serde::de::Unexpected::Other("string"), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if seq.next_element_seed(self.0)?.is_some() {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms_of_time() {
        for (text, utc) in [
            ("2024-07-30T21:31:15Z", Some("2024-07-30T21:31:15Z")),
            ("20131102T010628Z", Some("2013-11-02T01:06:28Z")),
            ("20131102X010628Z", None),
            ("2013110ÜT010628Z", None),
            ("20131102T01062Z", None),
        ] {
            let read = Instant::text(text.into()).ok().flatten().map(|t| t.to_string());
            assert_eq!(read.as_deref(), utc, "{text}");
        }
    }
}
