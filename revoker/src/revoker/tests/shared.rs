//! Two revokers on one record, as two processes are. Where the record is a file there is only one, and nothing to see.

use detector::Position;

use super::*;
use crate::lifecycle::Input;
use crate::testing::{at, damning, record};

/// Two of them with one key, and the folder; none where the record is a file.
fn pair() -> Option<(tempfile::TempDir, [Revoker; 2])> {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let is_shared = first.inner.store.reader().is_shared();
    is_shared.then(|| {
        let second = open(folder.path());
        (folder, [first, second])
    })
}

/// Ends the sessions of a revoker, as a network does that breaks.
fn cut(folder: &Path, revoker: &Revoker) {
    let db = raw(folder);
    for session in [revoker.inner.store.writer(), revoker.inner.store.outbox(), revoker.inner.store.reader()]
    {
        let id: i32 = session.query_row("SELECT pg_backend_pid()", [], |row| row.get(0)).unwrap();
        let ended: bool = db
            .query_row("SELECT pg_terminate_backend(CAST(?1 AS INTEGER), 10000)", [id], |row| row.get(0))
            .unwrap();
        assert!(ended);
    }
}

#[tokio::test]
async fn what_one_decides_the_other_goes_on_from() {
    let Some((folder, [first, second])) = pair() else { return };
    let verdict = damning(1, at(0), "mailer");
    let decision = handle(&first, &verdict);
    let after = counts(folder.path());
    // The same verdict again, at the other: the same answer, and nothing more is done.
    assert_eq!(handle(&second, &verdict), decision);
    assert_eq!(counts(folder.path()), after);
    assert_eq!(standing(&second, "mailer"), "revoked");
    let reinstate = Input::Reinstate { by: "ann".to_owned(), reason: "a test".to_owned(), at: at(1) };
    second.write(move |w| w.apply(&agent("mailer"), reinstate, at(1))).await.unwrap();
    // The first looks, and then knows.
    let mut changes = first.changes();
    changes.mark_unchanged();
    let stop = tokio_util::sync::CancellationToken::new();
    let following = tokio::spawn(first.clone().follow(stop.clone()));
    tokio::time::timeout(std::time::Duration::from_secs(30), changes.changed()).await.unwrap().unwrap();
    assert_eq!(standing(&first, "mailer"), "probation");
    stop.cancel();
    following.await.unwrap();
    first.verify_audit(Vec::new()).await.unwrap();
}

#[test]
fn what_one_has_counted_counts_no_more_at_the_other() {
    let Some((folder, [first, second])) = pair() else { return };
    let said = |n: u32| {
        let mut verdict = record(n, at(n.into()), "mailer", if n.is_multiple_of(3) { 4.0 } else { -3.0 });
        let (partition, taken_in) = ("calls/0".to_owned(), verdict.verdict.ts);
        verdict.beside.position = Some(Position { partition, offset: n.into(), line: 1, taken_in });
        verdict
    };
    let look = |revoker: &Revoker| revoker.inner.catch_up(&revoker.inner.store.writer()).unwrap();
    let whole = |revoker: &Revoker| revoker.standing(Some("https://idp.example"), "mailer");
    // The partition changes hands three times, and each time some of it is read again.
    let hands = [(&first, 1..20), (&second, 10..40), (&first, 5..70), (&second, 1..71)];
    for (revoker, calls) in hands {
        look(revoker);
        calls.for_each(|n| drop(handle(revoker, &said(n))));
    }
    let alone_in = tempfile::tempdir().unwrap();
    let alone = open(alone_in.path());
    (1..71).for_each(|n| drop(handle(&alone, &said(n))));
    assert_eq!((whole(&second), counts(folder.path())), (whole(&alone), counts(alone_in.path())));
}

#[tokio::test]
async fn who_has_missed_too_much_reads_all_again() {
    let Some((folder, [first, second])) = pair() else { return };
    handle(&first, &record(1, at(0), "mailer", 9.0));
    let db = raw(folder.path());
    db.execute("DELETE FROM changes", []).unwrap();
    db.execute("INSERT INTO changes (seq, what) OVERRIDING SYSTEM VALUE VALUES (1000000, 'record')", [])
        .unwrap();
    second.inner.catch_up(&second.inner.store.writer()).unwrap();
    assert_eq!(standing(&second, "mailer"), "challenged");
}

#[tokio::test]
async fn work_of_one_process_is_anothers_once_its_session_ends() {
    let Some((folder, [first, second])) = pair() else { return };
    assert!(first.leads("work").await.unwrap() && first.leads("work").await.unwrap());
    assert!(!second.leads("work").await.unwrap());
    cut(folder.path(), &first);
    assert!(second.leads("work").await.unwrap());
    // The first hears of it when it next asks, and goes on without.
    while !matches!(first.leads("work").await, Ok(false)) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let verdict = damning(1, at(0), "mailer");
    let decision = handle(&second, &verdict);
    while !matches!(first.handle(&verdict, at(0)), Ok(again) if again == decision) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
