//! Logs of paths: what varies in them is one endpoint, and a person reads which one.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde_json::Value;

const DOCUMENT: &str = "openapi: 3.1.0\nservers: [{url: /v1}]\npaths:\n  /people/{name}:\n    get: {}\n";
const DAYS: u64 = 3;

/// Three agents that read orders and people, day and night; on the last evening one of them turns to grants.
fn log() -> String {
    let mut log = String::new();
    let minutes = DAYS * 24 * 60;
    let mut line = |minute: u64, agent: u64, fields: &str| {
        let (day, hour, minute_of_hour) = (5 + minute / 1_440, minute / 60 % 24, minute % 60);
        writeln!(
            log,
            r#"{{"event_id":"{agent}-{minute}","ts":"2026-01-{day:02}T{hour:02}:{minute_of_hour:02}:0{agent}Z","agent_id":"reader-{agent}",{fields}}}"#
        )
        .expect("a string takes all");
    };
    for minute in (0..minutes).step_by(4) {
        for agent in 0..3 {
            let n = minute * 7 + agent;
            let letter = |k: u64| char::from(b'a' + (n / k % 26) as u8);
            let fields = match n % 3 {
                0 => format!(r#""method":"GET","endpoint":"/v1/orders/{n}?page=1""#),
                1 => format!(
                    r#""method":"GET","endpoint":"/v1/people/{}{}{}""#,
                    letter(1),
                    letter(5),
                    letter(26)
                ),
                _ => r#""method":"POST","endpoint":"/graphql","operation":"getUser""#.to_owned(),
            };
            line(minute, agent, &fields);
        }
    }
    for i in 0..6 {
        let fields = match i % 2 {
            0 => r#""method":"POST","endpoint":"/graphql","operation":"grantRole""#.to_owned(),
            _ => format!(r#""method":"DELETE","endpoint":"/v1/people/x{i}""#),
        };
        line(minutes + i, 1, &fields);
    }
    log
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
    let early = alerts.iter().filter(|a| a["ts"].as_str().is_some_and(|ts| ts < quiet_until)).count();
    assert_eq!(early, 0, "{alerts:?}");
    let said = alerts.iter().map(|a| a["reasons"].to_string()).collect::<String>();
    assert!(said.contains("`DELETE /v1/people/") || said.contains("`POST /graphql grantRole`"), "{said}");
}
