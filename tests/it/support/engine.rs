//! The ClickHouse engine as a server of its own (`tocsin engine`), so that it outlives the program under test, can be taken
//! down under it, and can be asked without any code of ours in between.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::parts::part;
use super::process::Process;
use super::{http, port};

/// Loading half a gigabyte of library from a cold disk takes seconds.
const START_LIMIT: Duration = Duration::from_mins(2);
/// What the engine and its clients know each other by.
pub(crate) const USER: &str = "tocsin";
/// A random word would prove no more on a loopback port that lives for one test.
pub(crate) const TOKEN: &str = "engine-of-a-test";

/// A running engine. Killed when dropped; its data lives as long as the caller's folder.
pub(crate) struct Engine {
    process: Option<Process>,
    folder: PathBuf,
    port: u16,
}

impl Engine {
    /// Starts an engine with its data under `folder` and waits until it answers a query.
    pub(crate) fn start(folder: &Path) -> Self {
        let mut engine = Self { process: None, folder: folder.to_owned(), port: port::free() };
        engine.restart();
        engine
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The `[store]` section that makes Tocsin use it.
    pub(crate) fn store(&self) -> String {
        format!(
            "[store]\nembedded = false\nurl = \"{}\"\nuser = \"{USER}\"\npassword_env = \"ENGINE_TOKEN\"\n",
            self.url()
        )
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it (again) on the same data and port.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
        command
            .arg("engine")
            .arg("--library")
            .arg(part("engine/libchdb.so"))
            .arg("--path")
            .arg(self.folder.join("engine"))
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .env("TOCSIN_ENGINE_TOKEN", TOKEN);
        let mut process = Process::start("the engine", &mut command, &self.folder.join("engine.out"));
        process.ready("answer to a query", START_LIMIT, || self.ask("SELECT 1 AS one").ok());
        self.process = Some(process);
    }

    /// The rows of a query.
    pub(crate) fn rows(&self, sql: &str) -> Vec<Value> {
        self.ask(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The one number that a query such as `SELECT count() FROM …` gives; nothing where the engine or the table is away.
    pub(crate) fn try_number(&self, sql: &str) -> Option<u64> {
        let rows = self.ask(sql).ok()?;
        let cell = rows.first()?.as_object()?.values().next()?;
        // 64-bit integers are quoted in JSON unless the server is told otherwise.
        cell.as_u64().or_else(|| cell.as_str()?.parse().ok())
    }

    fn ask(&self, sql: &str) -> Result<Vec<Value>, String> {
        let request = http::request(Method::POST, &format!("{}/?default_format=JSONEachRow", self.url()))
            .header("x-clickhouse-user", USER)
            .header("x-clickhouse-key", TOKEN)
            .body(sql.to_owned());
        let answer = http::send(request).map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("{}: {}", answer.status, answer.body));
        }
        Ok(answer.body.lines().map(|line| serde_json::from_str(line).expect("JSON a line")).collect())
    }
}
