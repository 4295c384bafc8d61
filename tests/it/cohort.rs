//! Many agents that begin to do the same at once: one incident that is told once, and not a question about each of them.

use std::time::Duration;

use detector::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gate::ask;
use crate::support::http;
use crate::support::prove;
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, OPERATOR, Tocsin};

const AGENTS: u64 = 16;
/// A call of each in every ten minutes for eight days, then twelve of them make one every minute.
const USUAL: u64 = 8 * 24 * 6;
const BUSY: u64 = 12;
const BUSY_MINUTES: u64 = 120;

/// What they do, by day and in the incident.
const READS: &str = "read_orders";
const SENDS: &str = "send_report";

fn calls() -> Vec<String> {
    let start = Timestamp::from_millis(1_740_000_000_000);
    let mut calls = Vec::new();
    let mut call = |window: Duration, n: u64, agent: u64| {
        // As irregular as squares.
        let within = Duration::from_millis((n * AGENTS + agent).pow(2) * 7_919 % window.as_millis() as u64);
        calls.push((start + window * n as u32 + within, agent));
    };
    let (ten, minute) = (Duration::from_mins(10), Duration::from_mins(1));
    for agent in 0..AGENTS {
        (0..USUAL).for_each(|n| call(ten, n, agent));
        if agent < BUSY {
            (10 * USUAL..10 * USUAL + BUSY_MINUTES).for_each(|n| call(minute, n, agent));
        } else {
            (USUAL..USUAL + BUSY_MINUTES / 10).for_each(|n| call(ten, n, agent));
        }
    }
    calls.sort_unstable();
    let line = |(n, (ts, agent)): (usize, &(Timestamp, u64))| {
        let agent_id = format!("agent-{agent:02}");
        let endpoint = if n % 4 == 0 { SENDS } else { READS };
        json!({ "event_id": format!("c{n}"), "ts": ts, "agent_id": agent_id, "endpoint": endpoint, "attestation": "token" })
            .to_string()
    };
    calls.iter().enumerate().map(line).collect()
}

/// The incidents that the fleet is told of.
pub(crate) fn cohorts(tocsin: &Tocsin) -> Value {
    let answer = http::send(tocsin.request(Method::GET, "/v1/fleet", OPERATOR)).expect("it answers");
    answer.expect(200).json()["cohorts"].clone()
}

/// All of them are declared to be tills.
fn manifests() -> String {
    let mut text = String::new();
    for n in 0..AGENTS {
        let agent = format!("agent_id = \"agent-{n:02}\"\nissuer = \"{ISSUER}\"\ngroup = \"tills\"\n");
        text.push_str("[[manifests]]\n");
        text.push_str(&agent);
    }
    text
}

/// One of the incident asks the gate for something that it does every day.
fn asks(tocsin: &Tocsin, agent: u64, endpoint: &str, id: &str) -> http::Answer {
    // Two minutes after the last call; all of them at once.
    let ts = Timestamp::from_millis(1_740_000_000_000)
        + Duration::from_mins(10) * USUAL as u32
        + Duration::from_mins(BUSY_MINUTES + 2);
    let act = json!({ "event_id": id, "kind": "request", "ts": ts, "agent_id": format!("agent-{agent:02}"),
        "endpoint": endpoint, "attestation": "token" });
    ask(tocsin, &act, None)
}

/// Who of the busy ones is told what, asked for an endpoint: how many go on, and how many wait.
fn gate(tocsin: &Tocsin, agents: std::ops::Range<u64>, endpoint: &str, round: &str) -> (usize, usize) {
    let answers: Vec<u16> =
        agents.map(|n| asks(tocsin, n, endpoint, &format!("{round}-{n}")).status).collect();
    let count = |status: u16| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!(count(200) + count(401), answers.len(), "{answers:?}");
    (count(200), count(401))
}

#[test]
fn in_an_incident_reads_go_on_writes_wait_and_two_persons_end_it_or_one_calls_it_a_deploy() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(&manifests()));
    let calls = calls();
    for lines in calls.chunks(2_000) {
        tocsin.append(&(lines.join("\n") + "\n")).expect("an answer").expect(200);
    }
    stage.wait("the incident", || cohorts(&tocsin).get(0).cloned());
    stage.count_when(Duration::from_mins(2), "verdicts_once", |rows| rows >= calls.len() as u64);
    // Nobody is asked about again who was before there was an incident: those wait by their own evidence.
    let alone = tocsin.look("/v1/agents?limit=100")["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .filter(|row| row["standing"] == "challenged")
        .count();
    let (read, _) = gate(&tocsin, 0..BUSY, READS, "read");
    assert!(read + alone >= BUSY as usize, "{read} of {BUSY} read, {alone} were asked about alone");
    let (_, wait) = gate(&tocsin, 0..BUSY / 2, SENDS, "send");
    assert!(wait >= BUSY as usize / 2 - 1, "{wait} writes wait");
    let revoked = stage.receiver.recorded().iter().filter(|e| e["type"] == "agent.access.revoked").count();
    assert_eq!(revoked, 0, "nobody is revoked by itself");

    // Offered once, taken up by two.
    let offers = tocsin.look("/v1/proposals");
    let offer = &offers[0];
    assert_eq!((&offer["command"], &offer["group"]), (&json!("revoke_group"), &json!("tills")), "{offers}");
    assert_eq!((&offer["person"], offers.as_array().map(Vec::len)), (&json!(""), Some(1)));
    let confirm = |person: &str| {
        let body = json!({ "id": offer["id"], "person": person, "reason": "they all pay out" });
        http::send(tocsin.request(Method::POST, "/v1/proposals/confirm", OPERATOR).json(&body))
            .expect("an answer")
    };
    let first = confirm("Olga").expect(200).json();
    assert_eq!((&first["waits"], &first["revoked"]), (&json!(true), &json!(0)), "{first}");
    confirm("olga").expect(409);
    let second = confirm("Omar").expect(200).json();
    assert_eq!((&second["waits"], &second["revoked"]), (&json!(false), &json!(AGENTS)), "{second}");
    asks(&tocsin, 1, READS, "after").expect(403);
    prove::row(
        "one deviation of 12 of 16: reads that go on and writes that wait, of those asked",
        (read + alone + wait) as f64,
        [read as f64, wait as f64],
        "one incident, nobody revoked by itself, two persons end all",
        true,
        "in_an_incident",
    );
}

#[test]
fn a_deploy_is_told_once_and_asks_about_few() {
    let stage = Stage::new();
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    assert_eq!(cohorts(&tocsin), json!([]));
    for lines in calls().chunks(2_000) {
        tocsin.append(&(lines.join("\n") + "\n")).expect("an answer").expect(200);
    }
    let incident = stage.wait("the incident", || cohorts(&tocsin).get(0).cloned());
    assert_eq!((&incident["incident"], &incident["pattern"]), (&json!(1), &json!("more_calls")));
    assert_eq!((&incident["exposed"], &incident["until"]), (&json!(AGENTS), &Value::Null));
    stage.count_when(Duration::from_mins(2), "verdicts_once", |rows| rows >= calls().len() as u64);
    stage
        .count_when(Duration::from_mins(1), "alerts_once WHERE action = 'cohort_incident'", |rows| rows == 1);
    let reasons = stage.engine.rows(
        "SELECT arrayStringConcat(reasons, ' ') AS said FROM tocsin.alerts_once WHERE action = 'cohort_incident'",
    );
    let said = reasons[0]["said"].as_str().expect("a text");
    for part in
        ["of 16 agents make more calls than they would, since 2025-02-", "`agent-0", "an attack on all"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }

    // Whoever went first is asked about by itself; of the others the level says as much, and nobody is asked.
    let number = |sql: String| stage.engine.try_number(&sql).expect("a number");
    let asked = number("SELECT count() FROM tocsin.alerts_once WHERE action = 'challenge'".to_owned());
    assert!(asked < 5, "{asked} were asked about");
    let loud = "(SELECT DISTINCT agent_id FROM tocsin.verdicts_once WHERE cohort = 1 AND level >= 6.5)";
    let loud = number(format!("SELECT count() FROM {loud}"));
    assert!(loud + asked >= BUSY, "{loud} and {asked}");

    let text = |arguments: &[&str]| {
        let shown = tocsin.command(arguments);
        assert!(shown.status.success(), "{shown:?}");
        String::from_utf8_lossy(&shown.stdout).into_owned()
    };
    let fleet = text(&["fleet"]);
    assert!(fleet.contains("cohort: goes on") && fleet.contains("cohort incident 1: "), "{fleet}");
    let of_one = stage.engine.rows(
        "SELECT agent_id, issuer, replace(toString(ts), ' ', 'T') || 'Z' AS at FROM tocsin.verdicts_once
         WHERE cohort = 1 ORDER BY level DESC LIMIT 1",
    );
    let [agent, issuer, at] =
        ["agent_id", "issuer", "at"].map(|name| of_one[0][name].as_str().expect("a text"));
    let explained = text(&["explain", agent, "--issuer", issuer, "--at", at]);
    for said in ["shared with its peers: ", "(cohort incident 1)"] {
        assert!(explained.contains(said), "{said}: {explained}");
    }
    let metrics = http::send(tocsin.request(Method::GET, "/metrics", OPERATOR)).expect("it answers").body;
    assert!(metrics.contains("tocsin_cohort_incidents_open 1"), "{metrics}");
    assert!(metrics.contains("tocsin_findings_total{kind=\"cohort_incident\"} 1"), "{metrics}");

    // A deploy is a person's word, and then nobody waits for it.
    let (_, wait) = gate(&tocsin, 0..1, SENDS, "before");
    assert_eq!(wait, 1);
    let words = ["--as", "cohort_deploy", "--issuer", ISSUER, "--reason", "release 4.2", "--person", "Dana"];
    text(&[&["agents", "feedback", "agent-02"][..], &words[..]].concat());
    let mut probes = 0;
    stage.wait("it is no news any more", || {
        probes += 1;
        let answer = asks(&tocsin, 3, READS, &format!("probe-{probes}"));
        (answer.status == 200 && answer.json()["level"].as_f64() < Some(2.8)).then_some(())
    });
    assert!(gate(&tocsin, 4..BUSY, SENDS, "deployed").0 >= BUSY as usize - 6);

    let incident = cohorts(&tocsin)[0].clone();
    tocsin.restart();
    // What came since the snapshot is read again first.
    stage.wait("the same after a restart", || {
        let after = cohorts(&tocsin).get(0).cloned()?;
        ["since", "members"].iter().all(|of_it| after[of_it] == incident[of_it]).then_some(())
    });
}
