//! What persons and time do.

use std::time::Duration;

use detector::Trust;

use super::*;
use crate::lifecycle::Input;
use crate::revoker::ApplyError;
use crate::standing::{Phase, Standing};
use crate::store::register::{Accountable, Signature};
use crate::store::{Page, kin};
use crate::testing::{at, damning, record, request};
use crate::whom::Scope;

fn ann() -> String {
    "ann".to_owned()
}

fn because() -> String {
    "because".to_owned()
}

#[tokio::test]
async fn revoked_and_reinstated_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let key = agent("mailer");
    let refused = revoker.revoke(key.clone(), ann(), "  ".to_owned(), at(0)).await;
    assert!(matches!(refused, Err(ApplyError::NoReason)));
    revoker.revoke(key.clone(), ann(), because(), at(0)).await.unwrap();
    let refused = revoker.revoke(key.clone(), ann(), because(), at(1)).await;
    assert!(matches!(refused, Err(ApplyError::NotAllowed { standing: "revoked" })));
    let listed = revoker.revocation(key.clone(), None).await.unwrap().unwrap();
    assert_eq!((listed.not_before, listed.until), (at(0), None));

    let revoker = reopened(folder.path(), revoker);
    assert_eq!(standing(&revoker, "mailer"), "revoked");
    revoker.reinstate(key.clone(), ann(), because(), at(60)).await.unwrap();
    assert_eq!(standing(&revoker, "mailer"), "probation");
    // Tokens from before stay void.
    let listed = revoker.revocation(key.clone(), None).await.unwrap().unwrap();
    assert_eq!((listed.not_before, listed.until.is_some()), (at(0), true));
    assert_eq!(events(folder.path()), ["agent.access.revoked", "agent.reinstated"]);
    let refused = revoker.reinstate(key, ann(), because(), at(61)).await;
    assert!(matches!(refused, Err(ApplyError::NotAllowed { standing: "probation" })));
}

#[tokio::test]
async fn what_a_person_said_stands_in_the_next_alert_as_a_layer() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let oversight = |n, s, bits| {
        let decision = handle(&revoker, &record(n, at(s), "mailer", bits));
        decision.alert.map(|alert| alert.layers.oversight)
    };
    assert_eq!(oversight(1, 0, 9.0), Some(Trust::Silent), "nobody was asked");
    revoker.reinstate(agent("mailer"), ann(), because(), at(60)).await.unwrap();
    assert_eq!(oversight(2, 120, 40.0), Some(Trust::Agrees));
    revoker.retire(agent("mailer"), ann(), because(), at(180)).await.unwrap();
    assert_eq!(oversight(3, 240, 40.0), Some(Trust::Doubts));
}

#[tokio::test]
async fn retirement_revokes_and_is_final() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let (live, gone) = (agent("live"), agent("gone"));
    revoker.revoke(gone.clone(), ann(), because(), at(0)).await.unwrap();
    for key in [&live, &gone] {
        revoker.retire(key.clone(), ann(), because(), at(60)).await.unwrap();
        let listed = revoker.revocation(key.clone(), None).await.unwrap().unwrap();
        assert_eq!((listed.not_before, listed.until), (at(60), None));
        let back = revoker.reinstate(key.clone(), ann(), because(), at(61)).await;
        assert!(matches!(back, Err(ApplyError::NotAllowed { standing: "retired" })));
    }
    let told = ["agent.access.revoked", "agent.access.revoked", "agent.retired", "agent.retired"];
    assert_eq!(events(folder.path()), told);
}

#[tokio::test]
async fn time_expires_questions_and_ends_suspensions() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    handle(&revoker, &record(1, at(0), "asked", 9.0));
    revoker.suspend(agent("stopped"), ann(), because(), at(600), at(0)).await.unwrap();
    let past = revoker.suspend(agent("other"), ann(), because(), at(0), at(0)).await;
    assert!(matches!(past, Err(ApplyError::Past)));

    let revoker = reopened(folder.path(), revoker);
    revoker.tick(at(599)).await.unwrap();
    assert_eq!(standing(&revoker, "stopped"), "suspended");
    revoker.tick(at(900)).await.unwrap();
    assert_eq!(standing(&revoker, "stopped"), "probation");
    let Standing::Challenged(c) = revoker.standing(Some("https://idp.example"), "asked") else { panic!() };
    assert_eq!(c.phase, Phase::Expired);
    assert_eq!(events(folder.path()).len(), 4);
    revoker.tick(at(5_000)).await.unwrap();
    assert_eq!(events(folder.path()).len(), 4);
}

#[tokio::test]
async fn an_answer_that_comes_too_late_finds_the_question_expired() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let Admission::Challenged { case, .. } = handle(&revoker, &record(1, at(0), "mailer", 9.0)).admission
    else {
        panic!()
    };
    let seen = detector::MicroBits::from_bits(9.0);
    let approve = Input::Approved { case, by: ann(), seen };
    // Nobody ticked in between; the transaction settles what is due itself.
    let late = revoker
        .write(move |w| Ok::<_, ApplyError>(w.apply(&agent("mailer"), approve, at(900))))
        .await
        .unwrap();
    assert!(matches!(late, Err(ApplyError::NotThisCase { standing: "challenged" })));
    assert_eq!(events(folder.path()), ["agent.challenged", "agent.challenge.expired"]);
    // Asking again opens a new question.
    let again = handle(&revoker, &request(2, at(901), "mailer", 9.0));
    assert!(matches!(again.admission, Admission::Challenged { case: new, .. } if new != case));
}

#[tokio::test]
async fn a_pause_outlives_a_restart_and_records_what_would_have_been() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    revoker.pause(Scope::default(), None, ann(), "deploying".to_owned(), at(0)).await.unwrap();
    let revoker = reopened(folder.path(), revoker);
    assert_eq!(revoker.pauses()[0].reason, "deploying");

    let verdict = damning(1, at(1), "mailer");
    let alert = handle(&revoker, &verdict).alert.unwrap();
    assert_eq!((alert.shadow, alert.would_have), (true, Some(crate::policy::Demand::Revoke)));
    assert_eq!(handle(&revoker, &damning(2, at(2), "mailer")).alert, None);
    assert_eq!(events(folder.path()), Vec::<String>::new());
    // Persons are not paused.
    revoker.revoke(agent("other"), ann(), because(), at(3)).await.unwrap();

    revoker.unpause(Scope::default(), ann(), "done".to_owned(), at(4)).await.unwrap();
    assert_eq!(revoker.pauses(), []);
    assert!(matches!(handle(&revoker, &damning(3, at(5), "mailer")).admission, Admission::Revoked { .. }));
}

#[tokio::test]
async fn lists_go_page_by_page_newest_first() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    for n in 0..5 {
        handle(&revoker, &record(n, at(n.into()), &format!("agent-{n}"), 9.0));
    }
    let first = revoker.standings(Page::new(2, None)).await.unwrap();
    let names = |rows: &[crate::store::agents::StandingRow]| {
        rows.iter().map(|row| row.agent.agent_id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&first), ["agent-4", "agent-3"]);
    let next = revoker.standings(Page::new(9, Some(first[1].cursor))).await.unwrap();
    assert_eq!(names(&next), ["agent-2", "agent-1", "agent-0"]);

    let alerts = revoker.alerts(Page::new(3, None)).await.unwrap();
    assert_eq!(
        alerts.iter().map(|a| a.alert.agent_id.as_str()).collect::<Vec<_>>(),
        ["agent-4", "agent-3", "agent-2"]
    );
    let older = revoker.alerts(Page::new(3, Some(alerts[2].cursor))).await.unwrap();
    assert_eq!(older.len(), 2);
    assert_eq!(revoker.deliveries(Page::new(3, None), None).await.unwrap().len(), 3);
}

#[tokio::test]
async fn what_is_too_old_goes_and_what_is_in_force_stays() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let verdict = damning(1, at(0), "mailer");
    handle(&revoker, &verdict);
    revoker.revoke(agent("other"), ann(), because(), at(0)).await.unwrap();
    revoker.reinstate(agent("other"), ann(), because(), at(1)).await.unwrap();
    for what in ["task evt-1", "until 2026-01-01T00:00:00Z"] {
        let first = revoker.write(move |w| kin::is_first(w.tx(), &agent("other"), what, at(0))).await;
        assert!(first.unwrap(), "{what}");
    }
    let day = |n: i64| later(&verdict, n * 86_400);
    while revoker.sweep(day(89)).await.unwrap() {}
    assert_eq!(count(folder.path(), "once"), 2);
    assert_eq!(counts(folder.path()), [2, 3, 3, 1, 0, 1, 3]);
    while revoker.sweep(day(91)).await.unwrap() {}
    // What was never delivered is given up first, and that is an entry of its own.
    assert_eq!(counts(folder.path()), [2, 0, 0, 0, 0, 0, 4]);
    while revoker.sweep(day(1_000)).await.unwrap() {}
    assert_eq!(counts(folder.path()), [2, 0, 0, 0, 0, 0, 1]);
    assert_eq!(count(folder.path(), "revocations"), 1);
    assert_eq!(count(folder.path(), "once"), 1, "a declared end is not done again");
    assert_eq!(standing(&revoker, "mailer"), "revoked");
    let verified = revoker.verify_audit(Vec::new()).await.unwrap();
    assert_eq!(verified.entries, 1);
    assert!(at(0) + Duration::from_secs(1) > at(0));
}

#[tokio::test]
async fn who_answers_for_an_agent_and_who_looked_at_it_is_on_record_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let key = agent("mailer");
    let owned = |owner: &str| Accountable {
        owner: Some(owner.to_owned()),
        approvers: vec!["Dana".to_owned()],
        ..Accountable::default()
    };
    revoker.review(key.clone(), Some("v3".to_owned()), ann(), because(), at(5)).await.unwrap();
    let nameless = revoker.register(key.clone(), owned(" "), ann(), because(), at(6)).await;
    assert!(matches!(nameless, Err(ApplyError::Names { .. })));
    revoker.register(key.clone(), owned("sales"), ann(), because(), at(6)).await.unwrap();
    let revoker = reopened(folder.path(), revoker);
    let entry = revoker.register(key.clone(), owned("payments"), ann(), because(), at(7)).await.unwrap();
    assert_eq!(revoker.registrations().await.unwrap(), std::slice::from_ref(&entry));
    assert_eq!(entry.accountable, owned("payments"));
    let signed = |s: Option<Signature>| s.map(|s| (s.at, s.by));
    assert_eq!(signed(entry.registered), Some((at(7), ann())));
    assert_eq!(
        (signed(entry.reviewed), entry.reviewed_manifest.as_deref()),
        (Some((at(5), ann())), Some("v3"))
    );
    // It is in the audit, and where the agent stands is as before.
    let audit = revoker.audit_of(key, Page::new(10, None)).await.unwrap();
    let kinds: Vec<&str> = audit.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(kinds, ["agent.registered", "agent.registered", "agent.reviewed"]);
    assert_eq!(
        (&audit[0].body["by"], &audit[0].body["accountable"]["owner"]),
        (&"ann".into(), &"payments".into())
    );
    assert_eq!(standing(&revoker, "mailer"), "trusted");
}
