//! Tokens that gateways hand on are ended at their issuer, and seen to have ended (RFC 7009, RFC 7662).

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::gate::now;
use crate::support::http;
use crate::support::oidc::Oidc;
use crate::support::stage::Stage;
use crate::support::tocsin::{GATEWAY, OPERATOR, Tocsin};

const AGENT: &str = "billing-agent";

#[test]
fn a_held_token_is_ended_and_seen_to_have_ended_and_no_secret_of_it_is_written() {
    let stage = Stage::new();
    let oidc = Oidc::start(stage.path());
    let tocsin = Tocsin::start(stage.path(), &stage.settings(&oidc.target("tokens")));
    let issuer = oidc.issuer();
    let command = |verb: &str, agent: &str| {
        let body = json!({ "agent_id": agent, "issuer": issuer, "person": "Olga", "reason": "stolen" });
        let request = tocsin.request(Method::POST, &format!("/v1/agents/{verb}"), OPERATOR).json(&body);
        http::send(request).expect("it answers").expect(200);
    };
    let tokens = [oidc.token(AGENT), oidc.token(AGENT)];
    for (n, token) in tokens.iter().enumerate() {
        let act = json!({ "event_id": format!("ask-{n}"), "kind": "request", "ts": now(), "agent_id": AGENT,
            "issuer": issuer, "endpoint": "send_invoice", "attestation": "token" });
        let request = tocsin.request(Method::POST, "/v1/gate", GATEWAY).header("Tocsin-Subject-Token", token);
        http::send(request.json(&act)).expect("it answers").expect(200);
        assert!(oidc.is_active(token));
    }

    command("revoke", AGENT);
    let ended = |agent: &str| {
        let rows = tocsin.look("/v1/effects?limit=100");
        let rows = rows["rows"].as_array().expect("rows").clone();
        let row =
            rows.into_iter().find(|row| row["target"] == "tokens" && row["agent"]["agent_id"] == agent)?;
        (row["state"] != "pending" && row["state"] != "acknowledged").then_some(row)
    };
    let row = stage.wait("a look at the tokens", || ended(AGENT));
    assert_eq!(
        (&row["state"], row["last"].as_str()),
        (&json!("verified"), Some("verified: 2 of 2 tokens no longer active"))
    );
    assert!(tokens.iter().all(|token| !oidc.is_active(token)), "a token lives");

    // Of whom no token is held there is nothing to end: an open item, and no claim.
    command("revoke", "stranger");
    assert_eq!(stage.wait("an end", || ended("stranger"))["state"], "dead");

    assert_nowhere(&tocsin, &stage, &tokens);
}

/// Nothing that Tocsin wrote holds one of these.
fn assert_nowhere(tocsin: &Tocsin, stage: &Stage, secrets: &[String]) {
    let said = tocsin.look("/v1/effects?limit=100").to_string();
    let mut files = vec![stage.path().join("tocsin.out")];
    let data = std::fs::read_dir(stage.path().join("data")).expect("its folder");
    files.extend(data.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()));
    assert!(files.len() > 3, "{files:?}");
    std::thread::sleep(Duration::from_millis(100));
    for secret in secrets {
        assert!(!said.contains(secret));
        for file in &files {
            let bytes = std::fs::read(file).unwrap_or_default();
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a token in {}", file.display());
        }
    }
}
