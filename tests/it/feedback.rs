//! What a person says of evidence reaches the detector once, over crashes, and a replay of the log finds it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use detector::Timestamp;
use serde_json::{Value, json};

use crate::support::gate::now;
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, Tocsin};
use crate::support::{http, wait};

const DAYS: u64 = 14;
const AGENTS: [&str; 3] = ["stolen", "moved", "bystander"];

/// A record of a caller that everybody knows.
fn usual(agent: usize, id: &str, ts: Timestamp) -> Value {
    json!({ "event_id": format!("{}-{id}", AGENTS[agent]), "ts": ts, "agent_id": AGENTS[agent], "endpoint": "read_mail",
            "source_ip": format!("198.51.{agent}.7"), "user_agent": "worker/1.4", "attestation": "token" })
}

/// One that nobody knows.
fn strange(agent: usize, id: &str, ts: Timestamp) -> String {
    let mut record = usual(agent, id, ts);
    record["source_ip"] = "203.0.113.9".into();
    record["user_agent"] = "curl/8.5".into();
    record.to_string() + "\n"
}

/// Every quarter of an hour or so.
fn history(start: Timestamp) -> String {
    let mut lines = String::new();
    for quarter in 0..DAYS * 24 * 4 {
        for agent in 0..AGENTS.len() {
            let jitter_s = (quarter * 3 + agent as u64).wrapping_mul(2_654_435_761) % 600;
            let ts = start + Duration::from_secs(quarter * 900 + jitter_s);
            lines += &(usual(agent, &quarter.to_string(), ts).to_string() + "\n");
        }
    }
    lines
}

fn append(tocsin: &Tocsin, lines: &str) {
    let answer = wait::until(Duration::from_mins(1), || {
        Some(tocsin.append(lines).expect("an answer")).filter(|answer| answer.status != 429)
    });
    answer.expect("room").expect(200);
}

/// What the database has of the verdict on this event.
fn verdict(stage: &Stage, database: &str, event: &str) -> Value {
    let sql = format!(
        "SELECT toString(level_microbits) AS level, parts.pattern AS patterns, model FROM {database}.verdicts_once \
         WHERE event_id = '{event}'"
    );
    stage.wait(event, || stage.engine.rows(&sql).into_iter().next())
}

fn is_news(verdict: &Value) -> bool {
    verdict["patterns"].as_array().expect("patterns").iter().any(|p| p == "new_network")
}

fn feedback(tocsin: &Tocsin, agent: &str, ruling: &str) {
    let arguments = [
        "agents", "feedback", agent, "--as", ruling, "--issuer", ISSUER, "--reason", "asked", "--person",
        "Omar",
    ];
    let output = tocsin.command(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Waits until nothing is left to tell the detector.
fn await_told(tocsin: &Tocsin) {
    let left = || tocsin.look("/v1/effects?state=pending&limit=1")["rows"].as_array().map_or(1, Vec::len);
    wait::until_eq("deliveries left", Duration::from_mins(2), &0, left);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("to copy");
        }
    }
}

#[test]
fn an_attack_is_forgotten_a_deploy_is_not_and_a_replay_of_the_log_knows_both() {
    let stage = Stage::new();
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    let start = now() - Duration::from_hours((DAYS + 1) * 24);
    append(&tocsin, &history(start));
    let at = |minutes: u64| start + Duration::from_hours(DAYS * 24) + Duration::from_secs(60 * minutes);
    for (agent, name) in AGENTS[..2].iter().enumerate() {
        append(&tocsin, &strange(agent, "first", at(20)));
        assert!(is_news(&verdict(&stage, "tocsin", &format!("{name}-first"))));
    }
    feedback(&tocsin, "stolen", "malicious");
    feedback(&tocsin, "moved", "deploy");
    tocsin.kill();
    tocsin.restart();
    await_told(&tocsin);
    for agent in 0..2 {
        append(&tocsin, &strange(agent, "second", at(40)));
    }
    assert!(is_news(&verdict(&stage, "tocsin", "stolen-second")));
    assert!(!is_news(&verdict(&stage, "tocsin", "moved-second")));
    assert_eq!(told(&stage), [("moved", "deploy"), ("stolen", "malicious")]);

    // One that has its state, and one that has the log alone.
    assert!(tocsin.stop().success());
    let again = stage.path().join("again");
    copy(&stage.path().join("data"), &again.join("data"));
    fs::remove_dir_all(again.join("data/snapshots")).expect("there are snapshots");
    tocsin.restart();
    let others = stage.settings("").replacen("[store]\n", "[store]\ndatabase = \"again\"\n", 1);
    let replayed = Tocsin::start(&again, &others);
    for (agent, name) in AGENTS.iter().enumerate() {
        let line = strange(agent, "third", at(60));
        append(&tocsin, &line);
        append(&replayed, &line);
        let event = format!("{name}-third");
        assert_eq!(verdict(&stage, "tocsin", &event), verdict(&stage, "again", &event), "{event}");
    }
}

/// Runs a command on one of the agents.
fn agents(tocsin: &Tocsin, verb: &str, agent: &str, more: &[&str]) -> (bool, String) {
    let output = tocsin.command(&[&["agents", verb, agent, "--issuer", ISSUER], more].concat());
    let text = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    (output.status.success(), text.concat())
}

/// The history of the agent that moved, once it has so many versions with this cause.
fn history_with(tocsin: &Tocsin, cause: &str, number: usize) -> String {
    let history = wait::until(Duration::from_mins(1), || {
        let (_, history) = agents(tocsin, "history", "moved", &[]);
        (history.matches(&format!("  {cause} ")).count() == number).then_some(history)
    });
    history.expect("the versions are kept")
}

/// The number of the newest version with this cause.
fn newest(history: &str, cause: &str) -> String {
    let line = history.lines().find(|line| line.contains(&format!("  {cause} ")));
    line.and_then(|line| line.split_whitespace().next()).expect("a version").to_owned()
}

#[test]
fn an_agent_is_taken_back_to_what_it_was_before_a_wrong_word() {
    let stage = Stage::new();
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    let start = now() - Duration::from_hours((DAYS + 1) * 24);
    append(&tocsin, &history(start));
    let at = |minutes: u64| start + Duration::from_hours(DAYS * 24) + Duration::from_secs(60 * minutes);
    append(&tocsin, &strange(1, "first", at(20)));
    assert!(is_news(&verdict(&stage, "tocsin", "moved-first")));
    feedback(&tocsin, "moved", "deploy");
    await_told(&tocsin);
    append(&tocsin, &strange(1, "second", at(40)));
    assert!(!is_news(&verdict(&stage, "tocsin", "moved-second")));

    let versions = history_with(&tocsin, "ruling", 1);
    assert!(versions.contains("moved ") && versions.contains("1 networks"), "{versions}");
    let [ruled, usual] = ["ruling", "moved"].map(|cause| newest(&versions, cause));
    let (done, changes) = agents(&tocsin, "diff", "moved", &[&usual, &ruled]);
    assert!(done && changes.contains("networks: 1 new, 0 gone, 1 as before"), "{changes}");
    let (done, why) = agents(&tocsin, "revert", "moved", &["999999", "--reason", "r"]);
    assert!(!done && why.contains("There is no such version"), "{why}");
    // Before the ruling the network was news that stood; and to go back there once more is no way out of it again.
    for _ in 0..2 {
        let (done, answer) = agents(&tocsin, "revert", "moved", &[&ruled, "--reason", "that was no release"]);
        assert!(done && answer.contains("\"standing\""), "{answer}");
        await_told(&tocsin);
    }
    history_with(&tocsin, "revert", 2);
    append(&tocsin, &strange(1, "again", at(45)));
    assert!(is_news(&verdict(&stage, "tocsin", "moved-again")));
    let (done, answer) = agents(&tocsin, "revert", "moved", &[&usual, "--reason", "that was no release"]);
    assert!(done && answer.contains("\"standing\""), "{answer}");
    tocsin.kill();
    tocsin.restart();
    await_told(&tocsin);

    let again = stage.path().join("again");
    assert!(tocsin.stop().success());
    copy(&stage.path().join("data"), &again.join("data"));
    fs::remove_dir_all(again.join("data/snapshots")).expect("there are snapshots");
    tocsin.restart();
    let others = stage.settings("").replacen("[store]\n", "[store]\ndatabase = \"again\"\n", 1);
    let replayed = Tocsin::start(&again, &others);
    let line = strange(1, "third", at(60));
    append(&tocsin, &line);
    append(&replayed, &line);
    let third = verdict(&stage, "tocsin", "moved-third");
    assert!(is_news(&third), "what it was taken back to knows no such network: {third}");
    assert_eq!(third, verdict(&stage, "again", "moved-third"));
    let history = tocsin.look(&format!("/v1/agent?agent_id=moved&issuer={ISSUER}"))["history"].to_string();
    assert!(history.contains("baseline.reverted") && history.contains("that was no release"), "{history}");
    let effects = stage.receiver.effects();
    assert!(
        effects.iter().all(|effect| effect["type"] != "agent.baseline.reverted"),
        "it is nobody else's: {effects:?}"
    );
}

/// Of whom the receiver of webhooks was told which ruling, each once.
fn told(stage: &Stage) -> Vec<(&'static str, &'static str)> {
    let effects = stage.receiver.effects();
    let rulings = effects.iter().filter(|effect| effect["type"] == "agent.feedback");
    let name = |text: &Value, names: &[&'static str]| {
        names.iter().copied().find(|name| *text == **name).expect("a known name")
    };
    let mut told: Vec<_> = rulings
        .map(|effect| {
            let data = &effect["data"];
            (name(&data["subject"], &AGENTS), name(&data["ruling"], &["deploy", "malicious"]))
        })
        .collect();
    told.sort_unstable();
    told
}

#[test]
fn a_ruling_from_outside_is_refused() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    let line =
        json!({ "event_id": "f", "ts": now(), "agent_id": "a", "kind": "feedback", "ruling": "deploy" });
    let answer = tocsin.append(&(line.to_string() + "\n")).expect("an answer");
    assert!(answer.body.contains("feedback is for Tocsin itself to write"), "{answer:?}");
    let body = json!({ "agent_id": "a", "ruling": "deploy", "person": "Gate", "reason": "r" });
    let request =
        tocsin.request(reqwest::Method::POST, "/v1/agents/feedback", crate::support::tocsin::GATEWAY);
    assert_eq!(http::send(request.json(&body)).expect("it answers").status, 403);
}
