//! Agents written with the official MCP libraries of two languages: blocked, shown or told where a human answers, and let go on once.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gate::{Human, now};
use crate::support::http;
use crate::support::parts::{part, python, readme};
use crate::support::stage::Stage;
use crate::support::tocsin::{GATEWAY, OPERATOR, Tocsin};

const SETTINGS: &str = "[policy.approval]\npasskey_for = []\n[policy.risk]\npayments = [\"wire\"]\n[[policy.when]]\nname = \"money\"\nrisk = [\"payments\"]\n\
                        at_least = \"step_up\"\n";

/// An agent's program; killed when dropped.
struct Agent {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Agent {
    fn start(command: &mut Command, record: &Value) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        child.stdin.take().expect("a pipe").write_all(record.to_string().as_bytes()).expect("it reads");
        let says = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, says }
    }

    /// The next thing that happened, by its name.
    fn says(&mut self, what: &str) -> Value {
        let mut line = String::new();
        self.says.read_line(&mut line).expect("a line");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{what}: {e}: {line}"));
        assert!(said.get(what).is_some(), "{what}: {said}");
        said
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn record(id: &str) -> Value {
    json!({ "event_id": id, "kind": "request", "ts": now(), "agent_id": "billing", "endpoint": "wire",
            "args_digest": "sha256:0f", "attestation": "token" })
}

#[test]
fn a_client_that_shows_addresses_is_let_go_on_in_the_same_call() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(SETTINGS));
    let dana = Human::enrol(&tocsin, "Dana");
    let mut agent = Agent::start(python("mcp_agent.py").args([&tocsin.url("/mcp"), GATEWAY]), &record("e1"));
    let tools = agent.says("tools")["tools"].as_array().expect("a list").len();
    assert_eq!(tools, 10);
    let elicited = agent.says("elicited");
    assert!(
        elicited["elicited"].as_str().is_some_and(|url| url.starts_with(&tocsin.url("/approve/"))),
        "{elicited}"
    );
    dana.approves(&tocsin);
    // As long as it is pending the client is asked again.
    let mut said = agent.says.by_ref().lines().map(|line| line.expect("a line"));
    let last = said.find(|line| line.contains("\"result\"")).expect("a result");
    let result: Value = serde_json::from_str(&last).expect("JSON");
    assert_eq!(
        (&result["is_error"], &result["result"]["decision"]),
        (&false.into(), &"go_on".into()),
        "{result}"
    );
    assert_eq!(result["result"]["resumed"]["repeated"], false, "{result}");
}

#[test]
fn a_client_that_shows_none_is_told_waits_and_resumes_once() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(SETTINGS));
    let dana = Human::enrol(&tocsin, "Dana");
    std::fs::write(stage.path().join("agent.mjs"), readme("Make your agent resume", "js")).expect("to write");
    let modules = part("mcp/node_modules").canonicalize().expect("a folder");
    std::os::unix::fs::symlink(modules, stage.path().join("node_modules")).expect("to link");
    let mut command = Command::new("node");
    command.args(["agent.mjs", env!("CARGO_BIN_EXE_tocsin"), "mcp", "--url", &tocsin.url("")]);
    command.env("TOCSIN_TOKEN", GATEWAY).current_dir(stage.path());
    let act = record("e1");
    let mut agent = Agent::start(&mut command, &act);
    let blocked = agent.says("blocked")["blocked"].clone();
    assert_eq!(blocked["decision"], "challenged", "{blocked}");
    assert!(blocked["binding_code"].is_string() && blocked["status_url"].is_string());
    dana.approves(&tocsin);
    let told = agent.says("told")["told"].clone();
    assert_eq!((&told["decision"], &told["resumed"]["repeated"]), (&"go_on".into(), &false.into()), "{told}");

    let id = &blocked["approval_id"];
    let grant = called(&tocsin, "approval", &json!({ "approval_id": id }))["grant"].clone();
    let again = |resume: &str| {
        called(&tocsin, "resume", &json!({ "record": act, "grant": grant, "resume_id": resume }))
    };
    assert_eq!(again(&format!("resume-{}", id.as_str().expect("an id")))["resumed"]["repeated"], true);
    assert_eq!(again("another")["reason"], "used");
}

#[test]
fn who_may_not_ask_is_told_where_to_get_what_is_missing() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    let metadata = tocsin.url("/.well-known/oauth-protected-resource/mcp");
    let told = http::get(&metadata).expect("it answers").expect(200).json();
    assert_eq!(
        (&told["resource"], &told["scopes_supported"]),
        (&tocsin.url("/mcp").into(), &json!(["gateway"]))
    );
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let nobody = http::send(http::request(Method::POST, &tocsin.url("/mcp")).json(&body))
        .expect("it answers")
        .expect(401);
    assert!(
        nobody.header("www-authenticate").contains(&format!("resource_metadata=\"{metadata}\"")),
        "{nobody:?}"
    );
    let operator = http::send(tocsin.request(Method::POST, "/mcp", OPERATOR).json(&body))
        .expect("it answers")
        .expect(403);
    let challenge = operator.header("www-authenticate");
    assert!(
        challenge.contains("insufficient_scope") && challenge.contains("scope=\"gateway\""),
        "{challenge}"
    );
}

/// A request of 2026-07-28 by a client that declares `capabilities`: its result, or its error.
fn rpc(tocsin: &Tocsin, method: &str, mut params: Value, capabilities: &Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "an-agent", "version": "1.0.0" },
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    });
    let name = params["name"].as_str().or(params["taskId"].as_str()).unwrap_or_default().to_owned();
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let request = tocsin
        .request(Method::POST, "/mcp", GATEWAY)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method)
        .header("mcp-name", name)
        .json(&body);
    let answer = http::send(request).expect("it answers").json();
    if answer["result"].is_null() { answer["error"].clone() } else { answer["result"].clone() }
}

/// What a tool says to a client that declares nothing.
fn called(tocsin: &Tocsin, tool: &str, arguments: &Value) -> Value {
    let params = json!({ "name": tool, "arguments": arguments });
    rpc(tocsin, "tools/call", params, &json!({}))["structuredContent"].clone()
}

#[test]
fn a_client_that_knows_tasks_waits_for_one_that_outlives_the_server() {
    let stage = Stage::new();
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(SETTINGS));
    let dana = Human::enrol(&tocsin, "Dana");
    let tasks = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    let both = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} }, "elicitation": { "url": {} } });
    let act = record("e1");
    let gate = |tocsin: &Tocsin, capabilities: &Value| {
        rpc(tocsin, "tools/call", json!({ "name": "gate", "arguments": { "record": act } }), capabilities)
    };
    let task = gate(&tocsin, &tasks);
    assert_eq!((&task["resultType"], &task["status"]), (&"task".into(), &"working".into()), "{task}");
    tocsin.kill();
    tocsin.restart();
    let id = json!({ "taskId": task["taskId"] });
    let look = |capabilities: &Value| rpc(&tocsin, "tasks/get", id.clone(), capabilities);
    assert_eq!(look(&tasks)["status"], "working");
    assert_eq!(look(&json!({}))["code"], -32021, "who declares none is told what is missing");
    let shown = look(&both);
    let url = &shown["inputRequests"]["approval"]["params"]["url"];
    assert!(
        shown["status"] == "input_required" && url.as_str().is_some_and(|url| url.contains("/approve/")),
        "{shown}"
    );
    // That an address was shown is no answer, and who is asked about takes no question back.
    let seen = json!({ "taskId": task["taskId"], "inputResponses": { "approval": { "action": "accept" } } });
    for (method, params) in [("tasks/update", seen), ("tasks/cancel", id.clone())] {
        assert_eq!(rpc(&tocsin, method, params, &both)["resultType"], "complete", "{method}");
    }
    assert_eq!(look(&tasks)["status"], "working");
    assert_eq!(rpc(&tocsin, "tasks/get", json!({ "taskId": "apr_0" }), &tasks)["code"], -32602);

    dana.approves(&tocsin);
    let done = look(&tasks);
    let answer = &done["result"]["structuredContent"];
    assert_eq!((&done["status"], &answer["status"]), (&"completed".into(), &"approved".into()), "{done}");
    let arguments = json!({ "record": act, "grant": answer["grant"], "resume_id": "once" });
    let resumed = rpc(&tocsin, "tools/call", json!({ "name": "resume", "arguments": arguments }), &tasks);
    assert_eq!(resumed["structuredContent"]["decision"], "go_on", "{resumed}");
}

#[test]
fn the_seven_operations_are_tools_and_lead_to_the_one_act_that_was_confirmed() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(SETTINGS));
    let dana = Human::enrol_as(&tocsin, "Dana", &["dana@example.com"]);
    // Names and fields as agents know them elsewhere: those that must be there, and those that may.
    let known: [(&str, &[&str], &[&str]); 7] = [
        ("mfa_required_for_action", &["action"], &["context"]),
        ("promptless_init_transaction", &["username", "email"], &["params"]),
        ("promptless_send_method", &["tid"], &["method"]),
        ("promptless_wait_for_confirmation", &["tid"], &["timeoutSeconds"]),
        ("promptless_verify_user_exists", &["email"], &[]),
        ("prompt_init_transaction", &["username", "email", "callbackUrl", "logoutUrl"], &["params"]),
        ("prompt_get_credentials", &["accessToken"], &[]),
    ];
    let listed = rpc(&tocsin, "tools/list", json!({}), &json!({}));
    for (name, required, more) in known {
        let tools = listed["tools"].as_array().expect("a list");
        let tool = tools.iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("no {name}"));
        let schema = &tool["inputSchema"];
        assert_eq!(schema["required"], json!(required), "{name}");
        for field in required.iter().chain(more) {
            assert!(schema["properties"][field].is_object(), "{name}: {field}");
        }
    }

    let act = record("e1");
    let call = |tool: &str, arguments: Value| called(&tocsin, tool, &arguments);
    assert_eq!(call("promptless_verify_user_exists", json!({ "email": "dana@example.com" }))["exists"], true);
    let context = json!({ "agent": "billing" });
    let needed = call("mfa_required_for_action", json!({ "action": "wire", "context": context }));
    assert_eq!(needed["required"], true, "{needed}");
    let params = json!({ "agent": "billing", "action": "wire", "args_digest": "sha256:0f" });
    let begun = json!({ "username": "dana", "email": "dana@example.com", "params": params });
    let tid = call("promptless_init_transaction", begun)["tid"].clone();
    let early = call("promptless_wait_for_confirmation", json!({ "tid": tid, "timeoutSeconds": 1 }));
    assert_eq!(early["type"], "urn:tocsin:problem:not_sent", "{early}");
    let sent = call("promptless_send_method", json!({ "tid": tid, "method": "totp" }));
    assert_eq!((&sent["sent"], &sent["method"]), (&true.into(), &"totp".into()), "{sent}");
    let wait = |seconds: u64| {
        call("promptless_wait_for_confirmation", json!({ "tid": tid, "timeoutSeconds": seconds }))
    };
    assert_eq!(wait(1)["status"], "pending");
    dana.approves(&tocsin);
    let confirmed = wait(30);
    assert_eq!(confirmed["status"], "confirmed", "{confirmed}");
    let resume = |act: &Value, resume: &str| {
        call("resume", json!({ "record": act, "grant": confirmed["token"], "resume_id": resume }))
    };
    let mut other = record("e2");
    other["args_digest"] = "sha256:10".into();
    assert_eq!(resume(&other, "once")["reason"], "other_act");
    let resumed = resume(&act, "once");
    assert_eq!((&resumed["decision"], &resumed["resumed"]["repeated"]), (&"go_on".into(), &false.into()));
    assert_eq!(resume(&act, "twice")["reason"], "used");

    // A call that can be read in two ways is refused before anything reads it.
    let act = r#"{"event_id":"e9","agent_id":"billing","arguments":{"amount":9000,"amount":9}}"#;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"gate","arguments":{{"record":{act}}}}}}}"#
    );
    let twice = tocsin.request(Method::POST, "/mcp", GATEWAY).header("accept", "application/json").body(body);
    let refused = http::send(twice).expect("it answers").expect(400).json();
    let words = refused["error"]["message"].as_str().unwrap_or_default();
    assert!(words.contains("`amount` comes twice"), "{refused}");

    // The browser's way is the same operations' as over REST: only to addresses that are allowed, and with what it brought back.
    let back = "https://app.example/back";
    let prompt =
        json!({ "username": "dana", "email": "dana@example.com", "callbackUrl": back, "logoutUrl": back });
    assert_eq!(call("prompt_init_transaction", prompt)["type"], "urn:tocsin:problem:address_not_allowed");
    assert_eq!(call("prompt_get_credentials", json!({ "accessToken": "guessed" }))["status"], 401);
}
