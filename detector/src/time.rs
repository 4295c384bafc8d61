//! Event time. The core reads no clock: every instant it knows came in with a call.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant of event time: microseconds since 1970-01-01T00:00:00Z, no leap seconds.
///
/// Written and read as RFC 3339 with a `Z` or numeric offset; printed in UTC with only the digits it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
// Beside numbers of four bytes it leaves no gap: an agent's state has many of these.
#[repr(Rust, packed(4))]
pub struct Timestamp(i64);

/// Why a text is not a [`Timestamp`].
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an RFC 3339 time between the years 1 and 9999")]
pub struct TimestampError;

impl Timestamp {
    /// Microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Milliseconds since the epoch; saturates at the ends of the range.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Time passed since `earlier`, zero if `earlier` is the later one.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// Hours since the epoch.
    pub(crate) fn hours(self) -> f64 {
        self.0 as f64 / 3_600e6
    }

    /// Hour of the day in UTC, 0 to 23.
    pub const fn hour_of_day(self) -> usize {
        (self.0.div_euclid(3_600_000_000)).rem_euclid(24) as usize
    }

    /// The start of the window of `width` that holds this instant; windows are aligned to the epoch.
    ///
    /// A zero `width` is treated as one microsecond.
    #[must_use]
    pub const fn floor_to(self, width: Duration) -> Self {
        let width = width.as_micros() as i64;
        let width = if width < 1 { 1 } else { width };
        Self(self.0.div_euclid(width) * width)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(rhs.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(rhs.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl std::str::FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        // jiff also takes a space between date and time and time zone names in brackets; RFC 3339 as we read it does not.
        let bytes = text.as_bytes();
        if bytes.len() < 20 || !matches!(bytes[10], b'T' | b't') || bytes[bytes.len() - 1] == b']' {
            return Err(TimestampError);
        }
        text.parse::<jiff::Timestamp>().map(|t| Self(t.as_microsecond())).map_err(|_| TimestampError)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(t) => write!(f, "{t}"),
            Err(_) => write!(f, "{}us", self.as_micros()),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { s.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            i64::deserialize(d).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_rfc_3339() {
        let t: Timestamp = "2025-03-17T10:12:54.471+01:00".parse().unwrap();
        assert_eq!(t.to_string(), "2025-03-17T09:12:54.471Z");
        assert_eq!(t.hour_of_day(), 9);
        assert_eq!(t.floor_to(Duration::from_mins(10)).to_string(), "2025-03-17T09:10:00Z");
        for bad in
            ["", "2025-03-17", "2025-03-17 09:12:54Z", "2025-13-17T09:12:54Z", "2025-03-17T09:12:54", "NaN"]
        {
            assert_eq!(bad.parse::<Timestamp>(), Err(TimestampError), "{bad}");
        }
    }
}
