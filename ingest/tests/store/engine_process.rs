use std::io::Read;
use std::path::PathBuf;

use ingest::engine::{Engine, EngineConfig, MEMORY_BYTES_DEFAULT};
use tokio::signal::unix::{SignalKind, signal};

use crate::support::{EngineProcess, call, insert, number, token};

/// Two things in one, because a test binary has no other program to start: started by [`EngineProcess`] it is the
/// engine's process; else it tests that such a process ends as it should and leaves what it stored.
#[tokio::test]
async fn runs_until_told_to_stop() {
    if let Ok(address) = std::env::var("TOCSIN_TEST_ENGINE_ADDRESS") {
        return be_the_engine(&address).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut engine = EngineProcess::start(Some(folder.path())).await;
    let calls: Vec<_> = (0..100).map(call).collect();
    let store = engine.store("kept").await;
    insert(&store, &calls).await.unwrap();
    assert!(engine.terminate().success(), "SIGTERM is answered by an orderly end");
    assert!(store.ping().await.unwrap_err().is_transient());

    let again = EngineProcess::start(Some(folder.path())).await;
    assert_eq!(number(&again.store("kept").await, "SELECT count() FROM calls").await, 100);
}

async fn be_the_engine(address: &str) {
    let given = std::env::var_os("TOCSIN_TEST_ENGINE_FOLDER").map(PathBuf::from);
    let own = given.is_none().then(|| tempfile::tempdir().unwrap());
    let folder = given.or_else(|| own.as_ref().map(|own| own.path().to_owned())).unwrap();
    let config = EngineConfig {
        library: std::env::var_os("TOCSIN_TEST_ENGINE_LIBRARY").unwrap().into(),
        path: folder,
        memory_bytes_max: MEMORY_BYTES_DEFAULT,
    };
    Engine::serve(config, address.parse().unwrap(), token(), told_to_stop()).await.unwrap();
}

/// SIGTERM, or the end of whoever started us.
async fn told_to_stop() {
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let (gone, orphaned) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        drop(gone);
    });
    tokio::select! {
        _ = terminate.recv() => {}
        _ = orphaned => {}
    }
}
