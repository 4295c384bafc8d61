//! Back-channel logout and global token revocation, to receivers that verify with libraries that are not ours.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gate::operate;
use crate::support::keycloak::Keycloak;
use crate::support::parts::{house, part};
use crate::support::process::Process;
use crate::support::ssf::key;
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, Tocsin};
use crate::support::wait;
use crate::support::{http, port};

const LIMIT: Duration = Duration::from_mins(1);

/// `parts/peers/rp.mjs`.
struct Peer {
    _process: Process,
    log: PathBuf,
}

impl Peer {
    fn start(folder: &Path, port: u16, issuer: &str) -> Self {
        part("peers/node_modules");
        let log = folder.join("rp.ndjson");
        let mut command = Command::new("node");
        command.arg(house().join("parts/peers/rp.mjs"));
        command.args(["--issuer", issuer, "--port", &port.to_string(), "--log"]).arg(&log);
        let mut process = Process::start("the relying party", &mut command, &folder.join("rp.out"));
        process.ready("listener", LIMIT, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { _process: process, log }
    }

    /// What came at this path.
    fn seen(&self, path: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let all = whole.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        all.filter(|request| request["path"] == path).collect()
    }
}

fn targets(key: &str, port: u16) -> String {
    let target = |kind: &str, name: &str, path: &str, more: &str| {
        format!(
            "[[{kind}]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:{port}{path}\"\nissuer = \"{ISSUER}\"\n\
             allow_insecure_target = true\n{more}\n"
        )
    };
    format!("[ssf]\nkey_file = {key}\n")
        + &target("backchannel_logout", "portal", "/logout", "client_id = \"portal\"")
        + &target("backchannel_logout", "stranger", "/logout", "client_id = \"stranger\"")
        + &target("global_revocation", "signed", "/revoke", "signed = true")
        + &target("global_revocation", "bearer", "/revoke", "token = \"of-a-test-0123456789\"")
        + &target("global_revocation", "older", "/revoke", "signed = true\nsubject_key = \"subject\"")
}

/// How far each target has come with the end of access.
fn states(tocsin: &Tocsin) -> Vec<(String, String)> {
    let rows = tocsin.look("/v1/effects?limit=100")["rows"].as_array().expect("rows").clone();
    let others = ["idp", "detector"].map(Value::from);
    let ends = rows.iter();
    let ends = ends.filter(|row| row["kind"] == "agent.access.revoked" && !others.contains(&row["target"]));
    let text = |row: &Value, name: &str| row[name].as_str().expect("text").to_owned();
    let mut states: Vec<_> = ends.map(|row| (text(row, "target"), text(row, "state"))).collect();
    states.sort();
    states
}

#[test]
fn a_relying_party_and_a_server_verify_what_they_are_told_and_refuse_what_is_not_for_them() {
    let stage = Stage::new();
    let port = port::free();
    let settings = stage.settings(&targets(&key(stage.path(), "ssf.pem"), port));
    let tocsin = Tocsin::start(stage.path(), &settings);
    let peer = Peer::start(stage.path(), port, &tocsin.url(""));
    operate(&tocsin, "revoke", "mailer");

    let settled = || {
        let states = states(&tocsin);
        (states.len() == 5 && states.iter().all(|(_, state)| state != "pending")).then_some(states)
    };
    let states = wait::until(LIMIT, settled).unwrap_or_else(|| panic!("{:?}", states(&tocsin)));
    // A token for somebody else is none, and a server that knows the newer name alone does not read the older one: open items.
    let wanted = [
        ("bearer", "acknowledged"),
        ("older", "dead"),
        ("portal", "acknowledged"),
        ("signed", "acknowledged"),
        ("stranger", "dead"),
    ];
    assert_eq!(states, wanted.map(|(target, state)| (target.to_owned(), state.to_owned())));

    let logouts = peer.seen("/logout");
    let taken: Vec<&Value> = logouts.iter().filter(|request| request.get("refused").is_none()).collect();
    assert_eq!(taken.len(), 1, "{logouts:#?}");
    assert_eq!(
        (&taken[0]["claims"]["sub"], &taken[0]["claims"]["aud"]),
        (&json!("mailer"), &json!("portal"))
    );
    let refused = logouts.iter().find_map(|request| request["refused"].as_str()).expect("the stranger's");
    assert!(refused.contains("\"aud\""), "{refused}");
    let revocations = peer.seen("/revoke");
    let bodies: Vec<&Value> = revocations.iter().filter_map(|request| request.get("body")).collect();
    let subject = json!({ "sub_id": { "format": "iss_sub", "iss": ISSUER, "sub": "mailer" } });
    assert_eq!(bodies, [&subject, &subject]);
}

/// Keycloak as a relying party: a user who came through an identity provider that is Tocsin is logged out by its token, and by no
/// other agent's.
#[test]
fn keycloak_takes_a_logout_token_and_ends_the_sessions_of_its_subject_alone() {
    let stage = Stage::new();
    let keycloak = Keycloak::start(stage.path());
    let key = key(stage.path(), "ssf.pem");
    let target = format!(
        "[ssf]\nkey_file = {key}\n[[backchannel_logout]]\nname = \"keycloak\"\nclient_id = \"keycloak\"\nissuer = \"{ISSUER}\"\n\
         url = \"{}/protocol/openid-connect/logout/backchannel-logout\"\nallow_insecure_target = true\n",
        keycloak.issuer()
    );
    let tocsin = Tocsin::start(stage.path(), &stage.settings(&target));
    part("peers/node_modules");
    let login = Command::new("node")
        .arg(house().join("parts/peers/broker.mjs"))
        .args([
            "--keycloak",
            &keycloak.url(),
            "--issuer",
            &tocsin.url(""),
            "--sub",
            "mailer",
            "--key",
            key.trim_matches('"'),
        ])
        .output()
        .expect("node runs");
    assert!(login.status.success(), "{}", String::from_utf8_lossy(&login.stderr));
    let tokens: Value = serde_json::from_slice(&login.stdout).expect("JSON");
    let refresh_token = tokens["refresh_token"].as_str().expect("a refresh token");
    let lives = || {
        let form =
            [("grant_type", "refresh_token"), ("client_id", "portal"), ("refresh_token", refresh_token)];
        let url = format!("{}/protocol/openid-connect/token", keycloak.issuer());
        http::send(http::request(Method::POST, &url).form(&form)).expect("Keycloak answers").status == 200
    };
    assert!(lives());
    let told = |subject: &str| {
        operate(&tocsin, "revoke", subject);
        let came = || {
            let rows = tocsin.look("/v1/effects?limit=100")["rows"].as_array().expect("rows").clone();
            let row = rows
                .into_iter()
                .find(|row| row["target"] == "keycloak" && row["agent"]["agent_id"] == subject)?;
            (row["state"] != "pending").then(|| row["state"].clone())
        };
        wait::until(LIMIT, came).unwrap_or_else(|| panic!("{:#}", tocsin.look("/v1/effects?limit=100")))
    };
    told("somebody-else");
    assert!(lives(), "another's logout");
    assert_eq!(told("mailer"), "acknowledged");
    assert!(!lives(), "the session is over");
}
