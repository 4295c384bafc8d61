//! Files, folders and standard input.
//!
//! A folder is looked at every two seconds, and what is in it read in the order of its names. What was read is
//! remembered, so a restart does not read it again; a file that grew is read on from where it ended, and one that
//! changed otherwise is read anew, where the log knows the records it has. Nobody can be told to send a file again, so
//! reading waits as long as the log takes nothing.

mod folder;
mod memory;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use detector::Attestation;
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use self::memory::{Memory, Place, Stamp};
use super::intake::{Done, Intake, IntakeCause, IntakeError, Reading, Report};
use crate::decode::{Format, Limits, RecordReader, SourceContext};
use crate::retry::{Patience, Stopped};

/// How often a folder is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A file that did not change for so long is not being written any more, so its last line is whole even without an end.
const SETTLED: Duration = Duration::from_secs(10);
/// How much of a file is looked at to tell whether it can be read on from the middle.
const OPENING_BYTES: usize = 4_096;

/// One of `[[files]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesConfig {
    /// A file, or a folder with everything in it. Names that begin with a dot are passed over.
    pub path: PathBuf,
    /// What the records are written in.
    #[serde(default)]
    pub format: Format,
    /// The most its records may claim for their identity.
    #[serde(default)]
    pub attestation_max: Attestation,
    /// The issuer of agents whose record names none.
    #[serde(default)]
    pub issuer: Option<String>,
}

/// The memory of what was read cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {cause}")]
pub struct FilesError {
    /// Its file.
    path: PathBuf,
    /// Why.
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
}

/// Starts reading the files on a thread of its own, and watching for new ones until `stop` is cancelled. What was read
/// is remembered in the file `memory`.
pub fn watch(
    configs: Vec<FilesConfig>,
    memory: &Path,
    intake: Intake,
    runtime: Handle,
    stop: CancellationToken,
) -> Result<JoinHandle<()>, FilesError> {
    let error = |cause| FilesError { path: memory.to_owned(), cause };
    let opened = Memory::open(memory).map_err(|e| error(Box::new(e)))?;
    let patience = Patience { runtime, stop };
    let watcher = Watcher {
        configs,
        memory: opened,
        failed: HashMap::new(),
        trouble: HashMap::new(),
        intake,
        patience,
    };
    let spawned = std::thread::Builder::new().name("files".to_owned()).spawn(move || {
        let Stopped = watcher.run();
        tracing::info!("source `files` stopped");
    });
    spawned.map_err(|e| error(Box::new(e)))
}

/// Starts reading standard input on a thread of its own; it ends with the input.
pub fn stdin(
    source: SourceContext,
    intake: Intake,
    runtime: Handle,
    stop: CancellationToken,
) -> io::Result<JoinHandle<Result<Report, IntakeError>>> {
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let patience = Patience { runtime: runtime.clone(), stop };
        let records = RecordReader::new(io::stdin().lock(), source.format, Limits::default());
        let source = Arc::new(source);
        let reading =
            Reading { source: &source, first_line: 1, leave_unended: false, patience: Some(&patience) };
        let report = intake.read(records, &reading, &runtime).map(|done| done.report)?;
        tracing::info!(?report, "standard input ended");
        Ok(report)
    })
}

struct Watcher {
    configs: Vec<FilesConfig>,
    memory: Memory,
    /// Files that could not be read as they were then; said once, and tried again when they change.
    failed: HashMap<PathBuf, Stamp>,
    /// Configured paths that cannot be looked at, and why.
    trouble: HashMap<PathBuf, String>,
    intake: Intake,
    patience: Patience,
}

impl Watcher {
    fn run(mut self) -> Stopped {
        loop {
            for config in self.configs.clone() {
                let files = folder::files(&config.path);
                self.say(&config.path, files.as_ref().err().map(ToString::to_string));
                for path in files.unwrap_or_default() {
                    if let Err(stopped) = self.look_at(&path, &config) {
                        return stopped;
                    }
                }
            }
            self.patience.wait_for(LOOK_EVERY, std::future::pending::<()>());
            if self.patience.check().is_err() {
                return Stopped;
            }
        }
    }

    /// Says once what keeps a folder from being read.
    fn say(&mut self, path: &Path, trouble: Option<String>) {
        match trouble {
            Some(trouble) if self.trouble.get(path) != Some(&trouble) => {
                tracing::warn!(path = %path.display(), trouble, "a folder cannot be read");
                self.trouble.insert(path.to_owned(), trouble);
            }
            Some(_) => {}
            None => drop(self.trouble.remove(path)),
        }
    }

    fn look_at(&mut self, path: &Path, config: &FilesConfig) -> Result<(), Stopped> {
        self.patience.check()?;
        let stamp = match Stamp::of(path) {
            Ok(stamp) => stamp,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a file vanished before it was read");
                return Ok(());
            }
        };
        let settled = stamp.age(SystemTime::now()) >= SETTLED;
        let known = self.memory.get(path);
        let news = known.as_ref().is_none_or(|k| k.stamp != stamp || k.left && settled);
        if !news || self.failed.get(path) == Some(&stamp) {
            return Ok(());
        }
        match self.read(path, config, known, stamp, settled) {
            Ok(()) => {
                self.failed.remove(path);
                Ok(())
            }
            Err(IntakeError { cause: IntakeCause::Stopped, .. }) => Err(Stopped),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a file was not read to its end");
                self.failed.insert(path.to_owned(), stamp);
                Ok(())
            }
        }
    }

    fn read(
        &mut self,
        path: &Path,
        config: &FilesConfig,
        known: Option<Place>,
        stamp: Stamp,
        settled: bool,
    ) -> Result<(), IntakeError> {
        let broken = |e: io::Error| IntakeError { so_far: Report::default(), cause: e.into() };
        let mut file = File::open(path).map_err(broken)?;
        let grown = known.filter(|k| k.stamp.is_younger(&stamp));
        let from = match grown {
            Some(place) if can_go_on(&mut file, &place).map_err(broken)? => place,
            _ => Place { stamp, end: 0, line: 1, left: false },
        };
        file.seek(SeekFrom::Start(from.end)).map_err(broken)?;
        let source = SourceContext {
            default_issuer: config.issuer.clone(),
            ..SourceContext::new(path.display().to_string(), config.attestation_max, config.format)
        };
        let records = RecordReader::new(&file, config.format, Limits::default());
        let reading = Reading {
            source: &Arc::new(source),
            first_line: from.line,
            leave_unended: !settled,
            patience: Some(&self.patience),
        };
        let done = self.intake.read(records, &reading, &self.patience.runtime)?;
        let Done { report, end, line, left } = done;
        self.memory.set(path, &Place { stamp, end: from.end + end, line, left });
        tracing::info!(path = %path.display(), ?report, "a file was read");
        Ok(())
    }
}

/// Whether the file can be read on from where it was left: it is made of lines, and one ended there.
fn can_go_on(file: &mut File, place: &Place) -> io::Result<bool> {
    if place.end == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(place.end - 1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    file.seek(SeekFrom::Start(0))?;
    let mut opening = Vec::with_capacity(OPENING_BYTES);
    file.take(OPENING_BYTES as u64).read_to_end(&mut opening)?;
    Ok(last == *b"\n" && is_lines(&opening))
}

/// Whether what begins so is neither compressed nor one document of many records.
fn is_lines(opening: &[u8]) -> bool {
    let text = opening.strip_prefix(b"\xef\xbb\xbf").unwrap_or(opening).trim_ascii_start();
    let key = text.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    !opening.starts_with(b"\x1f\x8b") && !key.is_some_and(|key| key.starts_with(b"\"Records\""))
}

#[cfg(test)]
mod tests;
