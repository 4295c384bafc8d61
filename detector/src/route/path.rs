//! A path as it is read: one spelling for all that servers take for the same.
//!
//! | in the log | read as |
//! | --- | --- |
//! | `GET /a` in the endpoint itself | method `GET`, path `/a` |
//! | `https://user@Host:443/a` | host `host`: neither scheme, user nor the scheme's own port, lower case |
//! | `?query`, `#fragment`, `;matrix=1`, what follows white space | nothing |
//! | `//`, `/./`, a slash at the end | nothing |
//! | `/a/../b`, also as `%2e%2e` | `/b`; never above the root |
//! | `%41` of what needs no escape, and of `@` and `:` | the character itself; `%2f` stays, as no separator |
//! | more than 16 segments or a segment over 64 bytes | the rest, or the segment, as a variable |
//!
//! The case of a path counts. What does not begin with a slash or `http(s)://` (tools, operations) is no path.

use arrayvec::ArrayVec;

use super::segment::PLACE;

/// Segments of a path that are told apart.
pub(super) const SEGMENTS_MAX: usize = 16;
/// Bytes of a segment or host that may be a name.
const NAME_BYTES_MAX: usize = 64;
const HOST_BYTES_MAX: usize = 255;

/// Methods by which a path may be called; the first stands for a log that names none.
pub(super) const METHODS: [&str; 10] =
    ["", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"];

/// A method in the case of the standard; `CALL` is the schema's word for none.
pub(super) fn method(name: Option<&str>) -> &str {
    let name = name.unwrap_or("");
    if name.eq_ignore_ascii_case("CALL") {
        return "";
    }
    METHODS.iter().find(|known| known.eq_ignore_ascii_case(name)).copied().unwrap_or(name)
}

/// The method that an endpoint itself begins with, and the rest of it; None where the rest is no path.
pub(super) fn split(endpoint: &str) -> Option<(Option<&'static str>, &str)> {
    match endpoint.as_bytes().first()? {
        b'/' => Some((None, endpoint)),
        b'h' | b'H' if after_scheme(endpoint).is_some() => Some((None, endpoint)),
        b'A'..=b'Z' => {
            let (name, rest) = METHODS[1..].iter().find_map(|m| Some((*m, endpoint.strip_prefix(m)?)))?;
            let rest = rest.strip_prefix(' ')?.trim_ascii_start();
            (rest.starts_with('/') || after_scheme(rest).is_some()).then_some((Some(name), rest))
        }
        _ => None,
    }
}

/// What follows `http://` or `https://`, and the port that the scheme stands for.
fn after_scheme(url: &str) -> Option<(&str, &'static str)> {
    [("http://", ":80"), ("https://", ":443")].into_iter().find_map(|(scheme, port)| {
        let head = url.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| (&url[scheme.len()..], port))
    })
}

/// One path, read; its room is used again for the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Path {
    pub(super) host: String,
    text: String,
    ends: ArrayVec<usize, SEGMENTS_MAX>,
}

impl Path {
    /// Reads what [`split`] found to be a path or URL.
    pub(super) fn read(&mut self, url: &str) {
        self.host.clear();
        self.text.clear();
        self.ends.clear();
        let path = match after_scheme(url) {
            Some((rest, port)) => {
                let end = rest.find(['/', '?', '#', ';']).unwrap_or(rest.len());
                self.read_host(&rest[..end], port);
                &rest[end..]
            }
            None => url,
        };
        let mut begin = 0;
        // All these are ASCII, so that texts are cut between characters.
        for (at, b) in path.bytes().chain(std::iter::once(b'?')).enumerate() {
            let is_end = matches!(b, b'?' | b'#' | b' ' | b'\t' | b'\n' | b'\r' | b'\x0c');
            if is_end || b == b'/' {
                if begin < at && !self.push(&path[begin..at]) || is_end {
                    break;
                }
                begin = at + 1;
            }
        }
    }

    fn read_host(&mut self, authority: &str, port: &str) {
        let host = authority.rsplit('@').next().unwrap_or("");
        let host = host.strip_suffix(port).unwrap_or(host).trim_end_matches('.');
        // Nothing that long is a host; all of them are one, and it is no known one.
        let host = if host.len() > HOST_BYTES_MAX { PLACE } else { host };
        self.host.extend(host.chars().map(|c| c.to_ascii_lowercase()));
    }

    /// Takes one segment more; false where there is no room for another.
    fn push(&mut self, raw: &str) -> bool {
        let begin = self.text.len();
        let raw = raw.bytes().position(|b| b == b';').map_or(raw, |at| &raw[..at]);
        if raw.bytes().any(|b| b == b'%') {
            unescape(raw, &mut self.text);
        } else {
            self.text.push_str(raw);
        }
        match &self.text[begin..] {
            "" | "." => self.text.truncate(begin),
            ".." => {
                self.ends.pop();
                self.text.truncate(self.ends.last().copied().unwrap_or(0));
            }
            _ if self.ends.len() + 1 == SEGMENTS_MAX => {
                self.text.truncate(begin);
                self.text.push_str(PLACE);
                self.ends.push(self.text.len());
                return false;
            }
            segment => {
                if segment.len() > NAME_BYTES_MAX {
                    self.text.truncate(begin);
                    self.text.push_str(PLACE);
                }
                self.ends.push(self.text.len());
            }
        }
        true
    }

    /// The segments in order.
    pub(super) fn segments(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.ends.len()).map(|i| self.segment(i))
    }

    fn segment(&self, i: usize) -> &str {
        let begin = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.text[begin..self.ends[i]]
    }
}

/// Puts in place of `%41` what needs no escape (RFC 3986 §6.2.2.2), and `@` and `:`, by which ids are told; other escapes
/// keep their digits in upper case.
fn unescape(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let byte = rest.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(byte) = byte else {
            out.push('%');
            rest = &rest[at + 1..];
            continue;
        };
        if byte.is_ascii_alphanumeric() || b"-._~@:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend(rest[at + 1..at + 3].chars().map(|c| c.to_ascii_uppercase()));
        }
        rest = &rest[at + 3..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_for_what_is_the_same() {
        let read = |endpoint: &str| {
            let (method, url) = split(endpoint)?;
            let mut path = Path::default();
            path.read(url);
            let segments: Vec<_> = path.segments().map(str::to_owned).collect();
            Some(format!("{} {}/{}", method.unwrap_or("-"), path.host, segments.join("/")))
        };
        for (endpoint, expected) in [
            ("/a/b", "- /a/b"),
            ("/a//b/", "- /a/b"),
            ("/a/./b?x=/c#y", "- /a/b"),
            ("/a;v=1/b;w=2", "- /a/b"),
            ("/a/%2e%2e/b/../../../c", "- /c"),
            ("/%61/b%2fc/%zz/%", "- /a/b%2Fc/%zz/%"),
            ("/a%40b.c/%e4", "- /a@b.c/%E4"),
            ("GET /a HTTP/1.1", "GET /a"),
            ("https://me:pw@API.Example.com:443/A", "- api.example.com/A"),
            ("HTTP://h:8080", "- h:8080/"),
            ("http://h.?q", "- h/"),
            ("/", "- /"),
        ] {
            assert_eq!(read(endpoint).as_deref(), Some(expected), "{endpoint}");
        }
        let long = format!("/a/{}/b", "x".repeat(65));
        assert_eq!(read(&long).as_deref(), Some("- /a/{}/b"));
        assert_eq!(read(&"/a".repeat(500)), Some(format!("- {}/{{}}", "/a".repeat(15))));
        for tool in [
            "send_email",
            "s3:GetObject",
            "mcp__server__tool",
            "tools/call",
            "GET_x",
            "GET x",
            "http_get",
            "",
            "POST",
        ] {
            assert_eq!(read(tool), None, "{tool}");
        }
    }

    #[test]
    fn methods_have_one_case() {
        assert_eq!(
            [method(Some("get")), method(Some("CALL")), method(None), method(Some("PROPFIND"))],
            ["GET", "", "", "PROPFIND"]
        );
    }
}
