//! `tocsin engine`: the embedded ClickHouse engine as a server of its own, on loopback.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use ingest::engine::{Engine, EngineConfig, EngineError, MEMORY_BYTES_DEFAULT, default_library};

use crate::exit::{Code, Failure, OrExit, Result};
use crate::{serve, telemetry};

/// The variable that holds the token which every request must show.
const TOKEN: &str = "TOCSIN_ENGINE_TOKEN";

/// Serve the embedded ClickHouse engine on loopback, for queries of one's own or beside several `serve`.
#[derive(Args, Debug)]
#[command(after_help = "Every request must show the token as user `tocsin`'s password.\n\n\
    Example:\n  TOCSIN_ENGINE_TOKEN=secret tocsin engine --path .tocsin/engine --listen 127.0.0.1:8123\n  \
    curl -u tocsin:secret --data 'SELECT count() FROM tocsin.calls_once' http://127.0.0.1:8123")]
pub(crate) struct EngineArgs {
    /// The engine's library; `make engine` fetches it.
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// Folder of the data; one process at a time can have it.
    #[arg(long, value_name = "DIR")]
    path: PathBuf,
    /// Loopback address to answer on.
    #[arg(long, default_value = "127.0.0.1:8123")]
    listen: SocketAddr,
    /// The most memory it may use, in bytes.
    #[arg(long, default_value_t = MEMORY_BYTES_DEFAULT)]
    memory_bytes_max: u64,
}

/// Runs the command until SIGINT or SIGTERM.
#[tokio::main]
pub(crate) async fn run(args: &EngineArgs) -> Result<()> {
    telemetry::logs("info")?;
    let token = std::env::var(TOKEN).ok().filter(|t| !t.is_empty());
    let token =
        token.ok_or_else(|| anyhow!("environment variable {TOKEN} is not set")).or_exit(Code::Config)?;
    let config = EngineConfig {
        library: args.library.clone().unwrap_or_else(default_library),
        path: args.path.clone(),
        memory_bytes_max: args.memory_bytes_max,
    };
    Engine::serve(config, args.listen, token, serve::asked_to_end()).await.map_err(failed)
}

/// An engine that cannot run, with the exit code for it.
pub(crate) fn failed(error: EngineError) -> Failure {
    let code = match &error {
        EngineError::Missing { .. } | EngineError::Library { .. } => Code::Unavailable,
        EngineError::NotLoopback(_) => Code::Config,
        EngineError::Folder { .. } | EngineError::Start { .. } | EngineError::Listen { .. } => {
            Code::CantCreate
        }
    };
    Failure::new(code, error)
}
