//! Questions that an agent's side puts before there is any evidence, and what answers take.

use std::time::Duration;

use detector::Manifest;
use serde_json::{Value, json};

use super::support::{Ask, Browser, Person, Trouble, World, line};
use crate::agent::AgentKey;
use crate::approval::{Action, Approval, Asked, Status};
use crate::config::{PolicyConfig, WhileAsked};
use crate::part::{Part, PartKind};
use crate::policy::risk::Risk;
use crate::policy::when::When;
use crate::revoker::AskError;
use crate::standing::Standing;
use crate::store::StoreError;

/// What `line` announces, as its agent's side asks about it.
fn asked(agent: &str) -> Asked {
    let action = Action {
        agent_id: agent.into(),
        instance_id: Some("pod-1".into()),
        endpoint: "send_email".into(),
        args_digest: Some("sha256:01".into()),
        ..Action::default()
    };
    Asked { action, requester: Some("dana@example.com".into()), by: "gateway".into(), ..Asked::default() }
}

async fn ask(world: &World, asked: Asked) -> Approval {
    world.revoker().ask(asked, world.now()).await.unwrap().approval
}

async fn answer(world: &World, approval: &Approval, choice: &str, who: &Person) -> (u16, String) {
    let mut browser = Browser::open(world, &approval.page.path()).await;
    let code = who.code(world);
    let status = browser.post(choice, (&who.name, &code), approval.binding_code.as_str()).await;
    (status, browser.body().to_owned())
}

async fn status(world: &World, approval: &Approval) -> Value {
    world.send(Ask::get(&format!("/v1/approvals/{}", approval.id)).bearer("gateway")).await.json()
}

/// A policy by which no such act goes without a human.
fn floor() -> PolicyConfig {
    let when: When =
        serde_json::from_value(json!({ "name": "all", "agent": "*", "at_least": "step_up" })).unwrap();
    PolicyConfig { when: vec![when].try_into().unwrap(), ..PolicyConfig::default() }
}

#[tokio::test]
async fn asked_first_and_approved_it_goes_on_once_and_nothing_else_does() {
    let mut world = World::of(floor(), Vec::new()).await;
    let alice = world.approver("alice", &[]).await;
    let question = ask(&world, asked("billing")).await;
    assert_eq!(status(&world, &question).await["status"], "pending");
    let again = world.revoker().ask(asked("billing"), world.now()).await.unwrap();
    assert!(again.coalesced && again.approval == question, "the same question is put once");
    let list = world.send(Ask::get("/v1/approvals").bearer("analyst")).await.json();
    assert_eq!(
        (&list["rows"][0]["cause"], &list["rows"][0]["binding_code"]),
        (&json!("asked"), &json!(question.binding_code))
    );

    let (posted, page) = answer(&world, &question, "approve", &alice).await;
    assert_eq!((posted, page.contains("<h1>Approved</h1>")), (303, true), "{page}");
    world.restart().await;
    let told = status(&world, &question).await;
    let grant = told["grant"]["token"].as_str().unwrap().to_owned();
    assert_eq!(told["grant"]["acr"], "urn:tocsin:acr:otp-number-match");

    let mut other = line("e0", "billing", 0.0);
    other["args_digest"] = Value::Null;
    let refused = world.send(Ask::gate(&other).resuming(&grant, "r-1")).await.json();
    assert_eq!(refused["reason"], "other_act", "no arguments are other arguments");
    let resumed = world.send(Ask::gate(&line("e1", "billing", 0.0)).resuming(&grant, "r-1")).await;
    assert_eq!(resumed.status, 200, "{resumed:?}");
    assert_eq!(world.revoker().standing(None, "billing").name(), "trusted", "the floor does not ask again");
    let used = world.send(Ask::gate(&line("e2", "billing", 0.0)).resuming(&grant, "r-2")).await.json();
    assert_eq!(used["reason"], "used");
    // Without the grant the floor asks, as ever.
    assert_eq!(world.gate("e3", "billing", 0.0).await.status, 401);
}

#[tokio::test]
async fn evidence_that_nobody_saw_is_not_approved_with_the_act() {
    let world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    let question = ask(&world, asked("billing")).await;
    answer(&world, &question, "approve", &alice).await;
    let grant = status(&world, &question).await["grant"]["token"].as_str().unwrap().to_owned();
    let resumed = world.send(Ask::gate(&line("e1", "billing", 8.0)).resuming(&grant, "r-1")).await;
    assert_eq!((resumed.status, &resumed.json()["decision"]), (401, &json!("challenged")));
    let again = world.send(Ask::gate(&line("e2", "billing", 0.0)).resuming(&grant, "r-1")).await;
    assert_eq!(again.status, 401, "while it is challenged no grant helps");
}

#[tokio::test]
async fn after_a_no_nobody_is_asked_about_it_for_a_while_and_not_too_often_at_all() {
    let world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    let question = ask(&world, asked("billing")).await;
    assert_eq!(answer(&world, &question, "deny", &alice).await.0, 303);
    assert_eq!(status(&world, &question).await["status"], "denied");
    let refused = world.revoker().ask(asked("billing"), world.now()).await;
    assert!(matches!(refused, Err(AskError::CoolingDown { .. })), "{refused:?}");
    let other = |n: u32| {
        let mut asked = asked("billing");
        asked.action.resource = Some(format!("account/{n}"));
        asked
    };
    for n in 0..10 {
        ask(&world, other(n)).await;
    }
    let refused = world.revoker().ask(other(10), world.now()).await;
    assert!(matches!(refused, Err(AskError::TooMany { .. })), "{refused:?}");
    world.pass(301);
    assert!(matches!(
        world.revoker().ask(asked("billing"), world.now()).await,
        Err(AskError::TooMany { .. })
    ));
    // How people are worn down is evidence: it is told once, and the agent is watched.
    let agent = world.send(Ask::get("/v1/agent?agent_id=billing").bearer("analyst")).await;
    assert_eq!(
        (&agent.json()["standing"], agent.body.matches("approval.flood").count()),
        (&json!("watched"), 1)
    );
    world.pass(600);
    ask(&world, asked("billing")).await;
}

#[tokio::test]
async fn who_is_revoked_is_asked_about_no_more_and_an_attack_revokes() {
    let world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    let question = ask(&world, asked("billing")).await;
    let agent = AgentKey::new(None, "billing");
    world.revoker().revoke(agent, "olga".into(), "stolen".into(), world.now()).await.unwrap();
    assert_eq!(status(&world, &question).await["status"], "superseded");
    let page = Browser::open(&world, &question.page.path()).await;
    assert!(page.sees("<h1>Settled elsewhere</h1>") && !page.sees("<form"), "{}", page.body());
    assert!(matches!(
        world.revoker().ask(asked("billing"), world.now()).await,
        Err(AskError::Ended("revoked"))
    ));

    world.pass(30);
    let question = ask(&world, asked("mailer")).await;
    assert_eq!(answer(&world, &question, "attack", &alice).await.0, 303);
    assert_eq!(status(&world, &question).await["status"], "denied");
    assert_eq!(world.gate("e1", "mailer", 0.0).await.status, 403);
}

#[tokio::test]
async fn only_who_is_named_answers_and_never_for_themselves() {
    let manifest =
        Manifest { agent_id: "billing".into(), approvers: vec!["Kim".into()], ..Manifest::default() };
    let world = World::of(PolicyConfig::default(), vec![manifest]).await;
    let (alice, kim) =
        (world.approver("alice", &[]).await, world.approver("kim", &["kim@example.com"]).await);
    let question = ask(&world, asked("billing")).await;
    let (posted, page) = answer(&world, &question, "deny", &alice).await;
    assert_eq!((posted, page.contains("They are: Kim.")), (403, true), "{page}");
    assert_eq!(answer(&world, &question, "approve", &kim).await.0, 303);

    world.pass(30);
    let own = ask(&world, Asked { requester: Some("KIM@example.com".into()), ..asked("billing") }).await;
    assert_eq!(answer(&world, &own, "approve", &kim).await.0, 403);
    assert_eq!(status(&world, &own).await["status"], "pending");
    world.pass(30);
    let for_alice = ask(&world, Asked { approver: Some("alice".into()), ..asked("mailer") }).await;
    assert_eq!(answer(&world, &for_alice, "approve", &kim).await.0, 403, "another was asked");
    assert_eq!(answer(&world, &for_alice, "approve", &alice).await.0, 303);
}

#[tokio::test]
async fn who_owns_and_sponsors_an_agent_is_named_in_what_leaves_about_it() {
    let manifest = Manifest {
        agent_id: "billing".into(),
        owner: Some("payments".into()),
        sponsor: Some("sam@example.com".into()),
        approvers: vec!["sam@example.com".into()],
        ..Manifest::default()
    };
    let mut config = PolicyConfig::default();
    config.approval.two_for = vec![Risk::Outbound];
    let world = World::of(config, vec![manifest]).await;
    assert_eq!(world.gate("e1", "billing", 8.0).await.status, 401);
    assert_eq!(world.gate("e2", "mailer", 8.0).await.status, 401);
    let told = world.told("agent.challenged");
    let named = |body: &Value| (body["data"]["owner"].clone(), body["data"]["sponsor"].clone());
    assert_eq!(named(&told[0]), (json!("payments"), json!("sam@example.com")));
    assert_eq!(named(&told[1]), (Value::Null, Value::Null));
    let notice = &world.notices()[0]["data"];
    assert_eq!(notice["people"], json!(["sam@example.com"]));
    assert_eq!(notice["also"], json!(["payments"]), "who is asked is not told twice");
}

#[tokio::test]
async fn what_takes_two_takes_two_people() {
    let mut config = PolicyConfig::default();
    config.approval.two_for = vec![Risk::Outbound];
    let mut world = World::of(config, Vec::new()).await;
    let (alice, kim) = (world.approver("alice", &[]).await, world.approver("kim", &[]).await);
    let question = ask(&world, asked("billing")).await;
    assert_eq!(question.needs.approvers, 2);
    assert_eq!(answer(&world, &question, "approve", &alice).await.0, 303);
    world.restart().await;
    let told = status(&world, &question).await;
    assert_eq!((&told["status"], &told["grant"]), (&json!("pending"), &Value::Null));
    world.pass(30);
    let (posted, page) = answer(&world, &question, "approve", &alice).await;
    assert_eq!((posted, page.contains("You have said yes already.")), (403, true));
    assert_eq!(answer(&world, &question, "approve", &kim).await.0, 303);
    assert_eq!(status(&world, &question).await["status"], "approved");
}

#[tokio::test]
async fn where_one_person_is_wanted_and_it_takes_two_that_one_is_the_first() {
    let mut config = PolicyConfig::default();
    config.approval.two_for = vec![Risk::Outbound];
    let approvers = ["alice", "kim", "lee"].map(str::to_owned).to_vec();
    let manifest = Manifest { agent_id: "billing".into(), approvers, ..Manifest::default() };
    let world = World::of(config, vec![manifest]).await;
    let (alice, kim) =
        (world.approver("alice", &["alice@example.com"]).await, world.approver("kim", &[]).await);
    let zoe = world.approver("zoe", &[]).await;
    let question =
        ask(&world, Asked { approver: Some("alice@example.com".into()), ..asked("billing") }).await;
    let told = || world.notices().iter().map(|notice| notice["data"]["people"].clone()).collect::<Vec<_>>();
    assert_eq!(told(), [json!(["alice@example.com"])]);
    assert_eq!(answer(&world, &question, "approve", &kim).await.0, 403, "alice first");
    assert_eq!(answer(&world, &question, "approve", &alice).await.0, 303);
    assert_eq!(told()[1], json!(["kim", "lee"]));
    world.pass(30);
    assert_eq!(answer(&world, &question, "approve", &zoe).await.0, 403, "who is not named");
    assert_eq!(answer(&world, &question, "approve", &alice).await.0, 403, "nobody twice");
    world.pass(30);
    assert_eq!(answer(&world, &question, "approve", &kim).await.0, 303);
    assert_eq!(status(&world, &question).await["status"], "approved");
}

#[tokio::test]
async fn a_record_that_was_put_back_admits_no_grant_of_before() {
    let mut world = World::on_a_file(PolicyConfig::default()).await;
    let alice = world.approver("alice", &[]).await;
    let question = ask(&world, asked("billing")).await;
    answer(&world, &question, "approve", &alice).await;
    let grant = status(&world, &question).await["grant"]["token"].as_str().unwrap().to_owned();
    let resume = |event: &str, id: &str| Ask::gate(&line(event, "billing", 0.0)).resuming(&grant, id);
    let copy = world.copy_record();
    assert_eq!(world.send(resume("e1", "r-1")).await.status, 200);
    world.put_back(copy).await;
    let told = world.send(resume("e2", "r-2")).await.json();
    assert_eq!(told["reason"], "restored", "{told}");

    // Where the mark was put back too, a person says so.
    world.pass(30);
    let question = ask(&world, asked("mailer")).await;
    answer(&world, &question, "approve", &alice).await;
    let grant = status(&world, &question).await["grant"]["token"].as_str().unwrap().to_owned();
    world.revoker().restored("olga".into(), world.now()).await.unwrap();
    let told = world.send(Ask::gate(&line("e3", "mailer", 0.0)).resuming(&grant, "r-3")).await.json();
    assert_eq!(told["reason"], "restored", "{told}");
    assert_eq!(question.status(world.now()), Status::Pending, "the copy in hand is what it was");
}

#[tokio::test]
async fn a_score_that_comes_late_lets_nothing_go_on_that_policy_asks_about() {
    let world = World::of(floor(), Vec::new()).await;
    world.trouble(Some(Trouble::Late));
    let late = world.gate("e1", "billing", 0.0).await;
    assert_eq!((late.status, &late.json()["type"]), (403, &"urn:tocsin:problem:score_required".into()));
    world.trouble(None);
    assert_eq!(world.gate("e1", "billing", 0.0).await.status, 401, "then a human is asked");
}

#[tokio::test]
async fn who_is_named_is_told_in_turn_and_no_more_often_than_policy_allows() {
    let manifest = Manifest {
        agent_id: "billing".into(),
        approvers: vec!["Ann".into(), "Bob".into()],
        ..Manifest::default()
    };
    let mut config = PolicyConfig::default();
    config.approval.notices_per_hour = std::num::NonZeroU32::new(3).unwrap();
    let world = World::of(config, vec![manifest]).await;
    let told =
        || world.notices().into_iter().map(|notice| notice["data"]["people"].clone()).collect::<Vec<_>>();
    ask(&world, asked("billing")).await;
    assert_eq!(told(), [json!(["Ann"])]);
    for _ in 0..2 {
        world.pass(300);
        world.revoker().tick(world.now()).await.unwrap();
    }
    assert_eq!(told(), [json!(["Ann"]), json!(["Bob"])], "the end is not near yet");
    world.pass(181);
    world.revoker().tick(world.now()).await.unwrap();
    assert_eq!(told().pop().unwrap(), json!(["Ann", "Bob"]));
    for n in 0..3 {
        let mut another = asked("billing");
        another.action.resource = Some(n.to_string());
        ask(&world, another).await;
    }
    assert_eq!(told().len(), 4, "Ann was told three times in the hour");
    let audit = world.send(Ask::get("/v1/agent?agent_id=billing").bearer("analyst")).await.body;
    assert_eq!(audit.matches("approval.flood").count(), 1, "{audit}");
    assert_eq!(world.revoker().standing(None, "billing").name(), "watched", "whose questions they are");
    ask(&world, asked("mailer")).await;
    assert_eq!(
        world.revoker().standing(None, "mailer").name(),
        "trusted",
        "another's question among them is no flood"
    );
}

#[tokio::test]
async fn a_record_that_was_put_back_knows_who_ended_since_and_who_was_given_access_back() {
    let config = PolicyConfig { while_asked: WhileAsked::Suspend, ..PolicyConfig::default() };
    let mut world = World::on_a_file(config).await;
    let by = || ("olga".to_owned(), "stolen".to_owned());
    let key = |name: &str| AgentKey::new(None, name);
    let session = |id: &str| Part::new(PartKind::Session, id).unwrap();
    let start = world.now();
    for name in ["lifted", "twice"] {
        world.revoker().revoke(key(name), by().0, by().1, start).await.unwrap();
    }
    let revoker = world.revoker().clone();
    revoker.revoke_part(key("worker"), session("old"), by().0, by().1, start).await.unwrap();
    let copy = world.copy_record();
    world.pass(60);
    let lifted = world.now();
    for name in ["lifted", "twice"] {
        revoker.reinstate(key(name), by().0, by().1, world.now()).await.unwrap();
    }
    for name in ["ended", "twice"] {
        revoker.revoke(key(name), by().0, by().1, world.now()).await.unwrap();
    }
    // The clock that looks for a restore is the wall's.
    let until = world.now() + Duration::from_hours(24 * 36_500);
    revoker.suspend(key("paused"), by().0, by().1, until, world.now()).await.unwrap();
    revoker.retire(key("gone"), by().0, by().1, world.now()).await.unwrap();
    revoker.reinstate_part(key("worker"), session("old"), by().0, by().1, world.now()).await.unwrap();
    revoker.revoke_part(key("worker"), session("new"), by().0, by().1, world.now()).await.unwrap();
    drop(revoker);
    // Whose question is lost with the record needs a person still.
    assert_eq!(world.gate("e1", "asked", 8.0).await.status, 401);

    // Opened once more, it is not put back once more.
    world.put_back(copy).await;
    for round in 0..2 {
        let revoker = world.revoker().clone();
        let stands = |name: &str| revoker.standing(None, name).name();
        let all = ["lifted", "twice", "ended", "paused", "gone", "asked"].map(stands);
        let wanted = ["probation", "revoked", "revoked", "suspended", "retired", "revoked"];
        assert_eq!(all, wanted, "{round}");
        // Nobody has answered for what came between.
        let Standing::Probation(p) = revoker.standing(None, "lifted") else { unreachable!() };
        assert_eq!(p.answered.until, Some(lifted));
        assert_eq!(
            ["old", "new"].map(|id| revoker.ended_part(&key("worker"), &[session(id)]).is_some()),
            [false, true]
        );
        let restored = "SELECT count(*) FROM audit WHERE kind = 'record.restored'";
        let count = revoker
            .read(|db| db.query_row(restored, [], |row| row.get::<_, i64>(0)).map_err(StoreError::from));
        assert_eq!(count.await.unwrap(), 1);
        drop(revoker);
        let copy = world.copy_record();
        world.put_back(copy).await;
    }
}
