//! Does the fleet as a whole keep its budgets? Over HTTP, as a command, for Prometheus, and as an alert when it does not.

use std::time::Duration;

use detector::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::http;
use crate::support::stage::Stage;
use crate::support::tocsin::{GATEWAY, OPERATOR, Tocsin};

const AGENTS: u32 = 8;
const ROUNDS: u32 = 500;
/// From this round on all agents but two call what none has ever called.
const TURN: u32 = 460;

/// A call of each agent in every ten minutes.
fn calls() -> String {
    let start = Timestamp::from_millis(1_740_000_000_000);
    let mut lines = String::new();
    for (round, agent) in (0..ROUNDS).flat_map(|round| (0..AGENTS).map(move |agent| (round, agent))) {
        let n = u64::from(round * AGENTS + agent);
        let within = Duration::from_millis(n.pow(2) * 7_919 % 600_000);
        let endpoint =
            if round >= TURN && agent + 2 < AGENTS { format!("e{round}") } else { "usual".to_owned() };
        let call = json!({ "event_id": format!("c{n}"), "ts": start + Duration::from_mins(10) * round + within,
                           "agent_id": format!("agent-{agent}"), "endpoint": endpoint });
        lines += &call.to_string();
        lines.push('\n');
    }
    lines
}

fn step_ups(tocsin: &Tocsin) -> Value {
    let answer = http::send(tocsin.request(Method::GET, "/v1/fleet", OPERATOR)).expect("it answers");
    let rows = answer.expect(200).json()["rows"].clone();
    let step_ups = rows.as_array().expect("rows").iter().find(|row| row["grade"] == "step_up");
    step_ups.unwrap_or_else(|| panic!("no row of step-ups: {rows}")).clone()
}

#[test]
fn a_fleet_over_its_budget_says_so_everywhere_and_after_a_restart_too() {
    let stage = Stage::new();
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    assert_eq!(step_ups(&tocsin)["exceeded_since"], Value::Null);
    tocsin.append(&calls()).expect("an answer").expect(200);
    let exceeded = stage.wait("the budget to be exceeded", || {
        let row = step_ups(&tocsin);
        row["exceeded_since"].is_string().then_some(row)
    });
    assert!(exceeded["alarms"].as_f64() >= Some(4.0), "{exceeded}");
    assert!(exceeded["p_value"].as_f64() < Some(0.01), "{exceeded}");
    assert_eq!((&exceeded["group"], &exceeded["families"][0]["signal"]), (&json!("fleet"), &json!("volume")));
    stage
        .count_when(Duration::from_mins(2), "alerts_once WHERE action = 'budget_exceeded'", |rows| rows == 1);

    let shown = tocsin.command(&["fleet"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    for said in ["step_up: exceeded since", "the fleet raised", "where the budget allows", "endpoint"] {
        assert!(shown.status.success() && text.contains(said), "{said}: {text}");
    }
    let metrics = http::send(tocsin.request(Method::GET, "/metrics", OPERATOR)).expect("it answers").body;
    for line in
        ["tocsin_fleet_budget_exceeded{group=\"fleet\",grade=\"step_up\"} 1", "tocsin_fleet_widening_ratio"]
    {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }

    let path = "/v1/fleet";
    http::send(tocsin.request(Method::GET, path, GATEWAY)).expect("it answers").expect(403);
    http::send(tocsin.request(Method::POST, path, OPERATOR)).expect("it answers").expect(405);

    tocsin.restart();
    let after = stage.wait("the same after a restart", || {
        let row = step_ups(&tocsin);
        row["exceeded_since"].is_string().then_some(row)
    });
    assert_eq!(after["exceeded_since"], exceeded["exceeded_since"]);
}
