//! A webhook receiver in another language, with a verifier that is not ours. Its file outlives its death.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::parts::{house, part};
use super::process::Process;
use super::{http, port};

/// Node starts in a tenth of a second; two cores that also run a broker may take their time.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The receiver, which can be told to misbehave, killed and started again on the same port.
pub(crate) struct Receiver {
    process: Option<Process>,
    port: u16,
    secret: Option<String>,
    folder: PathBuf,
}

impl Receiver {
    /// Starts one that verifies with `secret` (`whsec_…`) and keeps its record in `folder`.
    pub(crate) fn start(folder: &Path, secret: &str) -> Self {
        Self::begin(folder, Some(secret.to_owned()))
    }

    /// Starts one that verifies nothing and keeps each request whole.
    pub(crate) fn whole(folder: &Path) -> Self {
        Self::begin(folder, None)
    }

    fn begin(folder: &Path, secret: Option<String>) -> Self {
        let mut receiver = Self { process: None, port: port::free(), secret, folder: folder.to_owned() };
        receiver.restart();
        receiver
    }

    /// Where to deliver.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks", self.port)
    }

    /// Takes it down at once.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Brings it (back) up, well-behaved, and waits until it listens.
    pub(crate) fn restart(&mut self) {
        self.kill();
        part("peers/node_modules");
        let mut command = Command::new("node");
        command
            .arg(house().join("parts/peers/receiver.mjs"))
            .args(["--port", &self.port.to_string(), "--log"])
            .arg(self.record());
        match &self.secret {
            Some(secret) => command.env("RECEIVER_SECRET", secret),
            None => command.arg("--whole"),
        };
        let mut process = Process::start("the receiver", &mut command, &self.folder.join("receiver.out"));
        let address = ("127.0.0.1", self.port);
        process.ready("listener", START_LIMIT, || std::net::TcpStream::connect(address).ok());
        self.process = Some(process);
    }

    /// How it answers from now on: `{"status":429,"retry_after":1}`, `{"hang":true}`, `{"close":true}`, each with
    /// `"times"` if only for so many deliveries.
    pub(crate) fn behave(&self, how: &Value) {
        let url = format!("http://127.0.0.1:{}/behaviour", self.port);
        http::send(http::request(Method::PUT, &url).json(how)).expect("the receiver answers").expect(204);
    }

    /// Everything it recorded, in order, over all its lives.
    pub(crate) fn recorded(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.record()).unwrap_or_default();
        // What follows the last newline is being written while we look.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// The effects as a receiver sees them that takes each `webhook-id` once, in the order in which they first came. Fails
    /// where a delivery did not verify, or one id came with two contents.
    pub(crate) fn effects(&self) -> Vec<Value> {
        let mut effects: Vec<Value> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for entry in self.recorded() {
            assert!(entry.get("refused").is_none(), "a delivery did not verify: {entry}");
            let id = entry["webhook_id"].as_str().expect("a webhook-id").to_owned();
            if let Some(&place) = places.get(&id) {
                for part in ["type", "timestamp", "data"] {
                    assert_eq!(effects[place][part], entry[part], "one webhook-id, two contents: {entry}");
                }
            } else {
                places.insert(id, effects.len());
                effects.push(entry);
            }
        }
        effects
    }

    fn record(&self) -> PathBuf {
        self.folder.join("receiver.ndjson")
    }
}
