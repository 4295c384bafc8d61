//! The list that gateways keep.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::support::{Ask, World, line};

async fn command(world: &World, verb: &str, agent: &str) {
    let body = json!({ "agent_id": agent, "person": "Olga", "reason": "stolen" });
    let reply = world.send(Ask::post(&format!("/v1/agents/{verb}"), &body).bearer("soc")).await;
    assert_eq!(reply.status / 100, 2, "{reply:?}");
}

async fn list(world: &World, after: i64) -> Value {
    let reply = world.send(Ask::get(&format!("/v1/revocations?after={after}")).bearer("gateway")).await;
    assert_eq!(reply.status, 200);
    reply.json()
}

#[tokio::test]
async fn who_knows_the_list_is_told_what_came_after_and_nothing_where_nothing_did() {
    let world = World::new().await;
    assert_eq!(world.send(Ask::get("/v1/revocations")).await.status, 401);
    assert_eq!(world.send(Ask::get("/v1/revocations").bearer("soc")).await.status, 403);
    assert_eq!(list(&world, 0).await, json!({ "version": 0, "revocations": [], "next": null }));

    command(&world, "revoke", "a").await;
    command(&world, "revoke", "b").await;
    let whole = world.send(Ask::get("/v1/revocations").bearer("gateway")).await;
    let etag = whole.header("etag").to_owned();
    let again = || Ask::get("/v1/revocations").bearer("gateway").header("If-None-Match", &etag);
    assert_eq!(world.send(again()).await.status, 304);
    let rows = whole.json()["revocations"].clone();
    assert_eq!((&rows[0]["subject"], &rows[1]["subject"]), (&json!("a"), &json!("b")));
    assert_eq!((&rows[0]["blocked"], &rows[0]["until"]), (&json!(true), &Value::Null));

    // Reinstated, it is listed on: its older tokens stay void for as long as any may live.
    command(&world, "reinstate", "a").await;
    assert_eq!(world.send(again()).await.status, 200);
    let news = list(&world, whole.json()["version"].as_i64().unwrap()).await;
    let row = &news["revocations"][0];
    assert_eq!(news["revocations"].as_array().unwrap().len(), 1);
    assert_eq!((&row["subject"], &row["blocked"]), (&json!("a"), &json!(false)));
    assert_eq!(row["not_before"], rows[0]["not_before"]);
    assert!(row["until"].is_string());
}

#[tokio::test]
async fn a_reinstated_subject_goes_on_with_a_new_token_alone() {
    let world = World::new().await;
    let ask = async |event: &str, issued: &str| {
        let mut line = line(event, "a", 0.0);
        line["token_iat"] = issued.into();
        world.send(Ask::gate(&line)).await
    };
    let old = "2026-11-22T02:00:00Z";
    assert_eq!(ask("e1", old).await.status, 200);
    command(&world, "revoke", "a").await;
    world.pass(60);
    command(&world, "reinstate", "a").await;
    let refused = ask("e2", old).await;
    assert_eq!((refused.status, refused.json()["decision"].as_str()), (403, Some("revoked")));
    assert_eq!(refused.json()["part"], "token");
    assert!(refused.json()["detail"].as_str().unwrap().contains("Get a new one"), "{refused:?}");
    let evaluate = json!({
        "subject": { "type": "agent", "id": "a", "properties": { "token_iat": old } },
        "action": { "name": "can_read" }, "resource": { "type": "endpoint", "id": "read_mail" },
    });
    let evaluated = world.send(Ask::post("/access/v1/evaluation", &evaluate).bearer("gateway")).await;
    assert_eq!((evaluated.status, &evaluated.json()["decision"]), (200, &json!(false)), "{evaluated:?}");
    // A new token, or one whose age nobody knows, is the standing's to judge.
    assert_eq!(ask("e3", "2026-11-22T03:00:30Z").await.status, 200);
    assert_eq!(world.gate("e4", "a", 0.0).await.status, 200);
}

/// The next event: its id and its data.
async fn event(lines: &mut tokio::io::Lines<BufReader<tokio::net::TcpStream>>) -> (i64, Value) {
    let (mut id, mut data) = (None, None);
    let read = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.parse().ok();
            }
            if let Some(text) = line.strip_prefix("data: ") {
                data = serde_json::from_str(text).ok();
            }
            if let (Some(id), Some(data)) = (id, &data) {
                return (id, Value::clone(data));
            }
        }
        panic!("the stream ended");
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), read).await.expect("an event")
}

#[tokio::test]
async fn a_stream_tells_each_change_once_and_goes_on_where_it_was_cut() {
    let world = World::new().await;
    command(&world, "revoke", "a").await;
    let follow = || Ask::get("/v1/revocations/stream").bearer("gateway");
    let mut lines = BufReader::new(world.begin(follow()).await).lines();
    let (first, data) = event(&mut lines).await;
    assert_eq!(data["subject"], "a");
    command(&world, "revoke", "b").await;
    let (second, data) = event(&mut lines).await;
    assert_eq!((&data["subject"], second > first), (&json!("b"), true));
    drop(lines);

    command(&world, "reinstate", "a").await;
    let on = follow().header("Last-Event-ID", &second.to_string());
    let mut lines = BufReader::new(world.begin(on).await).lines();
    let (_, data) = event(&mut lines).await;
    assert_eq!((&data["subject"], &data["blocked"]), (&json!("a"), &json!(false)));
}
