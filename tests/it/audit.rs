//! The audit: one story from the first evidence to the last receipt, proved to somebody who has a public key, mirrored, without
//! a secret in it; and whatever is done to it behind the program's back is found.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rusqlite::Connection;
use rusqlite::types::Value as Column;
use serde_json::Value;

use crate::support::gate::{Agent, Human, ask, operate, page_of, status};
use crate::support::http;
use crate::support::page::Page;
use crate::support::parts::house;
use crate::support::prove;
use crate::support::stage::Stage;
use crate::support::tocsin::{GATEWAY, OPERATOR, SECRET, Tocsin};

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What somebody says who has the key and the export alone.
fn auditor(key: &str, export: &str) -> Output {
    let mut command = Command::new("node");
    command.arg(house().join("parts/peers/audit.mjs")).arg(key);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut node = piped.spawn().expect("node starts");
    node.stdin.take().expect("a pipe").write_all(export.as_bytes()).expect("node reads");
    node.wait_with_output().expect("node ends")
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn a_story_is_told_proved_and_mirrored_without_a_secret() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings("[audit]\nhead_every_s = 1\n"));
    let dana = Human::enrol(&tocsin, "Dana");
    let (act, challenge) = Agent::with_history(&tocsin, "mail-agent").until_challenged(&tocsin);
    let (code, number) = (dana.code(), challenge["binding_code"].as_str().expect("a number").to_owned());
    let page = page_of(&tocsin, &challenge);
    let fields = [("name", dana.name), ("number", &number), ("code", &code)];
    assert_eq!(Page::open(&page).answer("approve", &fields).status, 303);
    let grant = status(&challenge, 30)["grant"]["token"].as_str().expect("a grant").to_owned();
    ask(&tocsin, &act, Some((&grant, "first"))).expect(200);
    operate(&tocsin, "revoke", "other-agent");
    stage.check_effects(&tocsin, &[("other-agent", &["agent.access.revoked"])]);

    let kept = stage.path().join("kept.heads");
    fs::write(&kept, printed(&tocsin.command(&["audit", "head"]))).expect("written");
    let verified = printed(&tocsin.command(&["audit", "verify", "--head", kept.to_str().expect("a path")]));
    assert!(verified.starts_with("the audit is what was written"), "{verified}");

    let export = printed(&tocsin.command(&["audit", "export"]));
    let published = http::get(&tocsin.url("/v1/audit/key")).expect("it answers").expect(200).json();
    let key = published["public_key"].as_str().expect("a key").to_owned();
    http::get(&tocsin.url("/v1/audit/head")).expect("it answers").expect(401);
    assert_eq!(tocsin.look("/v1/audit/head")["key"], published["id"]);
    let judged: Value = serde_json::from_str(&printed(&auditor(&key, &export))).expect("JSON");
    assert!(judged["entries"] == judged["tree_size"] && judged["entries"].as_u64() > Some(6), "{judged}");
    assert!(!auditor(&key, &export.replacen("mail-agent", "mail_agent", 1)).status.success());
    assert!(!auditor(&key, &export.replacen("\"timestamp\":1", "\"timestamp\":2", 1)).status.success());
    let one = printed(&tocsin.command(&["audit", "export", "--agent", "other-agent"]));
    let judged_one: Value = serde_json::from_str(&printed(&auditor(&key, &one))).expect("JSON");
    assert!(judged_one["entries"].as_u64() == Some(3), "the revocation and two receipts: {one}");
    let logged = fs::read_to_string(stage.path().join("tocsin.out")).expect("a log");
    assert!(logged.contains("tree_size"), "the log holds heads too");

    let alerts = tocsin.look("/v1/alerts?limit=1");
    let story = alerts["rows"][0]["txn"].as_str().expect("a story");
    let told = printed(&tocsin.command(&["audit", "show", story]));
    let order = ["challenged", "delivery.acknowledged", "approved by Dana", "approval.settled"];
    let places = order.map(|what| told.find(what).unwrap_or_else(|| panic!("no {what} in {told}")));
    assert!(places.is_sorted(), "{told}");

    let entries = judged["entries"].as_u64().expect("a number");
    stage.count_when(Duration::from_mins(1), "audit_once", |rows| rows >= entries);
    let mirrored = stage.engine.rows("SELECT seq, txn, body, hash FROM tocsin.audit_once ORDER BY seq");
    for (line, row) in lines(&export)[1..].iter().zip(&mirrored) {
        let leaf = line["leaf"].as_str().expect("a text");
        for part in ["txn", "hash"].map(|name| &row[name]).into_iter().chain([&row["body"]]) {
            assert!(leaf.contains(part.as_str().expect("a text")), "{row} is not {leaf}");
        }
    }
    let secret = dana.secret();
    for secret in
        [&*grant, &secret, &code, GATEWAY, OPERATOR, SECRET, page.rsplit('/').next().expect("a page")]
    {
        for (place, text) in [("export", &export), ("story", &told), ("log", &logged)] {
            assert!(!text.contains(secret), "{secret} is in the {place}");
        }
    }
}

#[test]
fn an_older_copy_put_back_is_told_at_start() {
    let stage = Stage::new();
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    let (record, older) = (stage.path().join("data/revoker.db"), stage.path().join("older.db"));
    operate(&tocsin, "revoke", "first");
    stage.check_effects(&tocsin, &[]);
    copy(&record, &older);
    operate(&tocsin, "revoke", "second");
    stage.check_effects(&tocsin, &[]);
    assert!(tocsin.stop().success());
    for name in ["revoker.db-wal", "revoker.db-shm"] {
        fs::remove_file(record.with_file_name(name)).ok();
    }
    fs::copy(&older, &record).expect("a copy");
    tocsin.restart();
    let is_told = |n| n == 1;
    stage.count_when(Duration::from_mins(1), "alerts_once WHERE action = 'audit_broken'", is_told);
    let sql = "SELECT reasons[1] AS why FROM tocsin.alerts_once WHERE action = 'audit_broken'";
    let why = stage.engine.rows(sql)[0]["why"].to_string();
    assert!(why.contains("a head was signed over"), "{why}");
    let verify = tocsin.command(&["audit", "verify"]);
    assert_eq!(verify.status.code(), Some(65), "{verify:?}");
}

/// A record with some history, at rest, and what was kept of it elsewhere.
struct Rest {
    folder: tempfile::TempDir,
    columns: Vec<(i64, [Column; 8])>,
}

const NAMES: [&str; 8] = ["seq", "at", "txn", "issuer", "agent_id", "kind", "body", "hash"];

impl Rest {
    fn new() -> Self {
        let stage = Stage::new();
        let mut tocsin = Tocsin::start(stage.path(), &stage.settings(""));
        let folder = tempfile::tempdir().expect("a folder");
        let record = stage.path().join("data/revoker.db");
        for n in 0..6 {
            if n == 3 {
                copy(&record, &folder.path().join("older.db"));
            }
            for verb in ["revoke", "reinstate"] {
                operate(&tocsin, verb, &format!("agent-{n}"));
            }
        }
        stage.check_effects(&tocsin, &[]);
        fs::write(folder.path().join("kept.heads"), printed(&tocsin.command(&["audit", "head"])))
            .expect("written");
        assert!(tocsin.stop().success());
        copy(&record, &folder.path().join("whole.db"));
        fs::create_dir(folder.path().join("data")).expect("a folder");
        fs::copy(stage.path().join("data/revoker.key"), folder.path().join("data/revoker.key"))
            .expect("a key");
        let db = Connection::open(folder.path().join("whole.db")).expect("it opens");
        let mut statement = db.prepare("SELECT * FROM audit ORDER BY seq").expect("a statement");
        let rows = statement.query_map([], |row| {
            let mut columns = [const { Column::Null }; 8];
            for (i, column) in columns.iter_mut().enumerate() {
                *column = row.get(i)?;
            }
            Ok((row.get(0)?, columns))
        });
        let columns = rows.expect("rows").collect::<Result<_, _>>().expect("rows");
        drop(statement);
        Self { folder, columns }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a copy of `from` in its place, does `change` to it, and says whether `audit verify` finds fault.
    fn is_found(&self, from: &str, change: impl FnOnce(&Connection)) -> bool {
        let record = self.path("data/revoker.db");
        fs::copy(self.path(from), &record).expect("a copy");
        let db = Connection::open(&record).expect("it opens");
        db.execute_batch(
            "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; DROP TRIGGER audit_is_append_only",
        )
        .expect("a connection without scruples");
        change(&db);
        drop(db);
        let output = Command::new(env!("CARGO_BIN_EXE_tocsin"))
            .args(["audit", "verify", "--head"])
            .arg(self.path("kept.heads"))
            .env("TOCSIN_DATA_DIR", self.path("data"))
            .output()
            .expect("it starts");
        let code = output.status.code();
        assert!(code == Some(0) || code == Some(65), "{}", String::from_utf8_lossy(&output.stderr));
        code == Some(65)
    }
}

fn copy(record: &Path, to: &Path) {
    let db = Connection::open(record).expect("it opens");
    db.execute("VACUUM INTO ?1", [to.to_str().expect("a path")]).expect("a copy");
}

fn run(db: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) {
    db.execute(sql, values).expect("it is done");
}

/// Another value that differs in one byte.
fn other(column: &Column, chance: &mut StdRng) -> Column {
    let flip = chance.random_range(1..=255_u8);
    let mut at = |bytes: &[u8]| chance.random_range(0..bytes.len().max(1));
    let mut flipped = |mut bytes: Vec<u8>| {
        let at = at(&bytes);
        match bytes.get_mut(at) {
            Some(byte) => *byte ^= flip,
            None => bytes.push(flip),
        }
        bytes
    };
    match column {
        Column::Null => Column::Text(char::from(flip).to_string()),
        Column::Integer(n) => {
            let bytes: [u8; 8] = flipped(n.to_be_bytes().to_vec()).try_into().expect("eight");
            Column::Integer(i64::from_be_bytes(bytes))
        }
        Column::Real(n) => Column::Real(-n - 1.0),
        Column::Blob(bytes) => Column::Blob(flipped(bytes.clone())),
        Column::Text(text) => String::from_utf8(flipped(text.clone().into_bytes()))
            .map_or_else(|e| Column::Blob(e.into_bytes()), Column::Text),
    }
}

#[test]
fn whatever_is_done_to_it_is_found() {
    let rest = Rest::new();
    assert!(!rest.is_found("whole.db", |_| ()), "an untouched audit verifies");
    let last = rest.columns.last().expect("entries").0;
    let mut chance = StdRng::seed_from_u64(3);
    let (mut done, mut found) = (0_u32, 0_u32);
    let mut count = |is_found: bool, what: &dyn std::fmt::Debug| {
        done += 1;
        found += u32::from(is_found);
        assert!(is_found, "not found: {what:?}");
    };
    for _ in 0..prove::scaled(60, 2_000) {
        let (seq, columns) = &rest.columns[chance.random_range(0..rest.columns.len())];
        let column = chance.random_range(0..NAMES.len());
        let new = other(&columns[column], &mut chance);
        let sql = format!("UPDATE OR REPLACE audit SET {} = ?2 WHERE seq = ?1", NAMES[column]);
        count(rest.is_found("whole.db", |db| run(db, &sql, &[seq, &new])), &(seq, column, &new));
    }
    for keep in (0..last).take(prove::scaled(5, usize::MAX)) {
        let cut = |db: &Connection| {
            run(db, "DELETE FROM audit WHERE seq > ?1", &[&keep]);
            run(db, "DELETE FROM audit_heads", &[]);
        };
        count(rest.is_found("whole.db", cut), &("tail", keep));
    }
    for _ in 0..prove::scaled(5, 200) {
        let a = chance.random_range(1..=last);
        let b = (a - 1 + chance.random_range(1..last)) % last + 1;
        let swap = |db: &Connection| {
            for (from, to) in [(a, 0), (b, a), (0, b)] {
                run(db, "UPDATE audit SET seq = ?2 WHERE seq = ?1", &[&from, &to]);
            }
        };
        count(rest.is_found("whole.db", swap), &("swap", a, b));
    }
    count(rest.is_found("older.db", |_| ()), &"an older copy");
    let share = f64::from(found) / f64::from(done);
    prove::row(
        "audit: tamperings that are found",
        share,
        [share, share],
        "all: a byte, the tail, two entries, an older copy",
        found == done,
        "audit::whatever_is_done_to_it_is_found",
    );
}
