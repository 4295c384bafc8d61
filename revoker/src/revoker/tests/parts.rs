//! One session is ended, and the agent's others go on.

use detector::MicroBits;
use serde_json::{Value, json};

use super::*;
use crate::connector::Route;
use crate::part::{Part, PartKind};
use crate::revoker::ApplyError;
use crate::testing::{at, damning, record, request, setup};

fn of_session(mut record: VerdictRecord, session: &str) -> VerdictRecord {
    record.session_id = Some(session.to_owned());
    record
}

/// A normal call of a session.
fn normal(n: u32, s: i64, session: &str) -> VerdictRecord {
    let mut record = of_session(record(n, at(s), "mailer", 0.0), session);
    record.verdict.added = MicroBits::ZERO;
    record
}

fn session(id: &str) -> Part {
    Part::new(PartKind::Session, id).unwrap()
}

fn ended(revoker: &Revoker, id: &str) -> bool {
    revoker.ended_part(&agent("mailer"), &[session(id)]).is_some()
}

/// What targets were told last.
fn told(folder: &Path) -> Value {
    let db = crate::testing::raw(folder);
    let body: Vec<u8> =
        db.query_row("SELECT body FROM events ORDER BY seq DESC LIMIT 1", [], |row| row.get(0)).unwrap();
    serde_json::from_slice::<Value>(&body).unwrap()["data"].clone()
}

/// Session 2 calls as ever, session 1 does not.
fn hijacked_in_one(revoker: &Revoker) -> Decision {
    handle(revoker, &normal(1, 0, "session-2"));
    handle(revoker, &damning(2, at(10), "mailer"))
}

#[tokio::test]
async fn the_session_is_listed_and_refused_and_what_it_still_does_ends_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let decision = hijacked_in_one(&revoker);
    assert_eq!(decision.admission, Admission::Go);
    assert_eq!(standing(&revoker, "mailer"), "watched");
    assert!(ended(&revoker, "session-1") && !ended(&revoker, "session-2"));
    let data = told(folder.path());
    assert_eq!(
        (&data["event"], &data["part"]),
        (&json!("revoked"), &json!({ "kind": "session", "id": "session-1" }))
    );
    let (_, listed) = revoker.revocations(0, 10).await.unwrap();
    assert_eq!(listed.iter().map(|row| row.part.clone()).collect::<Vec<_>>(), [Some(session("session-1"))]);

    let revoker = reopened(folder.path(), revoker);
    assert!(ended(&revoker, "session-1"));
    // It asks and is refused; another goes on; a call of its own that was under way is within the tolerance of clocks.
    handle(&revoker, &request(3, at(20), "mailer", 41.0));
    handle(&revoker, &normal(4, 30, "session-2"));
    handle(&revoker, &damning(5, at(12), "mailer"));
    assert_eq!(standing(&revoker, "mailer"), "watched");
    handle(&revoker, &damning(6, at(40), "mailer"));
    assert_eq!(standing(&revoker, "mailer"), "revoked");
    assert_eq!(events(folder.path()), ["agent.access.revoked", "agent.still_acting", "agent.access.revoked"]);
    assert_eq!(
        (&told(folder.path())["part"], &told(folder.path())["standing"]),
        (&Value::Null, &json!("revoked"))
    );
}

#[test]
fn whom_a_target_cannot_end_alone_is_ended_whole_and_it_is_said_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut coarse = setup(&["idp"]);
    coarse.routes.push(Route { name: "coarse".to_owned(), enforces: true, ..Route::default() });
    let revoker = crate::testing::open_as(folder.path(), coarse);
    hijacked_in_one(&revoker);
    assert_eq!(standing(&revoker, "mailer"), "revoked");
    let data = told(folder.path());
    assert_eq!(data["in_place_of"], "session");
    let said = data["reasons"].as_array().unwrap().last().unwrap().as_str().unwrap();
    assert!(said.contains("not every target can end alone"), "{said}");
}

#[tokio::test]
async fn of_one_key_in_many_sessions_the_key_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let of_key = |record: VerdictRecord, session: &str, key: &str| VerdictRecord {
        key_thumbprint: Some(key.to_owned()),
        ..of_session(record, session)
    };
    let part = |id: &str| Part::new(PartKind::Key, id).unwrap();
    // The evidence is of two sessions, either of which alone is not all of it, and of one key.
    handle(&revoker, &of_key(normal(1, 0, "a"), "a", "good"));
    let mut first = of_key(record(2, at(5), "mailer", 5.0), "b", "stolen");
    first.verdict.added = MicroBits::from_bits(5.0);
    handle(&revoker, &first);
    handle(&revoker, &of_key(damning(3, at(10), "mailer"), "c", "stolen"));
    assert_eq!(standing(&revoker, "mailer"), "watched");
    assert_eq!(told(folder.path())["part"], json!({ "kind": "key", "id": "stolen" }));
    let (_, listed) = revoker.revocations(0, 10).await.unwrap();
    assert_eq!(listed.iter().map(|row| row.part.clone()).collect::<Vec<_>>(), [Some(part("stolen"))]);
    let revoker = reopened(folder.path(), revoker);
    let is_ended = |key| revoker.ended_part(&agent("mailer"), &[part(key)]).is_some();
    assert!(is_ended("stolen") && !is_ended("good"));
    // A new token of the same key, in a new session, is the same key.
    handle(&revoker, &of_key(normal(4, 40, "d"), "d", "stolen"));
    assert_eq!(standing(&revoker, "mailer"), "revoked");
}

#[test]
fn what_an_ended_session_did_is_no_safe_act_of_another_while_a_human_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    handle(&revoker, &normal(1, 0, "session-2"));
    let call =
        |record: VerdictRecord, endpoint: &str| VerdictRecord { endpoint: endpoint.to_owned(), ..record };
    handle(&revoker, &call(damning(2, at(10), "mailer"), "list_users"));
    assert!(ended(&revoker, "session-1"));
    handle(&revoker, &call(of_session(record(3, at(20), "mailer", 50.0), "session-2"), "send_email"));
    assert_eq!(standing(&revoker, "mailer"), "challenged");
    let read = |n: u32, endpoint: &str| {
        let record = of_session(request(n, at(20 + i64::from(n)), "mailer", 0.0), "session-2");
        handle(&revoker, &call(record, endpoint)).let_through.is_some()
    };
    assert!(read(4, "list_rooms") && !read(5, "list_users"));
}

#[test]
fn who_has_no_other_session_is_ended_whole() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    handle(&revoker, &normal(1, 0, "session-1"));
    handle(&revoker, &damning(2, at(10), "mailer"));
    assert_eq!(standing(&revoker, "mailer"), "revoked");
}

#[tokio::test]
async fn persons_end_and_give_back_what_they_name() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let (ann, why) = (|| "ann".to_owned(), || "because".to_owned());
    let revoke = |id: &str, s| revoker.revoke_part(agent("mailer"), session(id), ann(), why(), at(s));
    revoke("a", 0).await.unwrap();
    assert!(matches!(revoke("a", 1).await, Err(ApplyError::NotThisPart { ended: true })));
    assert!(ended(&revoker, "a") && standing(&revoker, "mailer") == "trusted");
    let back = |id: &str, s| revoker.reinstate_part(agent("mailer"), session(id), ann(), why(), at(s));
    back("a", 2).await.unwrap();
    assert!(matches!(back("a", 3).await, Err(ApplyError::NotThisPart { ended: false })));
    assert!(!ended(&revoker, "a"));
    assert_eq!(events(folder.path()), ["agent.access.revoked", "agent.reinstated"]);
    assert_eq!(told(folder.path())["part"]["id"], "a");
    for n in 0..super::super::parts::PARTS_MAX {
        revoke(&format!("s-{n}"), 10).await.unwrap();
    }
    assert!(matches!(revoke("one more", 11).await, Err(ApplyError::Part)));
    // With so many gone the agent ends whole.
    handle(&revoker, &normal(1, 20, "session-2"));
    handle(&revoker, &damning(2, at(30), "mailer"));
    assert_eq!(standing(&revoker, "mailer"), "revoked");
}
