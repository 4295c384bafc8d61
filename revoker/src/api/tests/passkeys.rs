//! Passkeys from the link to the answer, with an authenticator in software; and what is tried with them.

use serde_json::{Value, json};

use super::support::{Ask, Browser, World};
use crate::approval::webauthn::tests::Authenticator;
use crate::approval::{Action, Approval, ApproverName, Asked, invite};

pub(super) const HERE: (&str, &str) = ("https://tocsin.example", "tocsin.example");

async fn world() -> World {
    World::new().await
}

async fn ask(world: &World, agent: &str) -> Approval {
    let action = Action { agent_id: agent.into(), endpoint: "send_money".into(), ..Action::default() };
    let asked = Asked { action, by: "gateway".into(), ..Asked::default() };
    world.revoker().ask(asked, world.now()).await.unwrap().approval
}

/// Makes `name` an approver, who opens the link.
async fn invited<'w>(world: &'w World, name: &str) -> Browser<'w> {
    let name = ApproverName::new(name).unwrap();
    let link = invite(world.revoker(), name, Vec::new(), "test".into(), world.now()).await.unwrap();
    Browser::open(world, &link.path()).await
}

pub(super) async fn enrolled(world: &World, name: &str) -> Authenticator {
    let mut authenticator = Authenticator::new();
    let browser = invited(world, name).await;
    let options = browser.ask(&[("token", browser.token())]).await.json();
    let made = authenticator.registered(options["challenge"].as_str().unwrap(), HERE);
    let reply =
        browser.send(&[("token", browser.token()), ("label", "Phone"), ("passkey", &made.to_string())]).await;
    assert!(reply.body.contains("You are enrolled"), "{reply:?}");
    authenticator.counter += 1;
    authenticator
}

/// The challenge for this choice.
pub(super) async fn challenge(browser: &Browser<'_>, choice: &str) -> String {
    let asked = browser.ask(&browser.fields(choice)).await;
    asked.json()["challenge"].as_str().unwrap().to_owned()
}

pub(super) async fn post(browser: &Browser<'_>, choice: &str, answer: &Value) -> u16 {
    let answer = answer.to_string();
    let mut fields = browser.fields(choice).to_vec();
    fields.push(("passkey", answer.as_str()));
    browser.send(&fields).await.status
}

async fn status(world: &World, approval: &Approval) -> Value {
    world.send(Ask::get(&format!("/v1/approvals/{}", approval.id)).bearer("gateway")).await.json()
}

#[tokio::test]
async fn what_takes_a_passkey_is_approved_by_one_and_not_by_a_code() {
    let world = world().await;
    let alice = world.approver("alice", &[]).await;
    let dana = enrolled(&world, "Dana").await;
    let question = ask(&world, "billing").await;
    let mut browser = Browser::open(&world, &question.page.path()).await;
    assert!(!browser.sees("name=\"choice\" value=\"approve\"") && !browser.sees("Number the agent shows"));
    assert!(
        browser.sees("A yes to this takes a passkey.")
            && browser.sees("ask whoever runs Tocsin for a link to make one")
    );
    let code = alice.code(&world);
    assert_eq!(browser.post("approve", (&alice.name, &code), question.binding_code.as_str()).await, 403);
    let answer = dana.asserted(&challenge(&browser, "approve").await, HERE);
    assert_eq!(post(&browser, "approve", &answer).await, 303);
    let told = status(&world, &question).await;
    assert_eq!(
        (&told["grant"]["acr"], &told["grant"]["amr"]),
        (&json!("phr"), &json!(["pop", "user", "mfa"]))
    );
}

#[tokio::test]
async fn an_answer_is_for_one_question_and_one_choice_once() {
    let world = world().await;
    let mut dana = enrolled(&world, "Dana").await;
    let (first, second) = (ask(&world, "billing").await, ask(&world, "mailer").await);
    let browser = Browser::open(&world, &first.page.path()).await;
    let other = Browser::open(&world, &second.page.path()).await;

    // Asked for a no, sent as a yes; asked on one page, sent on another; asked long ago; never asked.
    let denied = dana.asserted(&challenge(&browser, "deny").await, HERE);
    assert_eq!(post(&browser, "approve", &denied).await, 403);
    let elsewhere = dana.asserted(&challenge(&other, "approve").await, HERE);
    assert_eq!(post(&browser, "approve", &elsewhere).await, 403);
    let late = dana.asserted(&challenge(&browser, "approve").await, HERE);
    world.pass(301);
    assert_eq!(post(&browser, "approve", &late).await, 403);
    assert_eq!(post(&browser, "approve", &dana.asserted("bm90aGluZw", HERE)).await, 403);
    // On another site; without verifying anybody; by a key that nobody enrolled; something that is none.
    let evil = dana.asserted(&challenge(&browser, "approve").await, ("https://evil.example", HERE.1));
    assert_eq!(post(&browser, "approve", &evil).await, 422);
    dana.flags = 0x01;
    let unverified = dana.asserted(&challenge(&browser, "approve").await, HERE);
    assert_eq!(post(&browser, "approve", &unverified).await, 422);
    let stranger = Authenticator::new().asserted(&challenge(&browser, "approve").await, HERE);
    assert_eq!(post(&browser, "approve", &stranger).await, 422);
    assert_eq!(post(&browser, "approve", &json!("x")).await, 400);
    assert_eq!(status(&world, &first).await["status"], "pending");

    dana.flags = 0x05;
    let answer = dana.asserted(&challenge(&browser, "approve").await, HERE);
    assert_eq!(post(&browser, "approve", &answer).await, 303);
    assert_eq!(post(&browser, "approve", &answer).await, 409, "replayed");
    assert_eq!(status(&world, &second).await["status"], "pending");
}

#[tokio::test]
async fn a_link_is_for_one_person_and_a_day_and_each_method_once() {
    let world = world().await;
    let browser = invited(&world, "Dana").await;
    let secret =
        browser.body().split_once("class=\"secret\">").unwrap().1.split_once('<').unwrap().0.to_owned();
    let app = World::app(&secret);
    let code = || app.generate(world.now().as_millis() as u64 / 1_000).to_string();
    let wrong = browser.send(&[("token", browser.token()), ("code", "000000")]).await;
    assert_eq!((wrong.status, wrong.body.contains("That is not the code")), (422, true));
    assert_eq!(browser.send(&[("token", "x"), ("code", &code())]).await.status, 403);
    let done = browser.send(&[("token", browser.token()), ("code", &code())]).await;
    assert_eq!((done.status, done.body.matches("<li><code>").count()), (200, 10), "{done:?}");
    let again = Browser::open(&world, browser.path()).await;
    assert!(!again.sees("class=\"secret\"") && again.sees("Make a passkey"));
    let recovery = done.body.split_once("<li><code>").unwrap().1.split_once('<').unwrap().0.to_owned();

    // A recovery code stands for a one-time code, once, and not for a passkey.
    let question = ask(&world, "billing").await;
    let mut page = Browser::open(&world, &question.page.path()).await;
    assert_eq!(page.post("approve", ("Dana", &recovery), question.binding_code.as_str()).await, 403);
    assert_eq!(page.post("deny", ("dana", &recovery.to_uppercase()), "").await, 303);
    let question = ask(&world, "mailer").await;
    let mut page = Browser::open(&world, &question.page.path()).await;
    assert_eq!(page.post("deny", ("Dana", &recovery), "").await, 422, "spent");

    world.pass(24 * 3_600);
    assert_eq!(Browser::open(&world, browser.path()).await.status(), 404);
    assert_eq!(browser.send(&[("token", browser.token()), ("code", &code())]).await.status, 404);
}

#[tokio::test]
async fn who_is_enrolled_anew_has_nothing_of_before() {
    let world = world().await;
    let dana = enrolled(&world, "Dana").await;
    let name = ApproverName::new("Dana").unwrap();
    assert!(crate::approval::disable(world.revoker(), name, "test".into(), world.now()).await.unwrap());
    let question = ask(&world, "billing").await;
    let browser = Browser::open(&world, &question.page.path()).await;
    let answer = dana.asserted(&challenge(&browser, "approve").await, HERE);
    assert_eq!(post(&browser, "approve", &answer).await, 422);
    invited(&world, "dana").await;
    let answer = dana.asserted(&challenge(&browser, "approve").await, HERE);
    assert_eq!(post(&browser, "approve", &answer).await, 422, "the passkey of who was revoked");
}
