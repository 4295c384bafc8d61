//! The record's other database: a server of its own, from Debian's packages.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::parts::{house, part};
use super::port;
use super::process::Process;

const START_LIMIT: Duration = Duration::from_mins(1);

/// A server on a new, empty cluster. Killed when dropped.
pub(crate) struct Postgres {
    _process: Process,
    port: u16,
}

impl Postgres {
    /// Starts one with its files under `folder`.
    pub(crate) fn start(folder: &Path) -> Self {
        part("postgres/data");
        let port = port::free();
        let mut command = Command::new(house().join("parts/postgres/start.sh"));
        command.arg(folder.join("postgres")).arg(port.to_string());
        let mut process = Process::start("PostgreSQL", &mut command, &folder.join("postgres.out"));
        process.ready("listener", START_LIMIT, || TcpStream::connect(("127.0.0.1", port)).ok());
        Self { _process: process, port }
    }

    /// What a record that is kept there is configured with.
    pub(crate) fn record(&self) -> String {
        format!("[revoker]\nstore = \"postgres://tocsin@127.0.0.1:{}/postgres\"\n", self.port)
    }
}
