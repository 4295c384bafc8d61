//! The person behind an operator's credential.

use axum::http::StatusCode;
use serde::Deserialize;

use super::caller::Caller;
use super::problem::Problem;
use crate::revoker::Person;

/// Characters of a name or a reason, at most.
const CHARS_MAX: usize = 500;

/// Who does it and why; part of every operator's command.
#[derive(Debug, Deserialize)]
pub struct Signed {
    person: String,
    reason: String,
}

impl Signed {
    /// Name and reason for the audit. A console acts for many, so the credential's name alone would say nothing.
    pub fn checked(self, caller: &Caller) -> Result<(String, String), Problem> {
        let by = person(&self.person, caller)?;
        let reason = text("reason", &self.reason)?;
        Ok((by, reason))
    }

    /// The same with the person's own name beside.
    pub(super) fn named(self, caller: &Caller) -> Result<(Person, String), Problem> {
        let name = self.person.trim().to_owned();
        let (by, reason) = self.checked(caller)?;
        Ok((Person { name, by }, reason))
    }
}

/// `person via credential`.
pub(super) fn person(person: &str, caller: &Caller) -> Result<String, Problem> {
    Ok(format!("{} via {}", text("person", person)?, caller.name))
}

fn text(field: &'static str, value: &str) -> Result<String, Problem> {
    let value = value.trim();
    if (1..=CHARS_MAX).contains(&value.chars().count()) && !value.contains(char::is_control) {
        return Ok(value.to_owned());
    }
    Err(Problem::new(StatusCode::BAD_REQUEST, "bad_field", "The command is incomplete")
        .detail(format!("`{field}` must be a text of 1 to {CHARS_MAX} characters on one line."))
        .fact("field", field))
}
