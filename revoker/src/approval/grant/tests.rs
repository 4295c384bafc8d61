//! Grants against a record that somebody has been at.

use std::time::Duration;

use super::{Action, Claims, Grant, GrantRefused, Grants, ResumeId, Resumption, admit};
use crate::approval::{Approval, ApprovalId, Cause, Choice, Factor, Needs};
use crate::keys::Keys;
use crate::store::approvals::{self, Answer, Ask};
use crate::store::db::Connection;
use crate::store::open::in_memory;
use crate::store::register::Accountable;
use crate::store::settings;
use crate::testing::{self, at};

fn grants(secret: u8) -> Grants {
    Grants::new(&Keys::from_secret(&[secret; 32]).unwrap(), "https://tocsin.example").unwrap()
}

fn action() -> Action {
    Action::of_record(&testing::record(1, at(0), "billing", 8.0))
}

fn ask(case: &str, expires: i64) -> Ask<'_> {
    Ask {
        case,
        alert_id: "a1",
        cause: Cause::Evidence(Box::new(testing::record(1, at(0), "billing", 8.0))),
        arguments: None,
        needs: Needs::default(),
        people: Accountable::default(),
        expires_at: at(expires),
        policy: "p1",
    }
}

/// A record with one approved question; its id and grant.
fn approved(db: &mut Connection, grants: &Grants) -> (ApprovalId, Grant) {
    let tx = db.transaction().unwrap();
    let approval = approvals::open(&tx, ask("c1", 900), at(0)).unwrap();
    let grant = Some((approval.binding(), at(0) + Duration::from_mins(5), settings::epoch(&tx).unwrap()));
    let answer = Answer { choice: Choice::Approve, by: "alice", with: Factor::Totp, grant };
    assert!(approvals::settle(&tx, &approval.id, &answer, at(0)).unwrap());
    tx.commit().unwrap();
    let approval = approvals::by_id(db, &approval.id).unwrap().unwrap();
    let grant = grants.of(&approval).unwrap();
    (approval.id, grant)
}

fn resumed(
    db: &mut Connection,
    grants: &Grants,
    grant: &Grant,
) -> Result<Result<(), GrantRefused>, crate::store::StoreError> {
    let resume: ResumeId = "r1".parse().unwrap();
    let tx = db.transaction().unwrap();
    let resumption = Resumption { grant, resume: &resume, action: &action(), event_id: "e2" };
    Ok(admit(&tx, grants, &resumption, at(1))?.map(|_| ()))
}

#[test]
fn a_row_that_was_changed_after_the_yes_admits_nothing() {
    let more_evidence = "record = replace(record, '8.0', '9.0')";
    let changes = [
        "expires_at = expires_at + 1",
        "policy = 'p2'",
        "case_id = 'c2'",
        "approvers_min = 2",
        "factor_min = 'passkey'",
        "people = '{\"approvers\":[\"mallory\"]}'",
        more_evidence,
    ];
    for change in changes {
        let mut db = in_memory();
        let (_, grant) = approved(&mut db, &grants(7));
        assert_eq!(resumed(&mut db, &grants(7), &grant).unwrap(), Ok(()), "before: {change}");
        assert_eq!(db.execute(&format!("UPDATE approvals SET {change}"), []).unwrap(), 1);
        assert_eq!(resumed(&mut db, &grants(7), &grant).unwrap(), Err(GrantRefused::Unknown), "{change}");
    }
    let mut db = in_memory();
    let (_, grant) = approved(&mut db, &grants(7));
    db.execute("UPDATE approvals SET record = replace(record, 's3:DeleteBucket', 's3:GetObject')", [])
        .unwrap();
    assert!(resumed(&mut db, &grants(7), &grant).is_err(), "another act in an old question is damage");
}

#[test]
fn a_restored_record_admits_no_grant_of_before() {
    let mut db = in_memory();
    let (id, grant) = approved(&mut db, &grants(7));
    let tx = db.transaction().unwrap();
    settings::set_epoch(&tx, 1).unwrap();
    tx.commit().unwrap();
    assert_eq!(resumed(&mut db, &grants(7), &grant).unwrap(), Err(GrantRefused::Restored));
    // Nor is a new one made of the old yes.
    let approval = approvals::by_id(&db, &id).unwrap().unwrap();
    assert_eq!(grants(7).of(&approval), Some(grant));
}

#[test]
fn a_newer_question_makes_an_unused_grant_stale_and_a_used_one_stays_what_it_is() {
    let mut db = in_memory();
    let (_, grant) = approved(&mut db, &grants(7));
    let newer = |db: &mut Connection| {
        let tx = db.transaction().unwrap();
        approvals::open(&tx, ask("c2", 900), at(1)).unwrap();
        tx.commit().unwrap();
    };
    newer(&mut db);
    assert_eq!(resumed(&mut db, &grants(7), &grant).unwrap(), Err(GrantRefused::Stale));

    let mut db = in_memory();
    let (_, grant) = approved(&mut db, &grants(7));
    for _ in 0..2 {
        let resume: ResumeId = "r1".parse().unwrap();
        let tx = db.transaction().unwrap();
        let resumption = Resumption { grant: &grant, resume: &resume, action: &action(), event_id: "e2" };
        assert!(admit(&tx, &grants(7), &resumption, at(1)).unwrap().is_ok());
        tx.commit().unwrap();
        if approvals::by_case(&db, "c2").unwrap().is_none() {
            newer(&mut db);
        }
    }
}

#[test]
fn another_installations_key_makes_no_grant_of_this_one() {
    let mut db = in_memory();
    let (id, grant) = approved(&mut db, &grants(7));
    let approval: Approval = approvals::by_id(&db, &id).unwrap().unwrap();
    assert_ne!(grants(8).of(&approval).unwrap(), grant);
    assert_eq!(resumed(&mut db, &grants(8), &grant).unwrap(), Err(GrantRefused::Unknown));
}

#[test]
fn a_grant_says_what_was_approved_and_how_and_a_changed_one_says_nothing() {
    let mut db = in_memory();
    let (id, grant) = approved(&mut db, &grants(7));
    let claims: Claims = grants(7).read(&grant).unwrap();
    let approval = approvals::by_id(&db, &id).unwrap().unwrap();
    assert_eq!((claims.sub.as_str(), claims.sub_iss.as_deref()), ("billing", Some("https://idp.example")));
    assert_eq!((claims.exp - claims.iat, claims.auth_time), (300, claims.iat));
    assert_eq!(claims.acr, "urn:tocsin:acr:otp-number-match");
    assert_eq!(
        (claims.action_digest, claims.binding),
        (action().digest().to_string(), approval.binding().to_string())
    );
    assert_eq!(grants(7).of(&approval).unwrap(), grant, "every waiter gets the same one");

    let [header, body, signature] = grant.expose().split('.').collect::<Vec<_>>().try_into().unwrap();
    let other = body.replace(&body[20..24], "AAAA");
    for changed in [format!("{header}.{other}.{signature}"), format!("{header}.{body}.{}", "A".repeat(86))] {
        assert_eq!(grants(7).read(&changed.parse().unwrap()), None, "{changed}");
    }
    for none in ["", "a.b", "a.b.c.d", "a..c", "a.b.ü", &"a".repeat(5_000)] {
        assert!(none.parse::<Grant>().is_err(), "{none}");
    }
}

#[test]
fn a_grant_is_kept_nowhere() {
    let folder = testing::with_a_file();
    let revoker = testing::open(folder.path());
    drop(revoker);
    let path = folder.path().join("revoker.db");
    let grant = approved(&mut Connection::open(&path).unwrap(), &grants(7)).1;
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.windows(5).any(|w| w == b"alice"), "the row is there");
    let secret = grant.expose().rsplit('.').next().unwrap().as_bytes();
    assert!(!bytes.windows(secret.len()).any(|w| w == secret));
    assert_eq!(format!("{grant:?}"), "Grant(…)");
}

#[test]
fn old_questions_are_forgotten_and_what_hangs_on_them_too() {
    let mut db = in_memory();
    db.sqlite().pragma_update(None, "foreign_keys", true).unwrap();
    let (id, grant) = approved(&mut db, &grants(7));
    assert_eq!(resumed(&mut db, &grants(7), &grant).unwrap(), Ok(()));
    for (case, days, kept) in [("c2", 400, true), ("c3", 401, false)] {
        let now = at(0) + Duration::from_hours(days * 24);
        let tx = db.transaction().unwrap();
        approvals::open(&tx, Ask { expires_at: now, ..ask(case, 0) }, now).unwrap();
        tx.commit().unwrap();
        assert_eq!(approvals::by_id(&db, &id).unwrap().is_some(), kept, "after {days} days");
    }
}
