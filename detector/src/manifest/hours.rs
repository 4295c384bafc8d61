//! Hours of the week by a clock on a wall.

use std::fmt;
use std::str::FromStr;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The days of the week as they are written.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY_MINUTES: u16 = 24 * 60;
const WEEK_MINUTES: u16 = 7 * DAY_MINUTES;
/// 1970-01-01 was a Thursday.
const EPOCH_DAY: i64 = 3;

/// Times of the day on some days of the week: `mon-fri 07:00-19:00`, `sat,sun 10:00-14:00`, or of every day, `22:00-06:00`. One
/// that ends before it begins goes on into the next day. The end itself is outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    /// A bit a day, Monday the lowest.
    days: u8,
    /// Minutes of the day.
    from: u16,
    until: u16,
}

/// The text is no [`Span`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time of the week such as `mon-fri 07:00-19:00`, `sat,sun 10:00-14:00` or `22:00-06:00`")]
pub struct SpanError(String);

impl Span {
    /// From one minute of a day to another, on the days whose bits are set, Monday the lowest. None where that is empty.
    pub fn new(days: u8, from: u16, until: u16) -> Option<Self> {
        let fits = days != 0 && days >> DAYS.len() == 0 && from < DAY_MINUTES && until <= DAY_MINUTES;
        (fits && from != until).then_some(Self { days, from, until })
    }

    /// Whether a minute of the week lies within.
    pub fn covers(self, minute_of_week: u16) -> bool {
        self.ranges().any(|(from, until)| (from..until).contains(&minute_of_week))
    }

    /// Its minutes of the week, as ranges without their ends.
    fn ranges(self) -> impl Iterator<Item = (u16, u16)> {
        let len = (self.until + DAY_MINUTES - self.from - 1) % DAY_MINUTES + 1;
        let on = move |day: &u16| self.days >> day & 1 == 1;
        (0..DAYS.len() as u16).filter(on).flat_map(move |day| {
            let from = day * DAY_MINUTES + self.from;
            let rest = (from + len).saturating_sub(WEEK_MINUTES);
            let next_week = (rest > 0).then_some((0, rest));
            std::iter::once((from, from + len - rest)).chain(next_week)
        })
    }
}

impl FromStr for Span {
    type Err = SpanError;
    fn from_str(text: &str) -> Result<Self, SpanError> {
        let read = || {
            let mut words = text.split_whitespace().rev();
            let (from, until) = words.next()?.split_once('-')?;
            let days = words.next().map_or(Some(0x7f), days)?;
            words.next().is_none().then(|| Self::new(days, minute(from)?, minute(until)?)).flatten()
        };
        read().ok_or_else(|| SpanError(text.to_owned()))
    }
}

/// `mon`, `mon-fri`, `sat,sun`, `fri-mon`.
fn days(text: &str) -> Option<u8> {
    let day = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    text.split(',').try_fold(0, |days, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let len = (last + DAYS.len() - first) % DAYS.len();
        Some((0..=len).fold(days, |days, i| days | 1 << ((first + i) % DAYS.len())))
    })
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str, max: u16| {
        let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|n| plain && *n <= max)
    };
    Some(number(hour, 24)? * 60 + number(minute, 59)?).filter(|minute| *minute <= DAY_MINUTES)
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != 0x7f {
            let named = DAYS.iter().enumerate().filter(|(i, _)| self.days >> i & 1 == 1).map(|(_, day)| *day);
            write!(f, "{} ", named.collect::<Vec<_>>().join(","))?;
        }
        let (from, until) = (self.from, self.until);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;
    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

/// A time zone by its IANA name, from the copy of the database that was built in: the same on every machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

/// There is no such zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no IANA time zone, such as `Europe/Berlin`")]
pub struct ZoneError(String);

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The minute of the week by its clock, from Monday 00:00; none of a time that no clock shows.
    pub fn minute_of_week(&self, ts: Timestamp) -> Option<u16> {
        let at = jiff::Timestamp::from_microsecond(ts.as_micros()).ok()?;
        let seconds = ts.as_micros().div_euclid(1_000_000) + i64::from(self.0.to_offset(at).seconds());
        let minutes = seconds.div_euclid(60) + EPOCH_DAY * i64::from(DAY_MINUTES);
        u16::try_from(minutes.rem_euclid(i64::from(WEEK_MINUTES))).ok()
    }
}

impl FromStr for Zone {
    type Err = ZoneError;
    fn from_str(name: &str) -> Result<Self, ZoneError> {
        TimeZoneDatabase::bundled().get(name).map(Self).map_err(|_| ZoneError(name.to_owned()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl TryFrom<String> for Zone {
    type Error = ZoneError;
    fn try_from(name: String) -> Result<Self, ZoneError> {
        name.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.to_string()
    }
}

/// Declared hours, ready to be asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hours {
    zone: Zone,
    /// Minutes of the week, ranges without their ends.
    open: Box<[(u16, u16)]>,
}

impl Hours {
    pub(crate) fn new(zone: &Zone, spans: &[Span]) -> Self {
        Self { zone: zone.clone(), open: spans.iter().flat_map(|span| span.ranges()).collect() }
    }

    /// The minute of the week at which a call falls outside; none if it does not.
    pub(crate) fn outside(&self, ts: Timestamp) -> Option<u16> {
        let minute = self.zone.minute_of_week(ts)?;
        let within = |(from, until): &(u16, u16)| (*from..*until).contains(&minute);
        (!self.open.iter().any(within)).then_some(minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(spans: &[&str], zone: &str, at: &str) -> Option<u16> {
        let spans: Vec<Span> = spans.iter().map(|span| span.parse().unwrap()).collect();
        Hours::new(&zone.parse().unwrap(), &spans).outside(at.parse().unwrap())
    }

    #[test]
    fn a_span_is_read_and_written_in_one_way() {
        let written = |text: &str| text.parse::<Span>().unwrap().to_string();
        assert_eq!(written("Mon-Fri 07:00-19:00"), "mon,tue,wed,thu,fri 07:00-19:00");
        assert_eq!(written("fri-mon 22:00-06:00"), "mon,fri,sat,sun 22:00-06:00");
        assert_eq!(written("00:00-24:00"), "00:00-24:00");
        for bad in [
            "",
            "mon",
            "7:00-19:00",
            "07:00",
            "07:00-07:00",
            "24:00-25:00",
            "00:00-24:01",
            "mon tue 07:00-08:00",
            "+7:00-08:00",
            "mo 07:00-08:00",
        ] {
            bad.parse::<Span>().expect_err(bad);
        }
    }

    #[test]
    fn the_wall_clock_of_the_zone_counts_in_summer_and_in_winter() {
        let hours = ["mon-fri 07:00-19:00"];
        // 2026-03-27 is a Friday, and Berlin's summer time begins on the Sunday after.
        let berlin = |at| outside(&hours, "Europe/Berlin", at);
        assert_eq!(berlin("2026-03-27T05:59:59.999999Z"), Some(4 * DAY_MINUTES + 6 * 60 + 59));
        assert_eq!(berlin("2026-03-27T06:00:00Z"), None);
        assert_eq!(berlin("2026-03-30T05:00:00Z"), None);
        assert_eq!(berlin("2026-03-27T17:59:59.999999Z"), None);
        assert_eq!(berlin("2026-03-27T18:00:00Z"), Some(4 * DAY_MINUTES + 19 * 60));
        assert_eq!(berlin("2026-03-28T10:00:00Z"), Some(5 * DAY_MINUTES + 11 * 60));
        // Where the day is another one: Saturday 07:30 in Auckland is still Friday in UTC.
        assert_eq!(outside(&["sat 07:00-08:00"], "Pacific/Auckland", "2026-03-27T18:30:00Z"), None);
    }

    #[test]
    fn a_night_goes_on_into_the_next_day_and_the_next_week() {
        let night = |at| outside(&["sun 22:00-06:00"], "UTC", at).is_none();
        let seen =
            ["2026-03-29T21:59:00Z", "2026-03-29T22:00:00Z", "2026-03-30T05:59:00Z", "2026-03-30T06:00:00Z"];
        assert_eq!(seen.map(night), [false, true, true, false]);
        assert!(night("2026-03-29T23:00:00Z") && !night("2026-03-31T01:00:00Z"));
    }

    #[test]
    fn every_minute_is_open_exactly_if_some_span_says_so() {
        let span: Span = "tue,sat 23:30-00:30".parse().unwrap();
        let hours = Hours::new(&Zone::utc(), &[span]);
        for minute in 0..i64::from(WEEK_MINUTES) {
            // 1970-01-05 was a Monday.
            let at = Timestamp::from_millis((4 * i64::from(DAY_MINUTES) + minute) * 60_000);
            let (day, of_day) = (minute / 1_440, minute % 1_440);
            let open = (matches!(day, 1 | 5) && of_day >= 1_410) || (matches!(day, 2 | 6) && of_day < 30);
            assert_eq!(hours.outside(at).is_none(), open, "{day} {of_day}");
        }
    }
}
