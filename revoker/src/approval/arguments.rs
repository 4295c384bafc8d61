//! The arguments of an act: made canonical, digested, and as a human reads them.

use std::collections::BTreeMap;

use detector::VerdictRecord;
use serde::{Deserialize, Serialize};

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
    fn what_is_too_long_is_cut_between_characters() {
        let cut = Arguments::digested(&"é".repeat(SHOWN_BYTES_MAX));
        assert_eq!((cut.text().len(), cut.rest()), (SHOWN_BYTES_MAX, SHOWN_BYTES_MAX));
        let cut = Arguments::digested(&format!("x{}", "é".repeat(SHOWN_BYTES_MAX)));
        assert_eq!((cut.text().len(), cut.rest()), (SHOWN_BYTES_MAX - 1, SHOWN_BYTES_MAX + 2));
    }
}
