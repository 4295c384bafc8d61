//! Two fifths of a group change what they do within ten minutes, on evidence that revokes one of them alone: as a deploy, which
//! a person calls one, and as a mass injection, which two persons end.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use detector::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cohort::cohorts;
use crate::support::fleet::{Fleet, read, text};
use crate::support::gate::ask;
use crate::support::http;
use crate::support::prove;
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, OPERATOR, Tocsin};

const AGENTS: u64 = 20;
const BUSY: u64 = 8;
const USUAL: Duration = Duration::from_hours(8 * 24);
const CHANGED: Duration = Duration::from_mins(10);
/// Between two calls of one agent, before and after.
const GAP: Duration = Duration::from_mins(10);
const BUSY_GAP: Duration = Duration::from_secs(20);

/// How much of what an agent does are reports and payments, and by what it pays; the rest it reads.
type Habit = (f64, f64, &'static str);
const BEFORE: Habit = (0.25, 0.04, "pay_out");
const DEPLOY: Habit = (0.4, 0.02, "pay_out");
const INJECTION: Habit = (0.0, 0.5, "pay_out");
const NEW_TOOL: Habit = (0.0, 0.5, "wire_out");

fn start() -> Timestamp {
    Timestamp::from_millis(1_740_000_000_000)
}

/// What all of them do, the first `busy` as `after` in the end.
fn calls(busy: u64, after: Habit) -> Vec<String> {
    drawn(1, busy, after)
}

/// The same in another draw.
fn drawn(seed: u64, busy: u64, after: Habit) -> Vec<String> {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut calls = Vec::new();
    let mut during = |agent: u64, from: Duration, to: Duration, gap: Duration, (send, pay, by): Habit| {
        let mut at = from;
        loop {
            at += gap.mul_f64(-f64::ln(chance.random_range(f64::MIN_POSITIVE..1.0)));
            if at >= to {
                return;
            }
            let part = chance.random_range(0.0..1.0);
            let endpoint = match part {
                part if part < send => "send_report",
                part if part < send + pay => by,
                _ => "read_orders",
            };
            calls.push((start() + at, agent, endpoint));
        }
    };
    for agent in 0..AGENTS {
        during(agent, Duration::ZERO, USUAL, GAP, BEFORE);
        let (gap, habit) = if agent < busy { (BUSY_GAP, after) } else { (GAP, BEFORE) };
        during(agent, USUAL, USUAL + CHANGED, gap, habit);
    }
    calls.sort_unstable();
    let line = |(n, (ts, agent, endpoint)): (usize, &(Timestamp, u64, &str))| {
        json!({ "event_id": format!("m{n}"), "ts": ts, "agent_id": format!("agent-{agent:02}"),
                "endpoint": endpoint, "attestation": "token" })
        .to_string()
    };
    calls.iter().enumerate().map(line).collect()
}

/// All of one group, who have made these calls.
fn group(stage: &Stage, calls: &[String]) -> Tocsin {
    let member =
        |n| format!("[[manifests]]\nagent_id = \"agent-{n:02}\"\nissuer = \"{ISSUER}\"\ngroup = \"tills\"\n");
    let members: String = (0..AGENTS).map(member).collect();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(&members));
    for lines in calls.chunks(2_000) {
        tocsin.append(&(lines.join("\n") + "\n")).expect("an answer").expect(200);
    }
    stage.count_when(Duration::from_mins(3), "verdicts_once", |rows| rows >= calls.len() as u64);
    tocsin
}

/// What one of them is answered, a minute after the last call.
fn status(tocsin: &Tocsin, agent: u64, endpoint: &str, id: &str) -> u16 {
    let ts = start() + USUAL + CHANGED + Duration::from_mins(1);
    let act = json!({ "event_id": id, "kind": "request", "ts": ts, "agent_id": format!("agent-{agent:02}"),
                      "endpoint": endpoint, "attestation": "token" });
    ask(tocsin, &act, None).status
}

fn revoked(tocsin: &Tocsin) -> usize {
    let agents = tocsin.look("/v1/agents?limit=100");
    let rows = agents["rows"].as_array().expect("rows").iter();
    rows.filter(|row| row["standing"] == "revoked").count()
}

/// One incident; how many of those in it wait with a write, and how many were revoked by themselves: who was evident before enough had
/// begun to be an incident, under the governor's cap.
fn held(stage: &Stage, tocsin: &Tocsin, write: &str) -> (usize, usize) {
    stage.wait("the incident", || cohorts(tocsin).get(0).cloned());
    stage.count_when(Duration::from_mins(1), "alerts_once WHERE action = 'cohort_incident'", |n| n == 1);
    let answers: Vec<u16> = (0..BUSY).map(|n| status(tocsin, n, write, &format!("write-{n}"))).collect();
    let (wait, ended) = (answers.iter().filter(|answer| **answer == 401).count(), revoked(tocsin));
    assert_eq!(wait + ended, answers.len(), "{answers:?}");
    (wait, ended)
}

fn row(what: &str, ended: usize, test: &str) {
    let name = format!("{what} on 8 of 20 of a group within 10 minutes: revoked without a person");
    prove::row(
        &name,
        ended as f64,
        [ended as f64; 2],
        "0; one incident, the others' writes wait",
        ended == 0,
        test,
    );
}

#[test]
fn one_alone_that_changes_as_they_do_is_revoked() {
    for after in [DEPLOY, INJECTION] {
        let stage = Stage::new();
        let tocsin = group(&stage, &calls(1, after));
        stage.wait("the revocation", || (revoked(&tocsin) == 1).then_some(()));
        assert_eq!(cohorts(&tocsin), json!([]));
        assert_eq!(status(&tocsin, 0, "read_orders", "after"), 403);
    }
}

#[test]
fn a_deploy_on_two_fifths_revokes_nobody_and_a_person_calls_it_one() {
    let stage = Stage::new();
    let tocsin = group(&stage, &calls(BUSY, DEPLOY));
    assert_eq!(held(&stage, &tocsin, "send_report"), (8, 0));
    let words = ["--as", "cohort_deploy", "--issuer", ISSUER, "--reason", "release 4.2", "--person", "Dana"];
    let said = tocsin.command(&[&["agents", "feedback", "agent-02"][..], &words[..]].concat());
    assert!(said.status.success(), "{said:?}");
    assert_eq!(revoked(&tocsin), 0);
    row("a deploy", 0, "a_deploy_on_two_fifths");
}

#[test]
fn of_a_mass_injection_no_more_are_revoked_than_the_governor_lets_and_two_persons_end_the_group() {
    let stage = Stage::new();
    let tocsin = group(&stage, &calls(BUSY, INJECTION));
    let (_, ended) = held(&stage, &tocsin, "pay_out");
    assert!(ended <= AGENTS as usize / 4, "a quarter of a group a day: {ended}");
    let offers = tocsin.look("/v1/proposals");
    let offer = &offers[0];
    assert_eq!((&offer["command"], &offer["group"]), (&json!("revoke_group"), &json!("tills")), "{offers}");
    let confirm = |person: &str| -> Value {
        let body = json!({ "id": offer["id"], "person": person, "reason": "they all pay out" });
        let request = tocsin.request(Method::POST, "/v1/proposals/confirm", OPERATOR).json(&body);
        http::send(request).expect("an answer").expect(200).json()
    };
    assert_eq!(confirm("Olga")["waits"], json!(true));
    assert_eq!(revoked(&tocsin), ended, "one person ends nobody");
    assert_eq!(confirm("Omar")["waits"], json!(false));
    assert_eq!(revoked(&tocsin), AGENTS as usize);
    assert_eq!(status(&tocsin, 1, "read_orders", "after"), 403);
    row("a mass injection", ended, "of_a_mass_injection");
}

/// How many of them a plain replay, which has no caps, revokes in this draw, and how many of those once they were an incident.
fn evident(folder: &Path, seed: u64, busy: u64, after: Habit) -> (usize, usize) {
    let lines = drawn(seed, busy, after);
    let path = folder.join("calls.ndjson");
    std::fs::write(&path, lines.join("\n")).expect("to write the calls");
    let replayed = Fleet { path, lines }.replay_into(folder);
    let scored = read(&replayed.join("calls.ndjson"));
    let opened = scored.iter().position(|row| row["cohort"].is_object()).unwrap_or(scored.len());
    let before: HashSet<String> = scored[..opened].iter().map(|row| text(row, "event_id")).collect();
    let revokes = read(&replayed.join("alerts.ndjson")).into_iter().filter(|row| row["action"] == "revoke");
    let (early, late): (Vec<Value>, Vec<Value>) =
        revokes.partition(|row| before.contains(&text(row, "event_id")));
    (early.len() + late.len(), late.len())
}

#[test]
fn in_every_draw_one_alone_is_revoked_and_of_many_hardly_one_once_they_are_an_incident() {
    let draws = prove::scaled(1, 20);
    let folder = tempfile::tempdir().expect("a scratch folder");
    // Who began to call something else that day answers for that too, whatever it shares with the others.
    for (what, busy, after, late_max) in [
        ("an injection", 1, INJECTION, 0),
        ("a mass injection", BUSY, INJECTION, 0),
        ("a mass injection by a new tool", BUSY, NEW_TOOL, 1),
        ("a deploy", BUSY, DEPLOY, 0),
    ] {
        let counts: Vec<(usize, usize)> =
            (1..=draws).map(|seed| evident(folder.path(), seed, busy, after)).collect();
        let expected = if busy == 1 { 1..2 } else { 0..BUSY as usize };
        let holds = |(all, late): &(usize, usize)| expected.contains(all) && *late <= late_max;
        assert!(counts.iter().all(holds), "{what}: {counts:?}");
        let told = |of: &str, each: Vec<usize>, goal: &str| {
            let range = [each.iter().min(), each.iter().max()].map(|n| *n.expect("a draw") as f64);
            let mean = each.iter().sum::<usize>() as f64 / each.len() as f64;
            let name =
                format!("{what} on {busy} of 20, {draws} draws: revoked {of}, were there no caps, mean");
            prove::row(&name, mean, range, goal, true, "in_every_draw");
        };
        let (all, late) = counts.into_iter().unzip();
        told("without a person", all, if busy == 1 { "1" } else { "" });
        if busy > 1 {
            told("once it is an incident", late, "");
        }
    }
}
