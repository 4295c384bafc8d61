//! The record is put back to an older copy: no grant that was used is good again, and who was given access back, or lost it,
//! since stays so.

use std::path::Path;

use crate::disk_full_record::{SETTINGS, act, approved};
use crate::support::gate::{ask, operate};
use crate::support::http::Answer;
use crate::support::prove;
use crate::support::stage::Stage;
use crate::support::tocsin::Tocsin;

/// Copies the files of the record, or all that lie beside it too and say how far it had come.
fn copy(from: &Path, to: &Path, is_wanted: impl Fn(&str) -> bool) {
    std::fs::create_dir_all(to).expect("a folder");
    for file in std::fs::read_dir(from).expect("a folder").map(|entry| entry.expect("a file")) {
        let name = file.file_name().into_string().expect("UTF-8");
        if is_wanted(&name) {
            std::fs::copy(file.path(), to.join(name)).expect("a copy");
        }
    }
}

/// Stops it, puts these files back to the copy, and starts it.
fn put_back(tocsin: &mut Tocsin, copied: &Path, data: &Path, is_wanted: fn(&str) -> bool) {
    assert!(tocsin.stop().success());
    for file in std::fs::read_dir(data).expect("a folder").map(|entry| entry.expect("a file")) {
        if is_wanted(&file.file_name().to_string_lossy()) {
            std::fs::remove_file(file.path()).expect("it is removed");
        }
    }
    copy(copied, data, is_wanted);
    tocsin.restart();
}

fn is_record(name: &str) -> bool {
    name.starts_with("revoker.db")
}

/// With the mark and the journal.
fn is_any(name: &str) -> bool {
    is_record(name) || matches!(name, "revoker.mark" | "revoker.ends")
}

/// Where an agent stands.
fn standing(tocsin: &Tocsin, agent: &str) -> String {
    let list = tocsin.look("/v1/agents?limit=100");
    let row = list["rows"].as_array().expect("rows").iter().find(|row| row["agent"]["agent_id"] == agent);
    row.map_or_else(String::new, |row| row["standing"].as_str().expect("a text").to_owned())
}

#[test]
fn a_record_put_back_to_an_older_copy_admits_no_used_grant_and_lifts_or_ends_nothing_again() {
    let stage = Stage::new();
    let (data, copied) = (stage.path().join("data"), stage.path().join("backup"));
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(SETTINGS));
    let grants =
        [("early", "Dana"), ("late", "Erin")].map(|(payer, by)| (payer, approved(&tocsin, by, payer)));
    operate(&tocsin, "revoke", "freed");
    assert!(tocsin.stop().success());
    copy(&data, &copied, is_any);
    tocsin.restart();
    let resume = |tocsin: &Tocsin, (payer, grant): &(&str, String), event: &str| -> Answer {
        ask(tocsin, &act(payer, &format!("{payer}-{event}")), Some((grant, event)))
    };
    for grant in &grants {
        resume(&tocsin, grant, "used").expect(200);
    }
    operate(&tocsin, "reinstate", "freed");
    operate(&tocsin, "revoke", "gone");

    // The record alone: what lies beside it tells.
    put_back(&mut tocsin, &copied, &data, is_record);
    for grant in &grants {
        let told = resume(&tocsin, grant, "again").expect(401).json();
        assert_eq!(told["reason"], "restored", "{told}");
    }
    assert_eq!(standing(&tocsin, "gone"), "revoked");
    let freed = standing(&tocsin, "freed");
    assert!(freed != "revoked", "it was reinstated, and is {freed}");
    // What was decided since the copy was made is gone from the audit, whose signed heads tell.
    assert!(!tocsin.command(&["audit", "verify"]).status.success(), "an audit that lost its tail");

    // All of it: nothing tells, so a person does.
    put_back(&mut tocsin, &copied, &data, is_any);
    resume(&tocsin, &grants[0], "untold").expect(200);
    let said = tocsin.command(&["restored"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let told = resume(&tocsin, &grants[1], "told").expect(401).json();
    assert_eq!(told["reason"], "restored", "{told}");
    prove::row(
        "SQLite put back to an older copy: used grants that admit, ends and lifts that are undone",
        0,
        [0.0; 2],
        "0",
        true,
        "restored::",
    );
}
