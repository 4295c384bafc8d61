//! The executor: takes what the outbox holds to its targets, and does what time alone asks for. It decides nothing.
//!
//! What is to be sent is durable before it leaves, so it may be killed at any point: what was not recorded as
//! acknowledged is sent again under the same id. Each target has its own worker, so that a slow one delays no other; streams come and go at run time, and their workers with them.

mod ladder;
mod note;
mod streams;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use detector::Timestamp;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

pub use self::ladder::Ladder;
use self::worker::Worker;
use crate::connector::Connector;
use crate::connector::ssf::Transmitter;
use crate::revoker::Revoker;

/// Reads the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A number from 0 to 1, for spreading retries.
pub type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Sweeps old rows this often, in ticks of a second.
const SWEEP_EVERY: u64 = 3_600;

/// Publishes gauges this often, in ticks of a second.
const GAUGE_EVERY: u64 = 10;

/// The executor ended although nobody asked it to.
#[derive(Debug, thiserror::Error)]
#[error("a worker of the executor stopped: {0}")]
pub struct Stopped(String);

/// Takes messages to their targets until told to stop.
pub struct Executor {
    revoker: Revoker,
    connectors: Vec<Arc<dyn Connector>>,
    transmitter: Option<Arc<Transmitter>>,
    clock: Clock,
    jitter: Jitter,
    ladder: Ladder,
}

impl Executor {
    /// An executor with the system's clock and randomness and the usual ladder.
    pub fn new(revoker: Revoker, connectors: Vec<Arc<dyn Connector>>) -> Self {
        let (clock, jitter) = (Arc::new(system_time), Arc::new(rand::random::<f64>));
        Self { revoker, connectors, transmitter: None, clock, jitter, ladder: Ladder::default() }
    }

    /// The same, to the streams of a transmitter too.
    #[must_use]
    pub fn streaming(mut self, transmitter: Arc<Transmitter>) -> Self {
        self.transmitter = Some(transmitter);
        self
    }

    /// The same with another clock, other randomness and another ladder.
    #[must_use]
    pub fn with(mut self, clock: Clock, jitter: Jitter, ladder: Ladder) -> Self {
        (self.clock, self.jitter, self.ladder) = (clock, jitter, ladder);
        self
    }

    /// Runs until `shutdown`. Attempts under way then have a moment to end; those that do not are made again at the
    /// next start.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Stopped> {
        let mut tasks = JoinSet::new();
        for connector in &self.connectors {
            let worker = Worker::new(&self, Arc::clone(connector));
            tasks.spawn(worker.run(shutdown.clone()));
        }
        let this = Arc::new(self);
        if let Some(transmitter) = this.transmitter.clone() {
            tasks.spawn(streams::watch(Arc::clone(&transmitter), Arc::clone(&this.clock), shutdown.clone()));
            tasks.spawn(streams::follow(Arc::clone(&this), transmitter, shutdown.clone()));
        }
        tasks.spawn(this.revoker.clone().follow(shutdown.clone()));
        tasks.spawn(housekeep(this.revoker.clone(), Arc::clone(&this.clock), shutdown.clone()));
        let mut stopped = Ok(());
        while let Some(ended) = tasks.join_next().await {
            if let Err(e) = ended {
                // A worker that is gone would leave its target without revocations: stop, so that somebody notices.
                stopped = Err(Stopped(e.to_string()));
                shutdown.cancel();
            }
        }
        stopped
    }
}

async fn housekeep(revoker: Revoker, clock: Clock, shutdown: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks = 0_u64;
    while shutdown.run_until_cancelled(every.tick()).await.is_some() {
        let now = clock();
        let done = async {
            while revoker.tick(now).await? {}
            if ticks.is_multiple_of(SWEEP_EVERY) && revoker.leads("/sweep").await? {
                while revoker.sweep(now).await? {}
            }
            if ticks.is_multiple_of(GAUGE_EVERY) { revoker.gauge(now).await } else { Ok(()) }
        };
        if let Err(e) = done.await {
            tracing::error!(error = %e, "housekeeping failed; it is tried again in a second");
        }
        ticks += 1;
    }
}

/// The system's clock; before 1970 it reads 1970.
fn system_time() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::default() + since
}

#[cfg(test)]
mod tests;
