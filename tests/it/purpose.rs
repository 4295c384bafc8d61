//! What a manifest in a folder declares holds from an agent's first call, each limit with the answer that the operator gave it.

use serde_json::{Value, json};

use crate::support::gate::{ask, challenge, now};
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
    ask(&tocsin, &act("a-1", "get_order", "10.1.2.3"), None).expect(200);
    // Undeclared: told, and let through.
    ask(&tocsin, &act("a-2", "search", "10.1.2.3"), None).expect(200);
    let alert = tocsin.look("/v1/alerts?limit=1")["rows"][0].clone();
    assert_eq!((&alert["event_id"], &alert["action"]), (&"a-2".into(), &"watch".into()), "{alert}");
    assert_eq!(alert["reasons"][0], "rule: an endpoint that the manifest does not declare");
    // From elsewhere: a human is asked.
    let asked = ask(&tocsin, &act("a-3", "get_order", "203.0.113.9"), None);
    assert_eq!(asked.status, 401, "{asked:?}");
    challenge(&asked);
    // Forbidden: access ends, for the identity is attested.
    let ended = ask(&tocsin, &act("a-4", "delete_order", "10.1.2.3"), None);
    assert_eq!(ended.status, 403, "{ended:?}");
    let types = ["agent.challenged", "agent.access.revoked"];
    stage.check_effects(&tocsin, &[("biller", &types)]);

    let row = stage.wait("the verdict in the database", || {
        stage.engine.try_number("SELECT count() FROM tocsin.verdicts_once")?;
        stage.engine.rows("SELECT rule FROM tocsin.verdicts_once WHERE event_id = 'a-4'").pop()
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
