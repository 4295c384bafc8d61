//! What agents are told, word for word.

use super::support::{Ask, Trouble, World, line};

#[tokio::test]
async fn a_challenge_in_full() {
    let world = World::new().await;
    let reply = world.gate("e1", "billing", 8.0).await;
    let body = reply.json();
    let names = [
        ("<approval>", body["approval_id"].as_str().unwrap()),
        ("\"<number>\"", &body["binding_code"].to_string()),
    ];
    insta::assert_snapshot!(reply.told(&names));
    let pending = world.send(Ask::get("/v1/approvals/x").bearer("gateway")).await;
    insta::assert_snapshot!(pending.told(&[]));
    let path = format!("/v1/approvals/{}", body["approval_id"].as_str().unwrap());
    let pending = world.send(Ask::get(&path).bearer("gateway").header("Prefer", "wait=0")).await;
    assert_eq!(pending.header("preference-applied"), "wait=0");
    insta::assert_snapshot!(pending.told(&names));
}

#[tokio::test]
async fn no_score_in_time_is_said_and_the_last_standing_answers() {
    let world = World::new().await;
    world.gate("e1", "stopped", 8.0).await;
    world.trouble(Some(Trouble::Late));
    insta::assert_snapshot!(world.gate("e2", "fresh", 8.0).await.told(&[]));
    let stopped = world.gate("e3", "stopped", 0.0).await;
    assert_eq!((stopped.status, &stopped.json()["scored"]), (401, &false.into()));
}

#[tokio::test]
async fn the_same_record_again_is_a_retry() {
    let world = World::new().await;
    assert_eq!(world.gate("e1", "billing", 1.0).await.json()["duplicate"], false);
    assert_eq!(world.gate("e1", "billing", 1.0).await.json()["duplicate"], true);
}

#[tokio::test]
async fn revoked_suspended_and_retired_are_told_apart() {
    let world = World::new().await;
    let ends = [
        ("revoke", serde_json::json!({})),
        ("suspend", serde_json::json!({ "until": "2026-11-22T04:00:00Z" })),
        ("retire", serde_json::json!({})),
    ];
    let mut told = Vec::new();
    for (verb, more) in ends {
        let mut command = serde_json::json!({ "agent_id": verb, "person": "Omar", "reason": "test" });
        command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let path = format!("/v1/agents/{verb}");
        assert_eq!(world.send(Ask::post(&path, &command).bearer("soc")).await.status, 200);
        told.push(world.gate(&format!("e-{verb}"), verb, 0.0).await.told(&[]));
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn an_agent_may_have_any_name() {
    let world = World::new().await;
    let agent = "arn:aws:sts::1:assumed-role/ops \u{202e}<b>&?#%2f";
    assert_eq!(world.send(Ask::gate(&line("e1", agent, 8.0))).await.status, 401);
    let listed = world.send(Ask::get("/v1/agents").bearer("soc")).await.json();
    assert_eq!(listed["rows"][0]["agent"]["agent_id"], agent);
}
