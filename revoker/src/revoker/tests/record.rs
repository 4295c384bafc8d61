//! Verdicts in, decisions and a durable record out.

use detector::MicroBits;

use super::*;
use crate::lifecycle::Input;
use crate::revoker::memory::Limits;
use crate::standing::Standing;
use crate::testing::{at, damning, looping, raw, record, request, setup, unattested};

#[test]
fn a_verdict_is_answered_once_however_often_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let verdict = record(1, at(0), "mailer", 9.0);
    let first = handle(&revoker, &verdict);
    assert!(is_challenged(&first));
    let after = counts(folder.path());
    assert_eq!(after, [1, 1, 1, 1, 1, 1, 1]);

    assert_eq!(handle(&revoker, &verdict), first);
    let revoker = reopened(folder.path(), revoker);
    assert_eq!(handle(&revoker, &verdict), first);
    // Later verdicts on the same story open no second question.
    assert_eq!(handle(&revoker, &record(2, at(1), "mailer", 9.5)).admission, first.admission);
    assert_eq!(counts(folder.path()), after);
}

#[test]
fn a_loop_is_challenged_once_and_everybody_is_told_by_which_rule() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let first = handle(&revoker, &looping(1, at(0), "mailer"));
    assert!(is_challenged(&first));
    let (alert, after) = (first.alert.unwrap(), counts(folder.path()));
    let said = "rule: the same call 301 times within a minute; 300 is the limit";
    assert_eq!((alert.reasons[0].as_str(), alert.rule.map(|rule| rule.observed)), (said, Some(301)));
    assert!(alert.score < MicroBits::ZERO, "the level stays what it was: {}", alert.score);
    let db = raw(folder.path());
    let body: Vec<u8> = db.query_row("SELECT body FROM events", [], |row| row.get(0)).unwrap();
    let data = serde_json::from_slice::<serde_json::Value>(&body).unwrap()["data"].clone();
    assert_eq!(
        (&data["reasons"][0], &data["evidence"]["rule"]["kind"]),
        (&said.into(), &"repeated_call".into())
    );
    for n in 2..100 {
        let again = handle(&revoker, &looping(n, at(n.into()), "mailer"));
        assert_eq!((again.admission, again.alert), (first.admission, None));
    }
    assert_eq!(counts(folder.path()), after);
}

#[test]
fn what_a_line_does_is_told_by_the_name_of_its_head() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let mut verdict = record(1, at(0), "helper", 9.0);
    verdict.line = Some("planner".to_owned());
    let part = &mut verdict.verdict.parts[0];
    (part.signal, part.pattern) = (detector::Signal::Volume, detector::Pattern::ManyChildren);
    (part.observed, part.expected, part.window_ms) = (50.0, 3.0, 3_600_000);
    let alert = handle(&revoker, &verdict).alert.unwrap();
    let said = "+9.0 bits: 50 sub-agents in the line of `planner` in 1 h where about 3 are expected";
    assert!(alert.reasons[0].starts_with(said), "{:?}", alert.reasons);
    assert_eq!(alert.line.as_deref(), Some("planner"));
    let db = raw(folder.path());
    let body: Vec<u8> = db.query_row("SELECT body FROM events", [], |row| row.get(0)).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["data"]["evidence"]["line"], "planner");
}

#[test]
fn an_answer_stays_the_same_after_the_agent_moved_on() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let verdict = record(1, at(0), "mailer", 9.0);
    let first = handle(&revoker, &verdict);
    handle(&revoker, &damning(2, at(1), "mailer"));
    assert_eq!(standing(&revoker, "mailer"), "revoked");
    assert_eq!(handle(&revoker, &verdict), first);
    assert_eq!(standing(&revoker, "mailer"), "revoked");
}

#[test]
fn what_changes_nothing_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let (changes, before) = (revoker.changes(), counts(folder.path()));
    for n in 0..1_000 {
        let decision = handle(&revoker, &record(n, at(n.into()), &format!("agent-{}", n % 7), 1.0));
        assert_eq!((decision.admission, decision.alert), (Admission::Go, None));
    }
    assert_eq!(counts(folder.path()), before);
    assert!(!changes.has_changed().unwrap());

    // A watched agent's normal calls are counted in memory and written down now and then.
    handle(&revoker, &record(2_000, at(2_000), "agent-0", 3.0));
    let mut changes = revoker.changes();
    let mut commits = 0;
    for n in 2_001..2_050 {
        handle(&revoker, &record(n, at(2_000), "agent-0", 0.0));
        commits += usize::from(changes.has_changed().unwrap());
        changes.mark_unchanged();
    }
    assert_eq!(commits, 4);
}

#[test]
fn normal_calls_survive_a_restart_but_for_the_last_few() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    handle(&revoker, &record(1, at(0), "mailer", 3.0));
    for n in 2..29 {
        handle(&revoker, &record(n, at(1), "mailer", 0.0));
    }
    let calm = |revoker: &Revoker| match revoker.standing(Some("https://idp.example"), "mailer") {
        Standing::Watched(w) => w.calm.calls,
        other => panic!("{other:?}"),
    };
    assert_eq!(calm(&revoker), 27);
    let revoker = reopened(folder.path(), revoker);
    assert_eq!(calm(&revoker), 20);
    // An abnormal call is never forgotten in favour of the calm before it.
    handle(&revoker, &record(30, at(2), "mailer", 3.0));
    let revoker = reopened(folder.path(), revoker);
    assert_eq!(calm(&revoker), 0);
}

#[test]
fn revoked_by_evidence_and_told_whom_when_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let decision = handle(&revoker, &damning(1, at(0), "mailer"));
    assert_eq!(decision.admission, Admission::Revoked { not_before: at(0) });
    let body: Vec<u8> =
        raw(folder.path()).query_row("SELECT body FROM events", [], |row| row.get(0)).unwrap();
    let mut body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["data"]["reasons"].take(), serde_json::json!(damning(1, at(0), "mailer").reasons()));
    assert_eq!(body["data"]["policy"].take(), crate::testing::policy().version());
    insta::assert_snapshot!(serde_json::to_string_pretty(&body).unwrap(), @r#"
    {
      "data": {
        "cause": "evidence",
        "event": "revoked",
        "evidence": {
          "actor": {
            "because": [],
            "is": "unclear"
          },
          "bits": 40.0,
          "endpoint": "s3:DeleteBucket",
          "event_id": "event-1",
          "instance_id": null,
          "layers": {
            "behaviour": "silent",
            "context": "silent",
            "identity": "silent",
            "oversight": "silent",
            "runtime": "silent"
          },
          "sentence": "`s3:DeleteBucket` is 1 % of what it calls by its own past and its peers'; 40.0 bits, less than once in a thousand years for this agent",
          "session_id": "session-1",
          "token_id": null,
          "ts": "2026-03-02T09:00:00Z",
          "verdict_id": "00000000000000000000000000000001"
        },
        "issuer": "https://idp.example",
        "not_before": "2026-03-02T09:00:00Z",
        "policy": null,
        "reasons": null,
        "sequence": 1,
        "standing": "revoked",
        "subject": "mailer",
        "txn": "00000000000000000000000000000001"
      },
      "timestamp": "2026-03-02T09:00:00Z",
      "type": "agent.access.revoked"
    }
    "#);
    let alert = decision.alert.unwrap();
    assert_eq!((alert.action.as_str(), alert.standing.as_str(), alert.shadow), ("revoke", "revoked", false));
    assert_eq!((alert.event_id.as_str(), alert.agent()), ("event-1", agent("mailer")));
    assert_eq!(alert.alert_id, crate::alert::alert_id(detector::VerdictId(1)));
}

#[test]
fn nobody_is_revoked_by_what_anybody_could_have_written() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let decision = handle(&revoker, &unattested(damning(1, at(0), "mailer")));
    assert!(is_challenged(&decision));
    for n in 2..50 {
        assert!(is_challenged(&handle(&revoker, &unattested(damning(n, at(n.into()), "mailer")))));
    }
    assert_eq!(events(folder.path()), ["agent.challenged"]);
}

#[test]
fn the_same_name_under_another_issuer_is_another_agent() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    handle(&revoker, &damning(1, at(0), "mailer"));
    let mut other = record(2, at(1), "mailer", 0.0);
    other.issuer = None;
    assert_eq!(handle(&revoker, &other).admission, Admission::Go);
    assert_eq!(revoker.standing(None, "mailer"), Standing::Trusted);
    assert_eq!(standing(&revoker, "mailer"), "revoked");
}

#[tokio::test]
async fn one_story_has_one_name_from_the_first_evidence_on() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    handle(&revoker, &record(7, at(0), "mailer", 3.0));
    let decision = handle(&revoker, &request(8, at(1), "mailer", 9.0));
    let Admission::Challenged { case, .. } = decision.admission else { panic!("{decision:?}") };
    let attack = Input::Attack { case, by: "ann".to_owned() };
    let applied = revoker.write(move |w| w.apply(&agent("mailer"), attack, at(2))).await.unwrap();
    assert_eq!(applied.standing.name(), "revoked");

    let page = crate::store::Page::new(100, None);
    let audit = revoker.audit_of(agent("mailer"), page).await.unwrap();
    let first = "00000000000000000000000000000007";
    assert_eq!(audit.len(), 3);
    assert!(audit.iter().all(|entry| entry.txn.as_str() == first), "{audit:?}");
    let told = revoker.deliveries_of(first.to_owned(), page).await.unwrap();
    let kinds: Vec<&str> = told.iter().rev().map(|d| d.kind.as_str()).collect();
    assert_eq!(kinds, ["agent.challenged", "agent.access.revoked"]);
    revoker.verify_audit(Vec::new()).await.unwrap();
}

#[test]
fn there_is_room_for_so_many_and_what_restrains_is_never_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { watched_max: 10, challenged_max: 3 };
    let revoker = Revoker::open_with(folder.path(), setup(&[]), limits).unwrap();
    for n in 0..30 {
        handle(&revoker, &record(n, at(n.into()), &format!("watched-{n}"), 3.0));
    }
    assert!(count(folder.path(), "agents") <= 11);
    assert_eq!(standing(&revoker, "watched-0"), "trusted");
    assert_eq!(standing(&revoker, "watched-29"), "watched");

    for n in 100..110 {
        handle(&revoker, &record(n, at(n.into()), &format!("asked-{n}"), 9.0));
    }
    assert_eq!(count(folder.path(), "approvals"), 3);
    let over = handle(&revoker, &record(200, at(200), "one-more", 9.0)).alert.unwrap();
    assert_eq!((over.shadow, over.standing.as_str()), (true, "watched"));
    // Evidence for a revocation goes on to revoke, and makes room for a question.
    handle(&revoker, &damning(300, at(300), "one-more"));
    handle(&revoker, &damning(301, at(301), "asked-100"));
    assert_eq!((standing(&revoker, "one-more"), standing(&revoker, "asked-100")), ("revoked", "revoked"));
    assert!(is_challenged(&handle(&revoker, &record(302, at(302), "asked-109", 9.0))));
}
