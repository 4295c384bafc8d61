//! What ClickHouse says when it refuses, and the codes that say what to do about it.

use std::fmt;

/// The error codes we tell apart, by ClickHouse's own names.
pub(crate) mod code {
    pub(crate) const UNKNOWN_SETTING: u32 = 115;
    pub(crate) const TIMEOUT_EXCEEDED: u32 = 159;
    pub(crate) const TOO_MANY_SIMULTANEOUS_QUERIES: u32 = 202;
    pub(crate) const ABORTED: u32 = 236;
    pub(crate) const TOO_MANY_BYTES: u32 = 307;
    pub(crate) const AUTHENTICATION_FAILED: u32 = 516;
    pub(crate) const SYNTAX_ERROR: u32 = 62;
}

/// An exception as ClickHouse words it: `Code: 60. DB::Exception: Table t does not exist. (UNKNOWN_TABLE)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exception {
    /// Its code, where the text begins with one.
    pub(crate) code: Option<u32>,
    /// The whole text, with the code.
    pub(crate) text: String,
}

impl Exception {
    /// Reads the text of an exception.
    pub(crate) fn read(text: impl Into<String>) -> Self {
        let text = text.into();
        let digits = text.split_once("Code: ").map_or("", |(_, rest)| rest);
        let digits = digits.split(|c: char| !c.is_ascii_digit()).next().unwrap_or("");
        Self { code: digits.parse().ok(), text }
    }

    /// One of our own, worded as ClickHouse would.
    pub(crate) fn new(code: u32, name: &str, what: impl fmt::Display) -> Self {
        Self { code: Some(code), text: format!("Code: {code}. DB::Exception: {what}. ({name})") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_code_wherever_the_text_puts_it() {
        let codes = [
            "Code: 60. DB::Exception: Table t does not exist. (UNKNOWN_TABLE)",
            "Error: Code: 62. DB::Exception: Syntax error",
            "Code: 241",
            "Invalid or closed connection",
            "Code: x",
            "",
        ];
        assert_eq!(
            codes.map(|text| Exception::read(text).code),
            [Some(60), Some(62), Some(241), None, None, None]
        );
    }
}
