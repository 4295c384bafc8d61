//! Many agents that begin to do the same at once: one incident that is told once, and not a question about each of them.

use std::time::Duration;

use detector::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::http;
use crate::support::stage::Stage;
use crate::support::tocsin::{OPERATOR, Tocsin};

const AGENTS: u64 = 16;
/// A call of each in every ten minutes for eight days, then twelve of them make one every minute.
const USUAL: u64 = 8 * 24 * 6;
const BUSY: u64 = 12;
const BUSY_MINUTES: u64 = 120;

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
        json!({ "event_id": format!("c{n}"), "ts": ts, "agent_id": agent_id, "endpoint": "usual" })
            .to_string()
    };
    calls.iter().enumerate().map(line).collect()
}

fn cohorts(tocsin: &Tocsin) -> Value {
    let answer = http::send(tocsin.request(Method::GET, "/v1/fleet", OPERATOR)).expect("it answers");
    answer.expect(200).json()["cohorts"].clone()
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

    let incident = cohorts(&tocsin)[0].clone();
    tocsin.restart();
    let after = stage.wait("the same after a restart", || cohorts(&tocsin).get(0).cloned());
    assert_eq!((&after["since"], &after["members"]), (&incident["since"], &incident["members"]));
}
