//! How much harm a call may do, as far as its name tells: to read is less than to write (endpoint study §5).

use crate::Call;

/// Weight of a call that reads, of one that writes, and of one whose name does not say (study §1, r).
pub(super) const READ: f32 = 0.3;
pub(super) const WRITE: f32 = 1.0;
pub(super) const UNKNOWN: f32 = 0.7;

const READS: [&str; 20] = [
    "get",
    "list",
    "read",
    "search",
    "find",
    "query",
    "fetch",
    "describe",
    "show",
    "check",
    "view",
    "lookup",
    "count",
    "head",
    "calculate",
    "select",
    "browse",
    "scan",
    "download",
    "options",
];
const WRITES: [&str; 40] = [
    "create",
    "add",
    "send",
    "post",
    "put",
    "update",
    "delete",
    "remove",
    "book",
    "reserve",
    "cancel",
    "transfer",
    "invite",
    "write",
    "set",
    "schedule",
    "pay",
    "insert",
    "upload",
    "execute",
    "run",
    "invoke",
    "start",
    "stop",
    "terminate",
    "grant",
    "revoke",
    "attach",
    "detach",
    "modify",
    "patch",
    "share",
    "move",
    "rename",
    "assign",
    "approve",
    "refund",
    "exchange",
    "close",
    "reply",
];

/// The first verb in the operation's name decides, in whatever case it is written; else in the endpoint's; else the method.
pub(super) fn weight(call: &Call<'_>) -> f32 {
    let names = [call.operation.as_deref(), Some(&*call.endpoint), call.method.as_deref()];
    names.into_iter().flatten().find_map(by_words).unwrap_or(UNKNOWN)
}

fn by_words(name: &str) -> Option<f32> {
    let bytes = name.as_bytes();
    let mut begin = 0;
    for i in 0..=bytes.len() {
        let is_end = bytes.get(i).is_none_or(|b| !b.is_ascii_alphanumeric());
        let is_hump = i > begin
            && bytes.get(i).is_some_and(u8::is_ascii_uppercase)
            && bytes.get(i - 1).is_some_and(u8::is_ascii_lowercase);
        if is_end || is_hump {
            let word = &bytes[begin..i];
            if READS.iter().any(|verb| word.eq_ignore_ascii_case(verb.as_bytes())) {
                return Some(READ);
            }
            if WRITES.iter().any(|verb| word.eq_ignore_ascii_case(verb.as_bytes())) {
                return Some(WRITE);
            }
            begin = if is_end { i + 1 } else { i };
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn the_first_verb_decides_and_then_the_method() {
        let called =
            |operation: Option<&'static str>, endpoint: &'static str, method: Option<&'static str>| {
                let mut call = Call::new("e", Timestamp::default(), "a", endpoint);
                (call.operation, call.method) = (operation.map(Into::into), method.map(Into::into));
                weight(&call).to_bits()
            };
        let of = |endpoint, method| called(None, endpoint, method);
        for name in [
            "get_channels",
            "GetObject",
            "read-file",
            "POST /v1/orders/search",
            "s3.amazonaws.com:ListBuckets",
        ] {
            assert!([READ.to_bits(), WRITE.to_bits()].contains(&of(name, None)), "{name}");
        }
        assert_eq!(of("get_or_create", None), READ.to_bits());
        assert_eq!(of("sendMoney", Some("GET")), WRITE.to_bits());
        assert_eq!(of("/v1/orders", Some("GET")), READ.to_bits());
        assert_eq!(of("/v1/orders", Some("DELETE")), WRITE.to_bits());
        assert_eq!(of("/v1/größe", None), UNKNOWN.to_bits());
        assert_eq!(of("", Some("CALL")), UNKNOWN.to_bits());
        assert_eq!(called(Some("getUser"), "/graphql", Some("POST")), READ.to_bits());
        assert_eq!(called(Some("deleteUser"), "/v1/search", Some("GET")), WRITE.to_bits());
    }
}
