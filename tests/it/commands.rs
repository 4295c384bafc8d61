//! The command line as people meet it: its help, policies as files, and the end of an agent with whom it spawned.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::gate::now;
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, Tocsin};

/// What a command is about, and each line of a list of commands, is one line of at most this many columns.
const COLUMNS: usize = 120;

/// Runs the executable in a folder, without a configuration.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
    command.args(arguments).current_dir(folder).output().expect("the executable starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it prints where all is well.
fn said(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Holds the help of a command against what every one keeps to, and goes on with the commands that it names.
fn walk(folder: &Path, path: &[&str], seen: &mut Vec<String>) {
    let help = said(&run(folder, &[path, &["--help"]].concat()));
    let name = path.join(" ");
    let about = help.lines().next().unwrap_or_default();
    assert!(!about.is_empty() && !about.starts_with("Usage:"), "`{name}` does not say what it is about");
    let is_list = |line: &&str| *line != "Commands:";
    let list: Vec<&str> =
        help.lines().skip_while(is_list).skip(1).take_while(|line| line.starts_with("  ")).collect();
    for line in list.iter().chain([&about]) {
        assert!(line.chars().count() <= COLUMNS, "`{name}`: {line}");
    }
    for line in list {
        let (command, about) = line.trim().split_once(' ').unwrap_or((line, ""));
        assert!(!about.is_empty(), "`{name}` names `{command}` and no more");
        if command != "help" {
            walk(folder, &[path, &[command]].concat(), seen);
        }
    }
    seen.push(name);
}

#[test]
fn every_command_says_what_it_is_about_and_one_without_arguments_shows_the_way() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut seen = Vec::new();
    walk(folder.path(), &[], &mut seen);
    for command in ["serve", "policy explain", "agents revoke", "keys rotate", ""] {
        assert!(seen.iter().any(|name| name == command), "`{command}` is not among {seen:?}");
    }
    assert!(seen.len() > 60, "{seen:?}");

    let alone = run(folder.path(), &[]);
    assert_eq!((alone.status.code(), text(&alone.stdout)), (Some(64), String::new()));
    assert_eq!(text(&alone.stderr), said(&run(folder.path(), &["--help"])));
}

const OLD: &str = r#"
grant_s = 120
[[when]]
name = "tills are let alone"
group = "tills"
at_most = "alert"
[[when]]
name = "money by night"
risk = ["payments"]
hours = ["20:00-06:00"]
at_least = "step_up"
at_most = "step_up"
"#;

const CALL: &str = r#"{ "event_id": "1", "ts": "2026-03-02T21:30:00Z", "agent_id": "biller", "endpoint": "refund",
  "attestation": "token" }"#;

#[test]
fn a_policy_is_checked_explained_and_compared_before_it_is_in_force() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("to write a file");
    };
    write("old.toml", OLD);
    write("new.toml", &OLD.replace("120", "60").replace("at_least = \"step_up\"\n", ""));
    write("call.json", &CALL.replace('\n', ""));
    let run = |arguments: &[&str]| run(folder.path(), arguments);

    let checked = said(&run(&["policy", "check", "old.toml"]));
    let version = checked.trim_start_matches("the policy is right: version ").split(',').next();
    let version = version.expect("a version");
    assert_eq!(checked, format!("the policy is right: version {version}, 2 rules\n"));
    assert_ne!(checked, said(&run(&["policy", "check", "new.toml"])));

    let explain = |call: &str| {
        write("call.json", &call.replace('\n', ""));
        said(&run(&["policy", "explain", "--event", "call.json", "--policy", "old.toml"]))
    };
    let (night, day) = (explain(CALL), explain(&CALL.replace("T21", "T11")));
    insta::assert_snapshot!([night, day].concat().replace(version, "VERSION"), @r"
    policy VERSION
    risk: payments
    rule `tills are let alone` does not fit: group
    rule `money by night` decides: at least step_up, at most step_up
    policy VERSION
    risk: payments
    rule `tills are let alone` does not fit: group
    rule `money by night` does not fit: hours
    no rule fits: what the evidence asks for
    ");
    insta::assert_snapshot!(said(&run(&["policy", "diff", "old.toml", "new.toml"])), @r#"
    grant_s: 120 -> 60
    when[1].at_least: "step_up" -> null
    "#);
    assert_eq!(said(&run(&["policy", "diff", "old.toml", "old.toml"])), "they are the same\n");

    write("bad.toml", "[governor]\nfleet_percent_per_day = 200\n");
    for arguments in [
        &["policy", "check", "bad.toml"][..],
        &["policy", "explain", "--event", "call.json", "--policy", "bad.toml"],
        &["policy", "diff", "old.toml", "bad.toml"],
    ] {
        let refused = run(arguments);
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{arguments:?}: {told}");
        assert!(
            told.contains("bad.toml: governor.fleet_percent_per_day = 200: 200 is not a percentage"),
            "{told}"
        );
    }
}

#[test]
fn an_agent_ends_with_whom_it_spawned_from_the_command_line_once_the_plan_was_read() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    let call = |n: u32, agent: &str, parent: Option<&str>| {
        let call = json!({ "event_id": n.to_string(), "ts": now(), "agent_id": agent, "endpoint": "send",
            "attestation": "token", "parent_agent_id": parent });
        format!("{call}\n")
    };
    let calls = [
        call(1, "planner", None),
        call(2, "helper", Some("planner")),
        call(3, "errand", Some("helper")),
        call(4, "other", Some("planner")),
        call(5, "errand of another", Some("other")),
        call(6, "bystander", None),
    ];
    tocsin.append(&calls.concat()).expect("it answers").expect(200);
    let revoke = |agent: &str, more: &[&str]| -> Value {
        let whom = ["agents", "revoke", agent, "--issuer", ISSUER, "--person", "Olga"];
        let output =
            tocsin.command(&[&whom[..], &["--reason", "told to pay out", "--cascade"], more].concat());
        serde_json::from_str(&said(&output)).expect("JSON")
    };
    let names = |plan: &Value| -> Vec<String> {
        let rows = plan.as_array().expect("a plan").iter();
        rows.map(|row| row["agent"]["agent_id"].as_str().expect("a name").to_owned()).collect()
    };
    let standing =
        |agent: &str| tocsin.look(&format!("/v1/agent?agent_id={agent}&issuer={ISSUER}"))["standing"].clone();

    let all = ["planner", "helper", "other", "errand", "errand of another"];
    let plan = stage.wait("whom the planner spawned", || {
        let mut plan = revoke("planner", &["descendants", "--plan"]);
        (names(&plan).len() == all.len()).then(|| plan[1].take())
    });
    assert_eq!((&plan["parent"]["agent_id"], &plan["known_by"]), (&json!("planner"), &json!("calls")));
    assert_eq!(plan["targets"], json!(["idp"]));
    assert_eq!(all.map(standing), ["trusted"; 5], "a plan ends nobody");
    assert!(stage.receiver.recorded().is_empty(), "and tells nobody");

    // Without a word it goes no further than the children.
    assert_eq!(names(&revoke("helper", &[])), ["helper", "errand"]);
    assert_eq!(all.map(standing), ["trusted", "revoked", "trusted", "revoked", "trusted"]);
    let done = revoke("planner", &["descendants"]);
    assert_eq!(names(&done), all);
    let excepted: Vec<_> = done.as_array().into_iter().flatten().map(|row| row["excepted"].clone()).collect();
    assert_eq!(json!(excepted), json!([null, "it is revoked already", null, "it is revoked already", null]));
    assert_eq!(all.map(standing), ["revoked"; 5]);
    assert_eq!(standing("bystander"), "trusted");
    let revoked: &[&str] = &["agent.access.revoked"];
    stage.check_effects(&tocsin, &all.map(|agent| (agent, revoked)));
}

#[test]
fn who_reads_no_further_ends_a_command_quietly_and_a_full_disk_is_told() {
    let schema = |out: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
        command.args(["webhooks", "schema"]).stdout(out).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let mut gone = schema(Stdio::piped());
    drop(gone.stdout.take());
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
    for (child, code, words) in
        [(gone, 0, ""), (schema(full.into()), 74, "tocsin: standard output cannot be written: No space left")]
    {
        let ended = child.wait_with_output().expect("it ends");
        let said = text(&ended.stderr);
        assert!(ended.status.code() == Some(code) && said.starts_with(words), "{:?}: {said}", ended.status);
        assert_eq!(said.is_empty(), words.is_empty(), "{said}");
    }
}
