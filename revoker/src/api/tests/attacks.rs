//! What is tried against an approval and its grant, in one table: nothing of it is admitted, the log says why, and who tries learns
//! little. Each attack is looked at closely where its defence is; which names exist, in `revoker/tests/names.rs`.

use serde_json::{Value, json};
use tracing::Level;

use super::passkeys::{HERE, challenge, enrolled, post};
use super::support::{Ask, Browser, Person, Reply, World, line};
use crate::approval::GrantRefused;
use crate::testing::log::Log;
use crate::testing::prove;

const EMAIL: &str = "alice@example.com";

/// Whether it holds the word by itself; within an id or a token four digits stand by chance.
fn tells(body: &str, word: &str) -> bool {
    let mut places = body.match_indices(word);
    places.any(|(at, _)| {
        let (before, after) = (body[..at].chars().next_back(), body[at + word.len()..].chars().next());
        [before, after].into_iter().flatten().all(|c| !c.is_alphanumeric())
    })
}

/// What was tried so far.
struct Table {
    log: Log,
    tried: u32,
}

impl Table {
    /// An attack that must have been answered so, for this reason in the log and with none of these words to whoever tried.
    fn refused(
        &mut self,
        attack: &str,
        (status, body): (u16, &str),
        expected: u16,
        why: &str,
        untold: &[&str],
    ) {
        let log = self.log.take();
        assert_eq!(status, expected, "{attack}: {body}");
        assert!(log.contains(why), "{attack}: the log does not say `{why}`: {log}");
        for word in untold {
            assert!(!tells(body, word), "{attack} is told `{word}`: {body}");
        }
        self.tried += 1;
    }

    fn grant_refused(&mut self, attack: &str, reply: &Reply, reason: &str, why: &str) {
        assert_eq!(reply.json()["reason"], reason, "{attack}: {reply:?}");
        self.refused(attack, (reply.status, &reply.body), 401, why, &["alice", "binding", "sha256"]);
    }
}

/// A question about an act of `agent`, and the number that goes with it.
async fn asked(world: &World, event: &str, agent: &str) -> (String, Value) {
    let body = world.gate(event, agent, 8.0).await.json();
    let (path, _) = world.newest_page().await;
    (path, body)
}

async fn approved(world: &World, who: &Person, path: &str, question: &Value) -> String {
    world.pass(30);
    let mut browser = Browser::open(world, path).await;
    let number = question["binding_code"].as_str().unwrap();
    assert_eq!(browser.post("approve", (&who.name, &who.code(world)), number).await, 303);
    let id = question["approval_id"].as_str().unwrap();
    let told = world.send(Ask::get(&format!("/v1/approvals/{id}")).bearer("gateway")).await.json();
    told["grant"]["token"].as_str().unwrap().to_owned()
}

/// The act of `line`, changed, with this grant.
async fn resume(world: &World, event: &str, change: (&str, &str), (grant, id): (&str, &str)) -> Reply {
    let mut act = line(event, "billing", 9.0);
    act[change.0] = change.1.into();
    world.send(Ask::gate(&act).resuming(grant, id)).await
}

/// The same token with something else in one of its three parts.
fn forged(grant: &str, part: usize, with: &str) -> String {
    let mut parts: Vec<&str> = grant.split('.').collect();
    parts[part] = with;
    parts.join(".")
}

async fn grants(world: &World, alice: &Person, table: &mut Table) {
    let (path, question) = asked(world, "g1", "billing").await;
    let grant = approved(world, alice, &path, &question).await;
    for (field, other) in [
        ("args_digest", "sha256:02"),
        ("endpoint", "delete_all"),
        ("instance_id", "pod-2"),
        ("resource", "account/1"),
        ("agent_id", "mailer"),
    ] {
        let reply = resume(world, &format!("g-{field}"), (field, other), (&grant, "r-1")).await;
        table.grant_refused(field, &reply, "other_act", "another act");
    }
    // {"alg":"none"}, an empty signature, another's.
    let none = forged(&grant, 0, "eyJhbGciOiJub25lIn0");
    for (attack, forged) in [
        ("no algorithm", none),
        ("another signature", forged(&grant, 2, "AAAA")),
        ("other claims", forged(&grant, 1, "e30")),
    ] {
        let reply = resume(world, attack, ("agent_id", "billing"), (&forged, "r-1")).await;
        table.grant_refused(attack, &reply, "unknown", "no approval has this grant");
    }
    let own = ("agent_id", "billing");
    assert_eq!(resume(world, "g2", own, (&grant, "r-1")).await.status, 200, "the one that is admitted");
    let reply = resume(world, "g3", own, (&grant, "r-2")).await;
    table.grant_refused("replay", &reply, "used", "used by another resumption");
    world.pass(301);
    let reply = resume(world, "g4", own, (&grant, "r-1")).await;
    table.grant_refused("an expired grant", &reply, "expired", "expired");
}

/// Approved, and before the agent comes back its access ends.
async fn ended_meanwhile(world: &World, alice: &Person, table: &mut Table) {
    for (verb, standing) in [("revoke", "revoked"), ("suspend", "suspended"), ("retire", "retired")] {
        let agent = format!("to {verb}");
        let (path, question) = asked(world, &format!("m-{verb}"), &agent).await;
        let grant = approved(world, alice, &path, &question).await;
        let mut ended = json!({ "agent_id": agent, "person": "Olga", "reason": "stolen" });
        if verb == "suspend" {
            ended["until"] = json!(world.now() + std::time::Duration::from_hours(1));
        }
        assert_eq!(
            world.send(Ask::post(&format!("/v1/agents/{verb}"), &ended).bearer("soc")).await.status,
            200
        );
        table.log.take();
        let reply = resume(world, &format!("m-{verb}-2"), ("agent_id", &agent), (&grant, "r-1")).await;
        assert_eq!(reply.json()["type"], format!("urn:tocsin:problem:{standing}"), "{reply:?}");
        table.refused(standing, (reply.status, &reply.body), 403, "", &["alice", "Olga", "sha256"]);
        // Behind the gate's own look, in the transaction that would consume it.
        let mut action = crate::approval::Action { agent_id: agent, ..Default::default() };
        action.endpoint = "send_email".into();
        let resumption = (grant.parse().unwrap(), "r-1".parse().unwrap());
        let admitted = world.revoker().admit(resumption, action, format!("m-{verb}-3"), world.now()).await;
        assert_eq!(admitted.unwrap().unwrap_err(), GrantRefused::Standing(standing));
    }
}

/// Approved before there was any evidence; then there was some, and another question.
async fn stale_evidence(world: &World, alice: &Person, table: &mut Table) {
    let mut before = crate::approval::Asked { by: "gateway".into(), ..Default::default() };
    before.action.agent_id = "courier".into();
    before.action.instance_id = Some("pod-1".into());
    before.action.endpoint = "send_email".into();
    before.action.args_digest = Some("sha256:01".into());
    let first = world.revoker().ask(before, world.now()).await.unwrap().approval;
    let question = json!({ "binding_code": first.binding_code, "approval_id": first.id });
    let grant = approved(world, alice, &first.page.path(), &question).await;
    world.pass(1);
    let (path, newer) = asked(world, "s1", "courier").await;
    approved(world, alice, &path, &newer).await;
    table.log.take();
    let reply = resume(world, "s2", ("agent_id", "courier"), (&grant, "r-1")).await;
    table.grant_refused("stale evidence", &reply, "stale", "newer question");
}

async fn codes(world: &World, alice: &Person, table: &mut Table) {
    let (path, question) = asked(world, "c1", "shipping").await;
    let number = question["binding_code"].as_str().unwrap();
    world.pass(30);
    let code = alice.code(world);
    let mut browser = Browser::open(world, &path).await;
    let good = browser.filled("approve", (&alice.name, &code), number);
    for (attack, header, value) in [
        ("a form from another site", "Origin", "https://evil.example"),
        ("a form in another site's frame", "Sec-Fetch-Site", "cross-site"),
        ("a form without the page's cookie", "Cookie", "tocsin_form=00000000000000000000000000000000"),
    ] {
        let reply = world.send(good.clone().header(header, value)).await;
        table.refused(attack, (reply.status, &reply.body), 403, "why=\"stale\"", &[number, EMAIL]);
    }
    assert_eq!(world.send(good).await.status, 303);
    table.log.take();

    let (path, question) = asked(world, "c2", "buying").await;
    let number = question["binding_code"].as_str().unwrap();
    let mut second = Browser::open(world, &path).await;
    let status = second.post("approve", (&alice.name, &code), number).await;
    table.refused("a code used before", (status, second.body()), 422, "why=\"spent\"", &[number]);
    let wrong = if number == "0000" { "0001" } else { "0000" };
    world.pass(30);
    let status = second.post("approve", (&alice.name, &alice.code(world)), wrong).await;
    table.refused("a guessed number", (status, second.body()), 422, "why=\"wrong_number\"", &[number]);
    for _ in 0..5 {
        let status = second.post("deny", (&alice.name, "000000"), "").await;
        table.refused("a guessed code", (status, second.body()), 422, "why=\"wrong_code\"", &[number]);
    }
    let status = second.post("deny", (&alice.name, &alice.code(world)), "").await;
    table.refused(
        "a right code after five guesses",
        (status, second.body()),
        422,
        "why=\"approver_locked\"",
        &[number],
    );
    let locked = second.body().replace(second.token(), "");
    let status = second.post("deny", ("nobody", "000000"), "").await;
    table.refused("a name that nobody has", (status, second.body()), 422, "why=\"wrong_code\"", &[number]);
    let unknown = second.body().replace(second.token(), "").replace("nobody", &alice.name);
    assert!(locked == unknown, "who exists and is locked is told what nobody is told");
    browser = Browser::open(world, &path).await;
    assert!(browser.sees("value=\"approve\""), "the question is open still");
}

async fn passkeys(world: &World, table: &mut Table) {
    let dana = enrolled(world, "Dana").await;
    let (first, _) = asked(world, "p1", "printer").await;
    let (second, _) = asked(world, "p2", "plotter").await;
    let (browser, other) = (Browser::open(world, &first).await, Browser::open(world, &second).await);
    table.log.take();
    let evil = ("https://evil.example", HERE.1);
    let attacks = [
        (
            "another site's answer",
            dana.asserted(&challenge(&browser, "approve").await, evil),
            422,
            "wrong_passkey",
        ),
        ("a no sent as a yes", dana.asserted(&challenge(&browser, "deny").await, HERE), 403, "stale"),
        ("another question's answer", dana.asserted(&challenge(&other, "approve").await, HERE), 403, "stale"),
        ("an answer to no challenge", dana.asserted("bm90aGluZw", HERE), 403, "stale"),
    ];
    for (attack, answer, expected, why) in attacks {
        let status = post(&browser, "approve", &answer).await;
        table.refused(attack, (status, ""), expected, &format!("why=\"{why}\""), &[]);
    }
}

async fn redirects_and_users(world: &World, table: &mut Table) {
    let call = async |operation: &str, body: Value, who: &str| {
        world.send(Ask::post(&format!("/v1/mfa/{operation}"), &body).bearer(who)).await
    };
    let init = |callback: &str| {
        json!({ "username": "alice", "email": EMAIL, "callbackUrl": callback, "logoutUrl": "https://app.example/out",
                "params": { "agent": "billing", "action": "pay", "state": "&next=https://evil.example" } })
    };
    for callback in
        ["https://evil.example/", "https://app.example/back/../evil", "//evil.example", "javascript:alert(1)"]
    {
        let reply = call("prompt_init_transaction", init(callback), "gateway").await;
        table.refused(
            callback,
            (reply.status, &reply.body),
            400,
            "not on the operator's list",
            &["app.example/back\""],
        );
    }
    let token = json!({ "accessToken": format!("mfat_{:064}", 0) });
    let reply = call("prompt_get_credentials", token, "gateway").await;
    table.refused("a guessed access token", (reply.status, &reply.body), 401, "access token", &["alice"]);
    for n in 0..60 {
        let reply =
            call("promptless_verify_user_exists", json!({ "email": format!("{n}@example.com") }), "prober")
                .await;
        assert_eq!(reply.status, 200);
    }
    for email in [EMAIL, "nobody@example.com"] {
        let reply = call("promptless_verify_user_exists", json!({ "email": email }), "prober").await;
        table.refused(
            "who exists, once too often",
            (reply.status, &reply.body),
            429,
            "too many users",
            &["exists\":"],
        );
        let init = json!({ "username": "alice", "email": email });
        let tid = call("promptless_init_transaction", init, "prober").await.json()["tid"].clone();
        let reply = call("promptless_send_method", json!({ "tid": tid }), "prober").await;
        table.refused(
            "who can be asked, once too often",
            (reply.status, &reply.body),
            429,
            "too many users",
            &[email],
        );
    }
    let reply = call("promptless_verify_user_exists", json!({ "email": EMAIL }), "soc").await;
    table.refused(
        "who exists, without the role",
        (reply.status, &reply.body),
        403,
        "refused",
        &["exists\":"],
    );
}

#[tokio::test]
async fn nothing_that_is_tried_against_an_approval_is_admitted() {
    let world = World::new().await;
    let alice = world.approver("alice", &[EMAIL]).await;
    let mut table = Table { log: Log::begin(Level::INFO), tried: 0 };
    grants(&world, &alice, &mut table).await;
    stale_evidence(&world, &alice, &mut table).await;
    ended_meanwhile(&world, &alice, &mut table).await;
    codes(&world, &alice, &mut table).await;
    passkeys(&world, &mut table).await;
    redirects_and_users(&world, &mut table).await;
    // What was admitted is what a human approved and nothing was wrong with; what was answered, by whom it should be.
    let admissions: i64 = world.count("SELECT count(*) FROM admissions");
    let settled: i64 = world.count("SELECT count(*) FROM approvals WHERE settled_by IS NOT NULL");
    assert_eq!((admissions, settled), (1, 7));
    println!("{} attacks", table.tried);
    prove::row(
        "attacks on approvals and grants that are admitted",
        0,
        "0, each refused with its reason",
        "attacks::",
    );
}
