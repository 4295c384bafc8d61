//! A database that an earlier version made and filled, and what this one makes of it.

use std::path::Path;

use detector::{ActorKind, Layers, MicroBits, Pattern};
use ingest::store::Store;

use crate::support::shared;

const VERDICTS: &str = include_str!("../../migrations/0002_verdicts.sql");
const PARTS: &str = include_str!("../../migrations/0006_verdict_parts.sql");

/// A verdict as an earlier version stores it: without the columns that it does not know.
const OLD: &str = "INSERT INTO verdicts (id, version, event_id, kind, ts, agent_id, issuer, endpoint, level_microbits,
    added_microbits, parts.signal, parts.microbits, parts.added_microbits, parts.observed, parts.expected,
    parts.window_ms, parts.quiet_at, parts.history_n, parts.history_prior, parts.history_peers, parts.history_own,
    families, jump, attestation, model)
SELECT leftPad(toString(number), 32, '0'), 1, concat('event-', toString(number)), 'call',
    toDateTime64('2025-03-03 09:18:18.5', 6, 'UTC') + number, 'agent', NULL, 'search', 4000000, 1,
    ['volume', 'endpoint', 'look_elsewhere'], [6000000, 0, -2000000], [1, 0, 0], [12, 1, 9], [0.5, 0.1, 1],
    [60000, 0, 86400000], [3, 0.1, 9], [7, 7, 0], [1000, 1000, 1000], [0, 0, 0], [0, 0, 0], 1, 24, 'token', 1
FROM numbers(2)";

/// The statements of a migration, without its comments.
fn statements(sql: &str) -> Vec<String> {
    let code: Vec<_> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    let code = code.join("\n");
    code.split(';').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

async fn run(store: &Store, sql: &str) {
    let done = store.query_json(sql).await;
    assert!(done.is_ok(), "{sql}: {done:?}");
}

#[tokio::test]
async fn verdicts_of_an_earlier_version_are_read_with_those_of_this_one() {
    let engine = shared().await;
    let old = engine.store("upgraded").await;
    for sql in ["DROP VIEW verdicts_once", "DROP TABLE verdicts", "TRUNCATE TABLE migrations"] {
        run(&old, sql).await;
    }
    for statement in statements(VERDICTS) {
        run(&old, &statement).await;
    }
    run(&old, OLD).await;

    // The program ends between the two statements: the table has the columns, and the view does not show them.
    run(&old, &statements(PARTS)[0]).await;
    let shown = "SELECT name FROM system.columns WHERE database = 'upgraded' AND table = 'verdicts_once'
        AND name IN ('parts.level_microbits', 'parts.pattern', 'parts.low', 'parts.high', 'parts.since')";
    assert_eq!(old.query_json(shown).await.unwrap().len(), 0, "what a view made earlier shows");

    // Every migration runs again, this one on a table that has its columns.
    let store = Store::open(&engine.config("upgraded"), Path::new("/nowhere")).await.unwrap();
    assert_eq!(store.query_json(shown).await.unwrap().len(), 5);
    // Another process of the earlier version may still be writing.
    run(&store, &OLD.replace("FROM numbers(2)", "FROM numbers(2, 1)")).await;

    let at = "2025-03-03T09:18:20.5Z".parse().unwrap();
    for (at, event) in [(at, "event-2"), (at - std::time::Duration::from_micros(1), "event-1")] {
        let record = store.last_verdict(None, "agent", at).await.unwrap().unwrap();
        assert_eq!(record.event_id, event);
        let verdict = record.verdict;
        assert_eq!((verdict.rule, verdict.cohort), (None, None));
        assert_eq!((verdict.layers, verdict.actor.is), (Layers::default(), ActorKind::Unclear));
        assert!(verdict.is_exact(), "{verdict:?}");
        let signals: Vec<_> = verdict.parts.iter().map(|part| part.signal.as_str()).collect();
        assert_eq!(signals, ["volume", "endpoint", "look_elsewhere"]);
        for part in verdict.parts {
            assert_eq!(
                (part.level, part.pattern, part.since),
                (MicroBits::ZERO, Pattern::AsUsual, verdict.ts)
            );
            assert_eq!((part.low, part.high), (0.0, 0.0));
        }
    }
}
