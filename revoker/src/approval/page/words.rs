//! Numbers and times as people read them.

use std::fmt::Write as _;
use std::time::Duration;

use detector::{MicroBits, Timestamp};
use maud::{Markup, html};

/// A point in time, to the minute, in UTC: the page cannot know the reader's zone.
pub(super) fn clock(at: Timestamp) -> Markup {
    let second = at.floor_to(Duration::from_secs(1)).to_string();
    html! { time datetime=(second) { (clock_text(at)) } }
}

/// The same as text.
pub(in crate::approval) fn clock_text(at: Timestamp) -> String {
    let second = at.floor_to(Duration::from_secs(1)).to_string();
    match (second.get(..10), second.get(11..16)) {
        (Some(day), Some(minute)) => format!("{day} {minute} UTC"),
        _ => second,
    }
}

/// A length of time in its two largest units.
pub(super) fn span(length: Duration) -> String {
    let s = length.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let Some(first) = units.iter().position(|(size, _)| s >= *size) else { return "0 s".to_owned() };
    let mut out = String::new();
    let mut rest = s;
    for (size, name) in &units[first..(first + 2).min(units.len())] {
        if rest / size > 0 {
            let _written: std::fmt::Result =
                write!(out, "{}{} {name}", if out.is_empty() { "" } else { " " }, rest / size);
        }
        rest %= size;
    }
    out
}

/// The time between two calls, from milliseconds to hours.
pub(super) fn gap(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

/// A count or an expectation with the digits that matter.
pub(super) fn number(x: f64) -> String {
    let digits = match x.abs() {
        a if a >= 100.0 || x.fract() == 0.0 => 0,
        a if a >= 1.0 => 1,
        _ => 3,
    };
    format!("{x:.digits$}")
}

/// A share of all calls.
pub(super) fn percent(share: f64) -> String {
    if share < 1e-4 { "under 0.01 %".to_owned() } else { format!("{} %", number(share * 100.0)) }
}

/// Bits with the sign that print uses.
pub(super) fn signed(bits: MicroBits) -> String {
    format!("{bits:+.1}").replace('-', "\u{2212}")
}

/// A sentence that begins with a capital letter.
pub(super) fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        let spans = [0, 59, 60, 61, 754, 3_600, 7_500, 90_061, 200_000].map(|s| span(Duration::from_secs(s)));
        assert_eq!(
            spans,
            ["0 s", "59 s", "1 min", "1 min 1 s", "12 min 34 s", "1 h", "2 h 5 min", "1 d 1 h", "2 d 7 h"]
        );
    }

    #[test]
    fn gaps() {
        let gaps = [0.0, 0.0042, 1.0, 119.9, 120.0, 7_199.0, 90_000.0].map(gap);
        assert_eq!(gaps, ["0 ms", "4 ms", "1.0 s", "119.9 s", "2 min", "120 min", "25.0 h"]);
    }

    #[test]
    fn shares_signs_and_sentences() {
        assert_eq!([0.0, 0.004, 0.4, 1.0].map(percent), ["under 0.01 %", "0.400 %", "40 %", "100 %"]);
        assert_eq!(
            [-4.25, 0.0, 9.04].map(|b| signed(MicroBits::from_bits(b))),
            ["\u{2212}4.2", "+0.0", "+9.0"]
        );
        assert_eq!(["the price", "é", ""].map(capital), ["The price", "É", ""]);
    }
}
