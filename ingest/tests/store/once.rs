use std::path::Path;

use detector::{Actor, Layers, MicroBits, Verdict, VerdictId, VerdictRecord};
use ingest::decode::{Invalid, Reject};
use ingest::store::{
    AlertRow, AuditRow, KeepConfig, Place, RejectRow, Store, StoreConfig, StoreError, VerdictRow,
};

use crate::support::{call, insert, now, number, shared};

/// Rows in the table, rows that readers see, and calls counted per minute.
async fn counts(store: &Store) -> [u64; 3] {
    let stored = number(store, "SELECT count() FROM calls").await;
    let once = number(store, "SELECT count() FROM calls_once").await;
    [stored, once, number(store, "SELECT sum(calls) FROM calls_per_minute").await]
}

#[tokio::test]
async fn migrations_run_once_and_a_changed_one_is_refused() {
    let engine = shared().await;
    let journal = "SELECT version, name, checksum, applied_at FROM migrations ORDER BY version";
    let store = engine.store("migrated").await;
    let first = store.query_json(journal).await.unwrap();
    assert_eq!(first.len(), 14);
    assert_eq!(engine.store("migrated").await.query_json(journal).await.unwrap(), first);

    let forge = "INSERT INTO migrations (version, name, checksum) SELECT 2, name, 'forged' FROM migrations WHERE version = 2";
    store.query_json(forge).await.unwrap();
    let changed = Store::open(&engine.config("migrated"), Path::new("/nowhere")).await.unwrap_err();
    assert!(matches!(changed, StoreError::Changed { version: 2, .. }), "{changed}");
}

#[tokio::test]
async fn the_same_batch_twice_stays_once() {
    let store = shared().await.store("twice").await;
    let calls: Vec<_> = (0..1_000).map(call).collect();
    for _ in 0..3 {
        insert(&store, &calls).await.unwrap();
        assert_eq!(counts(&store).await, [1_000; 3]);
    }
}

#[tokio::test]
async fn overlapping_batches_read_once() {
    let store = shared().await.store("overlap").await;
    // Merges fold doubled rows when they please; this is about what readers see before.
    store.query_json("SYSTEM STOP MERGES overlap.calls").await.unwrap();
    let calls: Vec<_> = (0..1_000).map(call).collect();
    insert(&store, &calls[..600]).await.unwrap();
    insert(&store, &calls[400..]).await.unwrap();
    assert_eq!(counts(&store).await, [1_200, 1_000, 1_000]);
    let minutes = "SELECT agent_id, endpoint, minute, calls FROM calls_per_minute ORDER BY ALL LIMIT 3";
    let minutes = store.query_json(minutes).await.unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&minutes).unwrap(), @r#"
    [
      {
        "agent_id": "agent-0",
        "calls": 20,
        "endpoint": "endpoint-0",
        "minute": "2025-03-03 09:18:00.000000"
      },
      {
        "agent_id": "agent-0",
        "calls": 20,
        "endpoint": "endpoint-0",
        "minute": "2025-03-03 09:19:00.000000"
      },
      {
        "agent_id": "agent-0",
        "calls": 20,
        "endpoint": "endpoint-0",
        "minute": "2025-03-03 09:20:00.000000"
      }
    ]
    "#);
}

#[tokio::test]
async fn the_same_rows_in_an_other_week_read_once() {
    let store = shared().await.store("weeks").await;
    let mut calls: Vec<_> = (0..100).map(call).collect();
    insert(&store, &calls).await.unwrap();
    for call in &mut calls {
        call.received_at = call.received_at - std::time::Duration::from_hours(24 * 20);
    }
    insert(&store, &calls[1..]).await.unwrap();
    assert_eq!(counts(&store).await, [199, 100, 100]);
}

#[tokio::test]
async fn verdicts_alerts_rejects_and_the_audit_read_once() {
    let store = shared().await.store("others").await;
    let records: Vec<_> = (0..10).map(|n| VerdictRecord::new(&call(n), verdict(n))).collect();
    let verdicts: Vec<_> = records.iter().map(VerdictRow::from).collect();
    let reasons = ["too much".to_owned()];
    let ids: Vec<_> = (0..10).map(|n| format!("alert-{n}")).collect();
    let alerts: Vec<_> = ids.iter().map(|id| alert(id, &reasons)).collect();
    let audit: Vec<_> = (0..10).map(|seq| entry(seq, &ids[seq as usize])).collect();
    let why = Invalid::field("status", "expected a whole number");
    let rejects: Vec<_> = (0..10).map(|n| Reject::new("gateway", n, b"{}", &why)).collect();
    let place = Place { origin: "log", position: 7 };
    let rejects: Vec<_> = rejects.iter().map(|reject| RejectRow::new(reject, now(), place)).collect();
    for rows in [..6, ..10] {
        store.insert_verdicts(&verdicts[rows]).await.unwrap();
        store.insert_alerts(&alerts[rows]).await.unwrap();
        store.insert_rejects(&rejects[rows]).await.unwrap();
        store.insert_audit(&audit[rows]).await.unwrap();
    }
    for table in ["verdicts", "alerts", "rejects", "audit"] {
        assert_eq!(number(&store, &format!("SELECT count() FROM {table}_once")).await, 10, "{table}");
    }
}

#[tokio::test]
async fn retention_follows_the_configuration() {
    let engine = shared().await;
    let ttl = "SELECT extract(engine_full, 'TTL .* SETTINGS') AS ttl FROM system.tables
        WHERE database = 'kept_for' AND name = 'calls'";
    let kept = |days| async move {
        let keep = KeepConfig { calls_days: days, ..KeepConfig::default() };
        let config = StoreConfig { keep, ..engine.config("kept_for") };
        let store = Store::open(&config, Path::new("/nowhere")).await.unwrap();
        store.query_json(ttl).await.unwrap()[0]["ttl"].to_string()
    };
    insta::assert_snapshot!(kept(90).await, @r#""TTL toDateTime(received_at) + toIntervalDay(90) SETTINGS""#);
    insta::assert_snapshot!(kept(7).await, @r#""TTL toDateTime(received_at) + toIntervalDay(7) SETTINGS""#);
}

fn verdict(n: u64) -> Verdict {
    Verdict {
        id: VerdictId(n.into()),
        version: 1,
        ts: call(n).ts,
        level: MicroBits::ZERO,
        added: MicroBits::ZERO,
        parts: std::iter::empty().collect(),
        families: 0,
        jump: 1.0,
        attestation: call(n).attestation,
        model: 1,
        rule: None,
        cohort: None,
        layers: Layers::default(),
        actor: Actor::default(),
    }
}

fn entry(seq: u64, hash: &str) -> AuditRow<'_> {
    let (txn, kind, body) = ("story", "test", "{}");
    AuditRow { seq, at: call(0).ts, txn, agent_id: "", issuer: None, kind, body, hash }
}

fn alert<'a>(alert_id: &'a str, reasons: &'a [String]) -> AlertRow<'a> {
    AlertRow {
        alert_id,
        ts: call(0).ts,
        agent_id: "agent-0",
        issuer: None,
        event_id: "event-0",
        score: MicroBits::from_bits(6.5),
        action: "step_up",
        reasons,
        approval_id: None,
        policy: "1",
    }
}
