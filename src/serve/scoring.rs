//! The score pipeline, whoever its verdicts go to.

use std::thread::JoinHandle;
use std::time::Duration;

use detector::Manifest;
use ingest::baseline::Baselines;
use ingest::finding::Findings;
use ingest::pipeline::score::{self, FleetStatus, Questions, Score, VerdictOutlet};
use ingest::source::{LogSource, Source};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Logs, with};
use crate::config::Config;
use crate::exit::{Code, OrExit, Result};

/// How often the detector's state is saved: what a restart has to score again.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(30);

/// What goes into it beside the configuration.
pub(super) struct Parts<'a> {
    pub(super) logs: &'a Logs,
    /// Calls from Kafka.
    pub(super) topic: Option<Box<dyn Source>>,
    pub(super) outlet: Box<dyn VerdictOutlet>,
    pub(super) baselines: Baselines,
    /// Manifests that persons set beside those of the configuration.
    pub(super) set_manifests: Vec<Manifest>,
    pub(super) findings: Findings,
    pub(super) health: watch::Sender<FleetStatus>,
    /// What the register asks.
    pub(super) questions: Questions,
    pub(super) stop: CancellationToken,
}

/// Starts it, on a thread of its own.
pub(super) fn start(config: &Config, parts: Parts<'_>) -> Result<JoinHandle<()>> {
    let Parts { logs, topic, outlet, baselines, set_manifests, findings, health, questions, stop } = parts;
    let runtime = Handle::current();
    let score = Score {
        sources: with(LogSource::new(&logs.calls, "score", runtime.clone(), findings.clone())?, topic),
        workers: config.workers(),
        detector: config.detector(),
        manifests: config.manifests.clone(),
        set_manifests,
        snapshots: config.data_dir.join("snapshots"),
        snapshot_every: SNAPSHOT_EVERY,
        outlet,
        baselines,
        verdicts: logs.verdicts.clone(),
        findings,
        health,
        questions,
    };
    score::start(score, runtime, stop).or_exit(Code::CantCreate)
}
