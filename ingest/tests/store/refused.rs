use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;

use clickhouse::{Client, Row};
use ingest::engine::{Engine, EngineConfig, EngineError};
use ingest::store::{Store, StoreConfig, StoreError};
use serde::Serialize;

use crate::support::{call, insert, library, number, shared, token};

/// A row of no table.
#[derive(Row, Serialize)]
struct One {
    one: u8,
}

#[tokio::test]
async fn nobody_gets_in_without_the_token() {
    let engine = shared().await;
    let client = Client::default().with_url(format!("http://{}", engine.address())).with_user("tocsin");
    for client in [client.clone(), client.with_password("guess")] {
        let refused = client.query("SELECT 1").execute().await.unwrap_err();
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused, @"bad response: Code: 516. DB::Exception: the token is missing or is not the one this engine was started with. (AUTHENTICATION_FAILED)");
        }
        let mut insert = client.with_validation(false).insert::<One>("t").await.unwrap();
        insert.write(&One { one: 1 }).await.unwrap();
        assert!(insert.end().await.unwrap_err().to_string().contains("Code: 516"));
    }
}

#[tokio::test]
async fn bad_statements_are_final_and_say_why() {
    let store = shared().await.store("bad_statements").await;
    for (sql, says) in [
        ("SELEC 1", "Code: 62"),
        ("SELECT nope", "Code: 47"),
        ("SELECT * FROM nope", "Code: 60"),
        ("INSERT INTO calls (nope) VALUES (1)", "Code: 16"),
    ] {
        let refused = store.query_json(sql).await.unwrap_err();
        assert!(matches!(refused, StoreError::Refused { .. }), "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
        assert!(refused.to_string().contains(sql), "{refused}");
    }
    // The connection is as good as before.
    assert_eq!(number(&store, "SELECT 1").await, 1);
}

#[tokio::test]
async fn rows_that_do_not_fit_the_table_are_final() {
    let engine = shared().await;
    let store = engine.store("bad_rows").await;
    store.query_json("ALTER TABLE calls DROP COLUMN scope").await.unwrap();
    let refused = insert(&store, &[call(1)]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused { .. }), "{refused}");
    assert!(refused.to_string().contains("no column named scope"), "{refused}");
}

#[tokio::test]
async fn an_insert_that_is_cut_off_stores_nothing() {
    let engine = shared().await;
    let store = engine.store("cut_off").await;
    let sql = "INSERT%20INTO%20cut_off.migrations%20(version)%20FORMAT%20CSV";
    let request = format!(
        "POST /?query={sql} HTTP/1.1\r\nHost: x\r\nX-ClickHouse-Key: {}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n77\n7\r\n",
        token()
    );
    let cut = tokio::task::spawn_blocking({
        let address = engine.address();
        move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        }
    });
    let answer = cut.await.unwrap();
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(number(&store, "SELECT count() FROM migrations WHERE name = ''").await, 0);
}

#[tokio::test]
async fn a_database_that_is_not_there_is_tried_again() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = StoreConfig { url: Some(format!("http://{nobody}")), ..StoreConfig::default() };
    let refused = Store::open(&config, Path::new("/nowhere")).await.unwrap_err();
    assert!(refused.is_transient(), "{refused}");
}

#[tokio::test]
async fn an_engine_that_is_not_there_says_what_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let config = |library: &Path| EngineConfig {
        library: library.to_owned(),
        path: folder.path().to_owned(),
        memory_bytes_max: 1 << 30,
    };
    let missing = Engine::start(config(Path::new("no/libchdb.so"))).await.unwrap_err();
    insta::assert_snapshot!(missing, @"the ClickHouse engine is not at no/libchdb.so: run `make engine`, or give a server in [store] url");
    let open = "0.0.0.0:0".parse().unwrap();
    let refused = Engine::serve(config(&library()), open, token(), std::future::pending()).await.unwrap_err();
    assert!(matches!(refused, EngineError::NotLoopback(_)), "{refused}");
}
