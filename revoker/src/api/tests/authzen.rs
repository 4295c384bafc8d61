//! AuthZEN: the same decisions as the gate's, in the words of Authorization API 1.0.

use serde_json::{Value, json};

use super::support::{Ask, Reply, Trouble, World};
use crate::api::GateError;

const ONE: &str = "/access/v1/evaluation";
const SEVERAL: &str = "/access/v1/evaluations";

/// An evaluation of an act in which the stand-in finds `level` bits; kept and scored under `event_id`.
fn act(event_id: Option<&str>, agent: &str, level: f64) -> Value {
    let context = event_id.map(|id| json!({ "event_id": id, "ts": "2026-11-22T03:00:00Z" }));
    json!({
        "subject": { "type": "agent", "id": agent, "properties": { "instance_id": "pod-1" } },
        "action": { "name": "send_email", "properties": { "args": { "level": level }, "args_digest": "sha256:01" } },
        "resource": { "type": "account", "id": "4711" },
        "context": context,
    })
}

async fn ask(world: &World, path: &str, body: &Value) -> Reply {
    world.send(Ask::post(path, body).bearer("gateway")).await
}

/// The decisions of several.
fn decisions(reply: &Reply) -> Vec<bool> {
    let body = reply.json();
    body["evaluations"].as_array().unwrap().iter().map(|one| one["decision"].as_bool().unwrap()).collect()
}

#[tokio::test]
async fn what_is_in_memory_is_told_and_nothing_is_scored() {
    let world = World::new().await;
    let permitted = ask(&world, ONE, &act(None, "billing", 50.0)).await;
    let body = permitted.json();
    assert_eq!((permitted.status, &body["decision"]), (200, &true.into()));
    assert_eq!(
        (&body["context"]["scored"], &body["context"]["standing"]),
        (&false.into(), &"trusted".into())
    );
    // Had it been scored, 50 bits would have ended it.
    assert_eq!(ask(&world, ONE, &act(None, "billing", 50.0)).await.json()["decision"], true);
}

#[tokio::test]
async fn a_scored_act_is_challenged_approved_and_admitted_once() {
    let world = World::new().await;
    let dana = world.approver("Dana", &[]).await;
    let denied = ask(&world, ONE, &act(Some("e1"), "billing", 8.0)).await.json();
    let context = &denied["context"];
    assert_eq!((&denied["decision"], &context["reason"]), (&false.into(), &"challenged".into()));
    for member in ["acr_values", "status_url", "expires_at", "binding_code", "message", "approval_id"] {
        assert!(context[member].is_string(), "{member}: {denied}");
    }
    assert!(context["max_age"].is_u64() && context["interval"].is_u64(), "{denied}");
    // From memory it is the same question.
    let again = ask(&world, ONE, &act(None, "billing", 0.0)).await.json();
    assert_eq!(again["context"]["approval_id"], context["approval_id"]);

    let (page, _) = world.newest_page().await;
    let mut browser = super::support::Browser::open(&world, &page).await;
    let code = dana.code(&world);
    assert_eq!(
        browser.post("approve", (&dana.name, &code), context["binding_code"].as_str().unwrap()).await,
        303
    );
    let status = context["status_url"].as_str().unwrap().replace("http://tocsin.test", "");
    let granted = world.send(Ask::get(&status).bearer("gateway")).await.json();
    let resuming = |event_id, resume: &str| {
        let mut body = act(Some(event_id), "billing", 8.0);
        body["context"]["grant"] = granted["grant"]["token"].clone();
        body["context"]["resume_id"] = resume.into();
        body
    };
    let mut other = resuming("e2", "r1");
    other["resource"]["id"] = "4712".into();
    assert_eq!(ask(&world, ONE, &other).await.json()["context"]["reason"], "grant_refused");
    let admitted = ask(&world, ONE, &resuming("e3", "r1")).await.json();
    assert_eq!(
        (&admitted["decision"], &admitted["context"]["resumed"]["repeated"]),
        (&true.into(), &false.into())
    );
    assert_eq!(ask(&world, ONE, &resuming("e4", "r2")).await.json()["context"]["reason"], "grant_refused");
}

#[tokio::test]
async fn several_are_decided_in_order_up_to_the_one_that_settles_all() {
    let world = World::new().await;
    assert_eq!(ask(&world, ONE, &act(Some("e1"), "thief", 50.0)).await.json()["decision"], false);
    let subject = |id: &str| json!({ "subject": { "type": "agent", "id": id } });
    let body = |semantic: &str| {
        json!({
            "action": { "name": "read" }, "resource": { "type": "record", "id": "1" },
            "evaluations": [subject("billing"), subject("thief"), {}, subject("mailer")],
            "options": { "evaluations_semantic": semantic },
        })
    };
    for (semantic, decided) in [
        ("execute_all", &[true, false, false, true][..]),
        ("deny_on_first_deny", &[true, false]),
        ("permit_on_first_permit", &[true]),
    ] {
        let reply = ask(&world, SEVERAL, &body(semantic)).await;
        assert_eq!((reply.status, decisions(&reply)), (200, decided.to_vec()), "{semantic}");
    }
    let all = ask(&world, SEVERAL, &body("execute_all")).await.json();
    assert_eq!(all["evaluations"][1]["context"]["reason"], "revoked");
    assert_eq!(all["evaluations"][2]["context"]["error"]["status"], 400);
    assert_eq!(ask(&world, SEVERAL, &body("first_come")).await.status, 400);
    // Of an entity that stands there only what it must have and lacks comes from the default.
    let merged = json!({
        "subject": { "type": "agent", "id": "billing" }, "action": { "name": "read" }, "resource": { "type": "record" },
        "evaluations": [{ "resource": { "id": "1" } }, { "resource": { "type": "page" } }],
    });
    assert_eq!(decisions(&ask(&world, SEVERAL, &merged).await), [true, false]);
    // Without a list it is a single evaluation.
    let mut single = act(None, "billing", 0.0);
    single["evaluations"] = json!([]);
    assert_eq!(ask(&world, SEVERAL, &single).await.json()["decision"], true);
    single["evaluations"] = json!(vec![json!({}); 101]);
    assert_eq!(ask(&world, SEVERAL, &single).await.status, 400);
}

#[tokio::test]
async fn what_cannot_be_decided_is_closed_and_says_why() {
    let world = World::new().await;
    world.trouble(Some(Trouble::Fails(GateError::Busy { retry_after_s: 3 })));
    let single = ask(&world, ONE, &act(Some("e1"), "billing", 0.0)).await;
    assert_eq!((single.status, single.header("retry-after")), (429, "3"));
    assert_eq!(single.header("content-type"), "text/plain; charset=utf-8");
    let several = json!({ "evaluations": [act(Some("e1"), "billing", 0.0), act(None, "billing", 0.0)] });
    let several = ask(&world, SEVERAL, &several).await;
    assert_eq!(decisions(&several), [false, true]);
    assert_eq!(several.json()["evaluations"][0]["context"]["error"]["status"], 429);
}

#[tokio::test]
async fn errors_are_texts_and_the_callers_own_id_comes_back() {
    let world = World::new().await;
    let good = act(None, "billing", 0.0);
    let send = |request: Ask| world.send(request.header("X-Request-ID", "bfe9eb29"));
    let nobody = send(Ask::post(ONE, &good)).await;
    let operator = send(Ask::post(SEVERAL, &good).bearer("soc")).await;
    let text = send(Ask::post(ONE, &good).bearer("gateway").header("Content-Type", "text/plain")).await;
    let broken = send(Ask::post(ONE, &good).replacing("\"action\"", "action").bearer("gateway")).await;
    let twice = Ask::post(ONE, &good).replacing("\"subject\"", "\"action\":{},\"subject\"");
    let twice = send(twice.bearer("gateway")).await;
    assert!(twice.body.contains("`action` comes twice"), "{twice:?}");
    for (reply, status) in [(nobody, 401), (operator, 403), (text, 400), (broken, 400), (twice, 400)] {
        assert_eq!((reply.status, reply.header("x-request-id")), (status, "bfe9eb29"), "{reply:?}");
        assert!(
            reply.header("content-type").starts_with("text/plain") && !reply.body.is_empty(),
            "{reply:?}"
        );
    }
    let mut wrong = Vec::new();
    for (entity, members) in
        [("subject", &["type", "id"][..]), ("action", &["name"]), ("resource", &["type", "id"])]
    {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(entity);
        wrong.push(body);
        for other in members {
            let mut body = good.clone();
            body[entity].as_object_mut().unwrap().remove(*other);
            wrong.push(body);
            let mut body = good.clone();
            body[entity][*other] = 123.into();
            wrong.push(body);
        }
        let mut body = good.clone();
        body[entity] = "alice".into();
        wrong.push(body);
        let mut body = good.clone();
        body[entity]["properties"] = 1.into();
        wrong.push(body);
    }
    let mut half = act(Some("e1"), "billing", 0.0);
    half["context"]["grant"] = "tgr_0".into();
    wrong.push(half);
    for body in wrong {
        let refused = ask(&world, ONE, &body).await;
        // `resource.properties` is nothing that is read.
        let is_unread = body["resource"]["properties"] == 1;
        assert_eq!(refused.status, if is_unread { 200 } else { 400 }, "{body}");
    }
}

#[tokio::test]
async fn where_decisions_are_to_be_had_is_public() {
    let world = World::new().await;
    let metadata = world.send(Ask::get("/.well-known/authzen-configuration")).await;
    assert_eq!((metadata.status, metadata.header("content-type")), (200, "application/json"));
    let body = metadata.json();
    assert_eq!(body["policy_decision_point"], "http://tocsin.test");
    for (member, path) in [("access_evaluation_endpoint", ONE), ("access_evaluations_endpoint", SEVERAL)] {
        assert_eq!(body[member], format!("http://tocsin.test{path}"));
    }
}
