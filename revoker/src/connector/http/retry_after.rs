//! `Retry-After` (RFC 9110 §10.2.3): a number of seconds or a date.

use std::time::Duration;

use detector::Timestamp;

/// A target may ask for patience, not for silence: past this its word is not taken, and the ladder decides.
const WAIT_MAX: Duration = Duration::from_hours(1);

/// How long the target asks to wait from `now`, at most an hour; none where it does not say.
pub(super) fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let wait = if let Ok(seconds) = value.parse() {
        Duration::from_secs(seconds)
    } else {
        let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
        Timestamp::from_micros(date.as_microsecond()).since(now)
    };
    Some(wait.min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms_and_caps_them() {
        let now: Timestamp = "2015-10-21T07:27:00Z".parse().unwrap();
        let read = |value| parse(value, now).map(|wait| wait.as_secs());
        assert_eq!(read("120"), Some(120));
        assert_eq!(read(" 0 "), Some(0));
        assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT"), Some(60));
        assert_eq!(read("Wed, 21 Oct 2015 07:26:00 GMT"), Some(0));
        assert_eq!(read("99999999999"), Some(3_600));
        assert_eq!([read(""), read("-1"), read("soon")], [None; 3]);
    }
}
