use std::time::Duration;

use ingest::store::Store;

use crate::support::{EngineProcess, call, insert, number};

/// Rounds of starting, storing and killing.
const ROUNDS: u64 = 4;
/// Calls in a batch.
const BATCH: u64 = 200;

/// Stores batches as fast as it can until the engine is gone; the number of batches acknowledged.
async fn store_until_killed(store: Store, first: u64) -> u64 {
    let mut acknowledged = 0;
    loop {
        let from = first + acknowledged * BATCH;
        let calls: Vec<_> = (from..from + BATCH).map(call).collect();
        match insert(&store, &calls).await {
            Ok(()) => acknowledged += 1,
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                return acknowledged;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_once_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = EngineProcess::start(Some(folder.path())).await;
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let storing = tokio::spawn(store_until_killed(engine.store("killed").await, acknowledged * BATCH));
        tokio::time::sleep(Duration::from_millis(300 + 170 * round)).await;
        engine.kill();
        acknowledged += storing.await.unwrap();
        engine = EngineProcess::start_at(Some(folder.path()), engine.address()).await;

        // The batch under way may be there or not: it was not answered for. Whoever stored it does so again, perhaps
        // in other batches.
        let store = engine.store("killed").await;
        let found = number(&store, "SELECT count() FROM calls_once").await;
        assert!(
            (acknowledged..=acknowledged + 1).contains(&found.div_ceil(BATCH)),
            "{found} of {acknowledged}"
        );
        let again = acknowledged * BATCH - BATCH / 2;
        let calls: Vec<_> = (again..again + BATCH + BATCH / 2).map(call).collect();
        insert(&store, &calls).await.unwrap();
        acknowledged += 1;
        let expected = acknowledged * BATCH;
        assert_eq!(number(&store, "SELECT count() FROM calls_once").await, expected);
        assert_eq!(number(&store, "SELECT uniqExact(event_id) FROM calls").await, expected);
        assert_eq!(number(&store, "SELECT sum(calls) FROM calls_per_minute").await, expected);
    }
    assert!(acknowledged > ROUNDS, "batches were stored between the kills");
}
