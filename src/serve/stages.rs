//! A process without the role `revoke`: it brings calls to the database, scores them, or both, and answers probes.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use axum::Router;
use axum::routing::get;
use ingest::baseline::Baselines;
use ingest::finding::Findings;
use ingest::pipeline::score::{self, FleetStatus};
use ingest::source::LogSource;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::process::Roles;
use super::{Kafka, Logs, asked_to_end, bus, findings, install_tls, scoring, stored, with};
use crate::config::Config;
use crate::exit::{Code, OrExit, Result};
use crate::telemetry;

/// Runs until SIGINT or SIGTERM.
pub(super) async fn run(config: Config, roles: Roles) -> Result<()> {
    install_tls();
    let metrics = telemetry::metrics()?;
    let listener = tokio::net::TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("http.listen = {}", config.http.listen))
        .or_exit(Code::CantCreate)?;
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| config.data_dir.display().to_string())
        .or_exit(Code::CantCreate)?;
    let stop = CancellationToken::new();
    let (mut tasks, mut threads) = (JoinSet::new(), Vec::new());
    let logs = Logs::open(&config)?;
    let findings = Findings::new(Arc::new(findings::ToAlerts::new(logs.alerts.clone(), Handle::current())));
    let kafka = Kafka::open(&config, roles, &findings)?;
    if let (true, Some(section)) = (roles.score, &config.bus) {
        let (health, _) = watch::channel(FleetStatus::default());
        let parts = scoring::Parts {
            logs: &logs,
            topic: kafka.score,
            outlet: Box::new(bus::ToBus::new(section).context("bus").or_exit(Code::Config)?),
            baselines: Baselines::open(&config.data_dir.join("baselines.db")).or_exit(Code::CantCreate)?,
            set_manifests: Vec::new(),
            findings: findings.clone(),
            health,
            questions: score::line().1,
            stop: stop.clone(),
        };
        threads.push(scoring::start(&config, parts)?);
    }
    let sources = with(LogSource::new(&logs.calls, "store", Handle::current(), findings)?, kafka.store);
    let stored = stored::Stored::start(&config, sources, &logs, &stop, &mut tasks).await?;
    let probes = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async || "ok\n"))
        .route("/metrics", get(async move || metrics.render()));
    let until = stop.clone();
    tasks.spawn(async move {
        Ok(axum::serve(listener, probes).with_graceful_shutdown(until.cancelled_owned()).await?)
    });
    tracing::info!(?roles, "tocsin serves a part");
    tokio::select! {
        () = asked_to_end() => tracing::info!("questions to end"),
        () = stop.cancelled() => tracing::error!("a part of the server ended by itself"),
    }
    stop.cancel();
    let mut ended = Ok(());
    while let Some(task) = tasks.join_next().await {
        let result = task.map_err(|e| anyhow!("a task broke: {e}")).or_exit(Code::Software).and_then(|r| r);
        ended = ended.and(result);
    }
    let joined = tokio::task::spawn_blocking(move || threads.into_iter().all(|t| t.join().is_ok())).await;
    stored.close().await;
    if joined.unwrap_or(false) { ended } else { Err(anyhow!("a pipeline broke")).or_exit(Code::Software) }
}
