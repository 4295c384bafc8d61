use ingest::store::{Store, StoreConfig, StoreError};

use crate::support::{call, insert, library, number};

/// One test, because a process holds one engine at a time.
#[tokio::test(flavor = "multi_thread")]
async fn the_engine_inside_this_process() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig { engine: library(), ..StoreConfig::default() };
    let store = Store::open(&config, folder.path()).await.unwrap();
    store.ping().await.unwrap();
    assert!(folder.path().join("engine/metadata").is_dir());

    a_second_engine_is_refused(&config).await;
    a_long_query_does_not_keep_calls_from_being_stored(&store).await;
    a_large_batch_stays_one_batch(&store).await;

    store.shutdown().await;
    assert!(store.ping().await.unwrap_err().is_transient());
    let again = Store::open(&config, folder.path()).await.unwrap();
    assert_eq!(number(&again, "SELECT count() FROM calls").await, 100_010);
    again.shutdown().await;
}

async fn a_second_engine_is_refused(config: &StoreConfig) {
    let elsewhere = tempfile::tempdir().unwrap();
    let refused = Store::open(config, elsewhere.path()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Engine(_)), "{refused}");
}

async fn a_long_query_does_not_keep_calls_from_being_stored(store: &Store) {
    let long = tokio::spawn({
        let store = store.clone();
        // A minute, if nobody ends it.
        async move {
            store.query_json("SELECT sleepEachRow(1) FROM numbers(60) SETTINGS max_block_size = 1").await
        }
    });
    let running = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleepEachRow%'";
    while number(store, running).await == 0 {}
    for n in 0..10 {
        insert(store, &[call(n)]).await.unwrap();
    }
    assert_eq!(number(store, running).await, 1);
    store.query_json("KILL QUERY WHERE query LIKE 'SELECT sleepEachRow%'").await.unwrap();
    assert!(long.await.unwrap().unwrap_err().to_string().contains("Code: 394"));
}

/// Larger than a chunk on the wire, stored as one part, known again as a whole.
async fn a_large_batch_stays_one_batch(store: &Store) {
    store.query_json("SYSTEM STOP MERGES calls").await.unwrap();
    let calls: Vec<_> = (1_000..101_000).map(call).collect();
    for _ in 0..2 {
        insert(store, &calls).await.unwrap();
    }
    assert_eq!(number(store, "SELECT count() FROM calls").await, 100_010);
    let parts = "SELECT max(rows) FROM system.parts WHERE active AND table = 'calls'";
    assert_eq!(number(store, parts).await, 100_000);
}
