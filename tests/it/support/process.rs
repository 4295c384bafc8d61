//! A real part as a child process: its output in a file, its end by process id, every wait bounded.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait;

/// How much of a part's output a failure shows.
const TAIL_BYTES: usize = 8 * 1024;

/// A running child process. Killed when dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts `command` with both its outputs at the end of the file `output`.
    pub(crate) fn start(name: impl Into<String>, command: &mut Command, output: &Path) -> Self {
        let name = name.into();
        let file =
            File::options().create(true).append(true).open(output).expect("a file for the part's output");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle on the same file"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|e| panic!("{name} did not start: {command:?}: {e}"));
        Self { name, child, output: output.to_owned() }
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end (SIGTERM) and gives the status it ended with.
    pub(crate) fn stop(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        let name = self.name.clone();
        let child = &mut self.child;
        let ended = wait::until(limit, || child.try_wait().expect("to look at a child of ours"));
        ended.unwrap_or_else(|| panic!("{name} did not end within {limit:?} of SIGTERM\n{}", self.tail()))
    }

    /// Tells it to read its files again (SIGHUP).
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Waits until `probe` gives something. Fails with the part's output where it ends first or `limit` passes.
    pub(crate) fn ready<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut() -> Option<T>,
    ) -> T {
        let child = &mut self.child;
        let mut ended = None;
        let found = wait::until(limit, || {
            ended = child.try_wait().expect("to look at a child of ours");
            if ended.is_some() { Some(None) } else { probe().map(Some) }
        });
        match (found, ended) {
            (Some(Some(found)), _) => found,
            (_, Some(status)) => panic!("{} ended ({status}) before {what}\n{}", self.name, self.tail()),
            _ => panic!("{}: no {what} within {limit:?}\n{}", self.name, self.tail()),
        }
    }

    /// The end of what it printed.
    pub(crate) fn tail(&self) -> String {
        let all = std::fs::read(&self.output).unwrap_or_default();
        let from = all.len().saturating_sub(TAIL_BYTES);
        let text = String::from_utf8_lossy(all.get(from..).unwrap_or_default()).into_owned();
        format!("--- end of what {} printed ---\n{text}", self.name)
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).expect("the id of a running child");
        kill_process(id, signal).expect("to signal a child of ours");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing to report to: either it is gone already, or these two end it.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
