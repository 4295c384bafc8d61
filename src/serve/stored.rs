//! The database's side: opened now or as soon as it answers, then fed by the pipelines that feed it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ingest::pipeline::{drain, store};
use ingest::source::Source;
use ingest::store::{Store, StoreConfig, StoreError};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Logs;
use crate::config::Config;
use crate::engine;
use crate::exit::{Code, Failure, Result};

/// A server that does not answer is asked again after this long.
const AGAIN: Duration = Duration::from_secs(2);

/// The database, if it has answered.
#[derive(Clone, Default)]
pub(super) struct Stored(Arc<OnceLock<Store>>);

impl Stored {
    /// Opens the database and starts what feeds it. A database that is down delays nothing else: it is tried again
    /// beside everything, and what is to be stored waits in the logs.
    pub(super) async fn start(
        config: &Config,
        sources: Vec<Box<dyn Source>>,
        logs: &Logs,
        stop: &CancellationToken,
        tasks: &mut JoinSet<Result<()>>,
    ) -> Result<Self> {
        let stored = Self::default();
        let feed = Feed {
            sources,
            verdicts: logs.verdicts.clone(),
            alerts: logs.alerts.clone(),
            audit: logs.audit.clone(),
            config: config.store.clone(),
            stop: stop.clone(),
        };
        match Store::open(&config.store, &config.data_dir).await {
            Ok(store) => {
                stored.0.set(store.clone()).ok();
                tasks.spawn(feed.run(store));
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "the database does not answer; calls wait in the log");
                let (later, config) = (stored.clone(), config.clone());
                tasks.spawn(async move {
                    match later.open(&config, &feed.stop).await? {
                        Some(store) => feed.run(store).await,
                        None => Ok(()),
                    }
                });
            }
            Err(error) => return Err(failed(error)),
        }
        Ok(stored)
    }

    /// The database, if it has answered.
    pub(super) fn get(&self) -> Option<Store> {
        self.0.get().cloned()
    }

    /// Closes the embedded engine, if there is one.
    pub(super) async fn close(&self) {
        if let Some(store) = self.get() {
            store.shutdown().await;
        }
    }

    /// Tries until it answers; none if asked to stop before.
    async fn open(&self, config: &Config, stop: &CancellationToken) -> Result<Option<Store>> {
        while stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await.is_some() {
            match Store::open(&config.store, &config.data_dir).await {
                Ok(store) => {
                    tracing::info!("the database answers");
                    self.0.set(store.clone()).ok();
                    return Ok(Some(store));
                }
                Err(error) if error.is_transient() => tracing::warn!(%error, "the database does not answer"),
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(None)
    }
}

/// What is to be stored and where it waits.
struct Feed {
    sources: Vec<Box<dyn Source>>,
    verdicts: ingest::log::Log,
    alerts: ingest::log::Log,
    audit: ingest::log::Log,
    config: StoreConfig,
    stop: CancellationToken,
}

impl Feed {
    /// Feeds until asked to stop.
    async fn run(self, store: Store) -> Result<()> {
        let (limits, runtime) = (self.config.batch_limits(), Handle::current());
        let mut threads = Vec::new();
        for source in self.sources {
            threads.push(store::start(source, store.clone(), limits, runtime.clone(), self.stop.clone())?);
        }
        threads.push(drain::verdicts(
            &self.verdicts,
            store.clone(),
            limits,
            runtime.clone(),
            self.stop.clone(),
        )?);
        threads.push(drain::alerts(&self.alerts, store.clone(), limits, runtime.clone(), self.stop.clone())?);
        threads.push(drain::audit(&self.audit, store, limits, runtime, self.stop)?);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().all(|t| t.join().is_ok())).await;
        if joined.unwrap_or(false) {
            return Ok(());
        }
        Err(Failure::new(Code::Software, anyhow::anyhow!("a pipeline into the database broke")))
    }
}

fn failed(error: StoreError) -> Failure {
    match error {
        StoreError::Engine(error) => engine::failed(error),
        StoreError::Config(_) => Failure::new(Code::Config, error),
        _ => Failure::new(Code::Unavailable, error),
    }
}
