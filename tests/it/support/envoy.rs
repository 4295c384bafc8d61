//! Envoy itself, before a small API, as the README configures it: it verifies tokens, and asks about each request by `ext_authz`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::parts::{part, readme};
use super::port;
use super::process::Process;
use super::tocsin::GATEWAY;

const START_LIMIT: Duration = Duration::from_mins(1);

/// A running proxy.
pub(crate) struct Envoy {
    _process: Process,
    port: u16,
}

impl Envoy {
    /// Starts it before the API at `api`, asking on `checks`; both are ports. Tokens are verified with `jwks`.
    pub(crate) fn start(folder: &Path, api: u16, checks: u16, jwks: &Value) -> Self {
        let port = port::free();
        let [config, keys] = ["envoy.yaml", "jwks.json"].map(|name| folder.join(name));
        fs::write(&keys, jwks.to_string()).expect("to write");
        let ours = [
            ("0.0.0.0, port_value: 8080", format!("127.0.0.1, port_value: {port}")),
            ("port_value: 8000", format!("port_value: {api}")),
            ("port_value: 7701", format!("port_value: {checks}")),
            ("/etc/envoy/jwks.json", keys.display().to_string()),
            ("Bearer TOKEN", format!("Bearer {GATEWAY}")),
        ];
        let example = readme("Make your agent resume", "yaml").to_owned();
        let text = ours.iter().fold(example, |text, (theirs, ours)| {
            assert!(text.contains(theirs), "the README's example lacks {theirs}");
            text.replace(theirs, ours)
        });
        fs::write(&config, text).expect("to write");
        let program = part("pypi/envoy/_bin/envoy");
        // A wheel's installer does not keep who may run it.
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a file of ours");
        let mut command = Command::new(program);
        command.arg("-c").arg(&config).args(["--concurrency", "1", "--disable-hot-restart", "-l", "warning"]);
        let mut process = Process::start("Envoy", &mut command, &folder.join("envoy.out"));
        process.ready("listener", START_LIMIT, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { _process: process, port }
    }

    /// An address of the API as its clients see it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}
