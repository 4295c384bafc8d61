//! The outer form of a CloudTrail document, `{"Records":[…]}`, found without parsing what is in it.

use memchr::memchr2;

use super::window::End;

/// How a document begins: tokens that may have white space around them.
const OPENING: [&[u8]; 4] = [b"{", b"\"Records\"", b":", b"["];

/// Whether bytes begin a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// They do; its first record follows this many bytes on.
    Yes(usize),
    /// They do not.
    No,
    /// There are too few to tell.
    TooFew,
}

/// Whether `bytes` begin a document.
pub(super) fn opening(bytes: &[u8]) -> Opening {
    let mut rest = bytes;
    for token in OPENING {
        rest = rest.trim_ascii_start();
        match rest.strip_prefix(token) {
            Some(after) => rest = after,
            None if token.starts_with(rest) => return Opening::TooFew,
            None => return Opening::No,
        }
    }
    Opening::Yes(bytes.len() - rest.len())
}

/// Finds the end of a JSON value: the first `,`, `]` or `}` that is neither in a string nor within brackets.
#[derive(Debug, Default)]
pub(super) struct ValueEnd {
    depth: u64,
    in_string: bool,
    escaped: bool,
    /// Line ends met.
    pub(super) newlines: u64,
    /// Whether a `,` is part of what is looked for: the rest of an object and not one value.
    past_commas: bool,
}

impl ValueEnd {
    /// Of the rest of an object: finds its `}`.
    pub(super) fn of_object() -> Self {
        Self { past_commas: true, ..Self::default() }
    }

    /// The index after the string's closing quote, or the end of `bytes`.
    fn skip_string(&mut self, bytes: &[u8], mut at: usize) -> usize {
        if self.escaped && at < bytes.len() {
            self.escaped = false;
            at += 1;
        }
        while let Some(next) = memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
            at += next + 1;
            if bytes[at - 1] == b'"' {
                self.in_string = false;
                return at;
            }
            if at == bytes.len() {
                self.escaped = true;
                return at;
            }
            at += 1;
        }
        bytes.len()
    }
}

impl End for ValueEnd {
    fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.in_string {
                at = self.skip_string(bytes, at);
                continue;
            }
            match bytes[at] {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth > 0 => self.depth -= 1,
                b'}' | b']' => return Some(at),
                b',' if self.depth == 0 && !self.past_commas => return Some(at),
                b'\n' => self.newlines += 1,
                _ => {}
            }
            at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_document_by_its_opening() {
        assert_eq!(opening(b"{\"Records\":[{"), Opening::Yes(12));
        assert_eq!(opening(b" {\n  \"Records\" : [\n"), Opening::Yes(18));
        for few in ["", "{", "{\"Rec", "{ \"Records\"", "{\"Records\": "] {
            assert_eq!(opening(few.as_bytes()), Opening::TooFew, "{few}");
        }
        for other in ["{}", "{\"Records\":{", "{\"records\":[", "[", "x", "{\"event_id\""] {
            assert_eq!(opening(other.as_bytes()), Opening::No, "{other}");
        }
    }

    #[test]
    fn finds_the_end_of_a_value_however_it_is_cut() {
        let text = br#"{"a":"\\\"}],","b":[1,{"c":"]"}]},"#;
        for cut in 0..text.len() {
            let mut end = ValueEnd::default();
            let found = end.find(&text[..cut]).or_else(|| end.find(&text[cut..]).map(|at| cut + at));
            assert_eq!(found, Some(text.len() - 1), "cut at {cut}");
        }
    }
}
