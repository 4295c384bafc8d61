//! What was decided, as receivers get it.

use super::*;
use crate::store::outbox::DeliveryState;
use crate::testing::receiver::{Receiver, Reply as Answer};

async fn claims(world: &World, receiver: &Receiver, count: usize) -> Vec<Value> {
    let seen = tokio::time::timeout(LIMIT, receiver.wait_for(count)).await.expect("it hangs");
    let mut all = Vec::new();
    for one in seen {
        assert_eq!(one.header("content-type"), "application/secevent+jwt");
        assert_eq!(one.header("accept"), "application/json");
        assert_eq!(one.header("authorization"), "Bearer of-the-push");
        all.push(world.verified(std::str::from_utf8(&one.body).unwrap()).await);
    }
    all
}

fn names(all: &[Value]) -> Vec<String> {
    all.iter().map(event).collect()
}

#[tokio::test]
async fn a_revocation_is_pushed_and_what_fails_is_pushed_again() {
    // The first of two tokens arrives at once; the second fails three times, and is not to have the first sent again.
    let receiver = Receiver::start(&[
        Answer::Status(202),
        Answer::RetryAfter(503, "0"),
        Answer::Redirect,
        Answer::Status(200),
        Answer::Status(202),
    ])
    .await;
    let world = World::new().await;
    world.stream(&["session-revoked", "credential-change"], Some(&receiver.url())).await;
    world.revoke(1, "mailer");
    let rows = world.until(|rows| rows.iter().any(|row| row.state == DeliveryState::Acknowledged)).await;
    assert_eq!((rows.len(), rows[0].attempts), (1, 4));
    let all = claims(&world, &receiver, 5).await;
    assert_eq!(names(&all), [&["session-revoked"][..], &["credential-change"; 4]].concat());
    assert!(receiver.seen().iter().all(|seen| seen.path == "/hook"), "no redirect is followed");
    assert_eq!(all[1], all[4], "the same at every attempt");
    assert!(all.iter().all(|claims| claims["txn"] == rows[0].txn.as_str()), "{all:?}");
    assert_eq!(
        all[0]["sub_id"],
        json!({ "format": "iss_sub", "iss": "https://idp.example", "sub": "mailer" })
    );
    assert_eq!(
        (&all[0]["iss"], &all[0]["aud"]),
        (&json!("https://tocsin.example/t1"), &json!("https://idp.example"))
    );
    let story =
        world.revoker.audit_of(AgentKey::new(Some("https://idp.example"), "mailer"), Page::new(10, None));
    let kinds: Vec<String> = story.await.unwrap().into_iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, ["delivery.acknowledged", "standing.changed"]);
}

#[tokio::test]
async fn a_token_that_is_refused_by_name_is_an_open_item_and_not_tried_again() {
    let refusal = r#"{"err":"invalid_key","description":"no such kid"}"#;
    let replies = [
        Answer::Json(400, "no JSON at all"),
        Answer::Json(400, refusal),
        Answer::Status(202),
        Answer::Status(202),
    ];
    let receiver = Receiver::start(&replies).await;
    let world = World::new().await;
    world.stream(&["session-revoked"], Some(&receiver.url())).await;
    world.revoke(1, "mailer");
    let rows = world.until(|rows| rows.iter().any(|row| row.state == DeliveryState::Dead)).await;
    assert_eq!(rows[0].last.as_deref(), Some("hopeless: invalid_key: no such kid"));
    world.revoke(2, "other");
    world.until(|rows| rows.len() == 2 && rows[1].state == DeliveryState::Acknowledged).await;
    assert_eq!(receiver.seen().len(), 3);
    // By hand it goes again, the same bytes.
    world.revoker.redeliver(rows[0].cursor, "ann".to_owned(), now()).await.unwrap();
    world.until(|rows| rows[0].state == DeliveryState::Acknowledged).await;
    let seen = receiver.seen();
    assert_eq!(seen[3].body, seen[1].body);
}

#[tokio::test]
async fn a_dead_stream_delays_no_other() {
    let (hangs, fails, works) = (
        Receiver::start(&[Answer::Hang; 64]).await,
        Receiver::start(&[Answer::Status(500); 100]).await,
        Receiver::start(&[Answer::Status(202); 64]).await,
    );
    let world = World::new().await;
    for receiver in [&hangs, &fails, &works] {
        world.stream(&["session-revoked"], Some(&receiver.url())).await;
    }
    for n in 1..31 {
        world.revoke(n, &format!("agent-{n}"));
    }
    assert_eq!(claims(&world, &works, 30).await.len(), 30);
    assert!(hangs.seen().len() <= 16, "what is under way is bounded");
}

#[tokio::test]
async fn paused_holds_in_order_and_disabled_holds_nothing() {
    let receiver = Receiver::start(&[Answer::Status(202); 64]).await;
    let world = World::new().await;
    let id = world.stream(&["session-revoked"], Some(&receiver.url())).await;
    let events = json!([
        format!("{CAEP}session-revoked"),
        "https://schemas.openid.net/secevent/risc/event-type/account-enabled"
    ]);
    let body = json!({ "stream_id": id, "events_requested": events });
    world.ask(IDP, Method::PATCH, "/ssf/streams", Some(body)).await.expect(200);
    let status = |status: &str| {
        world.post(IDP, "/ssf/status", json!({ "stream_id": id, "status": status, "reason": "repairs" }))
    };

    let told = status("paused").await.expect(200);
    assert_eq!(told, json!({ "stream_id": id, "status": "paused", "reason": "repairs" }));
    world.revoke(1, "mailer");
    world.reinstate("mailer").await;
    world.revoke(2, "other");
    world.post(IDP, "/ssf/verify", json!({ "stream_id": id })).await.expect(400);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.seen().len(), 0);
    status("enabled").await.expect(200);
    let all = claims(&world, &receiver, 3).await;
    let of_mailer: Vec<&Value> = all.iter().filter(|claims| claims["sub_id"]["sub"] == "mailer").collect();
    assert_eq!(
        of_mailer.iter().map(|claims| event(claims)).collect::<Vec<_>>(),
        ["session-revoked", "account-enabled"]
    );

    status("paused").await.expect(200);
    world.revoke(3, "third");
    status("disabled").await.expect(200);
    world.revoke(4, "fourth");
    status("enabled").await.expect(200);
    world.revoke(5, "fifth");
    let all = claims(&world, &receiver, 4).await;
    assert_eq!(all[3]["sub_id"]["sub"], "fifth");
    world.until(|rows| rows.iter().all(|row| row.state != DeliveryState::Pending)).await;
    assert_eq!(receiver.seen().len(), 4);
    status("asleep").await.expect(400);
}

#[tokio::test]
async fn an_operators_pause_is_told_last_and_its_end_first() {
    let receiver = Receiver::start(&[Answer::Status(202); 64]).await;
    let world = World::new().await;
    let id = world.stream(&["session-revoked"], Some(&receiver.url())).await;
    let command = |status: &str| {
        let body = json!({ "stream_id": id, "status": status, "person": "Olga", "reason": "an audit" });
        world.post(OPERATOR, "/v1/ssf/streams/status", body)
    };
    command("paused").await.expect(200);
    let all = claims(&world, &receiver, 1).await;
    let updated = format!("{SSF}stream-updated");
    assert_eq!(all[0]["events"][&updated], json!({ "status": "paused", "reason": "an audit" }));
    assert_eq!(all[0]["sub_id"], json!({ "format": "opaque", "id": id }));
    // What we paused, its receiver does not start.
    world.post(IDP, "/ssf/status", json!({ "stream_id": id, "status": "enabled" })).await.expect(403);
    for n in 1..40 {
        world.revoke(n, &format!("agent-{n}"));
    }
    // However much is held, what a stream is told of itself finds its way.
    command("disabled").await.expect(200);
    command("enabled").await.expect(200);
    world.revoke(41, "late");
    let all = claims(&world, &receiver, 4).await;
    assert_eq!(names(&all[1..3]), ["stream-updated", "stream-updated"]);
    assert_eq!(all[3]["sub_id"]["sub"], "late");
    let unknown = json!({ "stream_id": "none", "status": "paused", "person": "Olga", "reason": "x" });
    world.post(OPERATOR, "/v1/ssf/streams/status", unknown).await.expect(404);
}

#[tokio::test]
async fn what_is_polled_comes_again_until_it_is_acknowledged() {
    let world = World::new().await;
    let id = world.stream(&["session-revoked", "credential-change"], None).await;
    assert_eq!(world.poll(&id, json!({})).await, (Vec::new(), false));
    world.revoke(1, "mailer");
    world.revoke(2, "other");
    let (first, more) = world.poll(&id, json!({ "maxEvents": 1 })).await;
    assert_eq!((first.len(), more), (1, true));
    let (all, more) = world.poll(&id, json!({})).await;
    assert_eq!((all.len(), more), (4, false));
    assert_eq!(world.poll(&id, json!({})).await.0, all, "not acknowledged, so they come again");

    // One of the two tokens of a delivery alone settles nothing, and does not come again.
    let jti = |n: usize| all[n]["jti"].as_str().unwrap().to_owned();
    let (rest, _) = world.poll(&id, json!({ "ack": [jti(0)] })).await;
    assert_eq!(rest, all[1..]);
    assert!(
        world
            .until(|_| true)
            .await
            .iter()
            .all(|row| row.state == DeliveryState::Pending && row.attempts == 1)
    );
    // Acknowledging only, and what nobody was given.
    let body = json!({ "maxEvents": 0, "ack": [jti(1), "none", "evt_1.x.y"] });
    assert_eq!(world.poll(&id, body).await, (Vec::new(), true), "the other is still there");
    let rows = world.until(|_| true).await;
    assert_eq!(
        rows.iter().map(|row| row.state).collect::<Vec<_>>(),
        [DeliveryState::Acknowledged, DeliveryState::Pending]
    );

    // An error is an open item, and is not given out again.
    let errs = json!({ jti(3): { "err": "invalid_audience", "description": "not me" } });
    let (left, _) = world.poll(&id, json!({ "ack": [jti(2)], "setErrs": errs })).await;
    assert_eq!(left, Vec::<Value>::new());
    let rows = world.until(|_| true).await;
    assert_eq!(rows[1].last.as_deref(), Some("hopeless: invalid_audience: not me"));
    assert_eq!(rows[1].state, DeliveryState::Dead);
    world.revoker.clone().verify_audit(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn polls_are_in_order_and_hold_what_is_paused() {
    let world = World::new().await;
    let events = json!([
        format!("{CAEP}session-revoked"),
        "https://schemas.openid.net/secevent/risc/event-type/account-enabled"
    ]);
    let made = world.post(IDP, "/ssf/streams", json!({ "events_requested": events })).await.expect(201);
    let id = made["stream_id"].as_str().unwrap();
    world.revoke(1, "mailer");
    world.reinstate("mailer").await;
    let mut told = Vec::new();
    let mut ack = json!([]);
    for more in [true, false, false] {
        let (sets, available) = world.poll(id, json!({ "ack": ack })).await;
        assert_eq!(available, more);
        ack = sets.iter().map(|claims| claims["jti"].clone()).collect();
        told.extend(names(&sets));
    }
    assert_eq!(told, ["session-revoked", "account-enabled"]);

    // Paused, it gives nothing out and still hears what is acknowledged.
    world.revoke(2, "other");
    let (sets, _) = world.poll(id, json!({})).await;
    world.post(IDP, "/ssf/status", json!({ "stream_id": id, "status": "paused" })).await.expect(200);
    world.revoke(3, "third");
    assert_eq!(world.poll(id, json!({ "ack": [sets[0]["jti"]] })).await, (Vec::new(), false));
    let rows = world.until(|_| true).await;
    assert_eq!((rows[2].state, rows[3].state), (DeliveryState::Acknowledged, DeliveryState::Pending));
    world.post(IDP, "/ssf/status", json!({ "stream_id": id, "status": "enabled" })).await.expect(200);
    assert_eq!(world.poll(id, json!({})).await.0[0]["sub_id"]["sub"], "third");

    // What it no longer asks for, it does not get, and nobody waits behind that.
    let none = json!({ "stream_id": id, "events_requested": [] });
    world.ask(IDP, Method::PATCH, "/ssf/streams", Some(none)).await.expect(200);
    assert_eq!(world.poll(id, json!({})).await.0, Vec::<Value>::new());
    assert_eq!(world.poll(id, json!({})).await, (Vec::new(), false));
}

#[tokio::test]
async fn a_long_poll_is_answered_as_soon_as_there_is_something() {
    let world = World::new().await;
    let id = world.stream(&["session-revoked"], None).await;
    let path = format!("/ssf/poll/{id}");
    let began = std::time::Instant::now();
    let waiting = world.post(IDP, &path, json!({}));
    let later = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.revoke(1, "mailer");
    };
    let (answer, ()) = tokio::join!(waiting, later);
    assert_eq!(answer.expect(200)["sets"].as_object().unwrap().len(), 1);
    let took = began.elapsed();
    assert!((300..5_000).contains(&took.as_millis()), "{took:?}");

    // Each receiver has so many places to wait in.
    let made = world.post(SOC, "/ssf/streams", json!({})).await.expect(201);
    let of_soc = format!("/ssf/poll/{}", made["stream_id"].as_str().unwrap());
    let mut polls = tokio::task::JoinSet::new();
    for _ in 0..33 {
        let request = world.client.post(format!("http://{}{of_soc}", world.address)).bearer_auth(SOC);
        let request = request.json(&json!({})).timeout(Duration::from_secs(3));
        polls.spawn(async move { request.send().await.is_ok() });
    }
    let answered = polls.join_all().await.into_iter().filter(|answered| *answered).count();
    assert_eq!(answered, 1, "32 wait, and give up");

    // And at once where the server ends.
    let sets = world.poll(&id, json!({})).await.0;
    let ack = json!({ "ack": [sets[0]["jti"]] });
    let end = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.stop.cancel();
    };
    let (answer, ()) = tokio::join!(world.post(IDP, &path, ack), end);
    assert_eq!(answer.expect(200)["sets"], json!({}));
}

#[tokio::test]
async fn a_verification_is_asked_for_and_not_too_often() {
    let receiver = Receiver::start(&[Answer::Status(202); 8]).await;
    let world = World::new().await;
    let id = world.stream(&[], Some(&receiver.url())).await;
    world.post(IDP, "/ssf/verify", json!({ "stream_id": id, "state": "a-b_c=" })).await.expect(204);
    let all = claims(&world, &receiver, 1).await;
    assert_eq!(all[0]["events"][&format!("{SSF}verification")], json!({ "state": "a-b_c=" }));
    assert_eq!(all[0]["sub_id"], json!({ "format": "opaque", "id": id }));
    let soon = world.post(IDP, "/ssf/verify", json!({ "stream_id": id })).await;
    let wait: u64 = soon.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(soon.status == 429 && (55..=60).contains(&wait), "{soon:?}");
    // It asked for no event, so it gets none.
    world.revoke(1, "mailer");
    assert_eq!(world.until(|_| true).await.len(), 1);
}

#[tokio::test]
async fn a_subject_that_was_removed_is_not_spoken_of_until_it_is_added() {
    let world = World::new().await;
    let id = world.stream(&["session-revoked"], None).await;
    let subject = json!({ "sub": "mailer", "iss": "https://idp.example", "format": "iss_sub" });
    let body = json!({ "stream_id": id, "subject": subject, "verified": true });
    world.post(IDP, "/ssf/subjects/remove", body.clone()).await.expect(204);
    world.revoke(1, "mailer");
    world.revoke(2, "other");
    let (sets, _) = world.poll(&id, json!({})).await;
    assert_eq!(sets.iter().map(|claims| &claims["sub_id"]["sub"]).collect::<Vec<_>>(), ["other"]);
    world.post(IDP, "/ssf/subjects/add", body).await.expect(200);
    world.reinstate("mailer").await;
    let agent = AgentKey::new(Some("https://idp.example"), "mailer");
    world.revoker.revoke(agent, "ann".to_owned(), "again".to_owned(), now()).await.unwrap();
    assert_eq!(world.poll(&id, json!({})).await.0.len(), 2);
    for none in [json!(null), json!("mailer"), json!({ "format": "email" })] {
        world.post(IDP, "/ssf/subjects/add", json!({ "stream_id": id, "subject": none })).await.expect(400);
    }
}

#[tokio::test]
async fn streams_and_what_they_hold_outlive_a_restart_and_a_new_key() {
    let world = World::new().await;
    let id = world.stream(&["session-revoked"], None).await;
    world.revoke(1, "mailer");
    let (before, _) = world.poll(&id, json!({})).await;
    let world = world.rotated().await;
    // Checked against the published keys, of which there are two now.
    assert_eq!(world.poll(&id, json!({})).await.0, before);
    assert_eq!(world.get("", "/ssf/jwks.json").await.expect(200)["keys"].as_array().unwrap().len(), 2);
    world.ask(IDP, Method::DELETE, &format!("/ssf/streams?stream_id={id}"), None).await.expect(204);
    let rows = world.until(|_| true).await;
    assert_eq!(rows[0].state, DeliveryState::Withdrawn);
}
