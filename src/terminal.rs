//! What is printed, in one place: nothing of it acts on a terminal. Names come from logs, and who writes those may write
//! what a terminal obeys, or what reads as a line of ours.

use std::fmt::{self, Write as _};
use std::io::{self, ErrorKind, Write};

use detector::{is_hidden, visible_to};
use serde_json::Value;

use crate::exit::{Code, Result};

/// Prints a line, or lines.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::terminal::print(format_args!($($text)*))
    };
}
pub(crate) use say;

/// The lines of `say!`.
pub(crate) fn print(text: fmt::Arguments<'_>) {
    written(&lines(&text.to_string()));
}

/// The same on standard error.
pub(crate) fn complain(text: &str) {
    // Where nobody hears, nothing is left to say.
    writeln!(io::stderr(), "{}", lines(text)).ok();
}

/// Prints JSON that means the same as what it was given.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<()> {
    written(&escaped(&serde_json::to_string_pretty(value)?));
    Ok(())
}

/// Writes it and a line's end. A reader that has read enough ends the program and is no failure; a full disk is one.
#[expect(clippy::exit, reason = "nothing that follows would be heard")]
fn written(text: &str) {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => {
            complain(&format!("tocsin: standard output cannot be written: {e}"));
            std::process::exit(Code::IoErr as i32)
        }
    }
}

/// JSON or TOML of ours for people: what hides in its texts is written as both write it.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !is_hidden(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            write!(out, "\\u{unit:04x}").ok();
        }
    }
    out
}

/// An answer whose texts can stand in a line: what hides in them, ends of lines too, is spelled out.
pub(crate) fn visible(answer: &Value) -> Value {
    match answer {
        Value::String(text) => visible_to(text, usize::MAX).into(),
        Value::Array(values) => values.iter().map(visible).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (visible_to(name, usize::MAX), visible(value))).collect()
        }
        value => value.clone(),
    }
}

/// Ends of lines and columns are ours here: what is from outside came through [`visible`].
fn lines(text: &str) -> String {
    let piece = |piece: &str| {
        let own = piece.trim_end_matches(['\n', '\t']);
        visible_to(own, usize::MAX) + &piece[own.len()..]
    };
    text.split_inclusive(['\n', '\t']).map(piece).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_of_an_answer_acts_on_a_terminal() {
        let hostile = json!({ "name\u{1b}": ["a\nb\u{202e}", 1, { "to": "\u{9b}2J\u{e0041}" }] });
        assert_eq!(
            visible(&hostile),
            json!({ "name\\u{1b}": ["a\\u{a}b\\u{202e}", 1, { "to": "\\u{9b}2J\\u{e0041}" }] })
        );
        let text = escaped(&serde_json::to_string_pretty(&hostile).unwrap());
        assert!(!text.chars().any(|c| c != '\n' && is_hidden(c)), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), hostile);
        assert_eq!(lines("a\tb\u{1b}\n\n c\r\n"), "a\tb\\u{1b}\n\n c\\u{d}\n");
    }
}
