//! Why a human is asked: evidence, or because the agent's own side asks before it acts.

use std::collections::BTreeMap;

use detector::VerdictRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arguments::{args_digest, canonical};
use super::digest::Fields;
use super::{Action, Approval};

/// Why a human is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// The agent is challenged on this evidence.
    Evidence(Box<VerdictRecord>),
    /// The agent or its gateway asks.
    Asked(Box<Asked>),
}

/// Bytes of canonical arguments, at most.
pub(super) const ARGUMENTS_BYTES_MAX: usize = 16 * 1024;
/// Characters of the description and of each value of the context, at most.
const TEXT_CHARS_MAX: usize = 1_000;
/// Characters of a name, at most.
const NAME_CHARS_MAX: usize = 256;
/// Entries of the context, at most.
const CONTEXT_MAX: usize = 32;

/// A question as the agent's side puts it. What it says of the act, of whom it acts for and why is its word alone, and the page
/// shows it as that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The act; see [`Asked::with_arguments`] for its arguments.
    pub action: Action,
    /// The arguments as canonical JSON (RFC 8785), for the human.
    pub arguments: Option<String>,
    /// What it is about, in a sentence.
    pub description: Option<String>,
    /// For whom the agent acts: may not answer.
    pub requester: Option<String>,
    /// Who is to be asked, by a name or an e-mail address; anybody who may answer, where none is given.
    pub approver: Option<String>,
    /// Whatever else the human should know, by name.
    pub context: BTreeMap<String, String>,
    /// The credential that asked.
    pub by: String,
}

/// What is wrong with a question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {reason}")]
pub struct AskedError {
    /// Which of its fields.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Asked {
    /// The same act with exactly these arguments: their canonical form (RFC 8785) is shown and its SHA-256 is the act's
    /// `args_digest`, `sha256:` and hexadecimal digits. `null` is an argument; no arguments at all is another act.
    pub fn with_arguments(mut self, arguments: &Value) -> Result<Self, AskedError> {
        let refused = |reason| AskedError { field: "arguments", reason };
        let canonical = canonical(arguments).ok_or_else(|| refused("cannot be made canonical"))?;
        if canonical.len() > ARGUMENTS_BYTES_MAX {
            return Err(refused("must have at most 16 KiB"));
        }
        self.action.args_digest = Some(args_digest(&canonical));
        self.arguments = Some(canonical);
        Ok(self)
    }

    /// Whether all of it is within its bounds.
    pub fn check(&self) -> Result<(), AskedError> {
        let fits = |text: &str, most: usize| {
            (1..=most).contains(&text.chars().count()) && !text.contains(char::is_control)
        };
        let maybe = |text: &Option<String>, most: usize| text.as_deref().is_none_or(|text| fits(text, most));
        let action = &self.action;
        let name = "must be 1 to 256 characters on one line";
        let text = "must be 1 to 1,000 characters on one line";
        let checks = [
            ("agent_id", fits(&action.agent_id, NAME_CHARS_MAX), name),
            ("action", fits(&action.endpoint, TEXT_CHARS_MAX), text),
            ("issuer", maybe(&action.issuer, TEXT_CHARS_MAX), text),
            ("instance_id", maybe(&action.instance_id, NAME_CHARS_MAX), name),
            ("method", maybe(&action.method, NAME_CHARS_MAX), name),
            ("operation", maybe(&action.operation, NAME_CHARS_MAX), name),
            ("resource", maybe(&action.resource, TEXT_CHARS_MAX), text),
            ("args_digest", maybe(&action.args_digest, NAME_CHARS_MAX), name),
            ("description", maybe(&self.description, TEXT_CHARS_MAX), text),
            ("requester", maybe(&self.requester, NAME_CHARS_MAX), name),
            ("approver", maybe(&self.approver, NAME_CHARS_MAX), name),
            (
                "context",
                self.context.len() <= CONTEXT_MAX
                    && self.context.iter().all(|(key, value)| {
                        fits(key, NAME_CHARS_MAX) && value.chars().count() <= TEXT_CHARS_MAX
                    }),
                "must have at most 32 entries, names of 1 to 256 and values of at most 1,000 characters",
            ),
        ];
        match checks.into_iter().find(|(_, fits, _)| !fits) {
            Some((field, _, reason)) => Err(AskedError { field, reason }),
            None => Ok(()),
        }
    }

    /// Whether this is the same question, so that a human who is being asked need not be asked again.
    pub(crate) fn is_same(&self, open: &Approval) -> bool {
        matches!(&open.cause, Cause::Asked(other) if **other == *self)
    }

    pub(super) fn in_fields(&self, fields: Fields) -> Fields {
        let fields = fields
            .maybe(self.arguments.as_deref())
            .maybe(self.description.as_deref())
            .maybe(self.requester.as_deref())
            .maybe(self.approver.as_deref())
            .text(&self.by);
        self.context.iter().fold(fields, |fields, (key, value)| fields.text(key).text(value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked() -> Asked {
        let action = Action { agent_id: "billing".into(), endpoint: "refund".into(), ..Action::default() };
        Asked { action, by: "gateway".into(), ..Asked::default() }
    }

    /// RFC 8785, section 3.2.2 and appendix B: numbers as ECMAScript writes them, names in the order of UTF-16.
    #[test]
    fn the_same_arguments_have_the_same_digest_however_they_are_written() {
        let digest = |text: &str| {
            let value: Value = serde_json::from_str(text).unwrap();
            asked().with_arguments(&value).unwrap().action.args_digest
        };
        assert_eq!(digest(r#"{"a":1,"b":[2.0,1e3]}"#), digest(r#"{ "b": [2, 1000], "a": 1.0 }"#));
        let canonical = |value: &Value| asked().with_arguments(value).unwrap().arguments.unwrap();
        assert_eq!(
            canonical(
                &json!({ "\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "ö": 7 })
            ),
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
        );
        assert_eq!(
            canonical(&json!([333_333_333.333_333_3_f64, 1e30, 0.002, 1e-27])),
            "[333333333.3333333,1e+30,0.002,1e-27]"
        );
        let all = [r#"{"a":1}"#, r#"{"a":"1"}"#, r#"{"a":null}"#, "{}", "[]", "null"].map(digest);
        let differ: std::collections::HashSet<_> = all.iter().collect();
        assert!(differ.len() == all.len() && !all.contains(&None), "null and nothing are two things");
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        assert_eq!(asked().check(), Ok(()));
        let field = |asked: Asked| asked.check().unwrap_err().field;
        assert_eq!(field(Asked { description: Some("x".repeat(1_001)), ..asked() }), "description");
        assert_eq!(field(Asked { requester: Some(String::new()), ..asked() }), "requester");
        assert_eq!(field(Asked { approver: Some("a\nb".into()), ..asked() }), "approver");
        let context = (0..33).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(field(Asked { context, ..asked() }), "context");
        let long = json!("x".repeat(16 * 1024));
        assert_eq!(asked().with_arguments(&long).unwrap_err().field, "arguments");
    }
}
