//! What operators see and do.

use serde_json::json;

use super::support::{Ask, Browser, World};

async fn get(world: &World, path: &str) -> serde_json::Value {
    let reply = world.send(Ask::get(path).bearer("soc")).await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.json()
}

#[tokio::test]
async fn looking_takes_the_role_analyst_and_acting_operator() {
    let world = World::new().await;
    let reads = [
        "/v1/alerts",
        "/v1/agents",
        "/v1/agent?agent_id=a",
        "/v1/effects",
        "/v1/status",
        "/v1/approvers",
        "/v1/targets/disabled",
        "/v1/effects/receipts?delivery=1",
    ];
    for path in reads {
        assert_eq!(world.send(Ask::get(path)).await.status, 401, "{path}");
        assert_eq!(world.send(Ask::get(path).bearer("gateway")).await.status, 403, "{path}");
        assert_eq!(world.send(Ask::get(path).bearer("soc")).await.status, 200, "{path}");
        assert_eq!(world.send(Ask::get(path).bearer("analyst")).await.status, 200, "{path}");
    }
    let writes = [
        "/v1/agents/revoke",
        "/v1/agents/register",
        "/v1/agents/review",
        "/v1/agents/feedback",
        "/v1/effects/redeliver",
        "/v1/targets/enable",
        "/v1/pause",
        "/v1/resume",
    ];
    for path in writes {
        assert_eq!(world.send(Ask::post(path, &json!({}))).await.status, 401, "{path}");
        for role in ["gateway", "analyst"] {
            assert_eq!(world.send(Ask::post(path, &json!({})).bearer(role)).await.status, 403, "{path}");
        }
        assert_eq!(world.send(Ask::post(path, &json!({})).bearer("soc")).await.status, 422, "{path}");
    }
}

#[tokio::test]
async fn lists_come_in_parts() {
    let world = World::new().await;
    for agent in ["a", "b", "c"] {
        assert_eq!(world.gate(&format!("e-{agent}"), agent, 8.0).await.status, 401);
    }
    for (path, name) in
        [("/v1/alerts", "/agent_id"), ("/v1/agents", "/agent/agent_id"), ("/v1/effects", "/agent/agent_id")]
    {
        let first = get(&world, &format!("{path}?limit=2")).await;
        let next = first["next"].as_i64().unwrap();
        let rest = get(&world, &format!("{path}?limit=2&cursor={next}")).await;
        let names: Vec<_> = [&first, &rest]
            .iter()
            .flat_map(|part| part["rows"].as_array().unwrap())
            .map(|row| row.pointer(name).unwrap().as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["c", "b", "a"], "{path}");
        assert_eq!(rest["next"], serde_json::Value::Null, "{path}");
    }
    let refused = world.send(Ask::get("/v1/alerts?limit=many").bearer("soc")).await;
    assert_eq!(refused.status, 400);
    insta::assert_snapshot!(refused.told(&[]));
}

#[tokio::test]
async fn commands_are_signed_with_a_person_and_a_reason() {
    let world = World::new().await;
    let revoke = |body: serde_json::Value| Ask::post("/v1/agents/revoke", &body).bearer("soc");
    for (body, status) in [
        (json!({ "agent_id": "a" }), 422),
        (json!({ "agent_id": "a", "person": "Omar", "reason": "  " }), 400),
        (json!({ "agent_id": "a", "person": "x".repeat(501), "reason": "r" }), 400),
        (json!({ "agent_id": "a", "person": "Omar", "reason": "seen at the bank" }), 200),
        (json!({ "agent_id": "a", "person": "Omar", "reason": "again" }), 409),
    ] {
        assert_eq!(world.send(revoke(body.clone())).await.status, status, "{body}");
    }
    let one = get(&world, "/v1/agent?agent_id=a").await;
    assert_eq!(one["standing"], "revoked");
    let history = one["history"].to_string();
    assert!(history.contains("Omar via soc") && history.contains("seen at the bank"), "{history}");

    let nonsense =
        Ask::post("/v1/agents/forgive", &json!({ "agent_id": "a", "person": "Omar", "reason": "r" }));
    assert_eq!(world.send(nonsense.bearer("soc")).await.status, 404);
    let endless =
        Ask::post("/v1/agents/suspend", &json!({ "agent_id": "b", "person": "Omar", "reason": "r" }));
    let refused = world.send(endless.bearer("soc")).await;
    assert_eq!((refused.status, &refused.json()["field"]), (400, &"until".into()));
}

#[tokio::test]
async fn feedback_is_on_an_agent_or_an_alert_and_lifts_no_challenge() {
    let world = World::new().await;
    assert_eq!(world.gate("e1", "billing", 8.0).await.status, 401);
    let alert = get(&world, "/v1/alerts").await["rows"][0]["alert_id"].clone();
    let said = |whom: (&str, serde_json::Value), ruling: &str| {
        let mut body = json!({ "ruling": ruling, "person": "Omar", "reason": "asked its owner" });
        body[whom.0] = whom.1;
        Ask::post("/v1/agents/feedback", &body).bearer("soc")
    };
    let on_alert = world.send(said(("alert_id", alert.clone()), "malicious")).await.json();
    assert_eq!(on_alert["agent"]["agent_id"], "billing", "{on_alert}");
    assert_eq!((&on_alert["standing"], &on_alert["ruling"]), (&"challenged".into(), &"malicious".into()));
    let on_agent = world.send(said(("agent_id", "unheard-of".into()), "deploy")).await;
    assert_eq!((on_agent.status, &on_agent.json()["standing"]), (200, &"trusted".into()));
    for (whom, ruling, status) in [
        (("alert_id", json!("0")), "benign", 404),
        (("agent_id", json!("billing")), "splendid", 422),
        (("nobody", json!(1)), "benign", 400),
    ] {
        assert_eq!(world.send(said(whom, ruling)).await.status, status, "{ruling}");
    }
    let one = get(&world, "/v1/agent?agent_id=billing").await;
    let history = one["history"].to_string();
    for shown in ["evidence.ruled", "Omar via soc", "asked its owner", alert.as_str().unwrap()] {
        assert!(history.contains(shown), "{shown}: {history}");
    }
    let told = get(&world, "/v1/effects").await["rows"].to_string();
    assert!(told.contains("agent.feedback"), "{told}");
}

#[tokio::test]
async fn a_pause_stops_what_is_automatic_and_survives_a_restart() {
    let mut world = World::new().await;
    let signed = json!({ "person": "Omar", "reason": "release night" });
    let slip = json!({ "person": "Omar", "reason": "release night", "agent": "billing" });
    assert_eq!(world.send(Ask::post("/v1/pause", &slip).bearer("soc")).await.status, 400);
    assert_eq!(get(&world, "/v1/status").await["pauses"], json!([]));
    assert_eq!(
        world.send(Ask::post("/v1/pause", &signed).bearer("soc")).await.json()["paused"]["by"],
        "Omar via soc"
    );
    world.restart().await;
    assert_eq!(get(&world, "/v1/status").await["paused"]["reason"], "release night");
    assert_eq!(
        world.gate("e1", "billing", 30.0).await.status,
        200,
        "watched, and said what would have been done"
    );
    assert_eq!(get(&world, "/v1/alerts").await["rows"][0]["would_have"], "revoke");
    assert_eq!(
        world.send(Ask::post("/v1/resume", &signed).bearer("soc")).await.json()["paused"],
        serde_json::Value::Null
    );
    assert_eq!(world.gate("e2", "billing", 30.0).await.status, 403);
}

#[tokio::test]
async fn an_answer_is_in_the_audit_with_what_it_was_bound_to() {
    let world = World::new().await;
    let alice = world.approver("alice", &["alice@example.com"]).await;
    let asked = world.gate("e1", "billing", 8.0).await.json();
    let (path, question) = world.newest_page().await;
    assert_eq!(get(&world, "/v1/agent?agent_id=billing").await["approval"], question);
    let mut browser = Browser::open(&world, &path).await;
    let number = asked["binding_code"].as_str().unwrap();
    assert_eq!(browser.post("approve", (&alice.name, &alice.code(&world)), number).await, 303);
    let history = get(&world, "/v1/agent?agent_id=billing").await["history"].to_string();
    for said in ["approval.settled", "alice", asked["approval_id"].as_str().unwrap(), "binding", "otp"] {
        assert!(history.contains(said), "{said}: {history}");
    }
    let approvers = get(&world, "/v1/approvers").await;
    assert_eq!(approvers[0]["name"], "alice");
    assert!(!approvers.to_string().contains("secret"));
    assert_eq!(get(&world, "/v1/status").await["approvers"], 1);
}

#[tokio::test]
async fn deliveries_can_be_seen_and_sent_again() {
    let world = World::new().await;
    world.gate("e1", "billing", 30.0).await;
    let effects = get(&world, "/v1/effects?state=pending").await;
    assert_eq!(effects["rows"][0]["kind"], "agent.access.revoked");
    assert_eq!(get(&world, "/v1/effects?state=dead").await["rows"], json!([]));
    let delivery = effects["rows"][0]["cursor"].as_i64().unwrap();
    let again = |delivery: i64| {
        Ask::post("/v1/effects/redeliver", &json!({ "delivery": delivery, "person": "Omar" })).bearer("soc")
    };
    assert_eq!(world.send(again(delivery)).await.status, 202);
    assert_eq!(world.send(again(delivery + 1)).await.status, 404);
    assert_eq!(get(&world, &format!("/v1/effects/receipts?delivery={delivery}")).await, json!([]));
    let enable = Ask::post("/v1/targets/enable", &json!({ "target": "idp", "person": "Omar" })).bearer("soc");
    assert_eq!(world.send(enable).await.status, 404, "it is not disabled");
}

#[tokio::test]
async fn a_fleet_wide_command_takes_a_second_person() {
    let world = World::new().await;
    let propose = json!({ "person": "Omar", "reason": "release night", "what": { "command": "pause" } });
    let proposal = world.send(Ask::post("/v1/proposals", &propose).bearer("soc")).await.json();
    assert_eq!(get(&world, "/v1/proposals").await[0], proposal);
    let confirm = |person: &str| json!({ "person": person, "reason": "seen", "id": proposal["id"] });
    let alone = world.send(Ask::post("/v1/proposals/confirm", &confirm("omar")).bearer("soc")).await;
    assert_eq!((alone.status, &alone.json()["detail"]), (409, &json!("who proposed it cannot confirm it.")));
    assert_eq!(get(&world, "/v1/status").await["paused"], serde_json::Value::Null);
    let done = world.send(Ask::post("/v1/proposals/confirm", &confirm("Dana")).bearer("soc")).await;
    assert_eq!((done.status, &done.json()["person"]), (200, &json!("Omar")));
    assert_eq!(get(&world, "/v1/status").await["paused"]["by"], "Omar via soc and Dana via soc");
    let unknown =
        json!({ "person": "Omar", "reason": "x", "what": { "command": "revoke_group", "group": "none" } });
    assert_eq!(world.send(Ask::post("/v1/proposals", &unknown).bearer("soc")).await.status, 409);
}
