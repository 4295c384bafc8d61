//! Foreign text as people read it. Names and endpoints come from logs, and who writes those may write what acts on a
//! terminal, turns the direction of writing or hides.

use std::fmt::Write as _;

/// The most characters of one foreign text that are shown.
const SHOWN_MAX: usize = 300;

/// Text that came from outside, with nothing in it that a reader cannot see: control characters, marks that turn the
/// direction of writing, and characters of no width are spelled out. What is shown so already stays as it is.
pub fn visible(text: &str) -> String {
    visible_to(text, SHOWN_MAX)
}

/// The same of up to `most` characters.
pub fn visible_to(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most.saturating_mul(4)));
    for c in text.chars().take(most) {
        if is_hidden(c) {
            // Writing to a String cannot fail.
            let _written: std::fmt::Result = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    let rest = text.chars().count().saturating_sub(most);
    if rest > 0 {
        let _written: std::fmt::Result = write!(out, "… and {rest} characters more");
    }
    out
}

/// Whether a reader would not see it, or would see it do something.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hides_in_foreign_text() {
        assert_eq!(visible("plain Zoë 東京"), "plain Zoë 東京");
        assert_eq!(visible("pay\u{202e}gnp.exe"), "pay\\u{202e}gnp.exe");
        assert_eq!(visible("a\u{200b}b\n\0"), "a\\u{200b}b\\u{a}\\u{0}");
        assert_eq!(visible(&"x".repeat(302)), format!("{}… and 2 characters more", "x".repeat(300)));
        assert_eq!(visible(&visible("\u{1b}[2J")), "\\u{1b}[2J");
    }
}
