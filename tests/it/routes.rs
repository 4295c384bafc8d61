//! Logs of paths: what varies in them is one endpoint, and a person reads which one.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde_json::Value;

const DOCUMENT: &str = "openapi: 3.1.0\nservers: [{url: /v1}]\npaths:\n  /people/{name}:\n    get: {}\n";
const DAYS: u64 = 3;

/// Three agents that read orders and people, day and night, at no fixed pace; in the end one of them turns to grants.
fn log() -> String {
    let mut calls = Vec::new();
    let mut state = 7_u64;
    for agent in 0..3_u64 {
        let mut second = 0.0;
        while second < (DAYS * 86_400) as f64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let n = state >> 33;
            let letter = |k: u64| char::from(b'a' + (n / k % 26) as u8);
            let fields = match n % 3 {
                0 => format!(r#""method":"GET","endpoint":"/v1/orders/{n}?page=1""#),
                1 => {
                    format!(
                        r#""method":"GET","endpoint":"/v1/people/{}{}{}""#,
                        letter(3),
                        letter(78),
                        letter(2_028)
                    )
                }
                _ => r#""method":"POST","endpoint":"/graphql","operation":"getUser""#.to_owned(),
            };
            calls.push((second as u64, agent, fields));
            second += 1.0 - 240.0 * ((n as f64 + 1.0) / 2_147_483_649.0).ln();
        }
    }
    for i in 0..6 {
        let fields = match i % 2 {
            0 => r#""method":"POST","endpoint":"/graphql","operation":"grantRole""#.to_owned(),
            _ => format!(r#""method":"DELETE","endpoint":"/v1/people/x{i}""#),
        };
        calls.push((DAYS * 86_400 + 60 * i, 1, fields));
    }
    calls.sort();
    let mut log = String::new();
    for (i, (second, agent, fields)) in calls.iter().enumerate() {
        let (day, hour, minute, second) =
            (5 + second / 86_400, second / 3_600 % 24, second / 60 % 60, second % 60);
        writeln!(
            log,
            r#"{{"event_id":"{i}","ts":"2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}Z","agent_id":"reader-{agent}",{fields}}}"#
        )
        .expect("a string takes all");
    }
    log
}

/// Whether an alert's reasons speak of what was called, and not of when.
fn is_of_endpoints(alert: &Value) -> bool {
    let reasons = alert["reasons"].to_string();
    reasons.contains("of what this agent calls") || reasons.contains("session")
}

#[test]
fn a_log_of_paths_is_quiet_but_for_the_call_that_is_not_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("api.yaml"), DOCUMENT).expect("written");
    fs::write(path("log.ndjson"), log()).expect("written");
    fs::write(path("tocsin.toml"), format!("[detector]\nopenapi = [{:?}]\n", path("api.yaml")))
        .expect("written");
    let replay = |out: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_tocsin"))
            .args([
                "replay",
                "--json",
                "--config",
                &path("tocsin.toml"),
                "--out",
                &path(out),
                &path("log.ndjson"),
            ])
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        ["calls.ndjson", "alerts.ndjson"]
            .map(|file| fs::read_to_string(folder.path().join(out).join(file)).expect("the file is there"))
    };
    let [calls, alerts] = replay("1");
    assert!([calls, alerts.clone()] == replay("2"), "two replays differ");
    let quiet_until = "2026-01-08";
    let rows = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
    };
    let alerts = rows(&alerts);
    let early = alerts.iter().filter(|a| a["ts"].as_str().is_some_and(|ts| ts < quiet_until));
    assert!(early.clone().all(|a| !is_of_endpoints(a)), "{:?}", early.collect::<Vec<_>>());
    let said = alerts.iter().map(|a| a["reasons"].to_string()).collect::<String>();
    assert!(said.contains("`DELETE /v1/people/") || said.contains("`POST /graphql grantRole`"), "{said}");
}
