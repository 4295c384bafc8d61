//! "Why was this flagged?", and "why was this not?": any verdict of any agent, from the database, over HTTP and as a command.

use std::process::Output;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::support::gate::{Agent, HISTORY};
use crate::support::http::{self, Answer};
use crate::support::stage::Stage;
use crate::support::tocsin::{GATEWAY, ISSUER, OPERATOR, Tocsin};

const NAME: &str = "arn:aws:sts::123456789012:assumed-role/mail & more";

/// Asks over HTTP.
fn explain(tocsin: &Tocsin, agent: &str, issuer: Option<&str>, at: Option<&str>) -> Answer {
    let request = tocsin.request(Method::GET, "/v1/explain", OPERATOR).query(&[("agent_id", agent)]);
    let request = request.query(&[("issuer", issuer), ("at", at)]);
    http::send(request).expect("it answers")
}

/// Asks by the command.
fn command(tocsin: &Tocsin, more: &[&str]) -> Output {
    tocsin.command(&[&["explain", NAME], more].concat())
}

fn printed(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn family<'a>(explanation: &'a Value, signal: &str) -> &'a Value {
    let parts = explanation["verdict"]["parts"].as_array().expect("parts");
    parts.iter().find(|part| part["signal"] == signal).unwrap_or_else(|| panic!("no {signal}: {explanation}"))
}

#[test]
fn every_verdict_is_explained_also_one_that_led_to_nothing() {
    let mut stage = Stage::new();
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    let mut agent = Agent::with_history(&tocsin, NAME);
    stage.count_when(Duration::from_mins(2), "verdicts_once", |rows| rows == HISTORY as u64);
    let last = explain(&tocsin, NAME, Some(ISSUER), None).expect(200).json();
    assert_eq!(last["event_id"], format!("{NAME}-{}", HISTORY - 1), "{last}");

    let (act, _challenge) = agent.until_challenged(&tocsin);
    let at = act["ts"].as_str().expect("a time");
    let flagged = stage.wait("the verdict in the database", || {
        let found = explain(&tocsin, NAME, Some(ISSUER), Some(at)).expect(200).json();
        // The call may come after its verdict; what only the call knows comes with it.
        (found["event_id"] == act["event_id"] && found["resource"] == act["resource"]).then_some(found)
    });
    assert_eq!(flagged["args_digest"], act["args_digest"]);
    let level = flagged["verdict"]["level"].as_f64().expect("a level");
    assert!(level >= flagged["budgets"]["step_up"].as_f64().expect("bits"), "{flagged}");
    let endpoint = family(&flagged, "endpoint");
    assert_eq!(endpoint["pattern"], "unfitting");
    // Level and parts are rounded to the millionth each for itself.
    let own = endpoint["level"].as_f64().expect("a level");
    assert!((own - level).abs() < 1e-5, "the winner's level is the verdict's: {endpoint}");
    // The volume lost, and its own level, band and beginning are there all the same.
    let volume = family(&flagged, "volume");
    assert_eq!(volume["bits"], 0.0, "{volume}");
    assert!(
        volume["level"].as_f64() < Some(level) && volume["high"].as_f64() > volume["low"].as_f64(),
        "{volume}"
    );
    assert!(volume["since"].is_string(), "{volume}");

    let text = printed(&command(&tocsin, &["--issuer", ISSUER, "--at", at]));
    for said in
        ["send_ledger", "crossed by", "unfitting", "volume", "timing", "it would have been quiet with"]
    {
        assert!(text.contains(said), "{said}: {text}");
    }
    let json = printed(&command(&tocsin, &["--issuer", ISSUER, "--at", at, "--json"]));
    assert_eq!(serde_json::from_str::<Value>(&json).expect("JSON"), flagged);

    // An hour before, nothing was the matter: the same question says what every signal saw then.
    let before = (at.parse::<detector::Timestamp>().expect("a time") - Duration::from_hours(1)).to_string();
    let text = printed(&command(&tocsin, &["--issuer", ISSUER, "--at", &before]));
    for said in ["bits below", "volume", "timing", "endpoint", "it was quiet"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains("crossed"), "{text}");

    check_refusals(&tocsin);

    stage.engine.kill();
    tocsin.restart();
    let answer = explain(&tocsin, NAME, Some(ISSUER), None).expect(503);
    assert_eq!(
        (answer.json()["type"].as_str(), answer.header("retry-after")),
        (Some("urn:tocsin:problem:store_unavailable"), "2")
    );
    stage.engine.restart();
    stage.wait("the database", || (explain(&tocsin, NAME, Some(ISSUER), None).status == 200).then_some(()));
}

fn check_refusals(tocsin: &Tocsin) {
    let missing = explain(tocsin, "nobody/at all", Some(ISSUER), Some("2025-01-01T00:00:00Z")).expect(404);
    assert!(missing.header("content-type").starts_with("application/problem+json"), "{missing:?}");
    let detail = missing.json()["detail"].to_string();
    assert!(detail.contains("nobody/at all") && detail.contains("2025-01-01T00:00:00Z"), "{detail}");
    explain(tocsin, NAME, None, None).expect(404);
    explain(tocsin, NAME, Some(ISSUER), Some("2001-01-01T00:00:00Z")).expect(404);
    let bad = explain(tocsin, NAME, Some(ISSUER), Some("yesterday")).expect(400).json();
    assert!(bad["detail"].to_string().contains("yesterday"), "{bad}");

    let unnamed = tocsin.request(Method::GET, "/v1/explain", OPERATOR);
    assert!(http::send(unnamed).expect("it answers").expect(400).body.contains("agent_id"));
    let path = "/v1/explain?agent_id=a";
    http::send(tocsin.request(Method::GET, path, GATEWAY)).expect("it answers").expect(403);
    http::send(http::request(Method::GET, &tocsin.url(path))).expect("it answers").expect(401);
    let posted = http::send(tocsin.request(Method::POST, path, OPERATOR)).expect("it answers").expect(405);
    assert!(posted.header("content-type").starts_with("application/problem+json"), "{posted:?}");

    let unknown = command(tocsin, &["--issuer", "https://other.example"]);
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert_eq!(unknown.status.code(), Some(65), "{said}");
    assert!(said.contains("https://other.example") && said.contains(NAME), "{said}");
}
