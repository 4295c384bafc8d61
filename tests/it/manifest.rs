//! A manifest that an operator sets while the server runs: it holds from its place in the log, after a kill, and gives way to a file.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::gate::{ask, now};
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, Tocsin};
use crate::support::wait;

fn act(event_id: &str, endpoint: &str) -> Value {
    json!({ "event_id": event_id, "kind": "request", "agent_id": "biller", "ts": now(), "endpoint": endpoint,
            "attestation": "token" })
}

/// What `tocsin agents manifest biller` answers, or complains of.
fn manifest(tocsin: &Tocsin, more: &[&str]) -> Result<Value, String> {
    let arguments = [&["agents", "manifest", "biller", "--issuer", ISSUER], more].concat();
    let output = tocsin.command(&arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
    } else {
        Err(text(&output.stderr))
    }
}

fn set(tocsin: &Tocsin, file: &str) -> Result<Value, String> {
    manifest(tocsin, &["--set", file, "--reason", "new duties", "--person", "Omar"])
}

/// Waits until the detector was told all there is.
fn await_told(tocsin: &Tocsin) {
    let left = || tocsin.look("/v1/effects?state=pending&limit=1")["rows"].as_array().map_or(1, Vec::len);
    wait::until_eq("deliveries left", Duration::from_mins(2), &0, left);
}

#[test]
fn one_that_is_set_holds_from_its_place_on_survives_and_gives_way_to_a_file() {
    let stage = Stage::new();
    let settings = stage.settings("[policy.rules]\nforbidden_endpoint = \"revoke\"\n");
    let mut tocsin = Tocsin::start(stage.path(), &settings);
    let file = |name: &str, text: &str| -> String {
        let path: PathBuf = stage.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let body = format!("agent_id = \"biller\"\nissuer = \"{ISSUER}\"\nowner = \"payments\"\n");
    let first = file("biller.toml", &body);
    let second = file("second.toml", &format!("{body}forbidden_endpoints = [\"delete_order\"]\n"));

    assert!(manifest(&tocsin, &[]).unwrap_err().contains("It has no manifest"));
    ask(&tocsin, &act("a-1", "delete_order"), None).expect(200);
    assert_eq!(set(&tocsin, &first).unwrap()["version"], 1);
    let known = set(&tocsin, &second).unwrap();
    assert_eq!((&known["version"], &known["manifest"]["owner"]), (&json!(2), &json!("payments")));
    assert!(known["set"]["by"].as_str().is_some_and(|by| by.starts_with("Omar via ")), "{known}");
    assert_eq!(manifest(&tocsin, &[]).unwrap(), known);
    let wrong = file("wrong.toml", &format!("{body}networks = [\"10.0.0.0/33\"]\n"));
    let said = set(&tocsin, &wrong).unwrap_err();
    assert!(
        said.contains("agent `biller`: networks[0] = \"10.0.0.0/33\": `10.0.0.0/33` is no network"),
        "{said}"
    );

    await_told(&tocsin);
    tocsin.kill();
    tocsin.restart();
    assert_eq!(manifest(&tocsin, &[]).unwrap(), known);
    assert_eq!(ask(&tocsin, &act("a-2", "delete_order"), None).status, 403);
    let alert = tocsin.look("/v1/alerts?limit=1")["rows"][0].clone();
    assert_eq!(alert["reasons"][0], "rule: an endpoint that the manifest forbids", "{alert}");
    let shown = tocsin.look(&format!("/v1/register/agent?agent_id=biller&issuer={ISSUER}"));
    assert_eq!(shown["declared"]["forbidden_endpoints"], json!(["delete_order"]), "{shown}");
    assert_eq!(
        shown["peers"]["group"],
        json!(null),
        "the detector knows it, and compares it with all: {shown}"
    );
    let history = tocsin.look(&format!("/v1/agent?agent_id=biller&issuer={ISSUER}"))["history"].to_string();
    assert!(history.contains("manifest.set") && history.contains("new duties"), "{history}");

    // What the configuration declares stands, and is changed there.
    assert!(tocsin.stop().success());
    std::fs::create_dir(stage.path().join("manifests")).expect("a folder");
    file("manifests/biller.toml", &format!("{body}purpose = \"sends invoices\"\n"));
    tocsin.configure(&format!("manifests_dir = \"manifests\"\n{settings}"));
    tocsin.restart();
    let known = manifest(&tocsin, &[]).unwrap();
    assert_eq!((&known["version"], &known["manifest"]["purpose"]), (&json!(null), &json!("sends invoices")));
    assert!(set(&tocsin, &second).unwrap_err().contains("change it there"));
}
