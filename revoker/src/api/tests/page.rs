//! The human's page against those who should not get through it.

use detector::Manifest;

use super::support::{Ask, Browser, World};
use crate::config::{Cascade, PolicyConfig};

async fn asked(world: &World, event_id: &str, agent: &str) -> (String, String) {
    let body = world.gate(event_id, agent, 8.0).await.json();
    let (path, _) = world.newest_page().await;
    (path, body["binding_code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_browser_is_told_to_keep_everything_out() {
    let world = World::new().await;
    let (path, _) = asked(&world, "e1", "billing").await;
    let page = world.send(Ask::get(&path)).await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("x-frame-options"), "DENY");
    assert_eq!(page.header("referrer-policy"), "same-origin");
    assert!(page.header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
    let cookie = page.header("set-cookie");
    assert!(cookie.ends_with(&format!("; Path={path}; HttpOnly; SameSite=Lax")), "{cookie}");
    for wrong in ["/approve/x", "/approve/00000000000000000000000000000000"] {
        let unknown = world.send(Ask::get(wrong)).await;
        assert_eq!(unknown.status, 404);
        assert!(unknown.body.contains("There is no such question"));
    }
}

#[tokio::test]
async fn a_code_counts_once_over_all_questions() {
    let mut world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    let (first, one) = asked(&world, "e1", "billing").await;
    let (second, two) = asked(&world, "e2", "shipping").await;
    let code = alice.code(&world);
    assert_eq!(Browser::open(&world, &first).await.post("approve", (&alice.name, &code), &one).await, 303);
    world.restart().await;
    let mut browser = Browser::open(&world, &second).await;
    assert_eq!(browser.post("approve", (&alice.name, &code), &two).await, 422);
    assert!(browser.sees("That code was used already.") && browser.sees("in 20 s"));
    world.pass(30);
    assert_eq!(browser.post("approve", (&alice.name, &alice.code(&world)), &two).await, 303);
}

#[tokio::test]
async fn an_approver_is_locked_after_five_wrong_codes_also_over_a_restart() {
    let mut world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    let bob = world.approver("bob", &[]).await;
    let (path, number) = asked(&world, "e1", "billing").await;
    let mut browser = Browser::open(&world, &path).await;
    for _ in 0..5 {
        assert_eq!(browser.post("approve", ("Alice", "123 456"), &number).await, 422);
    }
    world.restart().await;
    let mut browser = Browser::open(&world, &path).await;
    assert_eq!(
        browser.post("approve", (&alice.name, &alice.code(&world)), &number).await,
        422,
        "a right one too"
    );
    assert!(browser.sees("Name and code do not go together."), "what is said of names that nobody has");
    assert_eq!(
        browser.post("approve", (&bob.name, &bob.code(&world)), &number).await,
        303,
        "bob is not alice"
    );
}

#[tokio::test]
async fn a_question_is_locked_after_ten_wrong_answers_whoever_gives_them() {
    let world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    let (path, number) = asked(&world, "e1", "billing").await;
    let mut browser = Browser::open(&world, &path).await;
    for guess in 0..9 {
        let name = format!("guess-{guess}");
        assert_eq!(browser.post("attack", (&name, "123456"), "").await, 422);
    }
    assert_eq!(browser.post("deny", ("guess-9", "123456"), "").await, 429);
    let locked = Browser::open(&world, &path).await;
    assert!(locked.sees("Too many wrong answers.") && !locked.sees("<form"));
    world.pass(300);
    let mut browser = Browser::open(&world, &path).await;
    assert_eq!(browser.post("approve", (&alice.name, &alice.code(&world)), &number).await, 303);
}

#[tokio::test]
async fn a_form_from_elsewhere_does_nothing_and_costs_nothing() {
    let world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    let (path, number) = asked(&world, "e1", "billing").await;
    let browser = Browser::open(&world, &path).await;
    let code = alice.code(&world);
    let good = browser.filled("approve", (&alice.name, &code), &number);
    let other = Browser::open(&world, &path).await;
    let (other_page, _) = asked(&world, "e2", "shipping").await;
    let foreign = [
        ("another site", good.clone().header("Origin", "https://evil.example")),
        ("a frame", good.clone().header("Sec-Fetch-Site", "cross-site")),
        ("another level of evidence", good.clone().replacing("seen=8000000", "seen=9000000")),
        (
            "no cookie",
            Ask::form(
                &path,
                &[
                    ("token", "0"),
                    ("seen", "0"),
                    ("choice", "approve"),
                    ("name", &alice.name),
                    ("code", &code),
                    ("number", &number),
                ],
            ),
        ),
        ("another browser's cookie", good.clone().header("Cookie", other.cookie())),
        (
            "another page's token",
            Browser::open(&world, &other_page)
                .await
                .filled("approve", (&alice.name, &code), &number)
                .to(&path),
        ),
    ];
    for (what, form) in foreign {
        let reply = world.send(form).await;
        assert_eq!(reply.status, 403, "{what}");
        assert!(reply.body.contains("The form was out of date."), "{what}");
    }
    assert_eq!(world.send(good).await.status, 303, "the code was never looked at");
    let broken = world.send(Ask::form(&path, &[("choice", "approve")])).await;
    assert_eq!(broken.status, 400);
    assert!(broken.body.contains("did not arrive whole"));
}

#[tokio::test]
async fn how_far_an_attack_may_go_is_told_beside_what_ends_it() {
    for (cascade, whom) in
        [(Cascade::None, "Whom it spawned goes on."), (Cascade::Children, "Whom it spawned ends with it.")]
    {
        let child = |name: &str| Manifest {
            agent_id: name.into(),
            parent: Some("billing".into()),
            ..Manifest::default()
        };
        let world =
            World::of(PolicyConfig { cascade, ..PolicyConfig::default() }, vec![child("<b>"), child("a")])
                .await;
        let (path, _) = asked(&world, "e1", "billing").await;
        let page = Browser::open(&world, &path).await;
        assert!(page.sees("it spawned &lt;b&gt;, a") && page.sees(whom));
        let (path, _) = asked(&world, "e2", "shipping").await;
        assert!(!Browser::open(&world, &path).await.sees("spawned"));
    }
}

#[tokio::test]
async fn nobody_approves_what_acts_for_them() {
    let world = World::new().await;
    let dana = world.approver("dana", &["dana@example.com"]).await;
    let (path, number) = asked(&world, "e1", "billing").await;
    let mut browser = Browser::open(&world, &path).await;
    assert_eq!(browser.post("approve", (&dana.name, &dana.code(&world)), &number).await, 403);
    assert!(browser.sees("The agent acts for you."));
    world.pass(30);
    assert_eq!(browser.post("deny", (&dana.name, &dana.code(&world)), "").await, 303, "but may say no");
}

#[tokio::test]
async fn nobody_approves_more_than_they_saw() {
    let world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    let (path, number) = asked(&world, "e1", "billing").await;
    let mut browser = Browser::open(&world, &path).await;
    let mut other = super::support::line("e2", "billing", 11.0);
    other["endpoint"] = "delete_all".into();
    assert_eq!(world.send(Ask::gate(&other)).await.status, 401);
    assert_eq!(
        browser.post("approve", (&alice.name, &alice.code(&world)), &number).await,
        303,
        "three bits more will do"
    );

    let (path, number) = asked(&world, "e3", "shipping").await;
    let mut browser = Browser::open(&world, &path).await;
    // Weakly witnessed, so that it adds to the question instead of revoking.
    let mut more = super::support::line("e4", "shipping", 20.0);
    more["families"] = 1.into();
    assert_eq!(world.send(Ask::gate(&more)).await.status, 401);
    world.pass(30);
    assert_eq!(browser.post("approve", (&alice.name, &alice.code(&world)), &number).await, 409);
    assert!(browser.sees("There is more against the agent") && browser.sees("20.0 bits"));
    world.pass(30);
    assert_eq!(browser.post("approve", (&alice.name, &alice.code(&world)), &number).await, 303);
}

#[tokio::test]
async fn a_disabled_approver_is_nobody() {
    let world = World::new().await;
    let alice = world.approver("alice", &[]).await;
    let name = crate::approval::ApproverName::new("ALICE").unwrap();
    assert!(crate::approval::disable(world.revoker(), name, "test".to_owned(), world.now()).await.unwrap());
    let (path, number) = asked(&world, "e1", "billing").await;
    let mut browser = Browser::open(&world, &path).await;
    assert_eq!(browser.status(), 200);
    assert_eq!(browser.post("approve", (&alice.name, &alice.code(&world)), &number).await, 422);
    let again = world.approver("alice", &[]).await;
    assert_eq!(browser.post("approve", (&again.name, &again.code(&world)), &number).await, 303);
}

#[tokio::test]
async fn of_two_answers_at_once_one_counts() {
    let world = World::new().await;
    let (alice, bob) = (world.approver("alice", &[]).await, world.approver("bob", &[]).await);
    let (path, number) = asked(&world, "e1", "billing").await;
    let (mut one, mut two) = (Browser::open(&world, &path).await, Browser::open(&world, &path).await);
    let (alices, bobs) = (alice.code(&world), bob.code(&world));
    let (yes, no) = tokio::join!(
        one.post("approve", (&alice.name, &alices), &number),
        two.post("deny", (&bob.name, &bobs), "")
    );
    assert!(matches!((yes, no), (303, 409) | (409, 303)), "{yes} {no}");
    let approved = yes == 303;
    for browser in [&one, &two] {
        assert_eq!(browser.sees("<h1>Approved</h1>"), approved);
        assert_eq!(browser.sees("<h1>Denied</h1>"), !approved);
    }
}
