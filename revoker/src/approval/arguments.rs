//! The arguments of an act: made canonical, digested, and as a human reads them.

use std::collections::BTreeMap;
use std::fmt;

use detector::VerdictRecord;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::digest::Digest;

/// Bytes of arguments that are kept for a human to read; what is longer is cut there, and says so.
const SHOWN_BYTES_MAX: usize = 4 * 1024;

/// Arguments as a human reads them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arguments {
    text: String,
    /// Bytes of the whole.
    bytes: usize,
    /// Whether the act's digest is of these; else it is the caller's own, and these stand beside it.
    is_digested: bool,
}

impl Arguments {
    /// Those that the act's digest is of. Text that looks like a token must have been masked.
    pub fn digested(text: &str) -> Self {
        Self::new(text, true)
    }

    fn new(text: &str, is_digested: bool) -> Self {
        let shown = text.floor_char_boundary(SHOWN_BYTES_MAX);
        Self { text: text[..shown].to_owned(), bytes: text.len(), is_digested }
    }

    /// What is shown of them.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many bytes more there are.
    pub fn rest(&self) -> usize {
        self.bytes - self.text.len()
    }

    /// Whether a yes covers these and no others.
    pub fn is_digested(&self) -> bool {
        self.is_digested
    }
}

/// JSON that can be read in one way alone: no object within has a name twice (RFC 8785, section 3.1). Of `{"amount":9000,"amount":9}` a human
/// would be shown one and whoever acts might read the other, so that is an error.
pub struct Unequivocal(pub Value);

impl<'de> Deserialize<'de> for Unequivocal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unequivocal(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unequivocal(value))) = members.next_entry::<String, _>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("`{name}` comes twice, and may be read in two ways")));
            }
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

/// The canonical form (RFC 8785), where there is one.
pub(crate) fn canonical(arguments: &impl Serialize) -> Option<String> {
    serde_json_canonicalizer::to_string(arguments).ok()
}

/// `sha256:` and the hexadecimal SHA-256 of canonical arguments: what an act is bound to.
pub(crate) fn args_digest(canonical: &str) -> String {
    format!("sha256:{}", Digest::of(canonical.as_bytes()))
}

/// A call's `args` in canonical form, where it has any.
pub(super) fn numbers<'a>(args: impl IntoIterator<Item = (&'a str, f64)>) -> Option<String> {
    let args: BTreeMap<_, _> = args.into_iter().collect();
    if args.is_empty() { None } else { canonical(&args) }
}

/// The record as a question keeps it: bound to the arguments that its call names, where it brings no digest of its own; and these, for
/// whoever answers.
pub(crate) fn bound(record: &VerdictRecord) -> (VerdictRecord, Option<Arguments>) {
    let mut record = record.clone();
    let args = record.beside.args.iter().map(|(name, bits)| (&**name, f64::from_bits(*bits)));
    let Some(text) = numbers(args) else { return (record, None) };
    let digest = args_digest(&text);
    let is_digested = *record.args_digest.get_or_insert_with(|| digest.clone()) == digest;
    (record, Some(Arguments::new(&text, is_digested)))
}

#[cfg(test)]
mod tests {
    use detector::{Call, Timestamp};

    use super::*;
    use crate::approval::{Action, Asked};
    use crate::testing::{at, record};

    #[test]
    fn a_call_its_verdict_and_a_question_put_first_are_bound_to_the_same_arguments() {
        let mut call = Call::new("e", Timestamp::default(), "a", "wire");
        call.args.extend([("to".into(), 0.1 + 0.2), ("amount".into(), 9.0)]);
        let verdict = VerdictRecord::new(&call, record(1, at(0), "a", 9.0).verdict);
        let (kept, shown) = bound(&verdict);
        assert_eq!(shown.unwrap(), Arguments::digested(r#"{"amount":9,"to":0.30000000000000004}"#));
        assert_eq!(Action::of_call(&call), Action::of_record(&kept));
        let arguments = serde_json::json!({ "to": 0.1 + 0.2, "amount": 9 });
        let asked = Asked::default().with_arguments(&arguments).unwrap();
        assert_eq!(asked.action.args_digest, kept.args_digest);

        call.args[1].1 = 9_000.0;
        assert_ne!(Action::of_call(&call).digest(), Action::of_record(&kept).digest());
        call.args_digest = Some("sha256:ab".into());
        let (kept, shown) = bound(&VerdictRecord::new(&call, verdict.verdict));
        assert_eq!((kept.args_digest.as_deref(), shown.unwrap().is_digested()), (Some("sha256:ab"), false));
    }

    #[test]
    fn json_is_read_as_ever_unless_a_name_comes_twice() {
        let json = r#"{"a":[null,true,-1,18446744073709551615,0.5,"é\n",{"a":{"b":1},"b":{"a":1}}],"b":[]}"#;
        let Unequivocal(read) = serde_json::from_str(json).unwrap();
        assert_eq!(read, serde_json::from_str::<Value>(json).unwrap());
        for twice in [r#"{"a":9000,"a":9}"#, r#"[0,{"to":[{"a":1,"\u0061":2}]}]"#] {
            let why = serde_json::from_str::<Unequivocal>(twice).err().unwrap().to_string();
            assert!(why.starts_with("`a` comes twice"), "{why}");
        }
        assert!(serde_json::from_str::<Unequivocal>(&"[".repeat(200)).is_err());
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        let cut = Arguments::digested(&"é".repeat(SHOWN_BYTES_MAX));
        assert_eq!((cut.text().len(), cut.rest()), (SHOWN_BYTES_MAX, SHOWN_BYTES_MAX));
        let cut = Arguments::digested(&format!("x{}", "é".repeat(SHOWN_BYTES_MAX)));
        assert_eq!((cut.text().len(), cut.rest()), (SHOWN_BYTES_MAX - 1, SHOWN_BYTES_MAX + 2));
    }
}
