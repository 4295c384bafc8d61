//! Kafka to ClickHouse while also scoring, beside the same lines inserted by the engine itself from a file.

use std::time::{Duration, Instant};

use crate::support::engine::Engine;
use crate::support::fleet::Fleet;
use crate::support::kafka::Kafka;
use crate::support::prove;
use crate::support::stage::Stage;
use crate::support::tocsin::Tocsin;

/// Longer than the slowest pass.
const LIMIT: Duration = Duration::from_mins(10);

/// A reader that takes the lines as they are, into columns of the same types.
const FLOOR_TABLE: &str = "CREATE OR REPLACE TABLE tocsin.floor ENGINE = MergeTree ORDER BY (agent_id, ts, event_id) AS \
     SELECT event_id, kind, ts, agent_id, session_id, instance_id, token_id, endpoint, method, status, claimed_attestation \
     FROM tocsin.calls LIMIT 0";

#[test]
fn from_kafka_to_readers() {
    let stage = Stage::new();
    let kafka = Kafka::start(stage.path());
    kafka.create_topic("calls", 1, &[]);
    let fleet = Fleet::simulate(stage.path(), prove::scaled(4, 140), prove::scaled(3, 10), 1);
    kafka.produce("calls", fleet.keyed());

    let began = Instant::now();
    let _tocsin = Tocsin::start(stage.path(), &stage.settings(&kafka.source()));
    let first = stage.count_when(LIMIT, "calls_once", |rows| rows > 0);
    let from_first = Instant::now();
    let rows = fleet.lines.len() as u64;
    stage.count_when(LIMIT, "calls_once", |seen| seen == rows);
    // What was there at the first look is not counted, nor is the start of the program.
    let stored = (rows - first) as f64 / from_first.elapsed().as_secs_f64();
    println!("{rows} rows, {:.1} s from the start of the program", began.elapsed().as_secs_f64());
    // An agent that stopped calling has a verdict without a call.
    stage.count_when(LIMIT, "verdicts_once WHERE kind != 'silence'", |seen| seen == rows);

    let own = inserted_by_the_engine(&stage.engine, &fleet);
    let one = |value: f64| [value, value];
    prove::row("Kafka to ClickHouse while scoring, rows/s", stored, one(stored), "", true, "throughput");
    prove::row("the engine's own insert from a file, rows/s", own, one(own), "", true, "throughput");
    prove::row(
        "Kafka to ClickHouse, share of the engine's own insert",
        stored / own,
        one(stored / own),
        "",
        true,
        "throughput",
    );
}

/// Rows a second by `INSERT … SELECT … FROM file(…)` of the same lines.
fn inserted_by_the_engine(engine: &Engine, fleet: &Fleet) -> f64 {
    engine.rows(FLOOR_TABLE);
    let insert = format!(
        "INSERT INTO tocsin.floor SELECT event_id, 'call', parseDateTime64BestEffort(ts, 6, 'UTC'), agent_id, session_id, \
         instance_id, token_id, endpoint, method, status, attestation FROM file('{}', 'JSONEachRow', \
         'event_id String, ts String, agent_id String, session_id Nullable(String), instance_id Nullable(String), \
         token_id Nullable(String), endpoint String, method Nullable(String), status Nullable(UInt16), attestation String')",
        fleet.path.display()
    );
    let began = Instant::now();
    engine.rows(&insert);
    let rows = engine.try_number("SELECT count() FROM tocsin.floor").expect("a count");
    assert_eq!(rows, fleet.lines.len() as u64);
    rows as f64 / began.elapsed().as_secs_f64()
}
