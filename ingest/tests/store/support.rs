//! A real engine to test against, and rows to store in it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use detector::{Call, Timestamp};
use ingest::store::{CallRow, DatabaseName, Place, Store, StoreConfig};
use serde_json::Value;
use tokio::sync::OnceCell;

/// The variable that holds the token of the engines that tests run. A test cannot set one while other threads run, so
/// this is one that cargo sets.
pub(crate) const TOKEN_VARIABLE: &str = "CARGO_PKG_NAME";
/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_mins(1);

/// The engine's library, fetched if need be.
pub(crate) fn library() -> PathBuf {
    static FETCHED: OnceLock<PathBuf> = OnceLock::new();
    let fetch = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let status = Command::new(root.join("parts/engine.sh")).status().unwrap();
        assert!(status.success(), "parts/engine.sh failed: no engine to test against");
        let parts = std::env::var_os("TOCSIN_PARTS").map_or_else(|| root.join(".parts"), PathBuf::from);
        parts.join("engine/libchdb.so").canonicalize().unwrap()
    };
    FETCHED.get_or_init(fetch).clone()
}

/// The engine that tests share, each with a database of its own. It makes its folder itself, and ends with this process.
pub(crate) async fn shared() -> &'static EngineProcess {
    static SHARED: OnceCell<EngineProcess> = OnceCell::const_new();
    SHARED.get_or_init(|| EngineProcess::start(None)).await
}

/// An engine in a process of its own. It ends when this is dropped, or when this process ends in whatever way.
pub(crate) struct EngineProcess {
    child: Child,
    // Held open: the engine ends when it closes.
    _stdin: Option<ChildStdin>,
    address: SocketAddr,
}

impl EngineProcess {
    /// Starts one on a folder, or on one that it removes again, and waits until it answers on a free port.
    pub(crate) async fn start(folder: Option<&Path>) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        Self::start_at(folder, free).await
    }

    /// Starts one at an address that is free.
    pub(crate) async fn start_at(folder: Option<&Path>, address: SocketAddr) -> Self {
        let command = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "engine_process::runs_until_told_to_stop"])
            .env("TOCSIN_TEST_ENGINE_LIBRARY", library())
            .env("TOCSIN_TEST_ENGINE_ADDRESS", address.to_string())
            .envs(folder.map(|folder| ("TOCSIN_TEST_ENGINE_FOLDER", folder)))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let mut child = command.unwrap();
        let stdin = child.stdin.take();
        let mut engine = Self { child, _stdin: stdin, address };
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "the engine does not listen on {address}");
            assert!(engine.child.try_wait().unwrap().is_none(), "the engine ended before it listened");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        engine
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// `kill -TERM`, and waits for the end.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the engine does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Opens a database of this engine.
    pub(crate) async fn store(&self, database: &str) -> Store {
        Store::open(&self.config(database), Path::new("/nowhere")).await.unwrap()
    }

    /// How to reach a database of this engine, as one would a server.
    pub(crate) fn config(&self, database: &str) -> StoreConfig {
        StoreConfig {
            url: Some(format!("http://{}", self.address)),
            user: "tocsin".to_owned(),
            password_env: Some(TOKEN_VARIABLE.to_owned()),
            database: DatabaseName::try_from(database.to_owned()).unwrap(),
            ..StoreConfig::default()
        }
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.kill();
        }
    }
}

/// The token itself.
pub(crate) fn token() -> String {
    std::env::var(TOKEN_VARIABLE).unwrap()
}

/// Our clock. Rows received long ago would be past their retention.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64)
}

/// Call number `n` of a small fleet, two a second from 9:18 on.
pub(crate) fn call(n: u64) -> Call<'static> {
    let ts: Timestamp = "2025-03-03T09:18:00Z".parse().unwrap();
    let ts = ts + Duration::from_millis(500 * n);
    let mut call =
        Call::new(format!("event-{n}"), ts, format!("agent-{}", n % 3), format!("endpoint-{}", n % 2));
    call.received_at = now();
    call
}

/// Stores these calls as one batch.
pub(crate) async fn insert(store: &Store, calls: &[Call<'_>]) -> Result<(), ingest::store::StoreError> {
    let place = |position| Place { origin: "log", position };
    let rows = (0..).zip(calls).map(|(n, call)| CallRow::new(call, [7; 16], place(n)));
    store.insert_calls(&rows.collect::<Vec<_>>()).await
}

/// The one number a query answers.
pub(crate) async fn number(store: &Store, sql: &str) -> u64 {
    let rows = store.query_json(sql).await.unwrap();
    let row = rows.first().and_then(Value::as_object).unwrap();
    row.values().next().and_then(Value::as_u64).unwrap()
}
