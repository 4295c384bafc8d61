//! Full disks, failed transactions, and ends at bad moments.

use super::*;
use crate::lifecycle::Input;
use crate::revoker::ApplyError;
use crate::store::StoreError;
use crate::testing::{at, damning, open_ungoverned, record, with_a_file};

#[tokio::test]
async fn a_transaction_that_fails_leaves_nothing_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    handle(&revoker, &record(1, at(0), "mailer", 3.0));
    let before = (counts(folder.path()), standing(&revoker, "mailer"));
    let changes = revoker.changes();
    let failed = revoker
        .write(|w| {
            let revoke = Input::Revoke { by: "ann".to_owned(), reason: "because".to_owned() };
            w.apply(&agent("mailer"), revoke, at(1))?;
            assert_eq!(w.standing(&agent("mailer")).name(), "revoked");
            Err::<(), ApplyError>(ApplyError::Past)
        })
        .await;
    assert!(matches!(failed, Err(ApplyError::Past)));
    assert_eq!((counts(folder.path()), standing(&revoker, "mailer")), before);
    assert!(!changes.has_changed().unwrap());
    assert_eq!(standing(&reopened(folder.path(), revoker), "mailer"), "watched");
}

#[test]
fn a_full_disk_is_told_and_the_same_verdict_succeeds_later() {
    let folder = with_a_file();
    let revoker = open_ungoverned(folder.path());
    let pages = |most: i64| {
        let writer = revoker.inner.store.writer();
        let db = writer.sqlite();
        db.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))
            .and_then(|now| db.pragma_update_and_check(None, "max_page_count", now.max(most), |_| Ok(())))
            .unwrap();
    };
    pages(0);
    let mut full = None;
    for n in 0..200 {
        let verdict = damning(n, at(n.into()), &format!("agent-{n}"));
        if let Err(e) = revoker.handle(&verdict, at(n.into())) {
            full = Some((verdict, e));
            break;
        }
    }
    let (verdict, error) = full.expect("the file cannot hold 200 revocations without growing");
    assert!(matches!(error, StoreError::Full) && error.may_pass(), "{error}");
    assert_eq!(standing(&revoker, &verdict.agent_id), "trusted");
    let before = counts(folder.path());

    pages(100_000);
    assert!(matches!(handle(&revoker, &verdict).admission, Admission::Revoked { .. }));
    let after = counts(folder.path());
    assert_eq!((after[1] - before[1], after[3] - before[3]), (1, 1));
}

#[test]
fn a_copy_taken_at_any_moment_opens_whole() {
    let folder = with_a_file();
    let revoker = open_ungoverned(folder.path());
    for n in 0..20 {
        let name = format!("agent-{n}");
        let decision = handle(&revoker, &damning(n, at(n.into()), &name));
        // The files as a crash would leave them: the WAL is not checkpointed, nothing is closed.
        let crashed = with_a_file();
        for file in ["revoker.db", "revoker.db-wal", "revoker.key"] {
            std::fs::copy(folder.path().join(file), crashed.path().join(file)).unwrap();
        }
        let again = open_ungoverned(crashed.path());
        assert_eq!(standing(&again, &name), "revoked");
        let all = i64::from(n) + 1;
        assert_eq!(counts(crashed.path()), [all, all, all, all, 0, all, all]);
        assert_eq!(handle(&again, &damning(n, at(n.into()), &name)), decision);
        assert_eq!(count(crashed.path(), "events"), all);
    }
}

#[test]
fn two_targets_of_one_name_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = Revoker::open(folder.path(), crate::testing::setup(&["idp", "siem", "idp"]));
    assert!(matches!(refused.err(), Some(crate::store::open::OpenError::TwoTargets(name)) if name == "idp"));
}
