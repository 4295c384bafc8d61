//! The conformance suite of the Model Context Protocol against this server.
//!
//! Run is every scenario for servers that asks about something this one offers: tools, tasks, the handshake of each version, and the transport.
//! Not run are those for what it does not offer (completion, logging, prompts, resources, subscriptions, skills), and those that call tools of
//! the suite's own demonstration server by name (`tools-call-*`, `elicitation-*`, `json-schema-2020-12`, most of `input-required-result-*` and
//! `tasks-*`); the suite's scenarios of authorization are for clients and authorization servers, none for a protected resource. A scenario that
//! is run and in parts asks for such things falls short in exactly these parts.

use std::process::Command;

use serde_json::Value;

use crate::support::parts::{house, part, told};
use crate::support::stage::Stage;
use crate::support::tocsin::{GATEWAY, Tocsin};

/// Scenarios, with the checks in which they fall short. `@` names the version that is spoken.
const SCENARIOS: [(&str, &[&str]); 11] = [
    ("server-initialize", &[]),
    ("server-session-lifecycle", &[]),
    ("ping", &[]),
    ("tools-list@2025-11-25", &[]),
    ("tools-list@2026-07-28", &[]),
    ("dns-rebinding-protection", &[]),
    ("http-header-validation", &[]),
    ("input-required-result-unsupported-methods", &[]),
    // Tools of the suite's own: one that asks its client to sample, one that logs.
    (
        "server-stateless",
        &[
            "sep-2575-server-rejects-undeclared-capability",
            "sep-2575-missing-capability-http-400",
            "sep-2575-http-server-no-independent-requests-on-stream",
            "sep-2575-server-no-log-without-loglevel",
        ],
    ),
    // There are no prompts and no resources.
    (
        "caching",
        &[
            "sep-2549-prompts-list-caching-hints",
            "sep-2549-resources-list-caching-hints",
            "sep-2549-resources-templates-list-caching-hints",
        ],
    ),
    // A slow tool of the suite's own.
    (
        "tasks-capability-negotiation",
        &["sep-2663-server-rejects-undeclared-client", "tasks-per-request-meta-opt-in"],
    ),
];

#[test]
fn the_official_suite_finds_what_it_asks_for() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let mut command = Command::new(part(&format!("conformance/node_modules/node-linux-{machine}/bin/node")));
    command.arg(house().join("parts/conformance/run.mjs"));
    command.arg(part("conformance/node_modules/@modelcontextprotocol/conformance/dist/index.js"));
    command
        .arg(tocsin.url("/mcp"))
        .args(SCENARIOS.map(|(scenario, _)| scenario))
        .env("TOCSIN_TOKEN", GATEWAY);
    let results = told(&mut command, &Value::Null);
    assert_eq!(results.len(), SCENARIOS.len());
    for (result, (scenario, short)) in results.iter().zip(SCENARIOS) {
        assert_eq!(result["scenario"], scenario);
        let checks = result["checks"].as_array().expect("checks");
        assert!(!checks.is_empty(), "{result}");
        let failed: Vec<_> = checks.iter().filter(|check| check["status"] == "FAILURE").collect();
        let ids: Vec<_> = failed.iter().filter_map(|check| check["id"].as_str()).collect();
        assert_eq!(ids, short, "{scenario}: {failed:?}");
        println!("{scenario}: {} checks, {} fall short", checks.len(), ids.len());
    }
}
