//! `tocsin demo`: the whole chain in one process, to the end of its story.

use std::process::Command;

use crate::support::parts::{house, part};

#[test]
fn the_story_is_told_to_its_end() {
    part("peers/node_modules");
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_tocsin"))
        .args(["demo", "--auto", "--data"])
        .arg(folder.path().join("demo"))
        .env("TOCSIN_STORE__ENGINE", part("engine/libchdb.so"))
        .current_dir(house())
        .output()
        .expect("it starts");
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    for moment in [
        "the page says: Approved",
        "comes back with the grant and calls",
        "the page says: Reported as an attack",
        "the same call again: \"Access is revoked\"",
        "revoked by itself",
        "agent.access.revoked",
        "verdicts",
    ] {
        assert!(told.contains(moment), "the story lacks `{moment}`:\n{told}\n{errors}");
    }
}
