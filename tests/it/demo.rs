//! `tocsin demo`: the whole chain in one process, to the end of its story.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::browser::Browser;
use crate::support::parts::{house, part};
use crate::support::process::Process;

const STORY_LIMIT: Duration = Duration::from_mins(5);

fn demo(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
    command.args(["demo", "--auto", "--data"]).arg(folder.join("demo")).args(more);
    command.env("TOCSIN_STORE__ENGINE", part("engine/libchdb.so")).current_dir(house());
    command
}

/// Whoever looks on has no more than what is printed: a link to enrol by, and the page of a question that is open.
#[test]
fn who_looks_on_enrols_a_passkey_and_answers_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("told");
    let mut demo = Process::start("demo", &mut demo(folder.path(), &["--stay"]), &output);
    let link = |path: &str| {
        let told = std::fs::read_to_string(&output).ok()?;
        let offered = told.split_once("Everything stays up")?.1.to_owned();
        let found =
            offered.lines().map(str::trim).find(|line| line.starts_with("http") && line.contains(path));
        found.map(str::to_owned)
    };
    let page = demo.ready("the question", STORY_LIMIT, || link("/approve/"));
    let mut browser = Browser::start(folder.path());
    assert_eq!(browser.open("one", &link("/enrol/").expect("a link before it"), (1_000, true)), 200);
    let title = browser.press("one", "button[data-choice=enrol]");
    assert!(title.starts_with("You are enrolled"), "{title}");
    assert_eq!(browser.open("one", &page, (1_000, true)), 200);
    let title = browser.press("one", "button.approve[data-choice]");
    assert!(title.starts_with("Approved"), "{title}");
}

#[test]
fn the_story_is_told_to_its_end() {
    part("peers/node_modules");
    let folder = tempfile::tempdir().expect("a folder");
    let output = demo(folder.path(), &[]).output().expect("it starts");
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    for moment in [
        "for this agent",
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
