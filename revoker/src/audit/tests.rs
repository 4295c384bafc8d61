use crate::store::db::params;

use super::*;
use crate::store::{Place, Store};
use crate::testing::at;

mod heads;

fn keys() -> Keys {
    Keys::from_secret(&[3; 32]).unwrap()
}

/// A store with `n` entries, a minute apart.
fn store(n: i64) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Place::in_dir(folder.path())).unwrap();
    let agent = AgentKey::new(Some("https://idp.example"), "mailer");
    let txn = Txn::random();
    for i in 1..=n {
        let mut db = store.writer();
        let tx = db.transaction().unwrap();
        let body = format!(r#"{{"n":{i}}}"#);
        let entry = NewEntry { at: at(60 * i), txn: &txn, agent: Some(&agent), kind: "test", body: &body };
        assert_eq!(append(&tx, &keys(), &entry).unwrap(), i);
        tx.commit().unwrap();
    }
    (folder, store)
}

fn tamper(store: &Store, sql: &str) {
    store.writer().execute_batch(&format!("DROP TRIGGER IF EXISTS audit_is_append_only; {sql}")).unwrap();
}

#[test]
fn an_untouched_chain_verifies() {
    let (_folder, store) = store(5);
    let verified = verify(&store.reader(), &keys(), &[]).unwrap();
    assert_eq!((verified.entries, verified.first, verified.last), (5, 1, 5));
    let agent = AgentKey::new(Some("https://idp.example"), "mailer");
    let newest = of_agent(&store.reader(), &agent, Page::new(2, None)).unwrap();
    assert_eq!(newest.iter().map(|e| e.seq).collect::<Vec<_>>(), [5, 4]);
    assert_eq!(newest[0].hash, verified.head);
    assert_eq!(of_agent(&store.reader(), &agent, Page::new(2, Some(2))).unwrap().len(), 1);
}

#[test]
fn every_way_to_rewrite_history_is_noticed() {
    let broken = |sql: &str| {
        let (_folder, store) = store(5);
        tamper(&store, sql);
        verify(&store.reader(), &keys(), &[]).unwrap_err().to_string()
    };
    insta::assert_debug_snapshot!([
        broken(r#"UPDATE audit SET body = '{"n":4}' WHERE seq = 3"#),
        broken("UPDATE audit SET at = at + 1 WHERE seq = 3"),
        broken("UPDATE audit SET agent_id = 'other' WHERE seq = 3"),
        broken("UPDATE audit SET issuer = NULL, agent_id = NULL WHERE seq = 1"),
        broken("UPDATE audit SET hash = zeroblob(32) WHERE seq = 5"),
        broken("DELETE FROM audit WHERE seq = 3"),
        broken("DELETE FROM audit WHERE seq < 3"),
        broken("INSERT INTO audit SELECT 6, at, txn, issuer, agent_id, kind, body, hash FROM audit WHERE seq = 5"),
        broken("UPDATE audit SET seq = 99 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 99"),
        // Whoever has the file but not the key cannot make old entries disappear as if retention had removed them.
        broken(
            r#"DELETE FROM audit WHERE seq < 3; INSERT INTO settings VALUES ('audit_anchor',
               '{"seq":2,"hash":"0000000000000000000000000000000000000000000000000000000000000000",
               "roots":["0000000000000000000000000000000000000000000000000000000000000000"],"seal":"00"}')"#
        ),
    ], @r#"
    [
        "audit entry 3 is not what was written, or the one before it is not",
        "audit entry 3 is not what was written, or the one before it is not",
        "audit entry 3 is not what was written, or the one before it is not",
        "audit entry 1 is not what was written, or the one before it is not",
        "audit entry 5 is not what was written, or the one before it is not",
        "audit entry 3 is missing",
        "audit entry 1 is missing",
        "audit entry 6 is not what was written, or the one before it is not",
        "audit entry 2 is not what was written, or the one before it is not",
        "the mark where old audit entries end is not what was written",
    ]
    "#);
}

#[test]
fn it_cannot_be_changed_through_the_front_door() {
    let (_folder, store) = store(2);
    let refused = store.writer().execute("UPDATE audit SET kind = 'other' WHERE seq = 1", []).unwrap_err();
    assert!(refused.to_string().contains("append-only"), "{refused}");
}

#[test]
fn retention_leaves_a_chain_that_verifies_and_goes_on() {
    let (_folder, store) = store(5);
    let mut db = store.writer();
    let tx = db.transaction().unwrap();
    assert_eq!(prune(&tx, &keys(), at(60 * 4), 100).unwrap(), 3);
    assert_eq!(prune(&tx, &keys(), at(60 * 4), 100).unwrap(), 0);
    // However old, the newest entry stays.
    assert_eq!(prune(&tx, &keys(), at(1_000_000), 100).unwrap(), 1);
    let entry = NewEntry { at: at(600), txn: &Txn::random(), agent: None, kind: "test", body: "{}" };
    assert_eq!(append(&tx, &keys(), &entry).unwrap(), 6);
    tx.commit().unwrap();
    let verified = verify(&store.reader(), &keys(), &[]).unwrap();
    assert_eq!((verified.entries, verified.first, verified.last), (2, 5, 6));

    db.execute("UPDATE settings SET value = replace(value, '\"seq\":4', '\"seq\":3')", params![]).unwrap();
    assert!(matches!(verify(&store.reader(), &keys(), &[]), Err(AuditError::Anchor)));
}

#[test]
fn another_key_file_verifies_nothing() {
    let (_folder, store) = store(1);
    let other = Keys::from_secret(&[4; 32]).unwrap();
    assert!(matches!(verify(&store.reader(), &other, &[]), Err(AuditError::Broken { seq: 1 })));
}
