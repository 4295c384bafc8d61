//! Workers of the streams of a transmitter: one a stream, from when it is made until it is deleted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::worker::Worker;
use super::{Clock, Executor};
use crate::connector::Connector;
use crate::connector::ssf::{Push, Transmitter};

/// After a list that could not be read, or a worker that broke.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Between two looks for streams whose receivers are silent.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Keeps a worker at every stream until `shutdown`.
pub(super) async fn follow(
    executor: Arc<Executor>,
    transmitter: Arc<Transmitter>,
    shutdown: CancellationToken,
) {
    let mut changes = transmitter.changes();
    let mut staff = Staff { executor, running: HashMap::new(), workers: JoinSet::new() };
    loop {
        changes.mark_unchanged();
        match transmitter.connectors().await {
            Ok(streams) => staff.attend(streams, &shutdown),
            Err(e) => {
                tracing::error!(error = %e, "the streams cannot be read");
                changes.mark_changed();
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            seen = changes.changed() => if seen.is_err() { break },
            Some(ended) = staff.workers.join_next() => if let Err(e) = ended {
                // Which one it was is gone with it, so all begin anew: what was under way is sent again under its id.
                tracing::error!(error = %e, "a stream's worker broke");
                staff.dismiss().await;
                tokio::time::sleep(AFTER_ERROR).await;
            },
        }
    }
    staff.dismiss().await;
}

/// Has streams paused whose receivers are silent, until `shutdown`.
pub(super) async fn watch(transmitter: Arc<Transmitter>, clock: Clock, shutdown: CancellationToken) {
    while transmitter.inactivity().is_some()
        && shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some()
    {
        if let Err(e) = transmitter.pause_idle(clock()).await {
            tracing::error!(error = %e, "silent streams cannot be paused; it is tried again in a second");
        }
    }
}

struct Staff {
    executor: Arc<Executor>,
    /// How to end the worker of each stream, by the stream's target.
    running: HashMap<String, CancellationToken>,
    workers: JoinSet<()>,
}

impl Staff {
    /// Ends the workers of streams that are gone, and starts those of streams that have none.
    fn attend(&mut self, streams: Vec<Push>, shutdown: &CancellationToken) {
        self.running.retain(|name, end| {
            let stays = streams.iter().any(|stream| stream.name() == name);
            if !stays {
                end.cancel();
            }
            stays
        });
        for stream in streams {
            if !self.running.contains_key(stream.name()) {
                let end = shutdown.child_token();
                self.running.insert(stream.name().to_owned(), end.clone());
                self.workers.spawn(Worker::new(&self.executor, Arc::new(stream)).run(end));
            }
        }
    }

    /// Ends them all, and waits until they have.
    async fn dismiss(&mut self) {
        for (_, end) in self.running.drain() {
            end.cancel();
        }
        while self.workers.join_next().await.is_some() {}
    }
}
