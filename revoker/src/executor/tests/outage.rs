//! Receivers that are down for minutes, or for ever, in virtual time: the real ladder, and a connector that only fails on cue.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::connector::{Attempt, Outcome};
use crate::message::Message;
use crate::testing::{at, prove, ungoverned};

const TARGETS: usize = 10;
const AGENTS: u32 = 12;
const DOWN: Duration = Duration::from_mins(5);

/// Up from a time on, and never again down.
struct Scripted {
    name: String,
    /// Seconds since the test began.
    clock: Arc<AtomicU64>,
    /// None is down for ever.
    up_after: Option<Duration>,
    /// When what arrived, by subject.
    seen: Mutex<BTreeMap<String, Vec<(i64, Duration)>>>,
}

impl Connector for Scripted {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver<'a>(&'a self, message: &'a Message, _now: Timestamp) -> Attempt<'a> {
        let since = Duration::from_secs(self.clock.load(Ordering::SeqCst));
        Box::pin(async move {
            if self.up_after.is_none_or(|up| since < up) {
                return Outcome::Failed { status: None, detail: "down".to_owned(), wait: None };
            }
            let body: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
            let subject = body["data"]["subject"].as_str().unwrap().to_owned();
            let sequence = body["data"]["sequence"].as_i64().unwrap();
            self.seen.lock().unwrap().entry(subject).or_default().push((sequence, since));
            Outcome::Acknowledged { status: 200 }
        })
    }
}

impl Scripted {
    fn arrived(&self) -> Vec<(i64, Duration)> {
        self.seen.lock().unwrap().values().flatten().copied().collect()
    }
}

/// Lets a second pass. Whoever sleeps wakes at a change, and looks at the clock.
async fn pass(running: &Running, clock: &AtomicU64) {
    let seconds = clock.fetch_add(1, Ordering::SeqCst) + 1;
    let now = at(0) + Duration::from_secs(seconds);
    let woken: Result<(), crate::store::StoreError> =
        running.revoker.write(move |w| w.audit(None, "time.passed", &seconds, now)).await;
    woken.unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
}

#[tokio::test]
async fn a_receiver_comes_back_after_five_minutes_and_a_dead_one_holds_up_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..TARGETS).map(|n| format!("t{n}")).collect();
    let revoker =
        Revoker::open(folder.path(), ungoverned(&names.iter().map(String::as_str).collect::<Vec<_>>()))
            .unwrap();
    let clock = Arc::new(AtomicU64::new(0));
    let targets: Vec<Arc<Scripted>> = (0..TARGETS)
        .map(|n| {
            let up_after = match n {
                0 => Some(DOWN),
                1 => None,
                _ => Some(Duration::ZERO),
            };
            let (name, clock) = (names[n].clone(), Arc::clone(&clock));
            Arc::new(Scripted { name, clock, up_after, seen: Mutex::default() })
        })
        .collect();
    for n in 0..AGENTS {
        let (agent, ann) = (AgentKey::new(None, &format!("agent-{n}")), || "ann".to_owned());
        revoker.revoke(agent.clone(), ann(), ann(), at(0)).await.unwrap();
        revoker.reinstate(agent.clone(), ann(), ann(), at(0)).await.unwrap();
        revoker.retire(agent, ann(), ann(), at(0)).await.unwrap();
    }
    let connectors = targets.iter().map(|target| Arc::clone(target) as Arc<dyn Connector>).collect();
    let told = Arc::clone(&clock);
    let now = move || at(0) + Duration::from_secs(told.load(Ordering::SeqCst));
    let executor =
        Executor::new(revoker.clone(), connectors).with(Arc::new(now), Arc::new(|| 0.5), Ladder::default());
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(executor.run(shutdown.clone()));
    let running = Running { revoker: revoker.clone(), shutdown, task };
    // Each of them is told of four events: a retirement publishes two.
    let all = AGENTS as usize * 4;
    // No time passes until all who are up have all: they wait for nobody.
    let is_up = |row: &DeliveryRow| row.target != "t0" && row.target != "t1";
    running
        .until(|rows| {
            rows.iter().filter(|row| is_up(row)).all(|row| row.state == DeliveryState::Acknowledged)
        })
        .await;
    while targets[0].arrived().len() < all {
        assert!(clock.load(Ordering::SeqCst) < 36_000, "it hears of all once it is back");
        pass(&running, &clock).await;
    }
    running
        .until(|rows| rows.iter().all(|row| row.target == "t1" || row.state == DeliveryState::Acknowledged))
        .await;
    running.stop().await;

    for (n, target) in targets.iter().enumerate().filter(|(n, _)| *n != 1) {
        assert_eq!(target.arrived().len(), all, "t{n}: each once");
        for (subject, seen) in target.seen.lock().unwrap().iter() {
            assert!(seen.is_sorted_by(|a, b| a.0 < b.0), "t{n} {subject}: in order");
        }
    }
    let slowest = |range: std::ops::Range<usize>| {
        targets[range].iter().flat_map(|t| t.arrived()).map(|(_, at)| at).max().unwrap()
    };
    assert_eq!(slowest(2..TARGETS), Duration::ZERO);
    assert!(targets[1].arrived().is_empty());
    let waits = revoker.deliveries(Page::new(1_000, None), Some(DeliveryState::Pending)).await.unwrap();
    assert_eq!(waits.len(), all);
    assert!(waits.iter().all(|row| row.target == "t1"));
    let back = slowest(0..1).as_secs_f64();
    let goal = "all in order per subject; the eight others at once, whatever the dead one does";
    prove::row("a receiver down 5 virtual minutes has all, virtual s", back, goal, "five_minutes");
}
