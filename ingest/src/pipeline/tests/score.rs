use std::collections::BTreeMap;
use std::error::Error;
use std::num::NonZeroUsize;
use std::time::Duration;

use detector::{Beside, Call, Detector, DetectorConfig, Kind, Manifest, Ruling, Timestamp, VerdictRecord};
use proptest::prelude::*;
use tokio::sync::watch;

use super::*;
use crate::baseline::Baselines;
use crate::decode::{Receipt, Record, Tally, decode};
use crate::pipeline::score::{self, Score, Scorer, VerdictOutlet};
use crate::pipeline::verdict;

/// An outlet that keeps what it gets, and at the n-th verdict "is killed" together with the program: before it takes
/// the verdict, or after.
#[derive(Clone, Default)]
struct Outlet {
    taken: Arc<Mutex<Vec<VerdictRecord>>>,
    killed_at: Option<(usize, bool)>,
    count: usize,
    stop: CancellationToken,
}

impl VerdictOutlet for Outlet {
    fn verdict(&mut self, record: &Arc<VerdictRecord>) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.count += 1;
        match self.killed_at {
            Some((n, takes)) if n <= self.count => {
                if takes && n == self.count {
                    self.taken.lock().unwrap().push(VerdictRecord::clone(record));
                }
                self.stop.cancel();
                Err("killed".into())
            }
            _ => {
                self.taken.lock().unwrap().push(VerdictRecord::clone(record));
                Ok(())
            }
        }
    }

    fn settle(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        if self.stop.is_cancelled() && self.killed_at.is_some() { Err("killed".into()) } else { Ok(()) }
    }
}

/// Runs the pipeline until it has scored all of the log or is killed.
fn run(bench: &Bench, taken: &Arc<Mutex<Vec<VerdictRecord>>>, killed_at: Option<(usize, bool)>) {
    run_past(bench, taken, killed_at, 0);
}

/// The same where so many records are no calls.
fn run_past(
    bench: &Bench,
    taken: &Arc<Mutex<Vec<VerdictRecord>>>,
    killed_at: Option<(usize, bool)>,
    orders: i64,
) {
    let opened = bench.open();
    let outlet = Outlet { taken: Arc::clone(taken), killed_at, count: 0, stop: opened.stop.clone() };
    let pipeline = Score {
        sources: vec![bench.source(&opened, "score")],
        workers: NonZeroUsize::MIN.saturating_add(1),
        detector: DetectorConfig::default(),
        manifests: Vec::new(),
        set_manifests: Vec::new(),
        snapshots: bench.data.path().join("snapshots"),
        snapshot_every: Duration::ZERO,
        outlet: Box::new(outlet),
        baselines: Baselines::open(&bench.data.path().join("baselines.db")).unwrap(),
        verdicts: opened.verdicts.clone(),
        findings: bench.findings(),
        health: watch::Sender::default(),
        questions: score::line().1,
    };
    let thread = score::start(pipeline, bench.runtime.handle().clone(), opened.stop.clone()).unwrap();
    let published = || *opened.verdicts.end().borrow();
    let wanted = *opened.calls.end().borrow() - orders;
    until(|| opened.stop.is_cancelled() || published() == wanted);
    opened.stop.cancel();
    thread.join().unwrap();
}

/// What the same lines give without logs, pipelines and accidents.
fn expected(lines: &str) -> Vec<VerdictRecord> {
    let source = SourceContext::new("gateway", Attestation::Token, Format::Auto);
    let mut scorer = Scorer::new(Detector::new(DetectorConfig::default(), &[]), NonZeroUsize::MIN);
    let mut records = RecordReader::new(lines.as_bytes(), Format::Auto, Limits::default());
    let mut verdicts = Vec::new();
    while let Some(item) = records.next_item().unwrap() {
        let Record::Whole(bytes) = item.record else { panic!("broken") };
        let call = decode(bytes, &source, Receipt::AsRecorded, &mut Tally::new()).unwrap();
        verdicts.extend(scorer.step(&call).verdict.map(|v| VerdictRecord::new(&call, v)));
    }
    verdicts
}

fn published(bench: &Bench) -> Vec<VerdictRecord> {
    let entries = bench.open().verdicts.reader().unwrap().read(1, usize::MAX, usize::MAX).unwrap();
    entries.iter().map(|e| verdict::decode(&e.payload).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// Killed before or after any verdict, any number of times: the verdicts published are those of an undisturbed run,
    /// each once and in order, and the outlet got each at least once, always the same.
    #[test]
    fn killed_anywhere_verdicts_are_those_of_an_undisturbed_run(
        kills in prop::collection::vec((1_usize..2_000, any::<bool>()), 0..6),
    ) {
        let bench = Bench::new();
        let lines = calls(2_100);
        bench.take(&bench.open(), &lines);
        let taken = Arc::default();
        for kill in kills {
            run(&bench, &taken, Some(kill));
        }
        run(&bench, &taken, None);
        let expected = expected(&lines);
        prop_assert!(published(&bench) == expected);
        let by_id: BTreeMap<_, _> = expected.iter().map(|r| (r.verdict.id, r)).collect();
        let taken = taken.lock().unwrap();
        // Beside what is published the outlet gets where each call lies in the log and since when.
        let first: BTreeMap<_, _> = taken.iter().rev().map(|r| (r.verdict.id, r)).collect();
        prop_assert!(taken.iter().all(|r| r.beside.position.is_some() && first[&r.verdict.id] == r));
        let bare = |r: &VerdictRecord| VerdictRecord { beside: Beside::default(), ..r.clone() };
        prop_assert!(taken.iter().all(|r| by_id.get(&r.verdict.id) == Some(&&bare(r))));
        let mut ids: Vec<_> = taken.iter().map(|r| r.verdict.id).collect();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), expected.len());
    }
}

#[test]
fn a_lost_snapshot_is_said_and_the_calls_are_read_again() {
    let bench = Bench::new();
    let lines = calls(200);
    bench.take(&bench.open(), &lines);
    let taken = Arc::default();
    run(&bench, &taken, None);
    let snapshots = bench.data.path().join("snapshots");
    for file in std::fs::read_dir(&snapshots).unwrap() {
        std::fs::write(file.unwrap().path(), b"garbage").unwrap();
    }
    bench.take(&bench.open(), &calls(210));
    run(&bench, &taken, None);
    assert!(published(&bench) == expected(&calls(210)), "and what was said before was not said anew");
    assert_eq!(taken.lock().unwrap().len(), 410);
    let said = bench.findings.texts().join("\n").replace(&snapshots.display().to_string(), "snapshots");
    insta::assert_snapshot!(said, @"snapshots/000000000001.snapshot: it is cut off; went on from the oldest calls there are");
}

#[test]
fn a_call_from_the_future_is_a_finding_and_moves_no_clock() {
    let bench = Bench::new();
    let future = r#"{"event_id":"f","ts":"2199-01-01T00:00:00Z","agent_id":"a","endpoint":"x"}"#;
    bench.take(&bench.open(), &format!("{}{future}\n", calls(50)));
    run(&bench, &Arc::default(), None);
    assert_eq!(published(&bench).len(), 51, "it is scored all the same");
    let said = bench.findings.texts().join("\n");
    assert!(said.starts_with("gateway: event `f` of agent `a` says 2199-01-01T00:00:00Z"), "{said}");
}

#[test]
fn feedback_is_read_where_it_stands_in_the_log() {
    let bench = Bench::new();
    let opened = bench.open();
    bench.take(&opened, &calls(20));
    let intake = Intake::new(opened.calls.clone(), bench.findings());
    let ruled = |id, ruling| intake.feedback(id, ruling, None, None, "a1", Timestamp::from_millis(0));
    bench.runtime.block_on(async {
        ruled("approval-1", Ruling::Benign).await.unwrap();
        ruled("approval-1", Ruling::Benign).await.unwrap();
        ruled("attack-2", Ruling::Malicious).await.unwrap();
        let refused = ruled("attack-2", Ruling::Deploy).await.unwrap_err().to_string();
        assert!(refused.contains("`attack-2` was told before with other content"), "{refused}");
        let refused = ruled("", Ruling::Benign).await.unwrap_err().to_string();
        assert!(refused.starts_with("the record is refused: "), "{refused}");
    });
    let entries = opened.calls.reader().unwrap().read(21, 2, usize::MAX).unwrap();
    let texts: Vec<_> = entries.iter().map(|e| String::from_utf8_lossy(&e.payload).into_owned()).collect();
    insta::assert_debug_snapshot!(texts, @r#"
    [
        "{\"event_id\":\"approval-1\",\"kind\":\"feedback\",\"ts\":\"1970-01-01T00:00:00Z\",\"agent_id\":\"a1\"}",
        "{\"event_id\":\"attack-2\",\"kind\":\"feedback\",\"ts\":\"1970-01-01T00:00:00Z\",\"agent_id\":\"a1\",\"ruling\":\"malicious\"}",
    ]
    "#);
    assert!(entries[0].source.as_ref().unwrap().control);
}

#[test]
fn what_is_not_carried_out_is_told_with_agent_and_reason() {
    let bench = Bench::new();
    let opened = bench.open();
    bench.take(&opened, &calls(20));
    let intake = Intake::new(opened.calls.clone(), bench.findings());
    let ts = Timestamp::from_millis(0);
    bench.runtime.block_on(async {
        intake.feedback("word", Ruling::Deploy, None, Some("idp"), "a1", ts).await.unwrap();
        intake.revert("old", "1-00000000deadbeef:AAAA", None, "a1", ts).await.unwrap();
    });
    bench.take(&opened, &calls(21));
    drop(opened);
    run_past(&bench, &Arc::default(), None, 2);
    let told = bench.findings.texts().join("\n");
    let (told, _) = told.split_once("; this one's").unwrap();
    insta::assert_snapshot!(told, @"
    the ruling `word` on agent `a1` of `idp` was not carried out: the agent is not known
    the revert `old` on agent `a1` was not carried out: it was packed by another version of this program (layout 1-00000000deadbeef
    ");
}

#[test]
fn verdicts_wait_for_no_version_of_a_baseline() {
    let bench = Bench::new();
    let opened = bench.open();
    bench.take(&opened, &calls(20));
    let intake = Intake::new(opened.calls.clone(), bench.findings());
    let word = intake.feedback("word", Ruling::Deploy, None, None, "a1", Timestamp::from_millis(0));
    bench.runtime.block_on(word).unwrap();
    bench.take(&opened, &calls(50));
    let path = bench.data.path().join("baselines.db");
    drop((opened, Baselines::open(&path).unwrap()));
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    run_past(&bench, &Arc::default(), None, 1);
    assert_eq!(published(&bench).len(), 50);
    let told = bench.findings.texts().join("\n");
    assert!(
        told.starts_with("versions of baselines cannot be kept, 1 wait in memory and 0 are lost"),
        "{told}"
    );
}

/// What an agent was like after these calls, as a record carries it.
fn baseline(calls: &[Call<'_>], agent_id: &str) -> String {
    let config = DetectorConfig { keeps_baselines: true, ..DetectorConfig::default() };
    let mut detector = Detector::new(config, &[]);
    for call in calls {
        detector.observe(call);
    }
    let mut word = Call::new("word", calls[0].ts, agent_id, "");
    word.kind = Kind::Feedback;
    detector.observe(&word);
    let folder = tempfile::tempdir().unwrap();
    let baselines = Baselines::open(&folder.path().join("baselines.db")).unwrap();
    baselines.keep(&detector.baselines()).unwrap();
    baselines.of(None, agent_id).unwrap()[0].text()
}

#[test]
fn a_revert_in_the_middle_of_a_batch_is_read_where_it_stands() {
    let call = |n: i64| {
        let ts = Timestamp::from_millis(1_772_323_200_000 + 20_000 * n);
        Call::new(format!("e{n}"), ts, format!("a{}", n % 5), format!("x{}", n * n % 7))
    };
    let mut log: Vec<_> = (0..2_000).map(call).collect();
    let mut revert = Call::new("back", log[1_000].ts, "a1", "");
    (revert.kind, revert.baseline) = (Kind::Revert, Some(baseline(&log[..500], "a1").into()));
    let steps = |log: &[Call<'_>], workers, at_once: usize| {
        let workers = NonZeroUsize::new(workers).unwrap();
        let mut scorer = Scorer::new(Detector::new(DetectorConfig::default(), &[]), workers);
        let steps: Vec<_> = log.chunks(at_once).flat_map(|some| scorer.steps(some.iter())).collect();
        (steps, postcard::to_stdvec(scorer.detector()).unwrap())
    };
    let without = steps(&log, 1, 1);
    log.insert(1_000, revert);
    let expected = steps(&log, 1, 1);
    assert!(expected.0.iter().all(|step| step.undone.is_none()));
    assert!(expected.0[1_001..] != without.0[1_000..] && expected.0[..1_000] == without.0[..1_000]);
    for (workers, at_once) in [(1, 2_001), (2, 2_001), (8, 2_001), (8, 700)] {
        assert!(steps(&log, workers, at_once) == expected, "{workers} workers, {at_once} at once");
    }
}

#[test]
fn a_manifest_in_the_middle_of_a_batch_holds_from_where_it_stands() {
    let call = |n: i64| {
        let ts = Timestamp::from_millis(1_772_323_200_000 + 20_000 * n);
        Call::new(format!("e{n}"), ts, format!("a{}", n % 5), format!("x{}", n * n % 7))
    };
    let mut log: Vec<_> = (0..2_000).map(call).collect();
    let mut declared = Call::new("set", log[1_000].ts, "a1", "");
    let body = r#"{"agent_id": "a1", "forbidden_endpoints": ["x1"]}"#;
    (declared.kind, declared.manifest) = (Kind::Manifest, Some(body.into()));
    log.insert(1_000, declared);
    let run = |given: &[Manifest], workers, at_once: usize| {
        let workers = NonZeroUsize::new(workers).unwrap();
        let mut scorer = Scorer::new(Detector::new(DetectorConfig::default(), given), workers);
        log.chunks(at_once).flat_map(|some| scorer.steps(some.iter())).collect::<Vec<_>>()
    };
    let steps = run(&[], 1, 1);
    for (call, step) in log.iter().zip(&steps) {
        let is_broken = step.verdict.as_ref().is_some_and(|verdict| verdict.rule.is_some());
        let is_meant =
            &*call.identity.agent_id == "a1" && &*call.endpoint == "x1" && call.ts >= log[1_000].ts;
        assert_eq!((is_broken, &step.undone), (is_meant, &None), "{}", call.event_id);
    }
    for (workers, at_once) in [(1, 2_001), (8, 2_001), (8, 700)] {
        assert!(run(&[], workers, at_once) == steps, "{workers} workers, {at_once} at once");
    }
    let of_a_file = Manifest { agent_id: "a1".to_owned(), ..Manifest::default() };
    let steps = run(&[of_a_file], 1, 1);
    assert!(steps[1_000].undone.as_ref().is_some_and(|why| why.contains("the configuration holds")));
    assert!(steps.iter().all(|step| step.verdict.as_ref().is_none_or(|verdict| verdict.rule.is_none())));
}
