//! The `OpenAPI` document: valid by a library that is not ours, and true: of every route for every role, and of real answers.

use std::io::Write as _;
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gate::{now, operate};
use crate::support::http::{self, Answer};
use crate::support::parts::{house, part};
use crate::support::ssf::key;
use crate::support::stage::Stage;
use crate::support::tocsin::{GATEWAY, ISSUER, Tocsin};

const ROLES: [&str; 6] = ["ingest", "agent", "gateway", "analyst", "operator", "admin"];
const RECEIVER: &str = "receiver-of-a-test-0123456789abcdef";

fn token(role: &str) -> String {
    format!("{role}-of-a-test-of-roles-0123456789")
}

/// One credential a role, beside those that every scenario has.
fn settings(stage: &Stage) -> String {
    use std::fmt::Write as _;
    let mut text = stage.settings(&format!(
        "[ssf]\nkey_file = {}\n[[ssf.receivers]]\nname = \"idp\"\ntoken = \"{RECEIVER}\"\naud = \"a\"\nallow_insecure_target = true\n",
        key(stage.path(), "ssf.pem")
    ));
    text.push_str(
        "[[http.credentials]]\nname = \"edge\"\ntoken = \"gateway-of-a-test-0123456789abcdef\"\n\
         roles = [\"ingest\", \"gateway\"]\nattestation_max = \"token\"\nissuer = \"https://idp.example\"\n\
         [[http.credentials]]\nname = \"soc\"\ntoken = \"operator-of-a-test-0123456789abcdef\"\nroles = [\"operator\"]\n",
    );
    for role in ROLES {
        let agent =
            if role == "agent" { "agent = \"mailer\"\nissuer = \"https://idp.example\"\n" } else { "" };
        writeln!(
            text,
            "[[http.credentials]]\nname = \"{role}\"\ntoken = \"{}\"\nroles = [\"{role}\"]\n{agent}",
            token(role)
        )
        .expect("a string takes all");
    }
    text
}

/// Every operation: method, path, and what it holds.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    let all = paths.flat_map(|(path, item)| {
        let operations =
            item.as_object().expect("operations").iter().filter(|(name, _)| *name != "parameters");
        operations.map(move |(method, operation)| (method.clone(), path.clone(), operation))
    });
    all.collect()
}

fn judged(document: &Value, answers: &[Value]) -> usize {
    part("peers/node_modules");
    let mut child = Command::new("node")
        .arg(house().join("parts/peers/openapi.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the judge starts");
    let asked = json!({ "document": document, "answers": answers }).to_string();
    child.stdin.take().expect("its input").write_all(asked.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "it says above what is wrong");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

/// An answer as the judge wants it.
fn recorded(method: &str, path: &str, answer: &Answer) -> Value {
    let kind = answer.header("content-type").split(';').next().unwrap_or_default().to_owned();
    let body = if answer.body.is_empty() {
        Value::Null
    } else if kind.ends_with("json") {
        answer.json()
    } else {
        answer.body.clone().into()
    };
    json!({ "method": method, "path": path, "status": answer.status, "type": kind, "body": body })
}

#[test]
fn each_role_may_do_what_the_document_says_and_nothing_else_and_refusals_are_logged() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &settings(&stage));
    let document = http::get(&tocsin.url("/openapi.json")).expect("it answers").expect(200).json();
    let mut refused = 0;
    for (method, path, operation) in operations(&document) {
        let needed = operation["x-role"].as_str().expect("a role");
        // HEAD asks what GET does, and waits for no stream's end.
        let verb = if method == "get" { "HEAD".to_owned() } else { method.to_uppercase() };
        let verb: Method = verb.parse().expect("a method");
        let url = path.replace("{command}", "revoke").replace("{id}", "apr_0").replace("{stream_id}", "0");
        let ask = |bearer: Option<&str>| {
            let request = http::request(verb.clone(), &tocsin.url(&url));
            let request = if verb == Method::HEAD { request } else { request.json(&json!({})) };
            http::send(bearer.iter().fold(request, reqwest::RequestBuilder::bearer_auth))
                .expect("it answers")
                .status
        };
        if needed == "none" {
            assert_ne!(ask(None), 401, "{method} {path}");
            continue;
        }
        assert_eq!(ask(None), 401, "{method} {path}: without a credential");
        assert_eq!(ask(Some("nobody-has-this-token-0123456789")), 401, "{method} {path}: a wrong one");
        for role in ROLES {
            let holds = document["x-roles"][role]["holds"].as_array().expect("what it holds");
            let (status, may) = (ask(Some(&token(role))), holds.contains(&needed.into()));
            if may {
                assert!(![401, 403].contains(&status), "{method} {path}: `{role}` is refused with {status}");
            } else {
                assert_eq!(status, 403, "{method} {path}: `{role}`");
                refused += 1;
            }
        }
        let receiver = ask(Some(RECEIVER));
        assert_eq!([401, 403].contains(&receiver), needed != "receiver", "{method} {path}: {receiver}");
    }
    assert!(refused > 100, "{refused}");
    let log = std::fs::read_to_string(stage.path().join("tocsin.out")).expect("its log");
    for (caller, route, needs) in [
        ("ingest", "POST /v1/gate", "agent"),
        ("gateway", "GET /v1/alerts", "analyst"),
        ("analyst", "POST /v1/agents/{command}", "operator"),
        ("operator", "POST /v1/ssf/streams/status", "admin"),
    ] {
        let told = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).any(|line| {
            let fields = &line["fields"];
            fields["message"] == "refused"
                && fields["caller"] == caller
                && fields["route"].as_str().is_some_and(|told| told.replace("HEAD", "GET") == route)
                && fields["needs"] == needs
        });
        assert!(told, "{caller} {route} {needs} in\n{log}");
    }
    assert!(ROLES.iter().all(|role| !log.contains(&token(role))), "a token in the log");
}

#[test]
fn the_document_is_valid_and_what_the_server_answers_is_as_it_says() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &settings(&stage));
    let document = http::get(&tocsin.url("/openapi.json")).expect("it answers").expect(200).json();
    operate(&tocsin, "revoke", "mailer");
    let mut answers = Vec::new();
    let mut ask = |method: &str, path: &str, query: &str, bearer: &str, body: Option<Value>| {
        let verb: Method = method.to_uppercase().parse().expect("a method");
        let request = tocsin.request(verb, &format!("{path}{query}"), bearer);
        let answer =
            http::send(body.iter().fold(request, reqwest::RequestBuilder::json)).expect("it answers");
        answers.push(recorded(method, path, &answer));
        answer
    };
    let (admin, analyst) = (token("admin"), token("analyst"));
    let mailer = format!("?agent_id=mailer&issuer={ISSUER}");
    for (path, query) in [
        ("/v1/status", ""),
        ("/v1/approvers", ""),
        ("/v1/alerts", ""),
        ("/v1/approvals", ""),
        ("/v1/grants/jwks.json", ""),
        ("/v1/audit/head", ""),
        ("/v1/audit/key", ""),
        ("/v1/proposals", ""),
        ("/v1/agents", ""),
        ("/v1/agent", mailer.as_str()),
        ("/v1/agent", ""),
        ("/v1/effects", ""),
        ("/v1/effects/receipts", "?delivery=1"),
        ("/v1/targets/disabled", ""),
        ("/v1/register", ""),
        ("/v1/register/tree", ""),
        ("/v1/register/report", ""),
        ("/v1/register/drift", ""),
        ("/v1/fleet", ""),
        ("/v1/register/agent", mailer.as_str()),
        ("/v1/agents/history", mailer.as_str()),
        ("/v1/agents/diff", mailer.as_str()),
        ("/v1/case", "?id=00000000000000000000000000000000"),
        ("/v1/ssf/streams", ""),
        ("/v1/webhooks/schema", ""),
        ("/v1/explain", mailer.as_str()),
        ("/openapi.json", ""),
        ("/healthz", ""),
        ("/readyz", ""),
        ("/metrics", ""),
        ("/ssf/jwks.json", ""),
        ("/.well-known/ssf-configuration", ""),
    ] {
        ask("get", path, query, &analyst, None);
    }
    let history = ask("get", "/v1/agent", &mailer, &analyst, None).json();
    let txn = history["history"][0]["txn"].as_str().expect("a story").to_owned();
    ask("get", "/v1/case", &format!("?id={txn}"), &analyst, None).expect(200);
    ask("get", "/v1/revocations", "", GATEWAY, None).expect(200);
    let signed = |mut more: Value| {
        more["person"] = "Olga".into();
        more["reason"] = "a test".into();
        Some(more)
    };
    let agent = json!({ "agent_id": "mailer", "issuer": ISSUER });
    ask("post", "/v1/pause", "", &admin, signed(json!({ "group": "g" }))).expect(200);
    ask("post", "/v1/resume", "", &admin, signed(json!({ "group": "g" }))).expect(200);
    ask("post", "/v1/pause", "", &admin, signed(json!({ "nonsense": 1 }))).expect(400);
    ask("post", "/v1/agents/register", "", &admin, signed(agent.clone())).expect(200);
    ask("post", "/v1/agents/review", "", &admin, signed(agent)).expect(200);
    ask(
        "post",
        "/v1/proposals",
        "",
        &admin,
        signed(json!({ "what": { "command": "revoke_group", "group": "g" } })),
    );
    ask("post", "/v1/proposals", "", &analyst, signed(json!({}))).expect(403);
    ask("post", "/v1/effects/redeliver", "", &admin, Some(json!({ "delivery": 1, "person": "Olga" })));
    let record = |id: &str, agent: &str| {
        Some(json!({ "event_id": id, "kind": "request", "ts": now(), "agent_id": agent, "endpoint": "send",
            "attestation": "token" }))
    };
    ask("post", "/v1/gate", "", GATEWAY, record("e1", "quiet")).expect(200);
    ask("post", "/v1/gate", "", GATEWAY, record("e2", "mailer")).expect(403);
    ask("post", "/v1/calls", "", GATEWAY, record("e3", "quiet")).expect(200);
    let events = json!(["https://schemas.openid.net/secevent/caep/event-type/session-revoked"]);
    let made = ask("post", "/ssf/streams", "", RECEIVER, Some(json!({ "events_requested": events })))
        .expect(201)
        .json();
    let stream = format!("?stream_id={}", made["stream_id"].as_str().expect("an id"));
    for path in ["/ssf/streams", "/ssf/status"] {
        ask("get", path, &stream, RECEIVER, None).expect(200);
    }
    ask("delete", "/ssf/streams", &stream, RECEIVER, None).expect(204);

    // All of those were held against a schema but the one without a body.
    let wanted = answers.len() - 1;
    assert_eq!(judged(&document, &answers), wanted);
}
