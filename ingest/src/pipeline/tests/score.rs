use std::collections::BTreeMap;
use std::error::Error;
use std::num::NonZeroUsize;
use std::time::Duration;

use detector::{Detector, DetectorConfig, Ruling, VerdictRecord};
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
    fn verdict(&mut self, record: &VerdictRecord) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.count += 1;
        match self.killed_at {
            Some((n, takes)) if n <= self.count => {
                if takes && n == self.count {
                    self.taken.lock().unwrap().push(record.clone());
                }
                self.stop.cancel();
                Err("killed".into())
            }
            _ => {
                self.taken.lock().unwrap().push(record.clone());
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
    let opened = bench.open();
    let outlet = Outlet { taken: Arc::clone(taken), killed_at, count: 0, stop: opened.stop.clone() };
    let pipeline = Score {
        sources: vec![bench.source(&opened, "score")],
        workers: NonZeroUsize::MIN.saturating_add(1),
        detector: DetectorConfig::default(),
        manifests: Vec::new(),
        snapshots: bench.data.path().join("snapshots"),
        snapshot_every: Duration::ZERO,
        outlet: Box::new(outlet),
        baselines: Baselines::open(&bench.data.path().join("baselines.db")).unwrap(),
        verdicts: opened.verdicts.clone(),
        findings: bench.findings(),
        health: watch::Sender::default(),
    };
    let thread = score::start(pipeline, bench.runtime.handle().clone(), opened.stop.clone()).unwrap();
    let published = || *opened.verdicts.end().borrow();
    let wanted = *opened.calls.end().borrow();
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
        prop_assert!(taken.iter().all(|r| by_id.get(&r.verdict.id) == Some(&r)));
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
    let ruled = |id, ruling| intake.feedback(id, ruling, None, "a1", detector::Timestamp::from_millis(0));
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
