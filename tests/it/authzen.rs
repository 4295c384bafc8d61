//! OpenID AuthZEN 1.0 at the real program: the working group's certification scenario (levels Basic Core, Batch Core and Discovery), and a
//! client of somebody else's.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gate::{ask, operate};
use crate::support::http::{self, Answer};
use crate::support::parts::{python, told};
use crate::support::stage::Stage;
use crate::support::tocsin::{GATEWAY, Tocsin};

const ONE: &str = "/access/v1/evaluation";
const SEVERAL: &str = "/access/v1/evaluations";

/// The scenario's fixture as a policy: of four decisions one is a no, and here it is one because policy asks a human.
const FIXTURE: &str = "[policy.risk]\npayments = [\"write\"]\n[[policy.when]]\nname = \"bob writes\"\nagent = \"bob\"\n\
                       risk = [\"payments\"]\nat_least = \"step_up\"\n";

fn send(tocsin: &Tocsin, path: &str, body: &Value) -> Answer {
    let request = tocsin.request(Method::POST, path, GATEWAY).header("x-request-id", "from-the-test");
    let answer = http::send(request.json(body)).expect("it answers");
    assert_eq!(answer.header("x-request-id"), "from-the-test");
    answer
}

fn entity(kind: &str, id: &str) -> Value {
    json!({ "type": kind, "id": id })
}

fn tuple(who: &str, action: &str, record: &str) -> Value {
    json!({ "subject": entity("user", who), "action": { "name": action }, "resource": entity("record", record) })
}

/// `of` with members put in.
fn with(mut of: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("members") };
    of.as_object_mut().expect("members").extend(more);
    of
}

#[test]
fn the_working_groups_scenario_is_answered_as_it_says() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(FIXTURE));
    let decided = |body: &Value| send(&tocsin, ONE, body).expect(200).json()["decision"].clone();
    // Sections 2.2 and 2.6: the four decisions, also with a context and with members nobody knows, and again.
    for (who, action, decision) in
        [("alice", "read", true), ("alice", "write", true), ("bob", "read", true), ("bob", "write", false)]
    {
        let plain = tuple(who, action, "record-1");
        let context = json!({ "context": { "time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1" } });
        let unknown = json!({ "foo": "bar", "futureField": { "nested": true } });
        for body in [with(plain.clone(), context), with(plain.clone(), unknown), plain.clone(), plain] {
            assert_eq!(decided(&body), decision, "{body}");
        }
    }
    // Section 3.2: defaults, order, and evaluations that are whole by themselves.
    let several = |body: Value| {
        let answer = send(&tocsin, SEVERAL, &body).expect(200).json();
        let all = answer["evaluations"].as_array().unwrap_or_else(|| panic!("a list: {answer}")).clone();
        all.iter().map(|one| one["decision"].as_bool().expect("yes or no")).collect::<Vec<_>>()
    };
    let records = json!({ "subject": entity("user", "alice"), "action": { "name": "read" }, "evaluations": [
        { "resource": entity("record", "record-1") }, { "resource": entity("record", "record-2"), "context": {} } ] });
    assert_eq!(several(records), [true, true]);
    let actions = json!({ "subject": entity("user", "bob"), "resource": entity("record", "record-1"),
        "evaluations": [{ "action": { "name": "read" } }, { "action": { "name": "write" } }] });
    assert_eq!(several(actions), [true, false]);
    let whole =
        json!({ "evaluations": [tuple("alice", "read", "record-1"), tuple("bob", "write", "record-1")] });
    assert_eq!(several(whole), [true, false]);
    // Section 3.4: one that is broken is a no of its own; no list is a single evaluation.
    let broken = with(tuple("alice", "read", "record-1"), json!({ "evaluations": [{}, { "resource": 1 }] }));
    assert_eq!(several(broken), [true, false]);
    for single in [json!({}), json!({ "evaluations": [] })] {
        let body = with(tuple("alice", "read", "record-1"), single);
        assert_eq!(send(&tocsin, SEVERAL, &body).expect(200).json()["decision"], true);
    }
    // Section 2.4: what is missing or wrong.
    send(&tocsin, ONE, &json!({ "action": { "name": "read" }, "resource": entity("record", "record-1") }))
        .expect(400);
    let empty = tocsin.request(Method::POST, ONE, GATEWAY).header("content-type", "application/json");
    http::send(empty).expect("it answers").expect(400);
    // Section 6.
    let metadata =
        http::get(&tocsin.url("/.well-known/authzen-configuration")).expect("it answers").expect(200);
    assert_eq!(metadata.json()["policy_decision_point"], tocsin.url(""));
    assert_eq!(metadata.json()["access_evaluation_endpoint"], tocsin.url(ONE));
}

#[test]
fn a_foreign_client_is_permitted_challenged_and_refused() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(FIXTURE));
    let scored = |who: &str, action: &str, id: &str| {
        let ts = crate::support::gate::now();
        with(tuple(who, action, "record-1"), json!({ "context": { "event_id": id, "ts": ts } }))
    };
    operate(&tocsin, "revoke", "mallory");
    let asked = json!([
        scored("alice", "write", "e1"),
        scored("bob", "write", "e2"),
        scored("bob", "read", "e3"),
        tuple("mallory", "read", "record-1"),
        with(tuple("alice", "read", "record-1"), json!({ "context": { "event_id": "e4", "ts": "soon" } })),
    ]);
    let mut client = python("authzen.py");
    let told = told(client.args([&tocsin.url(""), GATEWAY]), &asked);
    assert_eq!(
        (&told[0]["allowed"], &told[0]["context"]["scored"]),
        (&true.into(), &true.into()),
        "{told:?}"
    );
    // Policy asks; from then on everything that the agent does waits.
    for (challenged, asked_for) in [(&told[1], "e2"), (&told[2], "e2")] {
        assert_eq!(
            (&challenged["allowed"], &challenged["context"]["reason"]),
            (&false.into(), &"challenged".into())
        );
        assert_eq!(challenged["context"]["asked_for"], asked_for);
        assert!(
            challenged["context"]["acr_values"].is_string()
                && challenged["context"]["status_url"].is_string()
        );
    }
    assert_eq!((&told[3]["allowed"], &told[3]["context"]["reason"]), (&false.into(), &"revoked".into()));
    assert_eq!(told[4], json!({ "status": 400 }));
    // What was scored is in the one log: the gate knows the agent's question.
    let act = json!({ "event_id": "e5", "kind": "request", "ts": crate::support::gate::now(), "agent_id": "bob", "endpoint": "read" });
    let at_the_gate = ask(&tocsin, &act, None).expect(401).json();
    assert_eq!(at_the_gate["approval_id"], told[1]["context"]["approval_id"]);
}
