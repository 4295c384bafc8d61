//! Two processes on one record in PostgreSQL: they share the work, and who dies in the middle of it leaves nothing undone and
//! nothing done twice.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::gate;
use crate::support::http;
use crate::support::postgres::Postgres;
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, OPERATOR, Tocsin};
use crate::support::wait;

const LIMIT: Duration = Duration::from_mins(2);
/// More than a target is sent at once.
const AGENTS: usize = 40;

/// Two of them with the same key, targets and record.
struct Pair {
    first: Tocsin,
    second: Tocsin,
}

impl Pair {
    fn start(stage: &Stage, settings: &str) -> Self {
        let [one, two] = ["one", "two"].map(|name| stage.path().join(name));
        std::fs::create_dir_all(&one).expect("a folder");
        std::fs::create_dir_all(two.join("data")).expect("a folder");
        let first = Tocsin::start(&one, settings);
        std::fs::copy(one.join("data/revoker.key"), two.join("data/revoker.key")).expect("the same key");
        Self { first, second: Tocsin::start(&two, settings) }
    }
}

fn revoke(tocsin: &Tocsin, n: usize) {
    let body = json!({ "agent_id": name(n), "issuer": ISSUER, "person": "Olga", "reason": "a test" });
    let request = tocsin.request(Method::POST, "/v1/agents/revoke", OPERATOR).json(&body);
    http::send(request).expect("an answer").expect(200);
}

fn name(n: usize) -> String {
    format!("agent-{n}")
}

/// Whether the gate lets the agent do anything.
fn is_let_in(tocsin: &Tocsin, agent: &str) -> bool {
    let act = json!({ "event_id": format!("ask-{agent}"), "kind": "request", "agent_id": agent,
        "ts": gate::now(), "endpoint": "get_order", "attestation": "token" });
    gate::ask(tocsin, &act, None).status == 200
}

#[test]
fn who_is_killed_in_the_middle_of_deliveries_is_taken_over_from() {
    let stage = Stage::new();
    let postgres = Postgres::start(stage.path());
    let Pair { mut first, second } = Pair::start(&stage, &stage.settings(&postgres.record()));
    // What is decided by one holds at the other.
    revoke(&first, 0);
    let told = wait::until(LIMIT, || (!is_let_in(&second, &name(0))).then_some(()));
    assert!(told.is_some(), "the other process still lets it in");

    // The first to start serves the target. It hangs, so that all deliveries are under way when it dies.
    stage.receiver.behave(&json!({ "hang": true }));
    for n in 1..AGENTS {
        revoke(if n % 2 == 0 { &first } else { &second }, n);
    }
    first.kill();
    stage.receiver.behave(&json!({}));
    stage.check_effects(&second, &[("agent-1", &["agent.access.revoked"])]);
    assert_eq!(stage.receiver.effects().len(), AGENTS);

    // And it comes back as the one that stands by.
    first.restart();
    revoke(&first, AGENTS);
    stage.check_effects(&first, &[("agent-40", &["agent.access.revoked"])]);
    Stage::check_audit(&second);
}

#[test]
fn a_record_of_another_key_and_a_server_that_is_not_there_are_told_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let postgres = Postgres::start(folder.path());
    let stage = Stage::new();
    let started = Tocsin::start(stage.path(), &stage.settings(&postgres.record()));
    let other = tempfile::tempdir().expect("a folder");
    let says = |record: &str, expected: &str| {
        let command = Tocsin::prepared(other.path(), &stage.settings(record)).command(&["approver", "list"]);
        let said = String::from_utf8_lossy(&command.stderr).into_owned();
        assert!(!command.status.success() && said.contains(expected), "{said}");
    };
    says(&postgres.record(), "`root` was sealed with another key");
    says(
        "[revoker]\nstore = \"postgres://tocsin@127.0.0.1:1/postgres\"\n",
        "PostgreSQL at 127.0.0.1:1/postgres",
    );
    says("[revoker]\nstore = \"mysql://a\"\n", "revoker.store: not an address of PostgreSQL");
    drop(started);
}
