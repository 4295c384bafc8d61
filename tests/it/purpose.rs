//! What a manifest in a folder declares holds from an agent's first call, each limit with the answer that the operator gave it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::gate::{Human, ask, challenge, now, page_of};
use crate::support::page::Page;
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, Tocsin};

const MANIFEST: &str = r#"agent_id = "biller"
version = 3
owner = "payments"
endpoints = ["get_order", "send_invoice"]
forbidden_endpoints = ["delete_order"]
networks = ["10.0.0.0/8"]
scopes = ["orders:read"]
parent = "orchestrator"
expires = 2999-01-01T00:00:00Z
"#;
const SETTINGS: &str = "[policy.rules]\nundeclared_endpoint = \"alert\"\nforbidden_endpoint = \"revoke\"\n";

/// A stage with the manifests in a folder beside the configuration.
fn start(stage: &Stage) -> Tocsin {
    let folder = stage.path().join("manifests");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("biller.toml"), MANIFEST).expect("a manifest");
    Tocsin::start(stage.path(), &format!("manifests_dir = \"manifests\"\n{}", stage.settings(SETTINGS)))
}

fn act(event_id: &str, endpoint: &str, ip: &str) -> Value {
    json!({ "event_id": event_id, "kind": "request", "agent_id": "biller", "ts": now(), "endpoint": endpoint,
            "source_ip": ip, "scope": "orders:read", "attestation": "token" })
}

#[test]
fn a_declared_limit_acts_on_the_first_call_as_the_operator_said() {
    let stage = Stage::new();
    let tocsin = start(&stage);
    let dana = Human::enrol(&tocsin, "Dana");
    ask(&tocsin, &act("a-1", "get_order", "10.1.2.3"), None).expect(200);
    // Undeclared: told, and let through.
    ask(&tocsin, &act("a-2", "search", "10.1.2.3"), None).expect(200);
    let alert = tocsin.look("/v1/alerts?limit=1")["rows"][0].clone();
    assert_eq!((&alert["event_id"], &alert["action"]), (&"a-2".into(), &"watch".into()), "{alert}");
    assert_eq!(alert["reasons"][0], "rule: an endpoint that the manifest does not declare");
    // From elsewhere: a human is asked.
    let asked = ask(&tocsin, &act("a-3", "get_order", "203.0.113.9"), None);
    assert_eq!(asked.status, 401, "{asked:?}");
    let challenge = challenge(&asked);
    let page = Page::open(&page_of(&tocsin, &challenge));
    assert!(page.shows("from a network that the manifest does not declare"), "{}", page.html);
    let number = challenge["binding_code"].as_str().expect("a number");
    let pressed = page.answer("approve", &[("name", dana.name), ("number", number), ("code", &dana.code())]);
    assert_eq!(pressed.status, 303, "{pressed:?}");
    // Who let it go on from there has answered for more than one call,
    ask(&tocsin, &act("a-4", "get_order", "203.0.113.9"), None).expect(200);
    // and not for anything else. Forbidden: access ends, for the identity is attested.
    let ended = ask(&tocsin, &act("a-5", "delete_order", "203.0.113.9"), None);
    assert_eq!(ended.status, 403, "{ended:?}");
    let types = ["agent.challenged", "agent.challenge.approved", "agent.access.revoked"];
    stage.check_effects(&tocsin, &[("biller", &types)]);

    let row = stage.wait("the verdict in the database", || {
        stage.engine.try_number("SELECT count() FROM tocsin.verdicts_once")?;
        stage.engine.rows("SELECT rule FROM tocsin.verdicts_once WHERE event_id = 'a-5'").pop()
    });
    assert_eq!(row["rule"], "forbidden_endpoint");
    let explained = tocsin.command(&["explain", "biller", "--issuer", ISSUER]);
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    for said in ["an endpoint that the manifest forbids", "a call within what the manifest declares"] {
        assert!(explained.contains(said), "{said}: {explained}");
    }
}

#[test]
fn a_manifest_that_is_wrong_stops_the_start_and_says_where() {
    let stage = Stage::new();
    let tocsin = start(&stage);
    let file = stage.path().join("manifests/biller.toml");
    std::fs::write(&file, MANIFEST.replace("10.0.0.0/8", "10.0.0.0/33")).expect("a manifest");
    let output = tocsin.command(&["config", "check"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    let wanted =
        "manifests/biller.toml: agent `biller`: networks[0] = \"10.0.0.0/33\": `10.0.0.0/33` is no network";
    assert!(said.contains(wanted), "{said}");
}

/// What a command prints.
fn printed(tocsin: &Tocsin, arguments: &[&str]) -> String {
    let output = tocsin.command(arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn line(n: u32, agent: &str, endpoint: &str) -> String {
    let at = now() - Duration::from_mins(90) + Duration::from_mins(1) * n;
    let call = json!({ "event_id": format!("{agent}-{n}"), "ts": at, "agent_id": agent, "endpoint": endpoint,
        "source_ip": "10.1.2.3", "scope": "orders:read", "token_id": format!("jti-{}", n % 3),
        "session_id": "s-1", "credential_kind": "api_key", "parent_agent_id": "orchestrator", "attestation": "token" });
    format!("{call}\n")
}

#[test]
fn the_register_tells_who_everybody_is_and_what_is_wrong_and_takes_orders_by_name() {
    let stage = Stage::new();
    let tocsin = start(&stage);
    let calls =
        (0..40).map(|n| line(n, "biller", "get_order")).chain((0..20).map(|n| line(n, "stranger", "search")));
    tocsin.append(&calls.collect::<String>()).expect("an answer").expect(200);
    stage.count_when(Duration::from_mins(2), "calls_once", |rows| rows == 60);

    let list = printed(&tocsin, &["agents", "list"]);
    let told = |agent: &str| {
        let from = list.find(&format!("{agent} at {ISSUER}")).unwrap_or_else(|| panic!("no {agent}: {list}"));
        let rest = &list[from..];
        rest[..rest.find("\ntrusted").unwrap_or(rest.len())].to_owned()
    };
    let (biller, stranger) = (told("biller"), told("stranger"));
    for said in [
        "owner payments",
        "manifest v3 ",
        "40 calls",
        "orphan: its parent `orchestrator` is not known",
        "static_secret",
    ] {
        assert!(biller.contains(said), "{said}: {biller}");
    }
    assert!(!biller.contains("undeclared:"), "{biller}");
    for said in ["undeclared: 20 calls", "no_owner: ", "(NHI1:2025, ASI10, tenet 7)"] {
        assert!(stranger.contains(said), "{said}: {stranger}");
    }

    let report = printed(&tocsin, &["agents", "report", "biller", "--issuer", ISSUER]);
    assert!(report.contains("get_order  40 calls, 3 tokens, 1 sessions"), "{report}");
    let tree = printed(&tocsin, &["agents", "tree"]);
    for (agent, calls) in [("biller", 40), ("stranger", 20)] {
        let said = format!("{agent} at {ISSUER} under orchestrator  {calls} calls\n");
        assert!(tree.contains(&said), "{said}: {tree}");
    }
    let drift = printed(&tocsin, &["agents", "drift"]);
    assert!(drift.contains("never used: endpoint send_invoice"), "{drift}");
    let written = printed(&tocsin, &["agents", "draft", "stranger", "--issuer", ISSUER]);
    assert!(written.starts_with("# Drafted from 20 calls on 0.0 days"), "{written}");
    std::fs::write(stage.path().join("manifests/stranger.toml"), &written).expect("a manifest");
    assert!(printed(&tocsin, &["config", "check"]).contains("2 manifests"));

    let order = |verb: &str, more: &[&str]| {
        let fixed = ["agents", verb, "stranger", "--issuer", ISSUER, "--person", "Olga", "--reason", "audit"];
        printed(&tocsin, &[&fixed[..], more].concat())
    };
    order("register", &["--owner", "sales", "--approver", "Dana"]);
    order("review", &[]);
    let kinds = |row: &Value| -> Vec<String> {
        let found = row["findings"].as_array().expect("findings").iter();
        found.map(|finding| finding["kind"].as_str().expect("a kind").to_owned()).collect()
    };
    let shown: Value =
        serde_json::from_str(&printed(&tocsin, &["agents", "show", "stranger", "--issuer", ISSUER]))
            .expect("JSON");
    assert_eq!(
        (&shown["owner"], &shown["reviewed_by"]),
        (&"sales".into(), &"Olga via operator".into()),
        "{shown}"
    );
    assert_eq!(kinds(&shown), ["orphan", "static_secret", "no_approver"], "{shown}");

    // Retirement revokes; whoever goes on is told, and is a finding.
    order("retire", &[]);
    assert_eq!(ask(&tocsin, &act_of("stranger", "late-1"), None).status, 403);
    let mut late = act_of("stranger", "late-2");
    late["kind"] = "call".into();
    // Beyond what clocks may differ by.
    late["ts"] = json!(now() + Duration::from_secs(6));
    tocsin.append(&format!("{late}\n")).expect("an answer").expect(200);
    let shown = stage.wait("the retired agent's call", || {
        let path = format!("/v1/register/agent?agent_id=stranger&issuer={ISSUER}");
        Some(tocsin.look(&path)).filter(|row| kinds(row).first().is_some_and(|kind| kind == "retired_acting"))
    });
    assert_eq!(shown["standing"], "retired");
    let alerts = tocsin.look("/v1/alerts?limit=100");
    let acting = alerts["rows"].as_array().expect("rows").iter().any(|row| row["action"] == "still_acting");
    assert!(acting, "{alerts}");
    let told = ["agent.access.revoked", "agent.retired", "agent.still_acting"];
    stage.wait("what was told of it", || {
        let effects = stage.receiver.effects().into_iter().filter(|e| e["data"]["subject"] == "stranger");
        (effects.map(|e| e["type"].clone()).collect::<Vec<_>>() == told).then_some(())
    });
}

fn act_of(agent: &str, event_id: &str) -> Value {
    let mut act = act(event_id, "search", "10.1.2.3");
    act["agent_id"] = agent.into();
    act
}
