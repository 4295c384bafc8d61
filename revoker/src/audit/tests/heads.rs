//! Heads find what the chain alone cannot.

use proptest::prelude::*;
use rusqlite::types::Value;

use super::*;
use crate::audit::heads::{make, put};

const ENTRIES: i64 = 23;

fn head(store: &Store) -> Head {
    let made = make(&store.reader(), &keys(), at(0)).unwrap();
    let mut db = store.writer();
    let tx = db.transaction().unwrap();
    put(&tx, &made).unwrap();
    tx.commit().unwrap();
    made.head
}

fn more(store: &Store, n: i64) {
    let mut db = store.writer();
    let tx = db.transaction().unwrap();
    for _ in 0..n {
        let entry = NewEntry { at: at(9_000), txn: &Txn::random(), agent: None, kind: "more", body: "{}" };
        append(&tx, &keys(), &entry).unwrap();
    }
    tx.commit().unwrap();
}

fn check(store: &Store, kept: &[Head]) -> Result<Verified, AuditError> {
    verify(&store.reader(), &keys(), kept)
}

#[test]
fn a_head_goes_on_from_the_one_before_and_comes_out_as_if_all_were_read() {
    let (_folder, store) = store(5);
    let first = head(&store);
    more(&store, 4);
    let on = head(&store);
    store.writer().execute("DELETE FROM audit_heads", []).unwrap();
    assert_eq!((first.tree_size, on.tree_size), (5, 9));
    assert_eq!(head(&store), on);
    // Of a tree that was tampered with nothing is made.
    tamper(&store, "UPDATE audit_heads SET roots = zeroblob(64)");
    assert_eq!(head(&store), on);
    let verified = check(&store, &[first, on]).unwrap();
    assert_eq!((verified.last, verified.heads), (9, 3));
}

#[test]
fn what_is_not_as_written_is_not_signed() {
    let sign = |sql: &str| {
        let (_folder, store) = store(5);
        head(&store);
        more(&store, 5);
        tamper(&store, sql);
        make(&store.reader(), &keys(), at(1)).map(|made| made.head.tree_size).map_err(|e| e.to_string())
    };
    insta::assert_debug_snapshot!([
        sign("SELECT 1"),
        sign("UPDATE audit SET kind = 'less' WHERE seq = 7"),
        sign("DELETE FROM audit WHERE seq = 6"),
        sign("DELETE FROM audit WHERE seq > 4"),
    ], @r#"
    [
        Ok(
            10,
        ),
        Err(
            "audit entry 7 is not what was written, or the one before it is not",
        ),
        Err(
            "audit entry 6 is missing",
        ),
        Err(
            "the audit ends with entry 4, and a head was signed over 5 of them",
        ),
    ]
    "#);
}

#[test]
fn retention_keeps_the_tree() {
    let (_folder, store) = store(ENTRIES);
    let (early, late) = (head(&store), {
        more(&store, 6);
        head(&store)
    });
    let root = check(&store, &[]).unwrap().root;
    for until in [3, 8, 21, 10_000] {
        let mut db = store.writer();
        let tx = db.transaction().unwrap();
        prune(&tx, &keys(), at(60 * until), 100).unwrap();
        tx.commit().unwrap();
        drop(db);
        assert_eq!(check(&store, &[]).unwrap().root, root);
    }
    let verified = check(&store, &[early, late]).unwrap();
    assert_eq!((verified.first, verified.heads, verified.heads_too_old), (29, 2, 2));
    // A broken audit is not pruned, and is no reason not to prune the rest.
    more(&store, 1);
    for broken in ["kind = 'other'", "kind = x'ff'"] {
        tamper(&store, &format!("UPDATE audit SET {broken} WHERE seq = 29"));
        let mut db = store.writer();
        let tx = db.transaction().unwrap();
        assert_eq!(prune(&tx, &keys(), at(1_000_000), 100).unwrap(), 0);
    }
}

#[test]
fn a_head_of_another_key_or_one_that_was_changed_is_told() {
    let (_folder, store) = store(5);
    let head = head(&store);
    let changed = Head { tree_size: 4, ..head.clone() };
    assert!(matches!(check(&store, &[changed]), Err(AuditError::NotSigned { size: 4 })));
    tamper(&store, r#"UPDATE audit_heads SET head = replace(head, '"tree_size":5', '"tree_size":3')"#);
    assert!(matches!(check(&store, &[head]), Err(AuditError::NotSigned { size: 3 })));
}

#[test]
fn an_older_copy_put_back_is_found_at_once_and_when_it_has_gone_on() {
    let (folder, mut store) = store(5);
    head(&store);
    let path = folder.path().join("revoker.db");
    let copy = folder.path().join("copy.db");
    store.writer().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    more(&store, 4);
    let kept = head(&store);
    drop(store);
    for file in ["revoker.db-wal", "revoker.db-shm"] {
        std::fs::remove_file(folder.path().join(file)).ok();
    }
    std::fs::copy(copy, &path).unwrap();
    store = Store::open(&Place::File(path)).unwrap();
    // By itself it is sound.
    check(&store, &[]).unwrap();
    let found = check(&store, std::slice::from_ref(&kept));
    assert!(matches!(found, Err(AuditError::CutOff { last: 5, size: 9 })), "{found:?}");
    more(&store, 40);
    head(&store);
    check(&store, &[]).unwrap();
    assert!(matches!(check(&store, &[kept]), Err(AuditError::Forked { size: 9 })));
}

/// Something to do to the audit of `ENTRIES` entries.
#[derive(Clone, Debug)]
enum Tamper {
    Byte { seq: i64, column: usize, at: usize, flip: u8 },
    DropTail { keep: i64 },
    Remove { seq: i64 },
    Swap { a: i64, b: i64 },
    Twice { seq: i64 },
}

fn tampers() -> impl Strategy<Value = Tamper> {
    let seq = || 1..=ENTRIES;
    prop_oneof![
        8 => (seq(), 0..8_usize, any::<usize>(), 1..=255_u8)
            .prop_map(|(seq, column, at, flip)| Tamper::Byte { seq, column, at, flip }),
        1 => (0..ENTRIES).prop_map(|keep| Tamper::DropTail { keep }),
        1 => seq().prop_map(|seq| Tamper::Remove { seq }),
        1 => (seq(), 1..ENTRIES)
            .prop_map(|(a, by)| Tamper::Swap { a, b: (a - 1 + by) % ENTRIES + 1 }),
        1 => seq().prop_map(|seq| Tamper::Twice { seq }),
    ]
}

fn flipped(value: Value, at: usize, flip: u8) -> Value {
    let change = |mut bytes: Vec<u8>| {
        if bytes.is_empty() {
            bytes.push(flip);
        }
        let at = at % bytes.len();
        bytes[at] ^= flip;
        bytes
    };
    match value {
        Value::Null => Value::Text(char::from(flip).to_string()),
        Value::Integer(n) => Value::Integer(n ^ (i64::from(flip) << (at % 8 * 8))),
        Value::Blob(bytes) => Value::Blob(change(bytes)),
        // What is no text any more is stored as bytes.
        Value::Text(text) => {
            let bytes = change(text.into_bytes());
            String::from_utf8(bytes).map_or_else(|e| Value::Blob(e.into_bytes()), Value::Text)
        }
        Value::Real(real) => Value::Real(-real - 1.0),
    }
}

impl Tamper {
    fn with(&self, db: &Connection) {
        const NAMES: [&str; 8] = ["seq", "at", "txn", "issuer", "agent_id", "kind", "body", "hash"];
        db.execute_batch("DROP TRIGGER audit_is_append_only").unwrap();
        match self {
            Self::Byte { seq, column, at, flip } => {
                let name = NAMES[*column];
                let old = format!("SELECT {name} FROM audit WHERE seq = ?1");
                let old: Value = db.query_row(&old, [seq], |row| row.get(0)).unwrap();
                let new = flipped(old, *at, *flip);
                db.execute(
                    &format!("UPDATE OR REPLACE audit SET {name} = ?2 WHERE seq = ?1"),
                    params![seq, new],
                )
                .unwrap();
            }
            Self::DropTail { keep } => {
                db.execute("DELETE FROM audit WHERE seq > ?1", [keep]).unwrap();
                // And the record's own heads with it, so that only the one kept elsewhere tells.
                db.execute("DELETE FROM audit_heads", []).unwrap();
            }
            Self::Remove { seq } => drop(db.execute("DELETE FROM audit WHERE seq = ?1", [seq]).unwrap()),
            Self::Swap { a, b } => {
                for (from, to) in [(a, &0), (b, a), (&0, b)] {
                    db.execute("UPDATE audit SET seq = ?2 WHERE seq = ?1", [from, to]).unwrap();
                }
            }
            Self::Twice { seq } => {
                db.execute(
                    "INSERT INTO audit SELECT (SELECT max(seq) + 1 FROM audit), at, txn, issuer, agent_id, kind,
                     body, hash FROM audit WHERE seq = ?1",
                    [seq],
                )
                .unwrap();
            }
        }
    }
}

#[test]
fn whatever_is_done_to_it_is_found() {
    let (folder, store) = store(ENTRIES);
    let kept = [head(&store)];
    let [copy, tampered] = ["copy.db", "tampered.db"].map(|name| folder.path().join(name));
    store.writer().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let verified = check(&store, &kept).unwrap();
    assert_eq!((verified.entries, verified.heads), (23, 2));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(512));
    let found = runner.run(&tampers(), |tamper| {
        std::fs::copy(&copy, &tampered).unwrap();
        let db = Connection::open(&tampered).unwrap();
        db.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF").unwrap();
        tamper.with(&db);
        prop_assert!(verify(&db, &keys(), &kept).is_err());
        Ok(())
    });
    found.unwrap();
}
