//! The recorded calls, in their order, and what their labels say; the labels are for the telling alone.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use detector::Timestamp;
use flate2::read::MultiGzDecoder;
use serde_json::Value;

/// One recorded line and what the player needs of it.
pub(super) struct Line {
    pub(super) ts: Timestamp,
    pub(super) session: String,
    pub(super) json: Value,
}

/// All recorded calls, oldest first.
pub(super) struct Recorded {
    pub(super) lines: Vec<Line>,
    labels: HashMap<String, String>,
}

impl Recorded {
    /// Reads the history and the later part, and the labels of the latter.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut lines = Vec::new();
        for part in ["train.ndjson.gz", "test.ndjson.gz"] {
            each(&folder.join(part), |json| {
                let text =
                    |key: &str| json[key].as_str().map(str::to_owned).ok_or_else(|| anyhow!("no {key}"));
                lines.push(Line { ts: text("ts")?.parse()?, session: text("session_id")?, json });
                Ok(())
            })?;
        }
        let mut labels = HashMap::new();
        each(&folder.join("labels.ndjson.gz"), |json| {
            let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
            labels.insert(text("session_id"), text("label"));
            Ok(())
        })?;
        Ok(Self { lines, labels })
    }

    /// What is known of how a session really was.
    pub(super) fn label(&self, session: &str) -> &str {
        self.labels.get(session).map_or("unlabelled", String::as_str)
    }

    /// When a session begins.
    pub(super) fn start(&self, session: &str) -> Result<Timestamp> {
        self.first(session).map(|l| l.ts)
    }

    /// Whose session it is.
    pub(super) fn agent(&self, session: &str) -> Result<&str> {
        self.first(session)?.json["agent_id"]
            .as_str()
            .ok_or_else(|| anyhow!("a recorded call names no agent"))
    }

    fn first(&self, session: &str) -> Result<&Line> {
        let first = self.lines.iter().find(|l| l.session == session);
        first.ok_or_else(|| anyhow!("the recorded logs hold no session {session}"))
    }
}

fn each(file: &Path, mut f: impl FnMut(Value) -> Result<()>) -> Result<()> {
    let named = || file.display().to_string();
    let reader = BufReader::new(MultiGzDecoder::new(File::open(file).with_context(named)?));
    for (i, line) in reader.lines().enumerate() {
        let line = line.with_context(named)?;
        serde_json::from_str(&line)
            .map_err(Into::into)
            .and_then(&mut f)
            .with_context(|| format!("{}: line {}", file.display(), i + 1))?;
    }
    Ok(())
}
