//! The whole way: challenged, approved, resumed; and each other end of it.

use super::support::{Ask, Browser, World, line};
use crate::config::{PolicyConfig, WhileAsked};

/// Challenges `agent`; gives the 401's body.
async fn challenged(world: &World, event_id: &str, agent: &str) -> serde_json::Value {
    let reply = world.gate(event_id, agent, 8.0).await;
    assert_eq!(reply.status, 401, "{reply:?}");
    reply.json()
}

async fn status(world: &World, approval_id: &str) -> serde_json::Value {
    world.send(Ask::get(&format!("/v1/approvals/{approval_id}")).bearer("gateway")).await.json()
}

fn text<'v>(value: &'v serde_json::Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {value}"))
}

#[tokio::test]
async fn challenged_approved_resumed_once() {
    let mut world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    assert_eq!(world.gate("e0", "billing", 0.0).await.json()["decision"], "go_on");

    let asked = challenged(&world, "e1", "billing").await;
    let (id, number) = (text(&asked, "approval_id").to_owned(), text(&asked, "binding_code").to_owned());
    assert_eq!(text(&asked, "status_url"), format!("http://tocsin.test/v1/approvals/{id}"));
    assert_eq!(status(&world, &id).await["status"], "pending");

    // The agent waits, twice over; the human reads, slips twice, and approves; the process restarts in between.
    world.restart().await;
    let (path, question) = world.newest_page().await;
    assert_eq!(question["binding_code"], number, "the alert shows the number too");
    let mut browser = Browser::open(&world, &path).await;
    assert!(browser.sees("May ") && browser.sees("send_email") && browser.sees("dana@example.com"));
    let wrong_number = if number == "0000" { "0001" } else { "0000" };
    assert_eq!(browser.post("approve", (&alice.name, &alice.code(&world)), wrong_number).await, 422);
    assert!(browser.sees("That is not the number."));
    assert_eq!(browser.post("approve", (&alice.name, "000000"), &number).await, 422);
    assert!(browser.sees("Name and code do not go together."));
    let wait = || world.send(Ask::get(&format!("/v1/approvals/{id}?wait=30")).bearer("gateway"));
    let approve = async {
        let posted = browser.post("approve", (&alice.name, &alice.code(&world)), &number).await;
        (posted, browser.sees("<h1>Approved</h1>"))
    };
    let (first, second, posted) = tokio::join!(wait(), wait(), approve);
    assert_eq!(posted, (303, true));
    let (first, second) = (first.json(), second.json());
    assert_eq!(first["status"], "approved");
    assert_eq!(first["grant"], second["grant"], "every waiter gets the same grant");
    let grant = text(&first["grant"], "token").to_owned();
    let told = world.told("agent.challenge.approved");
    let acts: Vec<_> = told.iter().map(|told| &told["data"]["evidence"]["endpoint"]).collect();
    assert_eq!(acts, ["send_email"], "what the detector learns of it");

    // The record itself is not a way around the grant.
    let bare = world.gate("e1", "billing", 8.0).await;
    insta::assert_snapshot!(bare.told(&[("<approval>", &id)]));

    // The approval survives, and the same act goes on; the answer is lost, so the agent comes back.
    world.restart().await;
    assert_eq!(status(&world, &id).await["grant"]["token"], grant);
    let again = |event: &str| Ask::gate(&line(event, "billing", 9.0)).resuming(&grant, "r-1");
    let resumed = world.send(again("e2")).await;
    assert_eq!(resumed.status, 200, "{resumed:?}");
    insta::assert_snapshot!(resumed.told(&[("<approval>", &id)]));
    world.restart().await;
    let repeated = world.send(again("e3")).await.json();
    assert_eq!((&repeated["decision"], &repeated["resumed"]["repeated"]), (&"go_on".into(), &true.into()));

    // Nobody else's, nothing else, never again.
    let other = world.send(Ask::gate(&line("e4", "billing", 9.0)).resuming(&grant, "r-2")).await;
    assert_eq!((other.status, text(&other.json(), "reason")), (401, "used"));
    let mut act = line("e5", "billing", 9.0);
    act["args_digest"] = "sha256:02".into();
    let other = world.send(Ask::gate(&act).resuming(&grant, "r-1")).await;
    assert_eq!((other.status, text(&other.json(), "reason")), (401, "other_act"));
    let mut act = line("e6", "billing", 9.0);
    act["instance_id"] = "pod-2".into();
    assert_eq!(world.send(Ask::gate(&act).resuming(&grant, "r-1")).await.json()["reason"], "other_act");
    world.pass(301);
    let late = world.send(again("e7")).await;
    assert_eq!((late.status, text(&late.json(), "reason")), (401, "expired"));
    assert_eq!(status(&world, &id).await["grant"]["token"], serde_json::Value::Null);
    // Its own evidence was answered for, so all of this left it on probation; what comes on top stops it again.
    assert_eq!(world.gate("e8", "billing", 0.0).await.json()["standing"], "probation");
    assert_eq!(world.gate("e9", "billing", 30.0).await.json()["decision"], "revoked");
    assert_eq!(world.send(again("e10")).await.status, 403, "and no grant helps against that");
}

#[tokio::test]
async fn what_is_approved_with_one_amount_is_not_admitted_with_another() {
    let mut world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    let pay = |event: &str, level: f64, amount: f64| {
        let mut act = line(event, "billing", level);
        act["args_digest"] = serde_json::Value::Null;
        act["args"] = serde_json::json!({ "amount": amount });
        act
    };
    let asked = world.send(Ask::gate(&pay("e1", 8.0, 9.0))).await.json();
    let (id, number) = (text(&asked, "approval_id").to_owned(), text(&asked, "binding_code").to_owned());
    world.restart().await;
    let (path, _) = world.newest_page().await;
    let mut browser = Browser::open(&world, &path).await;
    assert!(browser.sees(r"{&quot;amount&quot;:9}") && !browser.sees("any arguments"), "{}", browser.body());
    assert_eq!(browser.post("approve", (&alice.name, &alice.code(&world)), &number).await, 303);
    let grant = text(&status(&world, &id).await["grant"], "token").to_owned();
    let resumed = async |act| world.send(Ask::gate(&act).resuming(&grant, "r-1")).await;
    let more = resumed(pay("e2", 8.0, 9_000.0)).await;
    assert_eq!((more.status, text(&more.json(), "reason")), (401, "other_act"));
    let without = resumed(line("e3", "billing", 8.0)).await;
    assert_eq!((without.status, text(&without.json(), "reason")), (401, "other_act"));
    assert_eq!(resumed(pay("e4", 8.0, 9.0)).await.status, 200);
    let again = world.send(Ask::gate(&pay("e5", 8.0, 9.0)).resuming(&grant, "r-2")).await;
    assert_eq!((again.status, text(&again.json(), "reason")), (401, "used"));
}

#[tokio::test]
async fn the_human_reads_the_arguments_that_the_gate_digested() {
    let world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    let pay = |event: &str, to: &str| {
        let mut act = line(event, "billing", 8.0);
        act["args_digest"] = serde_json::Value::Null;
        act["arguments"] = serde_json::json!({ "to": to, "amount": 9, "token": "eyJx" });
        act
    };
    let asked = world.send(Ask::gate(&pay("e1", "<b>bob"))).await.json();
    let (path, _) = world.newest_page().await;
    let mut browser = Browser::open(&world, &path).await;
    let shown =
        r"{&quot;amount&quot;:9,&quot;to&quot;:&quot;&lt;b&gt;bob&quot;,&quot;token&quot;:&quot;***x&quot;}";
    // The markup keeps quotes as they are where they need no escape.
    let body = browser.body().replace('"', "&quot;");
    assert!(body.contains(shown), "{body}");
    let number = text(&asked, "binding_code");
    assert_eq!(browser.post("approve", (&alice.name, &alice.code(&world)), number).await, 303);
    let told = status(&world, text(&asked, "approval_id")).await;
    let resumed =
        async |act| world.send(Ask::gate(&act).resuming(text(&told["grant"], "token"), "r-1")).await;
    assert_eq!(text(&resumed(pay("e2", "eve")).await.json(), "reason"), "other_act");
    assert_eq!(resumed(pay("e3", "<b>bob")).await.status, 200);

    let mut other = pay("e4", "eve");
    other["args_digest"] = "sha256:01".into();
    let refused = world.send(Ask::gate(&other)).await;
    assert_eq!((refused.status, text(&refused.json(), "field")), (400, "args_digest"));
}

#[tokio::test]
async fn denied_is_not_expired_and_an_attack_may_follow() {
    let mut world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    let asked = challenged(&world, "e1", "billing").await;
    let id = text(&asked, "approval_id");
    let (path, _) = world.newest_page().await;
    let mut browser = Browser::open(&world, &path).await;
    assert_eq!(browser.post("deny", (&alice.name, &alice.code(&world)), "").await, 303, "no number for a no");
    assert!(browser.sees("<h1>Denied</h1>") && !browser.sees("value=\"approve\""));
    let told = status(&world, id).await;
    assert_eq!((&told["status"], &told["grant"]), (&"denied".into(), &serde_json::Value::Null));

    // It stays stopped, and nobody is asked again before the question's end.
    world.pass(30);
    let stopped = world.gate("e2", "billing", 8.0).await;
    assert_eq!((stopped.status, text(&stopped.json(), "approval_status")), (401, "denied"));
    assert_eq!(stopped.json()["binding_code"], serde_json::Value::Null);
    assert_eq!(stopped.header("retry-after"), "871");
    world.restart().await;

    let mut browser = Browser::open(&world, &path).await;
    assert_eq!(browser.post("approve", (&alice.name, &alice.code(&world)), "").await, 409, "a no stays a no");
    assert_eq!(browser.post("attack", (&alice.name, &alice.code(&world)), "").await, 303);
    assert!(browser.sees("Reported as an attack"));
    assert_eq!(world.gate("e3", "billing", 0.0).await.status, 403);
    assert_eq!(status(&world, id).await["status"], "denied");
}

#[tokio::test]
async fn an_attack_ends_access_until_an_operator_says_otherwise() {
    let mut world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    challenged(&world, "e1", "billing").await;
    let (path, _) = world.newest_page().await;
    let mut browser = Browser::open(&world, &path).await;
    assert_eq!(browser.post("attack", (&alice.name, &alice.code(&world)), "").await, 303);
    world.restart().await;
    let refused = world.gate("e2", "billing", 0.0).await;
    assert_eq!((refused.status, text(&refused.json(), "type")), (403, "urn:tocsin:problem:revoked"));
    assert_eq!(text(&refused.json(), "not_before"), world.now().to_string());

    let command =
        serde_json::json!({ "agent_id": "billing", "person": "Omar", "reason": "false alarm, see 42" });
    let back = world.send(Ask::post("/v1/agents/reinstate", &command).bearer("soc")).await;
    assert_eq!((back.status, text(&back.json(), "standing")), (200, "probation"));
    assert_eq!(world.gate("e3", "billing", 0.0).await.status, 200);
}

#[tokio::test]
async fn a_question_that_lapses_is_no_denial_and_may_be_asked_again() {
    let world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    let asked = challenged(&world, "e1", "billing").await;
    let (path, _) = world.newest_page().await;
    let mut browser = Browser::open(&world, &path).await;
    world.pass(900);
    let told = status(&world, text(&asked, "approval_id")).await;
    assert_eq!((&told["status"], &told["settled_at"]), (&"expired".into(), &serde_json::Value::Null));
    let number = text(&asked, "binding_code");
    assert_eq!(browser.post("approve", (&alice.name, &alice.code(&world)), number).await, 409);
    assert!(browser.sees("This question has lapsed"));

    let anew = challenged(&world, "e2", "billing").await;
    assert_eq!(anew["approval_status"], "pending");
    assert_ne!(anew["approval_id"], asked["approval_id"]);
    assert_eq!(
        status(&world, text(&asked, "approval_id")).await["status"],
        "expired",
        "the old one stays what it was"
    );
}

#[tokio::test]
async fn a_question_that_something_else_settles_is_superseded() {
    let world = World::new().await;
    let asked = challenged(&world, "e1", "billing").await;
    let command = serde_json::json!({ "agent_id": "billing", "person": "Omar", "reason": "we know" });
    assert_eq!(world.send(Ask::post("/v1/agents/revoke", &command).bearer("soc")).await.status, 200);
    assert_eq!(status(&world, text(&asked, "approval_id")).await["status"], "superseded");
    let approvals: Vec<_> = world.send(Ask::get("/v1/alerts").bearer("soc")).await.json()["rows"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["approval"]["page_url"].as_str().map(str::to_owned))
        .collect();
    let path = approvals[0].strip_prefix("http://tocsin.test").unwrap();
    assert!(Browser::open(&world, path).await.sees("Settled elsewhere"));
}

#[tokio::test]
async fn of_many_resumptions_at_once_one_owns_the_grant() {
    let world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    let asked = challenged(&world, "e1", "billing").await;
    let (path, _) = world.newest_page().await;
    let number = text(&asked, "binding_code");
    let mut browser = Browser::open(&world, &path).await;
    assert_eq!(browser.post("approve", (&alice.name, &alice.code(&world)), number).await, 303);
    let told = status(&world, text(&asked, "approval_id")).await;
    let grant = text(&told["grant"], "token");
    let record = line("e2", "billing", 9.0);
    let ids = ["r-1", "r-2", "r-3", "r-4"];
    let [one, two, three, four] = ids.map(|id| world.send(Ask::gate(&record).resuming(grant, id)));
    let replies = tokio::join!(one, two, three, four);
    let replies = [replies.0, replies.1, replies.2, replies.3];
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1, "{replies:?}");
    let owner = ids.iter().zip(&replies).find(|(_, reply)| reply.status == 200).unwrap().0;
    assert_eq!(text(&status(&world, text(&asked, "approval_id")).await["grant"], "resume_id"), *owner);
    assert!(
        replies
            .iter()
            .filter(|reply| reply.status != 200)
            .all(|reply| text(&reply.json(), "reason") == "used")
    );
}

#[tokio::test]
async fn a_resumption_is_retried_so_often_and_no_more() {
    let world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    let asked = challenged(&world, "e1", "billing").await;
    let (path, _) = world.newest_page().await;
    let mut browser = Browser::open(&world, &path).await;
    let code = alice.code(&world);
    assert_eq!(browser.post("approve", (&alice.name, &code), text(&asked, "binding_code")).await, 303);
    let told = status(&world, text(&asked, "approval_id")).await;
    let grant = text(&told["grant"], "token");
    let mut admitted = 0;
    for n in 0..=crate::store::approvals::ADMISSIONS_MAX {
        let record = line(&format!("r{n}"), "billing", 8.0);
        admitted += u32::from(world.send(Ask::gate(&record).resuming(grant, "r-1")).await.status == 200);
    }
    assert_eq!(admitted, crate::store::approvals::ADMISSIONS_MAX);
    let again = world.send(Ask::gate(&line("r0", "billing", 8.0)).resuming(grant, "r-1")).await;
    assert_eq!(again.status, 200, "one that was admitted stays so");
}

#[tokio::test]
async fn an_agent_waits_for_its_own_question_and_goes_on_with_it_and_asks_nothing_else() {
    let world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    let others = challenged(&world, "e1", "billing").await;
    let asked = challenged(&world, "e2", "mailer").await;
    let seen = async |asked: &serde_json::Value| {
        let path = format!("/v1/approvals/{}", text(asked, "approval_id"));
        world.send(Ask::get(&path).bearer("mailer")).await
    };
    assert_eq!(seen(&asked).await.json()["status"], "pending");
    assert_eq!(seen(&others).await.status, 404, "another agent's question");
    let (path, question) = world.newest_page().await;
    let mut browser = Browser::open(&world, &path).await;
    let number = text(&question, "binding_code");
    assert_eq!(browser.post("approve", (&alice.name, &alice.code(&world)), number).await, 303);
    let grant = text(&seen(&asked).await.json()["grant"], "token").to_owned();

    let ask = |event: &str, agent: &str| Ask::post("/v1/gate", &line(event, agent, 0.0)).bearer("mailer");
    assert_eq!(world.send(ask("e3", "mailer")).await.status, 403, "no question of its own making");
    assert_eq!(world.send(ask("e4", "billing").resuming(&grant, "r-1")).await.status, 403);
    assert_eq!(world.send(ask("e5", "mailer").resuming(&grant, "r-1")).await.status, 200);
    for path in ["/v1/agents", "/v1/revocations", "/v1/status"] {
        assert_eq!(world.send(Ask::get(path).bearer("mailer")).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn who_is_suspended_while_a_human_is_asked_goes_on_with_their_yes_and_a_new_token() {
    let config = PolicyConfig { while_asked: WhileAsked::Suspend, ..PolicyConfig::default() };
    let world = World::of(config, Vec::new()).await;
    let alice = world.approver("alice", &[]).await;
    let asked = challenged(&world, "e1", "billing").await;
    let blocked = async || {
        let list = world.send(Ask::get("/v1/revocations").bearer("gateway")).await.json();
        list["revocations"][0]["blocked"].clone()
    };
    assert_eq!(blocked().await, true, "gateways that keep the list refuse it");
    assert_eq!(world.gate("e2", "billing", 0.0).await.status, 401, "nothing goes on, no read either");
    world.pass(60);
    let (path, _) = world.newest_page().await;
    let mut browser = Browser::open(&world, &path).await;
    assert!(browser.sees("Its access is suspended until somebody decides."));
    let number = text(&asked, "binding_code");
    assert_eq!(browser.post("approve", (&alice.name, &alice.code(&world)), number).await, 303);
    assert_eq!(blocked().await, false);
    let told = status(&world, text(&asked, "approval_id")).await;
    let resumed = async |event: &str, issued: &str| {
        let mut act = line(event, "billing", 0.0);
        act["token_iat"] = issued.into();
        world.send(Ask::gate(&act).resuming(text(&told["grant"], "token"), "r-1")).await
    };
    let old = resumed("e3", "2026-11-22T02:00:00Z").await;
    assert_eq!((old.status, old.json()["part"].as_str()), (403, Some("token")), "{old:?}");
    let new = resumed("e4", &world.now().to_string()).await;
    assert_eq!(new.json()["resumed"]["repeated"], false, "{new:?}");
}
