//! The program under test: the real executable with a scratch folder, killed and started again at will.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use toml::{Table, Value};

use super::engine::TOKEN;
use super::http::{self, Answer};
use super::parts::part;
use super::port;
use super::process::Process;

const START_LIMIT: Duration = Duration::from_mins(2);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// May append calls and ask the gate; its records are worth `token` at most.
pub(crate) const GATEWAY: &str = "gateway-of-a-test-0123456789abcdef";
/// May revoke, reinstate, list and pause.
pub(crate) const OPERATOR: &str = "operator-of-a-test-0123456789abcdef";
/// The secret that webhooks are signed with.
pub(crate) const SECRET: &str = "whsec_dGhlIHNlY3JldCBvZiBhIHRlc3QsIDMyIGJ5dGVz";

/// The default issuer of what the gateway appends.
pub(crate) const ISSUER: &str = "https://idp.example";

const BASE: &str = r#"
# Most scenarios hold what it does against a replay, which has no caps.
[policy.governor]
enabled = false

[[http.credentials]]
name = "gateway"
token = "gateway-of-a-test-0123456789abcdef"
roles = ["ingest", "gate"]
attestation_max = "token"
issuer = "https://idp.example"

[[http.credentials]]
name = "operator"
token = "operator-of-a-test-0123456789abcdef"
roles = ["operator"]
"#;

/// `tocsin serve` with a configuration of its own. Killed when dropped.
pub(crate) struct Tocsin {
    process: Option<Process>,
    folder: PathBuf,
    port: u16,
    launcher: Box<dyn Fn(&str) -> Command>,
}

impl Tocsin {
    /// Starts `serve` with its files under `folder`: the base configuration with the TOML `settings` on top.
    pub(crate) fn start(folder: &Path, settings: &str) -> Self {
        Self::start_by(folder, settings, Box::new(|program| Command::new(program)))
    }

    /// One that is configured and not started, for commands.
    pub(crate) fn prepared(folder: &Path, settings: &str) -> Self {
        let launcher = Box::new(|program: &str| Command::new(program));
        let tocsin = Self { process: None, folder: folder.to_owned(), port: port::free(), launcher };
        tocsin.configure(settings);
        tocsin
    }

    /// The same, with the command that starts the program made by `launcher`.
    pub(crate) fn start_by(folder: &Path, settings: &str, launcher: Box<dyn Fn(&str) -> Command>) -> Self {
        let mut tocsin = Self::prepare_by(folder, settings, launcher);
        tocsin.restart();
        tocsin
    }

    /// The same, not started.
    pub(crate) fn prepare(folder: &Path, settings: &str) -> Self {
        Self::prepare_by(folder, settings, Box::new(|program| Command::new(program)))
    }

    fn prepare_by(folder: &Path, settings: &str, launcher: Box<dyn Fn(&str) -> Command>) -> Self {
        let tocsin = Self { process: None, folder: folder.to_owned(), port: port::free(), launcher };
        tocsin.configure(settings);
        tocsin
    }

    /// Writes the configuration; the next start reads it.
    pub(crate) fn configure(&self, settings: &str) {
        let port = self.port;
        let base = format!("[http]\nlisten = \"127.0.0.1:{port}\"\n{BASE}");
        let mut config: Table = base.parse().expect("the base configuration is TOML");
        config.insert("data_dir".into(), self.folder.join("data").display().to_string().into());
        merge(&mut config, settings.parse().expect("the test's settings are TOML"));
        let text = toml::to_string(&config).expect("a table is TOML");
        std::fs::write(self.config(), text).expect("to write the configuration");
    }

    /// Starts it (again) on the same data and port, and waits until it is ready.
    pub(crate) fn restart(&mut self) {
        self.launch();
        self.await_ready();
    }

    /// Starts it (again) and does not wait.
    pub(crate) fn launch(&mut self) {
        self.kill();
        let mut command = (self.launcher)(env!("CARGO_BIN_EXE_tocsin"));
        command.arg("serve").arg("--config").arg(self.config());
        self.environment(&mut command);
        self.process = Some(Process::start("tocsin", &mut command, &self.folder.join("tocsin.out")));
    }

    /// Waits until `/readyz` says so.
    pub(crate) fn await_ready(&mut self) {
        let url = self.url("/readyz");
        let process = self.process.as_mut().expect("it was launched");
        process
            .ready("readiness", START_LIMIT, || http::get(&url).ok().filter(|answer| answer.status == 200));
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Asks it to end and waits.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("it runs");
        process.stop(STOP_LIMIT)
    }

    /// The running process.
    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it runs")
    }

    /// An address of its one listener.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// A request with a bearer token.
    pub(crate) fn request(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        http::request(method, &self.url(path)).bearer_auth(token)
    }

    /// Appends native lines over HTTP.
    pub(crate) fn append(&self, lines: &str) -> Result<Answer, reqwest::Error> {
        http::send(
            self.request(Method::POST, "/v1/calls", GATEWAY)
                .header("content-type", "application/x-ndjson")
                .body(lines.to_owned()),
        )
    }

    /// What an operator sees at a path.
    pub(crate) fn look(&self, path: &str) -> serde_json::Value {
        http::send(self.request(Method::GET, path, OPERATOR)).expect("it answers").expect(200).json()
    }

    /// What an operation of MFA answers a gateway.
    pub(crate) fn mfa(&self, operation: &str, body: &serde_json::Value) -> http::Answer {
        let path = format!("/v1/mfa/{operation}");
        http::send(self.request(Method::POST, &path, GATEWAY).json(body)).expect("it answers")
    }

    /// Runs another command of the executable on the same configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let mut command = (self.launcher)(env!("CARGO_BIN_EXE_tocsin"));
        command.args(arguments).arg("--config").arg(self.config()).env("TOCSIN_TOKEN", OPERATOR);
        self.environment(&mut command);
        command.output().expect("the executable starts")
    }

    fn environment(&self, command: &mut Command) {
        command
            .env("WEBHOOK_SECRET", SECRET)
            .env("ENGINE_TOKEN", TOKEN)
            .env("TOCSIN_STORE__ENGINE", part("engine/libchdb.so"))
            .current_dir(&self.folder);
    }

    fn config(&self) -> PathBuf {
        self.folder.join("tocsin.toml")
    }
}

/// Puts every key of `above` into `base`, tables into tables; arrays and plain values replace.
fn merge(base: &mut Table, above: Table) {
    for (key, value) in above {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => merge(inner, value),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
