use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::pipeline::{AlertRecord, AuditRecord, drain, store};
use crate::store::BatchLimits;
use detector::{MicroBits, Timestamp};

fn limits(rows_max: usize) -> BatchLimits {
    BatchLimits { rows_max, bytes_max: 1 << 20, age_max: Duration::from_millis(5) }
}

/// Runs the pipeline until all of the log is stored or the program "is killed".
fn run(bench: &Bench, sink: &Recorder, rows_max: usize) {
    let opened = bench.open();
    let sink = Recorder { stop: opened.stop.clone(), ..sink.clone() };
    let (runtime, stop) = (bench.runtime.handle().clone(), opened.stop.clone());
    let source = bench.source(&opened, "store");
    let thread = store::start(source, sink, limits(rows_max), runtime, stop).unwrap();
    let (end, reader) = (*opened.calls.end().borrow(), opened.calls.reader().unwrap());
    until(|| opened.stop.is_cancelled() || reader.position("store").unwrap() == end);
    opened.stop.cancel();
    thread.join().unwrap();
}

#[test]
fn rows_arrive_in_order_through_outages_and_rejects_with_them() {
    let bench = Bench::new();
    let lines = calls(10) + "{\"event_id\":\"e3\"}\n" + &calls(12);
    bench.take(&bench.open(), &lines);
    let sink = Recorder::default();
    sink.fates.lock().unwrap().extend([Some(Fate::Down), None, Some(Fate::Down), Some(Fate::Down)]);
    run(&bench, &sink, 5);
    insta::assert_snapshot!(sink.rows().join("\n"), @"
    e0
    e1
    e2
    e3
    e4
    e5
    e6
    e7
    e8
    e9
    e10
    e11
    reject 11 required, but absent, null or empty
    ");
    run(&bench, &sink, 5);
    assert_eq!(sink.rows().len(), 13, "what is stored is not read again");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Killed at any insert, any number of times: every record arrives, those that come twice come in a row as they
    /// came before, and nothing overtakes anything.
    #[test]
    fn killed_anywhere_every_record_arrives(
        fates in prop::collection::vec(
            prop::option::weighted(0.5, prop_oneof![Just(Fate::StoredThenKilled), Just(Fate::StoredThenKilled), Just(Fate::Down)]),
            0..12,
        ),
        rows_max in 1_usize..40,
    ) {
        let bench = Bench::new();
        bench.take(&bench.open(), &calls(100));
        let sink = Recorder::default();
        let fates: Vec<_> = fates.into_iter().filter(|f| !matches!(f, Some(Fate::Down))).collect();
        sink.fates.lock().unwrap().extend(fates);
        let reader = bench.open().calls.reader().unwrap();
        while reader.position("store").unwrap() < 101 {
            run(&bench, &sink, rows_max);
        }
        let rows = sink.rows();
        let mut once: Vec<u32> = Vec::new();
        let mut seen = BTreeSet::new();
        for row in &rows {
            let n: u32 = row[1..].parse().unwrap();
            if seen.insert(n) {
                once.push(n);
            }
        }
        prop_assert_eq!(once, (0..100).collect::<Vec<_>>());
    }
}

#[test]
fn verdicts_and_alerts_are_drained_and_said_once() {
    let bench = Bench::new();
    let opened = bench.open();
    let alert = |id: &str, action: &str| AlertRecord {
        alert_id: id.to_owned(),
        ts: Timestamp::from_millis(0),
        agent_id: "a".to_owned(),
        issuer: None,
        event_id: "e".to_owned(),
        score: MicroBits::from_bits(7.0),
        action: action.to_owned(),
        reasons: vec!["because".to_owned()],
        approval_id: None,
        policy: "p".to_owned(),
    };
    let log = Log::open(&bench.data.path().join("alerts.db"), LogConfig::read_by(&[drain::READER])).unwrap();
    let alerts =
        [alert("1", "challenge"), alert("2", "watch"), alert("1", "challenge"), alert("1", "revoke")];
    let entries: Vec<_> = alerts.iter().map(|a| a.entry().unwrap()).collect();
    bench.runtime.block_on(log.append(entries)).unwrap();
    let sink = Recorder::default();
    sink.fates.lock().unwrap().push_back(Some(Fate::Down));
    let (runtime, stop) = (bench.runtime.handle().clone(), opened.stop.clone());
    let thread = drain::alerts(&log, sink.clone(), limits(10), runtime, stop).unwrap();
    let reader = log.reader().unwrap();
    until(|| reader.position(drain::READER).unwrap() == 4);
    opened.stop.cancel();
    thread.join().unwrap();
    assert_eq!(sink.rows(), ["alert 1 challenge", "alert 2 watch", "alert 1 revoke"]);
}

#[test]
fn the_audit_is_drained_once_and_a_forged_number_is_another_entry() {
    let bench = Bench::new();
    let opened = bench.open();
    let entry = |seq, hash: &str| AuditRecord {
        seq,
        at: Timestamp::from_millis(0),
        txn: "t".to_owned(),
        agent_id: String::new(),
        issuer: None,
        kind: format!("kind-{hash}"),
        body: "{}".to_owned(),
        hash: hash.to_owned(),
    };
    let log = Log::open(&bench.data.path().join("audit.db"), LogConfig::read_by(&[drain::READER])).unwrap();
    let entries = [entry(1, "a"), entry(2, "b"), entry(1, "a"), entry(2, "c")];
    let entries: Vec<_> = entries.iter().map(|e| e.entry().unwrap()).collect();
    bench.runtime.block_on(log.append(entries)).unwrap();
    let sink = Recorder::default();
    let (runtime, stop) = (bench.runtime.handle().clone(), opened.stop.clone());
    let thread = drain::audit(&log, sink.clone(), limits(10), runtime, stop).unwrap();
    let reader = log.reader().unwrap();
    until(|| reader.position(drain::READER).unwrap() == 4);
    opened.stop.cancel();
    thread.join().unwrap();
    assert_eq!(sink.rows(), ["audit 1 kind-a", "audit 2 kind-b", "audit 2 kind-c"]);
}
