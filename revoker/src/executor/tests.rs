//! Real deliveries to a real receiver that fails in every way it can.

mod governed;
mod outage;
mod proof;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use detector::Timestamp;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Executor, Ladder, Stopped, system_time};
use crate::agent::AgentKey;
use crate::connector::Connector;
use crate::revoker::{Revoker, Setup};
use crate::store::Page;
use crate::store::outbox::{DeliveryRow, DeliveryState};
use crate::testing::receiver::{Receiver, Reply, SECRET, Seen};
use crate::testing::{damning, record, setup};

/// An executor under way, and the record it works for.
struct Running {
    revoker: Revoker,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Stopped>>,
}

fn quick(retries: usize) -> Ladder {
    Ladder::new(vec![Duration::from_millis(5); retries])
}

fn run(folder: &Path, targets: &[(&str, &Receiver)], ladder: Ladder) -> Running {
    let names: Vec<&str> = targets.iter().map(|(name, _)| *name).collect();
    let setup = Setup { ..setup(&names) };
    let revoker = crate::testing::open_as(folder, setup);
    let connectors = targets
        .iter()
        .map(|(name, receiver)| Arc::new(receiver.webhook(name)) as Arc<dyn Connector>)
        .collect();
    let executor =
        Executor::new(revoker.clone(), connectors).with(Arc::new(system_time), Arc::new(|| 0.5), ladder);
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(executor.run(shutdown.clone()));
    Running { revoker, shutdown, task }
}

/// Nothing here takes longer than moments; what does has hung.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.expect("it hangs")
}

impl Running {
    async fn deliveries(&self) -> Vec<DeliveryRow> {
        let mut rows = self.revoker.deliveries(Page::new(1_000, None), None).await.unwrap();
        rows.reverse();
        rows
    }

    /// Waits until the deliveries are as wanted, and returns them.
    async fn until(&self, wanted: impl Fn(&[DeliveryRow]) -> bool) -> Vec<DeliveryRow> {
        let mut changes = self.revoker.changes();
        soon(async {
            loop {
                changes.mark_unchanged();
                let rows = self.deliveries().await;
                if wanted(&rows) {
                    return rows;
                }
                changes.changed().await.unwrap();
            }
        })
        .await
    }

    async fn stop(self) -> Revoker {
        self.shutdown.cancel();
        soon(self.task).await.unwrap().unwrap();
        self.revoker
    }
}

fn all(rows: &[DeliveryRow], state: DeliveryState) -> bool {
    !rows.is_empty() && rows.iter().all(|row| row.state == state)
}

fn revoke(revoker: &Revoker, n: u32, agent: &str) {
    let now = system_time();
    revoker.handle(&damning(n, now, agent), now).unwrap();
}

/// Checked by the standard's own library, which shares no code with the sender.
fn verify(seen: &Seen) {
    standardwebhooks::Webhook::new(SECRET).unwrap().verify(&seen.body, &seen.headers).unwrap();
}

#[tokio::test]
async fn a_bad_day_at_the_receiver_ends_in_one_acknowledged_event() {
    let replies = [Reply::Status(500), Reply::Redirect, Reply::Status(404), Reply::RetryAfter(503, "0")];
    let receiver = Receiver::start(&replies).await;
    receiver.drop_connections(2);
    let folder = tempfile::tempdir().unwrap();
    let running = run(folder.path(), &[("idp", &receiver)], quick(9));
    revoke(&running.revoker, 1, "mailer");
    let rows = running.until(|rows| all(rows, DeliveryState::Acknowledged)).await;

    let seen = receiver.seen();
    assert_eq!(seen.len(), 5);
    seen.iter().for_each(verify);
    assert!(seen.iter().all(|s| s.id() == rows[0].event_id && s.body == seen[0].body), "{seen:?}");
    assert!(seen.iter().all(|s| s.path == "/hook"), "a redirect was followed");
    assert_eq!(seen[0].header("content-type"), "application/json");
    assert!(!seen[0].id().contains('.'));

    let receipts = running.revoker.receipts(rows[0].cursor).await.unwrap();
    let told: Vec<_> = receipts.iter().map(|r| (r.outcome.as_str(), r.status)).collect();
    assert_eq!(
        told,
        [
            ("failed", None),
            ("failed", None),
            ("failed", Some(500)),
            ("failed", Some(307)),
            ("failed", Some(404)),
            ("failed", Some(503)),
            ("acknowledged", Some(200)),
        ]
    );
    let agent = AgentKey::new(Some("https://idp.example"), "mailer");
    let audit = running.revoker.audit_of(agent, Page::new(10, None)).await.unwrap();
    assert_eq!(
        audit.iter().map(|e| e.kind.as_str()).collect::<Vec<_>>(),
        ["delivery.acknowledged", "standing.changed"]
    );
    assert_eq!(audit[0].txn, audit[1].txn);
    running.stop().await.verify_audit(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn the_events_of_a_subject_arrive_in_order_and_others_do_not_wait() {
    let receiver = Receiver::start(&[Reply::Status(500); 3]).await;
    let folder = tempfile::tempdir().unwrap();
    let running = run(folder.path(), &[("idp", &receiver)], quick(9));
    let now = system_time();
    running.revoker.handle(&record(1, now, "mailer", 9.0), now).unwrap();
    revoke(&running.revoker, 2, "mailer");
    for n in 3..43 {
        revoke(&running.revoker, n, &format!("agent-{n}"));
    }
    running.until(|rows| rows.len() == 42 && all(rows, DeliveryState::Acknowledged)).await;

    let seen = receiver.seen();
    let of_mailer: Vec<_> = seen.iter().filter(|s| s.json()["data"]["subject"] == "mailer").collect();
    let kinds: Vec<_> = of_mailer.iter().map(|s| s.json()["type"].clone()).collect();
    let first_revoked = kinds.iter().position(|kind| kind == "agent.access.revoked").unwrap();
    assert!(kinds[..first_revoked].iter().all(|kind| kind == "agent.challenged"), "{kinds:?}");
    assert!(kinds[first_revoked..].iter().all(|kind| kind == "agent.access.revoked"), "{kinds:?}");
    let sequences: Vec<_> =
        of_mailer.iter().map(|s| s.json()["data"]["sequence"].as_i64().unwrap()).collect();
    assert!(sequences.is_sorted() && sequences[0] < sequences[sequences.len() - 1], "{sequences:?}");
    running.stop().await;
}

#[tokio::test]
async fn the_next_event_of_a_subject_need_not_wait_for_the_receipt_of_the_one_before() {
    let receiver = Receiver::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let running = run(folder.path(), &[("idp", &receiver)], quick(9));
    let now = system_time();
    running.revoker.handle(&record(1, now, "mailer", 9.0), now).unwrap();
    revoke(&running.revoker, 2, "mailer");
    // Nothing was sent yet: the executor runs when this test waits.
    running.revoker.refuse_writes(true);
    let sequence = |s: &Seen| s.json()["data"]["sequence"].as_i64().unwrap();
    let seen = soon(receiver.wait_for(2)).await;
    assert!(sequence(&seen[0]) < sequence(&seen[1]), "{seen:?}");
    assert!(all(&running.deliveries().await, DeliveryState::Pending));

    running.revoker.refuse_writes(false);
    running.until(|rows| all(rows, DeliveryState::Acknowledged)).await;
    assert_eq!(receiver.seen().len(), 2, "what was acknowledged is not sent again");
    running.stop().await;
}

#[tokio::test]
async fn a_target_that_is_gone_is_an_open_item_until_somebody_enables_it() {
    let receiver = Receiver::start(&[Reply::Status(410)]).await;
    let folder = tempfile::tempdir().unwrap();
    let running = run(folder.path(), &[("idp", &receiver)], quick(3));
    revoke(&running.revoker, 1, "mailer");
    let mut changes = running.revoker.changes();
    soon(async {
        while running.revoker.disabled_targets().await.unwrap().is_empty() {
            changes.changed().await.unwrap();
        }
    })
    .await;
    revoke(&running.revoker, 2, "other");
    let rows = running.deliveries().await;
    assert!(rows.len() == 2 && all(&rows, DeliveryState::Pending), "{rows:?}");
    let revoker = running.stop().await;
    assert_eq!(receiver.seen().len(), 1);
    assert_eq!(revoker.disabled_targets().await.unwrap()[0].target, "idp");
    drop(revoker);

    // Still so after a restart.
    let running = run(folder.path(), &[("idp", &receiver)], quick(3));
    assert!(running.revoker.enable_target("idp".to_owned(), "ann".to_owned(), system_time()).await.unwrap());
    running.until(|rows| all(rows, DeliveryState::Acknowledged)).await;
    assert_eq!(receiver.seen().len(), 3);
    running.stop().await;
}

#[tokio::test]
async fn a_target_that_asks_for_patience_gets_it() {
    let patient = Receiver::start(&[Reply::RetryAfter(429, "600")]).await;
    let eager = Receiver::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let running = run(folder.path(), &[("patient", &patient), ("eager", &eager)], quick(9));
    let before = system_time();
    revoke(&running.revoker, 1, "mailer");
    let tried = |rows: &[DeliveryRow]| rows.iter().any(|row| row.target == "patient" && row.attempts == 1);
    let rows = running.until(tried).await;
    let next = rows.iter().find(|row| row.target == "patient").unwrap().next_at.unwrap();
    assert!(next >= before + Duration::from_mins(10), "{next}");

    // It asked for itself, not for one message.
    revoke(&running.revoker, 2, "other");
    soon(eager.wait_for(2)).await;
    running.stop().await;
    assert_eq!(patient.seen().len(), 1);
}

#[tokio::test]
async fn what_never_arrives_is_an_open_item_and_goes_again_by_hand() {
    let receiver = Receiver::start(&[Reply::Status(500); 4]).await;
    let folder = tempfile::tempdir().unwrap();
    let running = run(folder.path(), &[("idp", &receiver)], quick(3));
    revoke(&running.revoker, 1, "mailer");
    let dead = running.until(|rows| all(rows, DeliveryState::Dead)).await;
    assert_eq!((dead[0].attempts, receiver.seen().len()), (4, 4));
    let listed = running.revoker.deliveries(Page::new(10, None), Some(DeliveryState::Dead)).await.unwrap();
    assert_eq!(listed, dead);

    running.revoker.redeliver(dead[0].cursor, "ann".to_owned(), system_time()).await.unwrap();
    running.until(|rows| all(rows, DeliveryState::Acknowledged)).await;
    let seen = receiver.seen();
    assert!(seen.iter().all(|s| s.id() == dead[0].event_id) && seen.len() == 5);
    assert!(running.revoker.redeliver(999, "ann".to_owned(), system_time()).await.is_err());
    running.stop().await;
}

#[tokio::test]
async fn one_target_that_hangs_delays_no_other() {
    let (hangs, works) = (Receiver::start(&[Reply::Hang; 64]).await, Receiver::start(&[]).await);
    let folder = tempfile::tempdir().unwrap();
    let running = run(folder.path(), &[("hangs", &hangs), ("works", &works)], quick(3));
    for n in 1..41 {
        revoke(&running.revoker, n, &format!("agent-{n}"));
    }
    soon(works.wait_for(40)).await;
    // And what is under way to it is bounded.
    assert!(hangs.seen().len() <= 16);
    running.task.abort();
}

#[tokio::test]
async fn killed_between_sending_and_noting_it_sends_again_under_the_same_id() {
    let receiver = Receiver::start(&[Reply::Hang]).await;
    let folder = tempfile::tempdir().unwrap();
    let running = run(folder.path(), &[("idp", &receiver)], quick(3));
    revoke(&running.revoker, 1, "mailer");
    // The receiver has it, and we will never know.
    soon(receiver.wait_for(1)).await;
    running.task.abort();
    assert!(running.task.await.unwrap_err().is_cancelled());
    drop(running.revoker);

    let running = run(folder.path(), &[("idp", &receiver)], quick(3));
    running.until(|rows| all(rows, DeliveryState::Acknowledged)).await;
    let seen = receiver.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].id(), &seen[0].body), (seen[1].id(), &seen[1].body));
    running.stop().await;
}

#[tokio::test]
async fn what_arrived_is_not_sent_again_because_it_could_not_be_noted() {
    let receiver = Receiver::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let revoker = crate::testing::open_as(folder.path(), setup(&["idp"]));
    revoke(&revoker, 1, "mailer");
    drop(revoker);
    let running = run(folder.path(), &[("idp", &receiver)], quick(3));
    running.revoker.refuse_writes(true);
    soon(receiver.wait_for(1)).await;
    // Long enough for the note to be tried and refused; were it not yet, the test would only prove less.
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.revoker.refuse_writes(false);
    running.until(|rows| all(rows, DeliveryState::Acknowledged)).await;
    assert_eq!(receiver.seen().len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_target_gets_the_types_it_wants() {
    let receiver = Receiver::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let mut setup = setup(&["idp"]);
    setup.routes[0].events = vec!["agent.access.revoked".to_owned()];
    let revoker = crate::testing::open_as(folder.path(), setup);
    let now: Timestamp = system_time();
    revoker.handle(&record(1, now, "mailer", 9.0), now).unwrap();
    revoker.handle(&damning(2, now, "mailer"), now).unwrap();
    let rows = revoker.deliveries(Page::new(10, None), None).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>(), ["agent.access.revoked"]);
    drop(receiver);
}
