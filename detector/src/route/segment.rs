//! What a segment of a path is by its looks: an id that varies, or a name (endpoint study §5).

use std::net::IpAddr;

/// What stands in a key where something varies, whatever its type.
pub(super) const PLACE: &str = "{}";

/// Shortest run of hexadecimal digits that is an id, and shortest token.
const HEX_MIN: usize = 12;
const TOKEN_MIN: usize = 10;
/// Longest word before a number that is still a prefix.
const PREFIX_MAX: usize = 16;

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    /// Nothing that its looks give away; it is learned whether it varies.
    Name(&'a str),
    /// An id of this type.
    Id(&'static str),
    /// A number after a prefix and a dash, as `ORD-1234`: the prefix with its dash, which is a name.
    Prefixed(&'a str),
}

impl<'a> Segment<'a> {
    /// Tells the type of one segment.
    pub(super) fn of(s: &'a str) -> Self {
        let bytes = s.as_bytes();
        let (mut digits, mut is_word) = (0, true);
        for b in bytes {
            digits += usize::from(b.is_ascii_digit());
            is_word &= b.is_ascii_lowercase() || matches!(b, b'-' | b'_');
        }
        if is_word && s.len() < HEX_MIN {
            return Self::Name(s);
        }
        // Somebody else's template: it varies, whatever they call it.
        if let [b'{', .., b'}'] = bytes {
            return Self::Id("{var}");
        }
        if digits == 0 {
            let is_address = s.contains("::") && s.parse::<IpAddr>().is_ok();
            return match s {
                _ if is_email(s) => Self::Id("{email}"),
                _ if is_address => Self::Id("{ip}"),
                _ if is_hex(bytes) => Self::Id("{hex}"),
                _ => prefix(s).map_or(Self::Name(s), Self::Prefixed),
            };
        }
        if digits == s.strip_prefix('-').unwrap_or(s).len() {
            return Self::Id("{int}");
        }
        if is_version(bytes) {
            return Self::Name(s);
        }
        match s {
            _ if is_uuid(bytes) => Self::Id("{uuid}"),
            _ if is_date(bytes) => Self::Id("{date}"),
            _ if is_email(s) => Self::Id("{email}"),
            _ if s.contains(['.', ':']) && s.parse::<IpAddr>().is_ok() => Self::Id("{ip}"),
            _ if is_hex(bytes) => Self::Id("{hex}"),
            _ => match prefix(s) {
                Some(prefix) => Self::Prefixed(prefix),
                None if is_token(bytes, digits) => Self::Id("{token}"),
                None => Self::Name(s),
            },
        }
    }
}

fn is_version(s: &[u8]) -> bool {
    matches!(s, [b'v' | b'V', n @ ..] if n.len() <= 4 && n.iter().all(|b| b.is_ascii_digit() || *b == b'.'))
}

fn is_uuid(s: &[u8]) -> bool {
    s.len() == 36
        && s.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// `2026-01-31`, also with a time after it.
fn is_date(s: &[u8]) -> bool {
    let shape = |(i, b): (usize, &u8)| if i == 4 || i == 7 { *b == b'-' } else { b.is_ascii_digit() };
    s.len() >= 10
        && s[..10].iter().enumerate().all(shape)
        && s.get(10).is_none_or(|b| matches!(b, b'T' | b't' | b'_'))
}

fn is_email(s: &str) -> bool {
    s.split_once('@').is_some_and(|(who, host)| {
        !who.is_empty() && !host.contains('@') && host.trim_matches('.').contains('.')
    })
}

fn is_hex(s: &[u8]) -> bool {
    s.len() >= HEX_MIN && s.iter().all(u8::is_ascii_hexdigit)
}

/// At least a quarter of it digits.
fn is_token(s: &[u8], digits: usize) -> bool {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.~=".contains(b);
    s.len() >= TOKEN_MIN && digits * 4 >= s.len() && s.iter().all(is_plain)
}

/// Letters and a dash before nothing but digits, or what stands for them.
fn prefix(s: &str) -> Option<&str> {
    let at = s.find(['-', '_'])?;
    let (word, number) = (&s[..at], &s[at + 1..]);
    let is_prefix = (1..=PREFIX_MAX).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphabetic());
    let is_number = number == "{int}" || !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    (is_prefix && is_number).then(|| &s[..=at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_by_their_looks() {
        for (s, expected) in [
            ("0b9c6f3e-7f0a-4f0e-9d53-5a7f3f1c2b4d", "{uuid}"),
            ("42", "{int}"),
            ("-7", "{int}"),
            ("2026-01-31", "{date}"),
            ("2026-01-31T10:00:00Z", "{date}"),
            ("ada@example.com", "{email}"),
            ("a1@b.c", "{email}"),
            ("10.0.0.1", "{ip}"),
            ("fe80::1", "{ip}"),
            ("::", "{ip}"),
            ("d41d8cd98f00", "{hex}"),
            ("deadbeefcafe", "{hex}"),
            ("cus_9s6X2zk4Riz8", "{token}"),
            ("{anything}", "{var}"),
        ] {
            assert_eq!(Segment::of(s), Segment::Id(expected), "{s}");
        }
        for name in ["users", "v1", "v2.1", "oauth2", "deadbeef", "größe", "{", "-", "s3", "", "a@b", "x-ray"]
        {
            assert_eq!(Segment::of(name), Segment::Name(name), "{name}");
        }
        assert_eq!(Segment::of("ORD-1234"), Segment::Prefixed("ORD-"));
        assert_eq!(Segment::of("issue_7"), Segment::Prefixed("issue_"));
    }
}
