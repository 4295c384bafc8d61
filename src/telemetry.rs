//! Structured logs and metrics of the process itself.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::exit::{Code, OrExit, Result};

/// Logs to standard error: readable on a terminal, JSON elsewhere. `TOCSIN_LOG` filters as `RUST_LOG` does elsewhere, and
/// `default` where it does not say.
pub(crate) fn logs(default: &str) -> Result<()> {
    let filter = std::env::var("TOCSIN_LOG").unwrap_or_else(|_| default.to_owned());
    let filter = EnvFilter::try_new(&filter)
        .map_err(|e| anyhow::anyhow!("environment variable TOCSIN_LOG = \"{filter}\": {e}"))
        .or_exit(Code::Config)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed =
        if std::io::stderr().is_terminal() { builder.try_init() } else { builder.json().try_init() };
    installed.map_err(|e| anyhow::anyhow!("cannot log: {e}")).or_exit(Code::Software)
}

/// Collects what the crates count; the handle renders it for `/metrics`.
pub(crate) fn metrics() -> Result<PrometheusHandle> {
    Ok(PrometheusBuilder::new().install_recorder()?)
}
