//! `arguments` of a record that is put to the gate: all of them, as any JSON. The record goes on with their digest (RFC 8785, SHA-256)
//! as its `args_digest` and without them, so nothing keeps them but a question that is put about this very act.

use std::fmt;

use axum::body::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::answer::bad_record;
use crate::api::problem::Problem;
use crate::approval::arguments::{Unequivocal, args_digest, canonical};

const NAME: &str = "arguments";
const DIGEST: &str = "args_digest";

/// The record as it goes on, and the canonical form of the arguments that it came with.
pub(super) fn take(record: Bytes) -> Result<(Bytes, Option<String>), Problem> {
    let key = format!("\"{NAME}\"");
    let holds = |bytes: &[u8]| record.windows(bytes.len()).any(|window| window == bytes);
    // Letters of a name may be written as their numbers.
    if !holds(key.as_bytes()) && !holds(b"\\u") {
        return Ok((record, None));
    }
    // What is no object the decoder refuses in its own words.
    let Ok(Members(mut members)) = serde_json::from_slice(&record) else { return Ok((record, None)) };
    let Some(at) = members.iter().position(|(name, _)| name == NAME) else { return Ok((record, None)) };
    let (_, arguments) = members.remove(at);
    if members.iter().any(|(name, _)| name == NAME) {
        return Err(bad_record(Some(NAME), "comes twice"));
    }
    if arguments.get() == "null" {
        // As for every field.
        return Ok((record, None));
    }
    let Unequivocal(value) = serde_json::from_str(arguments.get())
        .map_err(|e| bad_record(Some(NAME), &format!("cannot be taken: {e}")))?;
    let canonical = canonical(&value).ok_or_else(|| bad_record(Some(NAME), "cannot be made canonical"))?;
    let digest = args_digest(&canonical);
    let given = members.iter().find(|(name, _)| name == DIGEST).map(|(_, value)| value.get());
    if given.is_none_or(|given| given == "null") {
        members.retain(|(name, _)| name != DIGEST);
        let digest = to_raw_value(&digest).map_err(|_| bad_record(Some(NAME), "cannot be digested"))?;
        members.push((DIGEST.to_owned(), digest));
    } else if given.and_then(|given| serde_json::from_str::<String>(given).ok()) != Some(digest) {
        return Err(bad_record(Some(DIGEST), "is not the digest of `arguments`: leave one of them out"));
    }
    match serde_json::to_vec(&Members(members)) {
        Ok(record) => Ok((record.into(), Some(canonical))),
        Err(_) => Err(bad_record(None, "it cannot be written without its arguments")),
    }
}

/// An object's members as they stand, those that come twice too: the decoder is to refuse them.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(record: &str) -> Result<(String, Option<String>), Problem> {
        let (record, arguments) = take(Bytes::copy_from_slice(record.as_bytes()))?;
        Ok((String::from_utf8(record.to_vec()).unwrap(), arguments))
    }

    #[test]
    fn arguments_become_their_digest_and_all_else_stays_as_it_was() {
        let (record, arguments) =
            taken(r#"{"x":1.50,"arguments":{"b":2.0,"a":"é"},"x":[ 1 ],"args_digest":null}"#).unwrap();
        let text = r#"{"a":"é","b":2}"#;
        assert_eq!(arguments.as_deref(), Some(text));
        let digest = args_digest(text);
        assert_eq!(record, format!(r#"{{"x":1.50,"x":[ 1 ],"args_digest":"{digest}"}}"#));
        let same = format!(r#"{{"args_digest":"{digest}","arguments":{text}}}"#);
        assert_eq!(taken(&same).unwrap().0, format!(r#"{{"args_digest":"{digest}"}}"#));
        for untouched in
            [r#"{"a":"arguments"}"#, r#"{"arguments":null}"#, r#"["arguments"]"#, r#"{"a":1}"#, "no"]
        {
            assert_eq!(taken(untouched).unwrap(), (untouched.to_owned(), None));
        }
    }

    #[test]
    fn another_digest_and_arguments_that_come_twice_are_refused() {
        let field = |record| taken(record).unwrap_err().facts().get("field").cloned();
        assert_eq!(field(r#"{"args_digest":"sha256:01","arguments":{}}"#), Some("args_digest".into()));
        for twice in [
            r#"{"arguments":{},"arguments":{"a":1}}"#,
            r#"{"arguments":{},"\u0061rguments":{"a":1}}"#,
            r#"{"arguments":{"amount":9000,"amount":9}}"#,
            r#"{"arguments":[0,{"to":[{"a":1,"\u0061":2}]}]}"#,
        ] {
            assert_eq!(field(twice), Some("arguments".into()), "{twice}");
        }
        let escaped = r#"{"\u0061rguments":{"b":[{"a":1},{"a":1}]}}"#;
        assert_eq!(taken(escaped).unwrap().1.as_deref(), Some(r#"{"b":[{"a":1},{"a":1}]}"#));
    }
}
