//! Workers of the streams of a transmitter: one a stream, from when it is made until it is deleted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Executor;
use super::worker::Worker;
use crate::connector::Connector;
use crate::connector::ssf::Transmitter;

/// After a list that could not be read, or a worker that broke.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Keeps a worker at every stream until `shutdown`.
pub(super) async fn follow(
    executor: Arc<Executor>,
    transmitter: Arc<Transmitter>,
    shutdown: CancellationToken,
) {
    let mut changes = transmitter.changes();
    let mut running: HashMap<String, CancellationToken> = HashMap::new();
    let mut workers: JoinSet<String> = JoinSet::new();
    loop {
        changes.mark_unchanged();
        match transmitter.connectors().await {
            Ok(connectors) => {
                running.retain(|name, end| {
                    let stays = connectors.iter().any(|connector| connector.name() == name);
                    if !stays {
                        end.cancel();
                    }
                    stays
                });
                for connector in connectors {
                    let name = connector.name().to_owned();
                    if running.contains_key(&name) {
                        continue;
                    }
                    let end = shutdown.child_token();
                    let worker = Worker::new(&executor, Arc::new(connector));
                    running.insert(name.clone(), end.clone());
                    workers.spawn(async move {
                        worker.run(end).await;
                        name
                    });
                }
            }
            Err(e) => {
                tracing::error!(error = %e, "the streams cannot be read");
                changes.mark_changed();
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            seen = changes.changed() => if seen.is_err() { break },
            Some(ended) = workers.join_next() => {
                if let Err(e) = ended {
                    // Which one it was is gone with it, so all begin anew: what was under way is sent again under its id.
                    tracing::error!(error = %e, "a stream's worker broke");
                    for (_, end) in running.drain() {
                        end.cancel();
                    }
                    while workers.join_next().await.is_some() {}
                    tokio::time::sleep(AFTER_ERROR).await;
                }
            }
        }
    }
    while workers.join_next().await.is_some() {}
}
