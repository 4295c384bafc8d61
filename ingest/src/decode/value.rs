//! One JSON value at a time: what each kind of field wants of it, checked where it is read.
//!
//! The messages name types and limits and never repeat a text, which might be a secret.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;

use detector::{Attestation, CredentialKind, Kind, Ruling, Text, Timestamp};
use serde::de::{DeserializeSeed, Deserializer, Error, Unexpected, Visitor};

use super::{secret, time};

/// The longest text of any field, in bytes. ARNs, user agents and paths stay below 2 KiB.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;

/// What a field wants of its value. `null` is an absent value for every field.
pub(super) trait Want<'de> {
    /// What it makes of it.
    type Out;

    /// Completes "expected …".
    const EXPECTED: &'static str;

    /// From a string; `None` where it counts as absent.
    fn text(_text: Text<'de>) -> Result<Option<Self::Out>, Unfit> {
        Err(Unfit::Type)
    }

    /// From a whole number ≥ 0.
    fn whole(_number: u64) -> Result<Option<Self::Out>, Unfit> {
        Err(Unfit::Type)
    }

    /// From any other number; finite, since JSON knows no other.
    fn number(_number: f64) -> Result<Option<Self::Out>, Unfit> {
        Err(Unfit::Type)
    }

    /// From `true` or `false`.
    fn truth(_truth: bool) -> Result<Option<Self::Out>, Unfit> {
        Err(Unfit::Type)
    }
}

/// Why a value does not fit its field.
pub(super) enum Unfit {
    /// Of another JSON type.
    Type,
    /// Of the right type, but this is wrong with it.
    Value(&'static str),
}

/// Reads the value of a field that wants `W`.
pub(super) struct Slot<W>(PhantomData<W>);

impl<W> Slot<W> {
    pub(super) const NEW: Self = Self(PhantomData);
}

impl<'de, W: Want<'de>> DeserializeSeed<'de> for Slot<W> {
    type Value = Option<W::Out>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<W> Slot<W> {
    fn fit<'de, E: Error>(
        value: Result<Option<W::Out>, Unfit>,
        found: &'static str,
    ) -> Result<Option<W::Out>, E>
    where
        W: Want<'de>,
    {
        value.map_err(|unfit| match unfit {
            Unfit::Type => E::invalid_type(Unexpected::Other(found), &W::EXPECTED),
            Unfit::Value(why) => E::custom(why),
        })
    }
}

impl<'de, W: Want<'de>> Visitor<'de> for Slot<W> {
    type Value = Option<W::Out>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(W::EXPECTED)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Self::fit(W::text(Text::Borrowed(text)), "string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Self::fit(W::text(Text::Owned(text.to_owned())), "string")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Self::fit(W::whole(number), "number")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Self::fit(W::number(number as f64), "number")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Self::fit(W::number(number), "number")
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Self::Value, E> {
        Self::fit(W::truth(truth), "boolean")
    }
}

/// Text of at most [`TEXT_BYTES_MAX`] that is no token. Empty text is absent.
pub(super) struct Word;

impl<'de> Want<'de> for Word {
    type Out = Text<'de>;
    const EXPECTED: &'static str = "a string";

    fn text(text: Text<'de>) -> Result<Option<Text<'de>>, Unfit> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Unfit::Value("longer than 4096 bytes"));
        }
        if secret::is_token(&text) {
            return Err(Unfit::Value(
                "looks like a bearer token; a log must hold its id or a hash, never the token",
            ));
        }
        Ok((!text.is_empty()).then_some(text))
    }
}

/// The longest packed baseline: a profile has 3.5 KiB in memory, and takes a third more as text.
const PACKED_BYTES_MAX: usize = 16 * 1024;

/// A packed baseline, which Tocsin alone writes.
pub(super) struct Packed;

impl<'de> Want<'de> for Packed {
    type Out = Text<'de>;
    const EXPECTED: &'static str = "a packed baseline";

    fn text(text: Text<'de>) -> Result<Option<Text<'de>>, Unfit> {
        if text.len() > PACKED_BYTES_MAX {
            return Err(Unfit::Value("longer than 16384 bytes"));
        }
        Ok((!text.is_empty()).then_some(text))
    }
}

/// The longest manifest as JSON: some thousand endpoints.
pub const MANIFEST_BYTES_MAX: usize = 128 * 1024;

/// A manifest, which Tocsin alone writes; whoever reads the record knows what it means.
pub(super) struct Declared;

impl<'de> Want<'de> for Declared {
    type Out = Text<'de>;
    const EXPECTED: &'static str = "a manifest as JSON in a text";

    fn text(text: Text<'de>) -> Result<Option<Text<'de>>, Unfit> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(Unfit::Value("longer than 131072 bytes"));
        }
        Ok((!text.is_empty()).then_some(text))
    }
}

/// An instant within [`time::RANGE`].
pub(super) struct Instant;

impl<'de> Want<'de> for Instant {
    type Out = Timestamp;
    const EXPECTED: &'static str = "an RFC 3339 time";

    fn text(text: Text<'de>) -> Result<Option<Timestamp>, Unfit> {
        let instant = time::parse(&text).ok_or(Unfit::Value("not an RFC 3339 time"))?;
        if !time::RANGE.contains(&instant) {
            return Err(Unfit::Value("outside the years 1970 to 2299"));
        }
        Ok(Some(instant))
    }
}

/// An instant that may lie outside [`time::RANGE`] to say "never" and is moved to its nearest end.
pub(super) struct Bound;

impl<'de> Want<'de> for Bound {
    type Out = Timestamp;
    const EXPECTED: &'static str = "an RFC 3339 time";

    fn text(text: Text<'de>) -> Result<Option<Timestamp>, Unfit> {
        let instant = time::parse(&text).ok_or(Unfit::Value("not an RFC 3339 time"))?;
        Ok(Some(instant.clamp(*time::RANGE.start(), *time::RANGE.end())))
    }
}

/// A count of bytes.
pub(super) struct Bytes;

impl Want<'_> for Bytes {
    type Out = u64;
    const EXPECTED: &'static str = "a whole number of bytes, 0 or more";

    fn whole(number: u64) -> Result<Option<u64>, Unfit> {
        Ok(Some(number))
    }
}

/// An HTTP-like status.
pub(super) struct Status;

impl Want<'_> for Status {
    type Out = u16;
    const EXPECTED: &'static str = "a whole number from 100 to 599";

    fn whole(number: u64) -> Result<Option<u16>, Unfit> {
        match u16::try_from(number) {
            Ok(status @ 100..=599) => Ok(Some(status)),
            _ => Err(Unfit::Value("not within 100 to 599")),
        }
    }
}

/// A length of time in milliseconds.
pub(super) struct Millis;

impl Want<'_> for Millis {
    type Out = f64;
    const EXPECTED: &'static str = "a number of milliseconds, 0 or more";

    fn whole(number: u64) -> Result<Option<f64>, Unfit> {
        Ok(Some(number as f64))
    }

    fn number(number: f64) -> Result<Option<f64>, Unfit> {
        if number >= 0.0 { Ok(Some(number)) } else { Err(Unfit::Value("less than 0")) }
    }
}

/// Any number.
pub(super) struct Number;

impl Want<'_> for Number {
    type Out = f64;
    const EXPECTED: &'static str = "a number";

    fn whole(number: u64) -> Result<Option<f64>, Unfit> {
        Ok(Some(number as f64))
    }

    fn number(number: f64) -> Result<Option<f64>, Unfit> {
        Ok(Some(number))
    }
}

/// `true` or `false`.
pub(super) struct Truth;

impl Want<'_> for Truth {
    type Out = bool;
    const EXPECTED: &'static str = "true or false";

    fn truth(truth: bool) -> Result<Option<bool>, Unfit> {
        Ok(Some(truth))
    }
}

/// An IPv4 or IPv6 address.
pub(super) struct Ip;

impl<'de> Want<'de> for Ip {
    type Out = IpAddr;
    const EXPECTED: &'static str = "an IP address";

    fn text(text: Text<'de>) -> Result<Option<IpAddr>, Unfit> {
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| Unfit::Value("not an IP address"))
    }
}

/// One of the names of `$Type`.
macro_rules! one_of {
    ($(#[$meta:meta])* $Want:ident -> $Type:ident { $($Variant:ident),+ }, $expected:literal) => {
        $(#[$meta])*
        pub(super) struct $Want;

        impl<'de> Want<'de> for $Want {
            type Out = $Type;
            const EXPECTED: &'static str = $expected;

            fn text(text: Text<'de>) -> Result<Option<$Type>, Unfit> {
                [$($Type::$Variant),+]
                    .into_iter()
                    .find(|value| value.as_str() == text)
                    .map(Some)
                    .ok_or(Unfit::Value(concat!("not ", $expected)))
            }
        }
    };
}

one_of!(
    /// The record's kind.
    KindName -> Kind { Call, Request, Outcome, TaskEnd, Heartbeat, Feedback, Revert, Manifest },
    "one of call, request, outcome, task_end, heartbeat, feedback, revert, manifest"
);
one_of!(
    /// What a person ruled.
    RulingName -> Ruling { Benign, Deploy, CohortDeploy, Malicious },
    "one of benign, deploy, cohort_deploy, malicious"
);
one_of!(
    /// How the identity was proved.
    AttestationName -> Attestation { None, Network, Token, Key, Platform },
    "one of none, network, token, key, platform"
);
one_of!(
    /// The kind of credential.
    CredentialName -> CredentialKind { Federated, Oauth, ApiKey, StaticKey, Certificate, Unknown },
    "one of federated, oauth, api_key, static_key, certificate, unknown"
);
