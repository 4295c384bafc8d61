//! The ClickHouse engine inside this process, behind the same HTTP interface that a ClickHouse server has.
//!
//! chDB is ClickHouse as a shared library: its tables on this machine's disk, no server to install. It is loaded
//! at run time, so that a program which talks to a real server neither needs nor links it, and it answers on the
//! loopback interface to whoever shows the token, so that [`crate::store`] has one code path for both.
//!
//! A process holds one engine at a time, and a folder belongs to one process at a time. What was acknowledged is on
//! disk: the process may be killed at any moment and the next [`Engine::start`] on the folder has it all.
//!
//! The engine installs no signal handlers here (its own would sleep for minutes before they let a crash be a crash),
//! so SIGINT and SIGTERM reach the program as ever. It does raise the process's limit of open files to the hard one.
//! At the process's exit the library tears itself down under whatever still runs in it, which may end in a segmentation
//! fault (nothing is lost by it): drop the engine, or shut it down, before `std::process::exit`.

pub(crate) mod exception;
mod ffi;
mod gateway;
mod lane;
mod statement;

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::lane::Workers;

/// What the engine may use of memory unless told otherwise: enough to merge weeks of calls, little enough for a laptop.
pub const MEMORY_BYTES_DEFAULT: u64 = 1_536 << 20;

/// How long requests under way may take to end once the engine is shut down.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// The user name clients send. There is only one.
const USER: &str = "tocsin";

/// Server settings for a small machine; the sizes are limits, not reservations.
const SETTINGS: &str = include_str!("engine/engine.xml");

/// Where the engine is and what it may use.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The shared library, as `make engine` leaves it.
    pub library: PathBuf,
    /// The folder that holds the data; made if missing, and this process's alone while the engine runs.
    pub path: PathBuf,
    /// The most memory for queries, inserts and merges together, in bytes. What would need more fails with the
    /// engine's code 241.
    pub memory_bytes_max: u64,
}

/// Why the engine does not run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It was never fetched.
    #[error("the ClickHouse engine is not at {library}: run `make engine`, or give a server in [store] url")]
    Missing {
        /// Where it was looked for.
        library: PathBuf,
    },
    /// The file is there and is not the engine we know: of another machine, or of another version.
    #[error("{library} is not the pinned ClickHouse engine (run `make engine`): {source}")]
    Library {
        /// The file.
        library: PathBuf,
        /// What the loader says.
        source: libloading::Error,
    },
    /// The data folder cannot be used.
    #[error("{path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The engine would not start on the folder; it says why on standard error.
    #[error(
        "the ClickHouse engine did not start on {path}: another process has the folder, this process already runs an \
         engine elsewhere, or its files are broken"
    )]
    Start {
        /// The folder.
        path: PathBuf,
    },
    /// No port to answer on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The token would cross a network in the clear.
    #[error("{0} is not a loopback address; the engine speaks plain HTTP")]
    NotLoopback(SocketAddr),
}

/// The engine at work, until [`Engine::shutdown`]. Dropped without it, it cuts off what is under way, and closes.
#[derive(Debug)]
pub struct Engine {
    address: SocketAddr,
    token: String,
    stop: CancellationToken,
    cut: CancellationToken,
    server: tokio::task::JoinHandle<io::Result<()>>,
    workers: Workers,
}

impl Engine {
    /// Starts the engine on a free loopback port, with a token that nobody else knows.
    pub async fn start(config: EngineConfig) -> Result<Self, EngineError> {
        let token = format!("{:032x}", rand::random::<u128>());
        Self::start_on(config, (Ipv4Addr::LOCALHOST, 0).into(), token).await
    }

    /// Runs the engine as a server of its own on a loopback address, until `shutdown` resolves.
    pub async fn serve(
        config: EngineConfig,
        address: SocketAddr,
        token: String,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), EngineError> {
        let engine = Self::start_on(config, address, token).await?;
        shutdown.await;
        engine.shutdown().await;
        Ok(())
    }

    async fn start_on(config: EngineConfig, address: SocketAddr, token: String) -> Result<Self, EngineError> {
        if !address.ip().is_loopback() {
            return Err(EngineError::NotLoopback(address));
        }
        let listen = |source| EngineError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let path = config.path.clone();
        let opened = tokio::task::spawn_blocking(move || open(&config)).await;
        let workers = opened.map_err(|_| EngineError::Start { path })??;
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let router = gateway::router(workers.lanes(), &token, cut.clone());
        let server = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        let server = tokio::spawn(server.into_future());
        tracing::info!(%address, "the embedded ClickHouse engine answers");
        Ok(Self { address, token, stop, cut, server, workers })
    }

    /// Where it answers, `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The user to name.
    pub fn user(&self) -> &'static str {
        USER
    }

    /// The token to show, as the password.
    pub fn password(&self) -> &str {
        &self.token
    }

    /// Answers what is under way (10 s at most), takes nothing more, and closes the engine: its folder is free then.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(DRAIN_MAX, &mut self.server).await.is_err() {
            tracing::warn!("requests to the embedded ClickHouse engine were cut off");
            self.cut.cancel();
            self.server.abort();
        }
        let workers = self.workers;
        if tokio::task::spawn_blocking(move || drop(workers)).await.is_err() {
            tracing::error!("closing the embedded ClickHouse engine panicked");
        }
    }
}

/// Makes the folder, loads the library and opens the connections; blocks for some tenths of a second.
fn open(config: &EngineConfig) -> Result<Workers, EngineError> {
    if !config.library.is_file() {
        return Err(EngineError::Missing { library: config.library.clone() });
    }
    let folder = |source| EngineError::Folder { path: config.path.clone(), source };
    let settings = write_settings(config).map_err(folder)?;
    // A relative path would be taken relative to itself by some parts of the engine.
    let path = std::path::absolute(&config.path).map_err(folder)?;
    let api = ffi::Api::load(&config.library)
        .map_err(|source| EngineError::Library { library: config.library.clone(), source })?;
    Workers::open(api, &path, &settings)
}

/// Writes our settings beside the data. Named explicitly, they also keep the engine from picking up a `config.xml` that
/// happens to lie in the working or home directory.
fn write_settings(config: &EngineConfig) -> io::Result<PathBuf> {
    std::fs::create_dir_all(&config.path)?;
    let file = std::path::absolute(config.path.join("engine.xml"))?;
    std::fs::write(&file, SETTINGS.replace("{memory_bytes_max}", &config.memory_bytes_max.to_string()))?;
    Ok(file)
}

/// Where `make engine` leaves the library, from the repository's root.
pub fn default_library() -> PathBuf {
    let name = if cfg!(target_os = "macos") { "libchdb.dylib" } else { "libchdb.so" };
    Path::new(".parts/engine").join(name)
}
