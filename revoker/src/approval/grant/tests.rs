//! Grants against a record that somebody has been at.

use std::time::Duration;

use detector::VerdictRecord;

use super::{Grant, GrantRefused, ResumeId, admit};
use crate::approval::{Approval, ApprovalId, Choice};
use crate::keys::Keys;
use crate::store::approvals::{self, Ask, SCHEMA};
use crate::store::db::{self, Connection};
use crate::testing::{self, at};

fn record() -> VerdictRecord {
    testing::record(1, at(0), "billing", 8.0)
}

/// A record with one approved question; its id and grant.
fn approved(db: &mut Connection, keys: &Keys) -> (ApprovalId, Grant) {
    db.execute_batch(SCHEMA).unwrap();
    let tx = db.transaction().unwrap();
    let record = record();
    let expires_at = at(0) + Duration::from_mins(15);
    let ask = Ask { case: "c1", alert_id: "a1", record: &record, expires_at, policy: "p1" };
    let id: ApprovalId = approvals::open(&tx, &ask, at(0)).unwrap().approval_id.parse().unwrap();
    let approval = approvals::by_id(&tx, &id).unwrap().unwrap();
    let grant = Grant::of(keys, &approval);
    let given = Some((grant.digest(), at(0) + Duration::from_mins(5)));
    assert!(approvals::settle(&tx, &id, (Choice::Approve, "alice"), given, at(0)).unwrap());
    tx.commit().unwrap();
    (id, grant)
}

fn resumed(db: &mut Connection, keys: &Keys, grant: &Grant) -> db::Result<Result<(), GrantRefused>> {
    let resume: ResumeId = "r1".parse().unwrap();
    let tx = db.transaction()?;
    let action = super::Action::of_record(&record());
    Ok(admit(&tx, keys, (grant, &resume), (&action, "e2"), at(0))?.map(|_| ()))
}

#[test]
fn a_row_that_was_changed_after_the_yes_admits_nothing() {
    let keys = Keys::from_secret(&[7; 32]).unwrap();
    let more_evidence = "record = replace(record, '8.0', '9.0')";
    for change in ["expires_at = expires_at + 1", "policy = 'p2'", "case_id = 'c2'", more_evidence] {
        let mut db = Connection::open_in_memory().unwrap();
        let (_, grant) = approved(&mut db, &keys);
        assert_eq!(resumed(&mut db, &keys, &grant).unwrap(), Ok(()), "before: {change}");
        assert_eq!(db.execute(&format!("UPDATE approvals SET {change}"), []).unwrap(), 1);
        assert_eq!(resumed(&mut db, &keys, &grant).unwrap(), Err(GrantRefused::Unknown), "{change}");
    }
    let mut db = Connection::open_in_memory().unwrap();
    let (_, grant) = approved(&mut db, &keys);
    db.execute("UPDATE approvals SET record = replace(record, 's3:DeleteBucket', 's3:GetObject')", [])
        .unwrap();
    assert!(resumed(&mut db, &keys, &grant).is_err(), "another act in an old question is damage");
}

#[test]
fn another_installations_key_makes_no_grant_of_this_one() {
    let (ours, theirs) = (Keys::from_secret(&[7; 32]).unwrap(), Keys::from_secret(&[8; 32]).unwrap());
    let mut db = Connection::open_in_memory().unwrap();
    let (id, grant) = approved(&mut db, &ours);
    let approval: Approval = approvals::by_id(&db, &id).unwrap().unwrap();
    assert_ne!(Grant::of(&theirs, &approval), grant);
    assert_eq!(resumed(&mut db, &theirs, &grant).unwrap(), Err(GrantRefused::Unknown));
}

#[test]
fn a_grant_is_kept_nowhere() {
    let keys = Keys::from_secret(&[7; 32]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revoker.db");
    let grant = approved(&mut Connection::open(&path).unwrap(), &keys).1;
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.windows(5).any(|w| w == b"alice"), "the row is there");
    let secret = grant.expose().strip_prefix("tgr_").unwrap().as_bytes();
    assert!(!bytes.windows(secret.len()).any(|w| w == secret));
    assert_eq!(format!("{grant:?}"), "Grant(…)");
}

#[test]
fn old_questions_are_forgotten_and_what_hangs_on_them_too() {
    let keys = Keys::from_secret(&[7; 32]).unwrap();
    let mut db = Connection::open_in_memory().unwrap();
    db.sqlite().pragma_update(None, "foreign_keys", true).unwrap();
    let (id, grant) = approved(&mut db, &keys);
    assert_eq!(resumed(&mut db, &keys, &grant).unwrap(), Ok(()));
    let record = record();
    for (case, days, kept) in [("c2", 400, true), ("c3", 401, false)] {
        let now = at(0) + Duration::from_hours(days * 24);
        let tx = db.transaction().unwrap();
        let ask = Ask { case, alert_id: "a2", record: &record, expires_at: now, policy: "p1" };
        approvals::open(&tx, &ask, now).unwrap();
        tx.commit().unwrap();
        assert_eq!(approvals::by_id(&db, &id).unwrap().is_some(), kept, "after {days} days");
    }
}
