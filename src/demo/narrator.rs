//! How the story is told: plain lines, with a little weight on a terminal. What hides in a name is spelled out.

use std::io::IsTerminal;

use detector::{Timestamp, visible, visible_to};

const WIDTH: usize = 100;

fn styled(code: &str, text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Begins a chapter.
pub(super) fn chapter(title: &str) {
    println!(
        "\n{}",
        styled("1", &format!("── {title} {}", "─".repeat(WIDTH.saturating_sub(title.chars().count() + 4))))
    );
}

/// Something happened at event time `ts`.
pub(super) fn at(ts: Timestamp, who: &str, what: &str) {
    println!("  {}  {:<10} {}", styled("2", &minute(ts)), visible(who), visible(what));
}

/// Something happened now.
pub(super) fn now(who: &str, what: &str) {
    println!("  {:16}  {:<10} {}", "", visible(who), visible(what));
}

/// Something that matters happened.
pub(super) fn loud(who: &str, what: &str) {
    println!("  {:16}  {:<10} {}", "", visible(who), styled("1;33", &visible(what)));
}

/// More about the line above.
pub(super) fn detail(what: &str) {
    for line in wrapped(&visible_to(what, usize::MAX), WIDTH - 34) {
        println!("  {:16}  {:<10}   {}", "", "", styled("2", &line));
    }
}

/// Event time to the minute.
fn minute(ts: Timestamp) -> String {
    ts.to_string().replace('T', " ").chars().take(16).collect()
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.len() - 1;
        if !lines[line].is_empty() && lines[line].chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !lines[line].is_empty() {
                lines[line].push(' ');
            }
            lines[line].push_str(word);
        }
    }
    lines
}
