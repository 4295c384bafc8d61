//! Targets that say what is not so. They are made here, to lie at will; what a real one says is tested beside it.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::connector::{Attempt, Check, Outcome, Proof};
use crate::message::Message;
use crate::revoker::Redelivered;
use crate::store::cases::Progress;
use crate::store::outbox;

/// Answers and shows what it was given to, in this order; then that all is well.
struct Liar {
    name: &'static str,
    answers: Mutex<VecDeque<Outcome>>,
    shows: Mutex<VecDeque<Proof>>,
    told: Mutex<Vec<String>>,
}

impl Liar {
    fn new(name: &'static str, answers: &[Outcome], shows: &[Proof]) -> Arc<Self> {
        let (answers, shows) = (answers.to_vec().into(), shows.to_vec().into());
        Arc::new(Self {
            name,
            answers: Mutex::new(answers),
            shows: Mutex::new(shows),
            told: Mutex::default(),
        })
    }
}

impl Connector for Liar {
    fn name(&self) -> &str {
        self.name
    }

    fn deliver<'a>(&'a self, message: &'a Message, _now: Timestamp) -> Attempt<'a> {
        self.told.lock().unwrap().push(message.kind.clone());
        let answer = self.answers.lock().unwrap().pop_front();
        Box::pin(async move { answer.unwrap_or(Outcome::Acknowledged { status: 204 }) })
    }

    fn verify<'a>(&'a self, _message: &'a Message) -> Option<Check<'a>> {
        Some(Box::pin(async {
            let shown = self.shows.lock().unwrap().pop_front();
            shown.unwrap_or(Proof::Verified { detail: "seen".to_owned() })
        }))
    }
}

/// Targets in the order of the escalation list.
fn listed(folder: &Path, targets: &[&Arc<Liar>]) -> Running {
    listed_with(folder, targets, quick(9))
}

fn listed_with(folder: &Path, targets: &[&Arc<Liar>], ladder: Ladder) -> Running {
    let names: Vec<&str> = targets.iter().map(|target| target.name).collect();
    let mut setup = setup(&names);
    for (rank, route) in setup.routes.iter_mut().enumerate() {
        route.rank = Some(rank);
    }
    let revoker = crate::testing::open_as(folder, setup);
    let connectors = targets.iter().map(|target| Arc::clone(target) as Arc<dyn Connector>).collect();
    let executor =
        Executor::new(revoker.clone(), connectors).with(Arc::new(system_time), Arc::new(|| 0.5), ladder);
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(executor.run(shutdown.clone()));
    Running { revoker, shutdown, task }
}

/// How far each has come with the newest event it was to be told.
fn progress(rows: &[DeliveryRow], target: &str) -> Option<Progress> {
    rows.iter().rev().find(|row| row.target == target).map(Progress::of)
}

fn refuted() -> Proof {
    Proof::Refuted { detail: "the token lives".to_owned() }
}

fn failed() -> Outcome {
    Outcome::Failed { status: Some(500), detail: "refused".to_owned(), wait: None }
}

#[tokio::test]
async fn a_target_that_lies_is_found_out_and_the_next_takes_its_turn() {
    let mild = Liar::new("mild", &[], &vec![refuted(); 4]);
    let (hard, last) = (Liar::new("hard", &[], &[]), Liar::new("last", &[], &[]));
    let folder = tempfile::tempdir().unwrap();
    let running = listed(folder.path(), &[&mild, &hard, &last]);
    revoke(&running.revoker, 1, "mailer");
    let rows = running.until(|rows| progress(rows, "hard") == Some(Progress::Verified)).await;
    assert_eq!(progress(&rows, "mild"), Some(Progress::Failed));
    assert_eq!(progress(&rows, "last"), Some(Progress::Standby));
    assert!(last.told.lock().unwrap().is_empty());

    // Who was told is told of the reinstatement; who stood by is not, and no longer stands by.
    let agent = AgentKey::new(Some("https://idp.example"), "mailer");
    let (by, why) = ("ann".to_owned(), "a mistake".to_owned());
    running.revoker.reinstate(agent.clone(), by, why, system_time()).await.unwrap();
    running.until(|rows| progress(rows, "hard") == Some(Progress::Acknowledged)).await;
    let rows = running.deliveries().await;
    assert_eq!(progress(&rows, "last"), Some(Progress::Withdrawn));
    assert!(last.told.lock().unwrap().is_empty());
    assert_eq!(*hard.told.lock().unwrap(), ["agent.access.revoked", "agent.reinstated"]);
    let kinds = |rows: Vec<crate::audit::Entry>| rows.into_iter().map(|e| e.kind).collect::<Vec<_>>();
    let audit = kinds(running.revoker.audit_of(agent, Page::new(50, None)).await.unwrap());
    for kind in ["delivery.refuted", "revocation.escalated", "delivery.verified"] {
        assert!(audit.iter().any(|entry| entry == kind), "{kind}: {audit:?}");
    }
    running.stop().await.verify_audit(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn what_takes_a_moment_to_be_so_is_no_lie() {
    let (slow, next) = (Liar::new("slow", &[], &[refuted(), refuted()]), Liar::new("next", &[], &[]));
    let folder = tempfile::tempdir().unwrap();
    let running = listed(folder.path(), &[&slow, &next]);
    revoke(&running.revoker, 1, "mailer");
    let rows = running.until(|rows| progress(rows, "slow") == Some(Progress::Verified)).await;
    assert_eq!(progress(&rows, "next"), Some(Progress::Standby));
    let seen: Vec<_> = running.revoker.receipts(rows[0].cursor).await.unwrap();
    let outcomes: Vec<_> = seen.iter().map(|receipt| receipt.outcome.as_str()).collect();
    assert_eq!(outcomes, ["acknowledged", "refuted", "refuted", "verified"]);
    running.stop().await;
}

#[tokio::test]
async fn a_target_that_fails_or_can_do_nothing_does_not_hold_up_the_list() {
    let fails = Liar::new("fails", &vec![failed(); 20], &[]);
    let hopeless = Outcome::Hopeless { detail: "no such client".to_owned() };
    let (cannot, works) = (Liar::new("cannot", &[hopeless], &[]), Liar::new("works", &[], &[]));
    let folder = tempfile::tempdir().unwrap();
    let running = listed(folder.path(), &[&fails, &cannot, &works]);
    revoke(&running.revoker, 1, "mailer");
    let rows = running.until(|rows| progress(rows, "works") == Some(Progress::Verified)).await;
    assert_eq!(progress(&rows, "cannot"), Some(Progress::Failed));
    assert_eq!(progress(&rows, "fails"), Some(Progress::Sent), "it is tried on");
    running.stop().await;
}

#[tokio::test]
async fn who_is_given_up_at_last_has_nobody_told_behind_one_that_did_it() {
    let no = Outcome::Failed { status: Some(400), detail: "refused".to_owned(), wait: None };
    let refuses = Liar::new("refuses", &vec![no; 20], &[]);
    let (works, last) = (Liar::new("works", &[], &[]), Liar::new("last", &[], &[]));
    let folder = tempfile::tempdir().unwrap();
    let running = listed(folder.path(), &[&refuses, &works, &last]);
    revoke(&running.revoker, 1, "mailer");
    let rows = running.until(|rows| progress(rows, "refuses") == Some(Progress::Failed)).await;
    assert_eq!(refuses.told.lock().unwrap().len(), 10, "every retry was used up");
    assert_eq!(progress(&rows, "works"), Some(Progress::Verified));
    assert_eq!(progress(&rows, "last"), Some(Progress::Standby));
    running.stop().await;
}

#[tokio::test]
async fn a_call_accepted_after_the_end_disproves_who_had_said_it_ended() {
    disproved_after("agent.access.revoked").await;
    disproved_after("agent.access.suspended").await;
}

async fn disproved_after(ending: &str) {
    let (blind, next) = (
        Liar::new("blind", &[], &[Proof::Unprovable { detail: "no token is held".to_owned() }]),
        Liar::new("next", &[], &[]),
    );
    let folder = tempfile::tempdir().unwrap();
    let running = listed(folder.path(), &[&blind, &next]);
    if ending == "agent.access.revoked" {
        revoke(&running.revoker, 1, "mailer");
    } else {
        let until = system_time() + Duration::from_hours(1);
        let agent = AgentKey::new(Some("https://idp.example"), "mailer");
        let (by, reason) = ("olga".to_owned(), "a test".to_owned());
        running.revoker.suspend(agent, by, reason, until, system_time()).await.unwrap();
    }
    running.until(|rows| progress(rows, "blind") == Some(Progress::Acknowledged)).await;

    let of = |rows: &[DeliveryRow], target: &str| {
        rows.iter().find(|r| r.target == target && r.kind == ending).map(Progress::of)
    };
    // Within the tolerance of clocks it was made before, and proves nothing.
    let call = system_time() + Duration::from_secs(2);
    running.revoker.handle(&record(2, call, "mailer", 0.0), system_time() - Duration::from_mins(1)).unwrap();
    assert_eq!(of(&running.deliveries().await, "next"), Some(Progress::Standby));
    let call = system_time() + Duration::from_secs(30);
    running.revoker.handle(&record(3, call, "mailer", 0.0), system_time()).unwrap();
    let rows = running.until(|rows| of(rows, "next") == Some(Progress::Verified)).await;
    assert_eq!(of(&rows, "blind"), Some(Progress::Failed));
    assert_eq!(next.told.lock().unwrap()[0], ending, "the old news before the newer");
    let story = running.revoker.story(rows[0].txn.to_string()).await.unwrap().unwrap();
    assert_eq!(story.exposure.unwrap().calls, 1);
    running.stop().await;
}

async fn by_hand(running: &Running, verb: &str) {
    let agent = AgentKey::new(Some("https://idp.example"), "mailer");
    let (by, why, now) = ("ann".to_owned(), "a test".to_owned(), system_time());
    match verb {
        "revoke" => running.revoker.revoke(agent, by, why, now).await.unwrap(),
        _ => running.revoker.reinstate(agent, by, why, now).await.unwrap(),
    };
}

/// Whether the target was seen to have ended access so many times.
fn verified(rows: &[DeliveryRow], target: &str, times: usize) -> bool {
    let is_so = |row: &&DeliveryRow| row.target == target && Progress::of(row) == Progress::Verified;
    rows.iter().filter(is_so).count() == times
}

#[tokio::test]
async fn whose_turn_has_come_hears_first_what_it_was_to_hear_before() {
    let blind =
        Liar::new("blind", &[], &vec![Proof::Unprovable { detail: "no token is held".to_owned() }; 2]);
    let (ok, wait) = (Outcome::Acknowledged { status: 204 }, Some(Duration::from_secs(5)));
    let busy = Outcome::Failed { status: Some(503), detail: "busy".to_owned(), wait };
    let next = Liar::new("next", &[ok.clone(), ok, busy], &[]);
    let folder = tempfile::tempdir().unwrap();
    let running = listed(folder.path(), &[&blind, &next]);
    let ends_in_vain = async |n: u32| {
        by_hand(&running, "revoke").await;
        running.until(|rows| progress(rows, "blind") == Some(Progress::Acknowledged)).await;
        let call = system_time() + Duration::from_secs(30);
        running.revoker.handle(&record(n, call, "mailer", 0.0), system_time()).unwrap();
    };
    ends_in_vain(1).await;
    running.until(|rows| verified(rows, "next", 1)).await;
    by_hand(&running, "reinstate").await;
    running.until(|_| next.told.lock().unwrap().len() == 3).await;

    // Its turn comes while it has yet to hear that the end before is over.
    ends_in_vain(2).await;
    running.until(|rows| verified(rows, "next", 2)).await;
    let told = next.told.lock().unwrap().clone();
    let of_access: Vec<_> = told.iter().filter(|kind| *kind != "agent.still_acting").collect();
    let (ended, given_back) = ("agent.access.revoked", "agent.reinstated");
    assert_eq!(of_access, [ended, given_back, given_back, ended]);
    running.stop().await;
}

#[tokio::test]
async fn whose_turn_has_come_is_told_though_other_news_waits_behind_what_stands_by() {
    let answers = [&[Outcome::Acknowledged { status: 204 }][..], &vec![failed(); 20]].concat();
    let (first, next) = (Liar::new("first", &answers, &[]), Liar::new("next", &[], &[]));
    let folder = tempfile::tempdir().unwrap();
    let running = listed(folder.path(), &[&first, &next]);
    by_hand(&running, "revoke").await;
    running.until(|rows| verified(rows, "first", 1)).await;
    let agent = AgentKey::new(Some("https://idp.example"), "mailer");
    let other = agent.clone();
    let news = running.revoker.write(move |w| {
        let txn = crate::agent::Txn::random();
        outbox::notify(w.tx(), "next", "agent.feedback", &other, (&txn, b"{}"), system_time())
    });
    news.await.unwrap();
    assert!(next.told.lock().unwrap().is_empty(), "it waits behind what stands by");
    let (by, why) = ("ann".to_owned(), "a test".to_owned());
    running.revoker.retire(agent, by, why, system_time()).await.unwrap();
    running.until(|rows| verified(rows, "next", 1)).await;
    assert_eq!(*next.told.lock().unwrap(), ["agent.feedback", "agent.retired"]);
    running.stop().await;
}

#[tokio::test]
async fn old_news_of_access_is_not_sent_again_to_who_has_newer() {
    let answers = [&[Outcome::Acknowledged { status: 204 }][..], &vec![failed(); 2]].concat();
    let target = Liar::new("idp", &answers, &[]);
    let folder = tempfile::tempdir().unwrap();
    let running = listed_with(folder.path(), &[&target], quick(1));
    by_hand(&running, "revoke").await;
    running.until(|rows| verified(rows, "idp", 1)).await;
    by_hand(&running, "reinstate").await;
    let dead = |rows: &[DeliveryRow]| rows.iter().find(|row| row.state == DeliveryState::Dead).cloned();
    let rows = running.until(|rows| dead(rows).is_some()).await;
    let given_up = dead(&rows).unwrap().cursor;
    by_hand(&running, "revoke").await;
    // Though the newer is still on its way there.
    let since = "agent.access.revoked".to_owned();
    let outdated = Redelivered::Outdated { target: "idp".to_owned(), since };
    let again = async |delivery: i64| {
        running.revoker.redeliver(delivery, "ann".to_owned(), system_time()).await.unwrap()
    };
    assert_eq!(again(given_up).await, outdated);
    let rows = running.until(|rows| verified(rows, "idp", 2)).await;
    assert_eq!(again(given_up).await, outdated);

    let told = target.told.lock().unwrap().len();
    let left = running.deliveries().await;
    assert_eq!(left.iter().find(|row| row.cursor == given_up).unwrap().state, DeliveryState::Withdrawn);
    // The newest there is may go again.
    let newest = rows.iter().map(|row| row.cursor).max().unwrap();
    assert_eq!(again(newest).await, Redelivered::Sent);
    running.until(|rows| verified(rows, "idp", 2)).await;
    assert_eq!(target.told.lock().unwrap()[told..], ["agent.access.revoked"]);
    running.stop().await.verify_audit(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_target_that_fails_whatever_it_is_sent_is_tried_with_one_message_at_a_time() {
    let down = Liar::new("down", &vec![failed(); 1_000], &[]);
    let folder = tempfile::tempdir().unwrap();
    let running = listed(folder.path(), &[&down]);
    for n in 0..200 {
        revoke(&running.revoker, n, &format!("agent-{n}"));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let tried = down.told.lock().unwrap().len();
    assert!((5..=40).contains(&tried), "{tried} attempts in two seconds");
    running.stop().await;
}
