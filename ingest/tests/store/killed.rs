use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ingest::store::Store;

use crate::support::{EngineProcess, call, insert, number};

/// Rounds of starting, storing and killing.
const ROUNDS: u64 = 4;
/// Calls in a batch.
const BATCH: u64 = 200;

/// Stores batches as fast as it can until the engine is gone, and counts those that were acknowledged.
async fn store_until_killed(store: Store, acknowledged: Arc<AtomicU64>) {
    loop {
        let from = acknowledged.load(Ordering::SeqCst) * BATCH;
        let calls: Vec<_> = (from..from + BATCH).map(call).collect();
        if let Err(error) = insert(&store, &calls).await {
            assert!(error.is_transient(), "{error}");
            return;
        }
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_once_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = EngineProcess::start(Some(folder.path())).await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let batches = || acknowledged.load(Ordering::SeqCst);
    for round in 0..ROUNDS {
        let before = batches();
        let storing = store_until_killed(engine.store("killed").await, Arc::clone(&acknowledged));
        let storing = tokio::spawn(storing);
        while batches() < before + 2 + round {
            assert!(!storing.is_finished(), "the engine is gone before it was killed");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Somewhere within a batch.
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..40))).await;
        engine.kill();
        storing.await.unwrap();
        engine = EngineProcess::start_at(Some(folder.path()), engine.address()).await;

        // The batch under way may be there or not: it was not answered for.
        let store = engine.store("killed").await;
        let found = number(&store, "SELECT count() FROM calls_once").await;
        let unanswered = found.checked_sub(batches() * BATCH);
        assert!([Some(0), Some(BATCH)].contains(&unanswered), "{found} rows of {} batches", batches());
        // Whoever sent it does so again, and perhaps cuts the stream elsewhere this time.
        let from = batches() * BATCH - BATCH / 2;
        let calls: Vec<_> = (from..from + BATCH + BATCH / 2).map(call).collect();
        insert(&store, &calls).await.unwrap();
        let expected = (acknowledged.fetch_add(1, Ordering::SeqCst) + 1) * BATCH;
        assert_eq!(number(&store, "SELECT count() FROM calls_once").await, expected);
        assert_eq!(number(&store, "SELECT uniqExact(event_id) FROM calls").await, expected);
        assert_eq!(number(&store, "SELECT sum(calls) FROM calls_per_minute").await, expected);
    }
}
