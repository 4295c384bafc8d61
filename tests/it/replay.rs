//! `tocsin replay` and `simulate`: recorded logs in, the contract's files out, every record accounted for.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::support::parts::house;
use crate::support::prove;

/// The files whose bytes depend on the input alone.
const FILES: [&str; 5] =
    ["calls.ndjson", "windows.csv", "sessions.ndjson", "alerts.ndjson", "rejects.ndjson"];

fn tocsin(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tocsin"))
        .args(arguments)
        .current_dir(house())
        .output()
        .expect("it starts")
}

fn replay(inputs: &[&str], out: &Path) -> Value {
    let out = out.to_str().expect("a path of the test's own");
    let output = tocsin(&[&["replay", "--json", "--out", out], inputs].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut report: Value = serde_json::from_slice(&output.stdout).expect("the report is JSON");
    let count = |key: &str| report[key].as_u64().expect("a count");
    assert_eq!(
        count("lines"),
        count("calls") + count("control") + count("duplicates") + count("rejects"),
        "{report}"
    );
    report.as_object_mut().expect("an object").remove("seconds");
    report
}

fn rows(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).expect("the file is there");
    text.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
}

/// Millionths of a bit: JSON carries six decimals, which a double holds exactly enough to round back.
fn micros(bits: &Value) -> i64 {
    (bits.as_f64().expect("a number") * 1e6).round() as i64
}

#[test]
fn recorded_agents_are_scored_the_same_by_however_many_and_every_part_adds_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let inputs = ["fixtures/agent-traces/train.ndjson.gz", "fixtures/agent-traces/test.ndjson.gz"];
    let by = |workers: &str| {
        let out = folder.path().join(workers);
        (replay(&[&["--workers", workers], &inputs[..]].concat(), &out), out)
    };
    let (report, first) = by("1");
    for workers in prove::scaled(&["8"][..], &["2", "8"]) {
        let (again, other) = by(workers);
        assert_eq!(report, again, "{workers} workers");
        for file in FILES {
            assert!(
                fs::read(first.join(file)).unwrap() == fs::read(other.join(file)).unwrap(),
                "{file} differs with {workers} workers"
            );
        }
    }
    insta::assert_snapshot!("replay_agent_traces", serde_json::to_string_pretty(&report).unwrap());

    let calls = rows(&first.join("calls.ndjson"));
    assert_eq!(calls.len() as u64, report["calls"].as_u64().unwrap());
    for call in &calls {
        let sum = |key: &str| call["parts"].as_array().unwrap().iter().map(|p| micros(&p[key])).sum::<i64>();
        assert_eq!((sum("bits"), sum("added")), (micros(&call["bits"]), micros(&call["added"])), "{call}");
    }
    let sessions = rows(&first.join("sessions.ndjson"));
    let in_sessions: u64 = sessions.iter().map(|s| s["calls"].as_u64().unwrap()).sum();
    assert_eq!(
        (sessions.len() as u64, in_sessions),
        (report["sessions"].as_u64().unwrap(), calls.len() as u64)
    );
    let peak = calls.iter().map(|c| micros(&c["bits"])).max();
    assert_eq!(sessions.iter().map(|s| micros(&s["score"])).max(), peak);
    let windows = fs::read_to_string(first.join("windows.csv")).unwrap();
    let window_peak = windows
        .lines()
        .skip(1)
        .map(|l| (l.rsplit(',').next().unwrap().parse::<f64>().unwrap() * 1e6).round() as i64);
    assert_eq!(window_peak.max(), peak);
    found_and_missed(&folder.path().join("1"));
}

/// What the first version finds on the recorded sessions, for `make prove`.
fn found_and_missed(out: &Path) {
    let labels = Command::new("python3")
        .args([
            "-c",
            "import gzip,sys\nsys.stdout.write(gzip.open(sys.argv[1],'rt').read())",
            "fixtures/agent-traces/labels.ndjson.gz",
        ])
        .current_dir(house())
        .output()
        .expect("python3 runs");
    let labels: Vec<Value> = String::from_utf8_lossy(&labels.stdout)
        .lines()
        .map(|l| serde_json::from_str(l).expect("a label is JSON"))
        .collect();
    let over: std::collections::HashSet<String> = rows(&out.join("sessions.ndjson"))
        .into_iter()
        .filter(|s| !s["first_over"].is_null())
        .map(|s| s["session_id"].as_str().expect("a session has an id").to_owned())
        .collect();
    let share = |label: &str| {
        let all = labels.iter().filter(|l| l["label"] == label);
        let hit = all
            .clone()
            .filter(|l| over.contains(l["session_id"].as_str().expect("a label has a session")))
            .count();
        hit as f64 / all.count() as f64
    };
    let test = "replay::recorded_agents";
    let (benign, hijacked) = (share("benign"), share("attack_succeeded"));
    prove::row(
        "recorded benign sessions over the step-up budget, share",
        benign,
        [benign; 2],
        "at most 0.05",
        benign <= 0.05,
        test,
    );
    prove::row(
        "recorded hijacked sessions over the step-up budget, share",
        hijacked,
        [hijacked; 2],
        "at least 0.5",
        hijacked >= 0.5,
        test,
    );
    assert!(hijacked > 2.0 * benign, "hijacked sessions stand out: {hijacked} against {benign}");
}

/// A fleet that calls so fast that several hands are woken: bursts of 300 calls within 10 s, minutes apart. Half of its agents name
/// their sessions, of those without a name two begin in one burst.
fn bursts() -> Vec<String> {
    const AGENTS: usize = 12;
    let begin = detector::Timestamp::from_millis(1_772_438_400_000);
    let record = |n: usize| {
        let (burst, agent, turn) = (n / 300, n % AGENTS, n % 300 / AGENTS);
        let ts = begin + Duration::from_mins(7) * burst as u32 + Duration::from_millis(33) * (n % 300) as u32;
        let task = (burst * 5 + agent * 3 + turn / 5) % 4 + 4 * (agent % 2);
        let chance = (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) as usize >> 40;
        let turns = if chance.is_multiple_of(6) { chance } else { turn };
        let verb = ["list", "read", "reply", "file", "pay"][turns % 5];
        let session = format!(",\"session_id\":\"s{agent}-{burst}-{}\"", turn / 5);
        let session = if agent.is_multiple_of(2) { session } else { String::new() };
        format!(
            "{{\"event_id\":\"e{n}\",\"ts\":\"{ts}\",\"agent_id\":\"a{agent}\",\"endpoint\":\"{verb}_{task}\"{session}}}\n"
        )
    };
    (0..14 * 300).map(record).collect()
}

#[test]
fn a_fleet_that_wakes_several_hands_is_scored_the_same_by_however_many_and_wherever_its_log_is_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, pieces) = (folder.path().join("calls.ndjson"), folder.path().join("pieces"));
    let lines = bursts();
    fs::write(&whole, lines.concat()).unwrap();
    fs::create_dir(&pieces).unwrap();
    for (i, piece) in lines.chunks(97).enumerate() {
        fs::write(pieces.join(format!("{i:03}.ndjson")), piece.concat()).unwrap();
    }
    let by = |workers: &str, input: &Path| {
        let out = folder.path().join(format!("{workers}-{}", input.ends_with("pieces")));
        (replay(&["--workers", workers, input.to_str().unwrap()], &out), out)
    };
    let (report, first) = by("1", &whole);
    for (workers, input) in [("2", &whole), ("8", &whole), ("1", &pieces)] {
        let (again, other) = by(workers, input);
        assert_eq!(report, again, "{workers} workers, {}", input.display());
        for file in FILES {
            assert!(
                fs::read(first.join(file)).unwrap() == fs::read(other.join(file)).unwrap(),
                "{file} differs with {workers} workers, {}",
                input.display()
            );
        }
    }
    let sessions = rows(&first.join("sessions.ndjson"));
    let odd: Vec<i64> = sessions.iter().map(|s| micros(&s["close_score"])).filter(|odd| *odd > 0).collect();
    assert!(odd.len() > 50 && odd.iter().any(|odd| *odd > 5_000_000), "{} of {}", odd.len(), sessions.len());
    let has_chance = |s: &Value| micros(&s["close_score"]) <= 0 || s["chance"].is_f64();
    assert!(sessions.iter().all(has_chance), "whoever is compared has a chance");
    let chances: Vec<f64> = sessions.iter().filter_map(|s| s["chance"].as_f64()).collect();
    let unusual = chances.iter().filter(|chance| **chance <= 0.05).count();
    assert!(unusual > 0 && chances.len() > 10 * unusual, "{unusual} of {}", chances.len());
}

#[test]
fn cloudtrail_is_scored_from_records_of_any_shape() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = replay(&["fixtures/cloudtrail/records.ndjson.gz"], folder.path());
    insta::assert_snapshot!("replay_cloudtrail", serde_json::to_string_pretty(&report).unwrap());
}

#[test]
fn every_bad_line_is_a_reject_with_its_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = replay(&["fixtures/bad/"], folder.path());
    let rejects = rows(&folder.path().join("rejects.ndjson"));
    assert_eq!(rejects.len() as u64, report["rejects"].as_u64().unwrap());
    assert!(rejects.len() > 20, "{report}");
    for reject in &rejects {
        assert!(
            !reject["reason"].as_str().unwrap().is_empty() && reject["len"].as_u64().is_some(),
            "{reject}"
        );
        assert!(reject["bytes"].as_str().is_some() && reject["source"].as_str().is_some(), "{reject}");
    }
}

#[test]
fn a_false_time_does_not_blow_the_windows_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("calls.ndjson");
    let line = |id: u32, ts: &str| {
        format!("{{\"event_id\":\"e{id}\",\"ts\":\"{ts}\",\"agent_id\":\"a\",\"endpoint\":\"x\"}}\n")
    };
    let lines =
        [line(1, "1970-01-02T00:00:00Z"), line(2, "2026-01-05T00:00:00Z"), line(3, "2299-12-31T23:59:59Z")];
    fs::write(&input, lines.concat()).unwrap();
    let report = replay(&[input.to_str().unwrap()], &folder.path().join("out"));
    assert_eq!(report["calls"], 3);
    let windows = fs::read_to_string(folder.path().join("out/windows.csv")).unwrap();
    assert!(windows.lines().count() < 3 * 30 * 288, "{} rows", windows.lines().count());
}

#[test]
fn a_simulated_burst_and_a_foreign_endpoint_are_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let (fleet, out) = (folder.path().join("fleet"), folder.path().join("out"));
    let simulated = tocsin(&[
        "simulate",
        "--seed",
        "5",
        "--agents",
        "12",
        "--days",
        "6",
        "--out",
        fleet.to_str().unwrap(),
    ]);
    assert!(simulated.status.success(), "{}", String::from_utf8_lossy(&simulated.stderr));
    replay(&[fleet.join("calls.ndjson").to_str().unwrap()], &out);
    let (alerts, labels) = (rows(&out.join("alerts.ndjson")), rows(&fleet.join("labels.ndjson")));
    assert_eq!(labels.len(), 4);
    for label in &labels {
        let found = alerts.iter().any(|alert| {
            let ts = alert["ts"].as_str().unwrap();
            alert["agent_id"] == label["agent_id"]
                && label["from"].as_str().unwrap() <= ts
                && ts <= label["to"].as_str().unwrap()
        });
        assert!(found, "no alert for {label}");
    }
}
