//! RFC 3339 at the speed of a log.

use std::ops::RangeInclusive;

use detector::Timestamp;

/// The instants a call may carry: 1970-01-01T00:00:00Z to 2299-12-31T23:59:59.999999Z.
///
/// The end is where ClickHouse's `DateTime64` ends; a call from before the epoch is a clock that was never set.
pub(super) const RANGE: RangeInclusive<Timestamp> =
    Timestamp::from_micros(0)..=Timestamp::from_micros(10_413_791_999_999_999);

/// Reads an RFC 3339 time; digits beyond microseconds are cut off.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    parse_utc(text.as_bytes()).or_else(|| text.parse().ok())
}

/// `YYYY-MM-DDTHH:MM:SS[.f…]Z` from 1970 on, the shape nearly every log has; `None` for whatever needs the full parser.
fn parse_utc(text: &[u8]) -> Option<Timestamp> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    if head[4] != b'-' || head[7] != b'-' || head[10] != b'T' || head[13] != b':' || head[16] != b':' {
        return None;
    }
    let year = i64::from(two(head, 0)?) * 100 + i64::from(two(head, 2)?);
    let (month, day) = (two(head, 5)?, two(head, 8)?);
    let (hour, minute, second) = (two(head, 11)?, two(head, 14)?, two(head, 17)?);
    if year < 1970 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    let seconds = days_since_epoch(year, month, day) * 86_400
        + i64::from(hour) * 3_600
        + i64::from(minute) * 60
        + i64::from(second);
    Some(Timestamp::from_micros(seconds * 1_000_000 + micros(tail)?))
}

/// The two digits at `at`.
fn two(text: &[u8; 19], at: usize) -> Option<u32> {
    let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// `[.f…]Z` in microseconds, at most nine digits.
fn micros(tail: &[u8]) -> Option<i64> {
    match tail {
        [b'Z'] => Some(0),
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => {
            let mut micros = 0;
            for at in 0..6 {
                let digit = digits.get(at).map_or(0, |b| b.wrapping_sub(b'0'));
                micros = micros * 10 + i64::from(digit);
            }
            digits.iter().all(u8::is_ascii_digit).then_some(micros)
        }
        _ => None,
    }
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar; Howard Hinnant's `days_from_civil` for years after 0
/// (<https://howardhinnant.github.io/date_algorithms.html>), where the year starts in March.
fn days_since_epoch(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year =
        (153 * (i64::from(month) + if month > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_range_is_what_it_says() {
        assert_eq!(RANGE.start().to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(RANGE.end().to_string(), "2299-12-31T23:59:59.999999Z");
    }

    #[test]
    fn leaves_everything_else_to_the_full_parser() {
        for (text, utc) in [
            ("2025-03-17T10:12:54.471+01:00", Some("2025-03-17T09:12:54.471Z")),
            ("2025-03-17t10:12:54z", Some("2025-03-17T10:12:54Z")),
            ("1969-12-31T23:59:59Z", Some("1969-12-31T23:59:59Z")),
            ("2025-02-29T00:00:00Z", None),
            ("2024-02-29T00:00:00Z", Some("2024-02-29T00:00:00Z")),
            ("2025-03-17T24:00:00Z", None),
            ("2025-03-17T10:12:54.Z", None),
            ("2025-03-17T10:12:54.12a456Z", None),
            ("2025-03-17T10:12:54", None),
            ("2025-03-17 10:12:54Z", None),
            ("", None),
        ] {
            assert_eq!(parse(text).map(|t| t.to_string()).as_deref(), utc, "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_full_parser_on_every_instant(micros in 0..=RANGE.end().as_micros()) {
            let text = Timestamp::from_micros(micros).to_string();
            prop_assert_eq!(parse_utc(text.as_bytes()), text.parse().ok());
        }

        #[test]
        fn agrees_with_the_full_parser_on_what_looks_like_one(
            text in r"(19|20|22)[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-5][0-9](\.[0-9]{1,9})?Z",
        ) {
            if let Some(fast) = parse_utc(text.as_bytes()) {
                prop_assert_eq!(Some(fast), text.parse().ok());
            }
        }
    }
}
