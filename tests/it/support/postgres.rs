//! The record's other database: a server of its own, from Debian's packages.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::parts::{house, part};
use super::port;
use super::process::Process;
use super::wait;

/// How long the children of a server that was killed may take to notice.
const SETTLED: Duration = Duration::from_millis(500);

const START_LIMIT: Duration = Duration::from_mins(1);

/// A server on a new, empty cluster. Killed when dropped.
pub(crate) struct Postgres {
    process: Option<Process>,
    port: u16,
}

impl Postgres {
    /// Starts one with its files under `folder`.
    pub(crate) fn start(folder: &Path) -> Self {
        part("postgres/data");
        let mut postgres = Self { process: None, port: port::free() };
        postgres.run(folder);
        postgres
    }

    fn run(&mut self, folder: &Path) {
        let port = self.port;
        let mut command = Command::new(house().join("parts/postgres/start.sh"));
        command.arg(folder.join("postgres")).arg(port.to_string());
        let mut process = Process::start("PostgreSQL", &mut command, &folder.join("postgres.out"));
        process.ready("listener", START_LIMIT, || TcpStream::connect(("127.0.0.1", port)).ok());
        self.process = Some(process);
    }

    /// Kills it and starts it again on the same files, once nothing of the one before is left.
    pub(crate) fn kill_and_restart(&mut self, folder: &Path) {
        self.process = None;
        // Its children end by themselves when they find it gone; none listens then.
        let gone = wait::until(START_LIMIT, || TcpStream::connect(("127.0.0.1", self.port)).err());
        assert!(gone.is_some(), "who was killed still listens");
        std::thread::sleep(SETTLED);
        self.run(folder);
    }

    /// What a record that is kept there is configured with.
    pub(crate) fn record(&self) -> String {
        format!("[revoker]\nstore = \"postgres://tocsin@127.0.0.1:{}/postgres\"\n", self.port)
    }
}
