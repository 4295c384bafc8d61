//! An agent that stops calling is told of and explained; one whose logs are late is not taken for silent, and calls that come
//! late amend what was said.

use std::fs;
use std::process::Command;
use std::time::Duration;

use detector::Timestamp;
use serde_json::{Value, json};

use crate::support::gate;
use crate::support::parts::house;
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, Tocsin};

const DAY: u64 = 24 * 60;
/// Days of history, and one in which something is missing.
const DAYS: u64 = 4;

/// Agents that call every five minutes or so, through two proxies that beat as often. In the last day `quiet` calls no more,
/// and nothing at all comes from the proxy `edge`. In the end calls of `quiet` come that were on their way all day.
fn log() -> String {
    let start = gate::now() - Duration::from_mins((DAYS + 1) * DAY);
    let at = |minute: u64, second: u64| start + Duration::from_secs(60 * minute + second);
    let mut records = Vec::new();
    for minute in (0..(DAYS + 1) * DAY).step_by(5) {
        let last_day = minute >= DAYS * DAY;
        for (proxy, agents) in [("core", &["busy", "quiet"][..]), ("edge", &["far"])] {
            if last_day && proxy == "edge" {
                continue;
            }
            records
                .push(json!({ "event_id": format!("{proxy}-{minute}"), "kind": "heartbeat", "source": proxy,
                                 "ts": at(minute, 0) }));
            for (i, agent) in agents.iter().enumerate() {
                if !(last_day && *agent == "quiet") {
                    let second = jitter(minute) + 60 * i as u64;
                    records.push(call(agent, &minute.to_string(), proxy, at(minute, second)));
                }
            }
        }
    }
    records.sort_by_key(|record| record["ts"].as_str().map(|ts| ts.parse::<Timestamp>().ok()));
    let late = |m: u64| call("quiet", &format!("late-{m}"), "core", at(DAYS * DAY + m, jitter(m)));
    records.extend((0..DAY).step_by(5).map(late));
    records.iter().map(|record| record.to_string() + "\n").collect()
}

/// Seconds after the fifth minute, the same in every run.
fn jitter(minute: u64) -> u64 {
    (minute.wrapping_mul(2_654_435_761) >> 20) % 150
}

fn call(agent: &str, id: &str, source: &str, ts: Timestamp) -> Value {
    json!({ "event_id": format!("{agent}-{id}"), "ts": ts, "agent_id": agent, "endpoint": "list", "source": source,
            "attestation": "token" })
}

#[test]
fn silence_is_told_and_amended_and_a_late_source_is_told_apart() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    let log = log();
    tocsin.append(&log).expect("an answer").expect(200);

    let sql = "SELECT agent_id, event_id, toUInt32(version) AS version, level FROM tocsin.verdicts_once \
               WHERE kind = 'silence' ORDER BY version";
    let said = stage.wait("both verdicts on the silence", || {
        let rows = stage.engine.rows(sql);
        (rows.len() >= 2).then_some(rows)
    });
    let of: Vec<_> = said.iter().map(|row| (&row["agent_id"], row["version"].as_u64())).collect();
    let quiet = Value::from("quiet");
    assert_eq!(of, [(&quiet, Some(1)), (&quiet, Some(2))], "{said:?}");
    assert_eq!(said[0]["event_id"], said[1]["event_id"]);

    let alerts = stage.wait("the alerts", || {
        let rows = stage.engine.rows("SELECT agent_id, action, reasons FROM tocsin.alerts_once ORDER BY ts");
        let done = ["amend", "source_late"].iter().all(|a| rows.iter().any(|row| row["action"] == **a));
        done.then_some(rows)
    });
    let with = |action: &str| {
        alerts.iter().find(|row| row["action"] == action).unwrap_or_else(|| panic!("{alerts:?}"))
    };
    let watch = with("watch");
    assert_eq!(watch["agent_id"], "quiet", "{alerts:?}");
    assert!(watch["reasons"].to_string().contains("only 0 calls"), "{watch}");
    assert!(with("amend")["reasons"].to_string().contains("it was none"), "{alerts:?}");
    assert!(with("source_late")["reasons"].to_string().contains("edge"), "{alerts:?}");
    assert!(alerts.iter().all(|row| row["agent_id"] != "far"), "{alerts:?}");

    let at = said_at(&stage);
    let output = tocsin.command(&["explain", "quiet", "--issuer", ISSUER, "--at", &at]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("volume"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );

    replayed(&stage, &log);
}

/// When the silence was said, as of the verdict's own time.
fn said_at(stage: &Stage) -> String {
    let sql = "SELECT toUnixTimestamp64Micro(max(ts)) AS ts FROM tocsin.verdicts_once WHERE kind = 'silence'";
    let micros = &stage.engine.rows(sql)[0]["ts"];
    let micros = micros.as_i64().or_else(|| micros.as_str()?.parse().ok()).expect("a time");
    Timestamp::from_micros(micros).to_string()
}

/// `tocsin replay` says the same of the same log.
fn replayed(stage: &Stage, log: &str) {
    let (file, out) = (stage.path().join("log.ndjson"), stage.path().join("replay"));
    fs::write(&file, log).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_tocsin"))
        .args(["replay", "--json", "--attestation", "token", "--issuer", ISSUER, "--out"])
        .args([&out, &file])
        .current_dir(house())
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("the report is JSON");
    assert_eq!((&report["silences"], &report["late_sources"]), (&1.into(), &json!(["edge"])), "{report}");
    assert_eq!(report["alerts"], json!({ "amend": 1, "watch": 1 }), "{report}");
}
