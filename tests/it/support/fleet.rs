//! Calls of a simulated fleet with attacks in it, and what a plain replay says of them: the truth that a scenario with
//! crashes is held against.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::tocsin::ISSUER;

/// Native lines in order of time.
pub(crate) struct Fleet {
    pub(crate) path: PathBuf,
    pub(crate) lines: Vec<String>,
}

/// Nothing lapses or is forgiven within a year: a replay goes by the log's clock and a server by its own, and here the two
/// must come to the same.
pub(crate) const TIMELESS: &str =
    "[policy]\nchallenge_s = 31536000\nwatch_s = 31536000\nprobation_s = 31536000\n";

/// What `replay` says.
pub(crate) struct Truth {
    /// Millionths of a bit after each event.
    pub(crate) levels: BTreeMap<String, i64>,
    /// What was done, by alert.
    pub(crate) actions: BTreeMap<String, (String, String)>,
}

impl Fleet {
    /// `agents` agents for `days` days, two attacks of each kind among them.
    pub(crate) fn simulate(folder: &Path, agents: u32, days: u32, seed: u64) -> Self {
        Self::attacked(folder, agents, days, seed, 2)
    }

    /// The same with so many attacks of each kind.
    pub(crate) fn attacked(folder: &Path, agents: u32, days: u32, seed: u64, attacks: u32) -> Self {
        let out = folder.join("fleet");
        let [seed, agents, days, attacks] =
            [seed, u64::from(agents), u64::from(days), u64::from(attacks)].map(|n| n.to_string());
        run(
            &["simulate", "--seed", &seed, "--agents", &agents, "--days", &days, "--attacks", &attacks],
            &out,
        );
        let path = out.join("calls.ndjson");
        let text = std::fs::read_to_string(&path).expect("the simulated calls");
        Self { path, lines: text.lines().map(ToOwned::to_owned).collect() }
    }

    /// Records for Kafka, keyed by agent.
    pub(crate) fn keyed(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines.iter().map(|line| (agent(line), line.as_bytes()))
    }

    /// Scores the same lines without any disturbance, under the settings [`TIMELESS`].
    pub(crate) fn replay(&self, folder: &Path) -> Truth {
        let out = self.replay_into(folder);
        let levels = read(&out.join("calls.ndjson"))
            .into_iter()
            .map(|row| (text(&row, "event_id"), micros(&row["bits"])));
        let actions = read(&out.join("alerts.ndjson"))
            .into_iter()
            .map(|row| (text(&row, "alert_id"), (text(&row, "agent_id"), text(&row, "action"))))
            // Whether a call came after access had ended is a matter of the clock: the log's in a replay, ours here.
            .filter(|(_, (_, action))| action != "still_acting");
        Truth { levels: levels.collect(), actions: actions.collect() }
    }

    /// The folder with what a replay under the settings [`TIMELESS`] writes.
    pub(crate) fn replay_into(&self, folder: &Path) -> PathBuf {
        let (out, config) = (folder.join("replayed"), folder.join("replay.toml"));
        std::fs::write(&config, TIMELESS).expect("to write the replay's configuration");
        let config = config.to_str().expect("UTF-8");
        let path = self.path.to_str().expect("UTF-8");
        run(&["replay", path, "--attestation", "token", "--issuer", ISSUER, "--config", config], &out);
        out
    }
}

/// The agent that a native line names.
pub(crate) fn agent(line: &str) -> &str {
    let rest = line.split_once("\"agent_id\":\"").map(|(_, rest)| rest);
    rest.and_then(|rest| rest.split_once('"')).map(|(agent, _)| agent).expect("every line names its agent")
}

/// A text field of a row.
pub(crate) fn text(row: &Value, field: &str) -> String {
    row[field].as_str().unwrap_or_else(|| panic!("`{field}` is a text in {row}")).to_owned()
}

fn micros(bits: &Value) -> i64 {
    (bits.as_f64().expect("bits are a number") * 1e6).round() as i64
}

/// The rows of a file of JSON lines.
pub(crate) fn read(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a file of the replay");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON a line")).collect()
}

fn run(arguments: &[&str], out: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_tocsin"))
        .args(arguments)
        .arg("--out")
        .arg(out)
        .output()
        .expect("the executable starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
