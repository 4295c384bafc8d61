//! How far a run is, on standard error.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// Counts simulated days of fleets; the threads share it.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Of `days` in all.
    pub(crate) fn new(days: u64) -> Self {
        let bar = ProgressBar::new(days);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent} %, {eta} left: {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// A day of some fleet has begun.
    pub(crate) fn day(&self) {
        self.0.inc(1);
    }

    /// So many days need not be played.
    pub(crate) fn days(&self, days: u64) {
        self.0.inc(days);
    }

    /// A part is done. Said in a line of its own where nobody sees a bar.
    pub(crate) fn done(&self, what: &str) {
        self.0.set_message(format!("{what} done"));
        if !std::io::stderr().is_terminal() {
            eprintln!("{what} done");
        }
    }

    /// All is done.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
