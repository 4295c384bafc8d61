//! Tokens do not belong in a log. What looks like one is refused as a value and masked in what is kept.

use std::ops::Range;

/// How every JWS and JWE in compact form begins: base64url of `{"`.
const JOSE_PREFIX: &[u8] = b"eyJ";

/// From this length on, a run of base64url and dots that begins like a JWT is masked, whole or cut off.
///
/// The shortest header of a signed token, `{"alg":"EdDSA"}`, already takes 20.
const MASKED_BYTES_MIN: usize = 20;

/// Whether `text` is a bearer token rather than the name or digest of one: three or more base64url parts of which
/// the first begins like a JOSE header, or an `Authorization` value of the scheme `Bearer`.
///
/// An opaque token cannot be told from a hash; that one stays the producer's duty.
pub(super) fn is_token(text: &str) -> bool {
    let bytes = text.as_bytes();
    match bytes.first() {
        Some(b'e') => {
            bytes.starts_with(JOSE_PREFIX)
                && bytes.iter().all(|&b| is_compact_jose(b))
                && memchr::memchr_iter(b'.', bytes).count() >= 2
        }
        Some(b'B' | b'b') => bytes.len() > 7 && bytes[..7].eq_ignore_ascii_case(b"bearer "),
        _ => false,
    }
}

/// Overwrites with `*` what looks like a token, or like a piece of one, anywhere in `bytes`.
pub(super) fn mask(bytes: &mut [u8]) {
    let mut from = 0;
    while let Some(run) = next_token(bytes, from) {
        from = run.end;
        bytes[run].fill(b'*');
    }
}

/// The text with `*` in place of what looks like a token, or like a piece of one.
pub fn masked(text: String) -> String {
    let mut bytes = text.into_bytes();
    mask(&mut bytes);
    // Tokens are ASCII, so what is left is text.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The next run at or after `from` that [`mask`] overwrites.
fn next_token(bytes: &[u8], mut from: usize) -> Option<Range<usize>> {
    while from < bytes.len() {
        let rest = &bytes[from..];
        let (skip, token) = if rest.starts_with(JOSE_PREFIX) {
            (0, run_length(rest))
        } else if rest.len() > 7 && rest[..7].eq_ignore_ascii_case(b"bearer ") {
            (7, run_length(&rest[7..]))
        } else {
            from += 1;
            continue;
        };
        if token >= MASKED_BYTES_MIN || (skip > 0 && token > 0) {
            return Some(from + skip..from + skip + token);
        }
        from += skip + token.max(1);
    }
    None
}

fn run_length(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|&&b| is_compact_jose(b) || matches!(b, b'~' | b'+' | b'/' | b'=')).count()
}

fn is_compact_jose(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";

    #[test]
    fn tells_a_token_from_the_name_of_one() {
        for token in [JWT, "eyJh.e.k.i.t", "eyJhbGciOiJub25lIn0.e30.", "Bearer abc", "bearer x"] {
            assert!(is_token(token), "{token}");
        }
        for name in
            ["", "tok-7bee8583b2757030", "AKIAEXAMPLE", "eyJ", "eyJonly.two", "eyJ has.two.dots", "Bearer "]
        {
            assert!(!is_token(name), "{name}");
        }
    }

    #[test]
    fn masks_whole_tokens_cut_ones_and_authorization_values() {
        let mut line = format!("a {JWT} b Bearer s3cr3t/x= c eyJhbGciOiJIUzI1NiJ9.eyJz").into_bytes();
        let len = line.len();
        mask(&mut line);
        insta::assert_snapshot!(String::from_utf8_lossy(&line), @"a ************************************************* b Bearer ********* c *************************");
        assert_eq!(line.len(), len);
    }

    #[test]
    fn leaves_short_words_alone() {
        let mut line = b"eyJ eyJabc. bearer ".to_vec();
        mask(&mut line);
        assert_eq!(line, b"eyJ eyJabc. bearer ");
    }
}
