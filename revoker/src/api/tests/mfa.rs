//! The seven operations: nobody is asked before a method is sent, a yes is for that act, and what a browser brings is good once.

use serde_json::{Value, json};

use super::support::{Ask, Browser, Person, Reply, World, line};
use crate::agent::AgentKey;
use crate::config::PolicyConfig;
use crate::policy::when::When;

const EMAIL: &str = "dana@example.com";

async fn call(world: &World, operation: &str, body: &Value) -> Reply {
    world.send(Ask::post(&format!("/v1/mfa/{operation}"), body).bearer("gateway")).await
}

/// What `line` announces, as somebody is asked to confirm it.
fn init(params: &Value) -> Value {
    let mut all = json!({ "agent": "billing", "instance_id": "pod-1", "action": "send_email", "args_digest": "sha256:01",
        "description": "Refund of order 4711", "risk": "high" });
    all.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
    json!({ "username": "dana", "email": EMAIL, "params": all })
}

async fn begun(world: &World) -> String {
    let begun = call(world, "promptless_init_transaction", &init(&json!({}))).await;
    begun.json()["tid"].as_str().unwrap_or_else(|| panic!("{begun:?}")).to_owned()
}

async fn approve(world: &World, who: &Person, number: &Value) {
    decide(world, "approve", who, number).await;
}

async fn opened(world: &World) -> Browser<'_> {
    let open = world.send(Ask::get("/v1/approvals").bearer("analyst")).await.json();
    Browser::open(world, &open["rows"][0]["page_url"].as_str().unwrap().replace("http://tocsin.test", ""))
        .await
}

async fn decide(world: &World, choice: &str, who: &Person, number: &Value) {
    let mut browser = opened(world).await;
    let code = who.code(world);
    assert!(browser.sees("Refund of order 4711"), "what it is about");
    assert_eq!(browser.post(choice, (&who.name, &code), number.as_str().unwrap()).await, 303);
}

#[tokio::test]
async fn confirmed_promptlessly_the_act_goes_on_and_no_other() {
    let world = World::new().await;
    let dana = world.approver("Dana", &[EMAIL]).await;
    let tid = begun(&world).await;
    assert_eq!(
        world.send(Ask::get("/v1/approvals").bearer("analyst")).await.json()["rows"],
        json!([]),
        "nobody is asked yet"
    );
    let early =
        call(&world, "promptless_wait_for_confirmation", &json!({ "tid": tid, "timeoutSeconds": 1 })).await;
    assert_eq!((early.status, &early.json()["type"]), (409, &"urn:tocsin:problem:not_sent".into()));

    let sent = call(&world, "promptless_send_method", &json!({ "tid": tid, "method": "totp" })).await.json();
    assert_eq!((&sent["sent"], &sent["method"]), (&true.into(), &"totp".into()));
    let again = call(&world, "promptless_send_method", &json!({ "tid": tid })).await.json();
    assert_eq!(again["approval_id"], sent["approval_id"], "nobody is asked twice");
    let pending =
        call(&world, "promptless_wait_for_confirmation", &json!({ "tid": tid, "timeoutSeconds": 1 })).await;
    assert_eq!(pending.json()["status"], "pending");

    approve(&world, &dana, &sent["binding_code"]).await;
    let confirmed = call(&world, "promptless_wait_for_confirmation", &json!({ "tid": tid })).await.json();
    assert_eq!(
        (&confirmed["status"], &confirmed["acr"]),
        (&"confirmed".into(), &"urn:tocsin:acr:otp-number-match".into())
    );
    let token = confirmed["token"].as_str().unwrap();
    let mut other = line("e1", "billing", 0.0);
    other["args_digest"] = "sha256:02".into();
    assert_eq!(world.send(Ask::gate(&other).resuming(token, "r1")).await.json()["reason"], "other_act");
    let resumed = world.send(Ask::gate(&line("e2", "billing", 0.0)).resuming(token, "r1")).await;
    assert_eq!(resumed.json()["resumed"]["repeated"], false, "{resumed:?}");
    assert_eq!(
        world.send(Ask::gate(&line("e3", "billing", 0.0)).resuming(token, "r2")).await.json()["reason"],
        "used"
    );
}

#[tokio::test]
async fn what_looks_like_a_token_is_neither_kept_nor_shown() {
    let world = World::new().await;
    world.approver("Dana", &[EMAIL]).await;
    let mut body =
        init(&json!({ "arguments": r#"{"token":"eyJa"}"#, "description": "eyJb", "risk": "eyJc" }));
    body["params"].as_object_mut().unwrap().remove("args_digest");
    let tid = call(&world, "promptless_init_transaction", &body).await.json()["tid"].clone();
    call(&world, "promptless_send_method", &json!({ "tid": tid })).await;
    let browser = opened(&world).await;
    assert!(!browser.sees("eyJ") && ["***a", "***b", "***c"].iter().all(|text| browser.sees(text)));
}

#[tokio::test]
async fn wrong_methods_users_and_waits_are_named() {
    let world = World::new().await;
    world.approver("Dana", &[EMAIL]).await;
    let tid = begun(&world).await;
    for method in ["push", "phone", "yubikey"] {
        let refused = call(&world, "promptless_send_method", &json!({ "tid": tid, "method": method })).await;
        assert_eq!(
            (refused.status, &refused.json()["type"]),
            (400, &"urn:tocsin:problem:method_unavailable".into())
        );
        assert_eq!(refused.json()["methods"], json!(["totp", "passkey"]));
    }
    // Of what is graver than a code is good for, those alone that would do are listed.
    let grave = call(&world, "promptless_init_transaction", &init(&json!({ "action": "send_money" }))).await;
    for (method, why) in [("totp", "method_too_weak"), ("phone", "method_unavailable")] {
        let body = json!({ "tid": grave.json()["tid"], "method": method });
        let refused = call(&world, "promptless_send_method", &body).await.json();
        assert_eq!(
            (&refused["type"], &refused["methods"]),
            (&json!(format!("urn:tocsin:problem:{why}")), &json!(["passkey"]))
        );
    }
    let sent = call(&world, "promptless_send_method", &json!({ "tid": grave.json()["tid"] })).await.json();
    assert_eq!(sent["method"], "passkey");
    // What can be read in two ways nobody is asked about.
    let twice = init(&json!({ "arguments": r#"{"amount":9000,"amount":9}"# }));
    let refused = call(&world, "promptless_init_transaction", &twice).await.json();
    assert_eq!(refused["type"], "urn:tocsin:problem:bad_params", "{refused}");
    for timeout in [json!(0), json!(-1), json!(1.5), json!("soon"), json!(true)] {
        let body = json!({ "tid": tid, "timeoutSeconds": timeout });
        let refused = call(&world, "promptless_wait_for_confirmation", &body).await;
        assert_eq!(
            (refused.status, &refused.json()["type"]),
            (400, &"urn:tocsin:problem:bad_timeout".into())
        );
    }
    let mut stranger = init(&json!({}));
    stranger["email"] = "nobody@example.com".into();
    let begun = call(&world, "promptless_init_transaction", &stranger).await.json();
    let refused = call(&world, "promptless_send_method", &json!({ "tid": begun["tid"] })).await;
    assert_eq!(refused.json()["type"], "urn:tocsin:problem:user_unknown");
    // Another credential's transaction is none of ours, and neither is one that is over.
    let other = Ask::post("/v1/mfa/promptless_send_method", &json!({ "tid": tid })).bearer("another-gateway");
    assert_eq!(world.send(other).await.status, 404);
    world.pass(3_601);
    assert_eq!(call(&world, "promptless_send_method", &json!({ "tid": tid })).await.status, 404);
    let nobody = Ask::post("/v1/mfa/promptless_verify_user_exists", &json!({ "email": EMAIL }));
    assert_eq!(world.send(nobody.clone()).await.status, 401);
    assert_eq!(world.send(nobody.bearer("soc")).await.status, 403);
    let unknown = call(&world, "delete_everything", &json!({})).await;
    assert_eq!((unknown.status, unknown.json()["operations"].as_array().unwrap().len()), (404, 7));
}

#[tokio::test]
async fn whether_somebody_exists_is_told_to_few_and_tells_them_nothing() {
    let world = World::new().await;
    world.approver("Dana", &[EMAIL]).await;
    let exists =
        async |email: &str| call(&world, "promptless_verify_user_exists", &json!({ "email": email })).await;
    assert_eq!(exists(EMAIL).await.json(), json!({ "exists": true }));
    assert_eq!(exists("dana@elsewhere.example").await.json(), json!({ "exists": false }));
    assert_eq!(world.send(Ask::get("/v1/approvals").bearer("analyst")).await.json()["rows"], json!([]));
    for _ in 0..58 {
        assert_eq!(exists("x").await.status, 200);
    }
    assert_eq!(exists("x").await.status, 429);
    world.pass(60);
    assert_eq!(exists("x").await.status, 200);
}

#[tokio::test]
async fn who_can_be_asked_is_found_out_no_faster_than_who_exists() {
    let world = World::new().await;
    world.approver("Dana", &[EMAIL]).await;
    let send = async |email: &str| {
        let mut body = init(&json!({}));
        body["email"] = email.into();
        let begun = call(&world, "promptless_init_transaction", &body).await.json();
        call(&world, "promptless_send_method", &json!({ "tid": begun["tid"] })).await
    };
    // Who is asked knows of it, so that is no look.
    for _ in 0..3 {
        assert_eq!(send(EMAIL).await.status, 200);
    }
    for n in 0..60 {
        let told = send(&format!("{n}@example.com")).await;
        assert_eq!((told.status, &told.json()["type"]), (409, &"urn:tocsin:problem:user_unknown".into()));
    }
    for email in ["60@example.com", EMAIL] {
        assert_eq!(send(email).await.status, 429, "of both the same");
    }
    let exists = call(&world, "promptless_verify_user_exists", &json!({ "email": EMAIL })).await;
    assert_eq!(exists.status, 429, "one count for both operations");
    world.pass(60);
    assert_eq!(send(EMAIL).await.status, 200);
}

/// A question of each answer: what the promptless and the prompted flow tell of it, and the question itself.
#[tokio::test]
async fn five_answers_are_told_apart_at_every_door() {
    for (answer, status, confirmation, goes_to) in [
        ("", "pending", "pending", ""),
        ("approve", "approved", "confirmed", "https://app.example/back?accessToken="),
        ("deny", "denied", "denied", "https://app.example/out?error=access_denied&state=s-1"),
        ("lapses", "expired", "expired", "https://app.example/out?error=expired&state=s-1"),
        ("revoked", "superseded", "superseded", "https://app.example/out?error=superseded&state=s-1"),
    ] {
        let world = World::new().await;
        let dana = world.approver("Dana", &[EMAIL]).await;
        let mut body = init(&json!({ "state": "s-1" }));
        body["callbackUrl"] = "https://app.example/back".into();
        body["logoutUrl"] = "https://app.example/out".into();
        let prompted = call(&world, "prompt_init_transaction", &body).await.json();
        let sent =
            call(&world, "promptless_send_method", &json!({ "tid": begun(&world).await })).await.json();
        match answer {
            "lapses" => world.pass(901),
            "revoked" => {
                let ended = json!({ "agent_id": "billing", "person": "Olga", "reason": "stolen" });
                assert_eq!(
                    world.send(Ask::post("/v1/agents/revoke", &ended).bearer("soc")).await.status,
                    200
                );
            }
            "" => {}
            choice => decide(&world, choice, &dana, &sent["binding_code"]).await,
        }
        let wait = json!({ "tid": sent["tid"], "timeoutSeconds": 1 });
        let told = call(&world, "promptless_wait_for_confirmation", &wait).await.json();
        assert_eq!((&told["status"], told["token"].is_string()), (&confirmation.into(), answer == "approve"));
        let path = format!("/v1/approvals/{}", sent["approval_id"].as_str().unwrap());
        let question = world.send(Ask::get(&path).bearer("gateway")).await.json();
        assert_eq!(
            (&question["status"], question["grant"].is_object()),
            (&status.into(), answer == "approve")
        );
        let page = prompted["webURI"].as_str().unwrap().replace("http://tocsin.test", "");
        let page = world.send(Ask::get(&page)).await;
        assert_eq!(page.status, if answer.is_empty() { 200 } else { 303 }, "{answer}");
        assert!(page.header("location").starts_with(goes_to), "{answer}: {page:?}");
    }
}

#[tokio::test]
async fn whether_an_action_needs_it_is_told_from_memory() {
    let world = World::new().await;
    let ask = json!({ "action": "send_email", "context": { "agent_id": "billing" } });
    assert_eq!(call(&world, "mfa_required_for_action", &ask).await.json()["required"], false);
    let question = world.gate("e1", "billing", 8.0).await.json();
    let required = call(&world, "mfa_required_for_action", &ask).await.json();
    assert_eq!((&required["required"], &required["approval_id"]), (&true.into(), &question["approval_id"]));
    let case = world.revoker().standing(None, "billing").case().unwrap();
    assert_eq!(required["case"], json!(case), "as the page and the alert name it");
    world.gate("e2", "thief", 50.0).await;
    let ended = json!({ "action": "send_email", "context": { "agent_id": "thief" } });
    assert_eq!(call(&world, "mfa_required_for_action", &ended).await.status, 403, "no human can help");
}

#[tokio::test]
async fn an_action_needs_it_where_a_rule_of_the_policy_asks_for_its_network() {
    let rule = json!({ "name": "guests", "networks": ["192.0.2.0/24"], "at_least": "step_up" });
    let when = vec![serde_json::from_value::<When>(rule).unwrap()].try_into().unwrap();
    let world = World::of(PolicyConfig { when, ..PolicyConfig::default() }, Vec::new()).await;
    for (address, required) in
        [(json!("192.0.2.7"), true), (json!("198.51.100.7"), false), (json!(null), false)]
    {
        let ask =
            json!({ "action": "send_email", "context": { "agent_id": "billing", "source_ip": address } });
        let told = call(&world, "mfa_required_for_action", &ask).await.json();
        assert_eq!((&told["required"], &told["case"]), (&required.into(), &json!(null)), "{address}");
        let mut act = line(&format!("from {address}"), "billing", 0.0);
        act["source_ip"] = address;
        assert_eq!(world.send(Ask::gate(&act)).await.status == 401, required, "as the gate: {act}");
        world
            .revoker()
            .reinstate(AgentKey::new(None, "billing"), "olga".into(), "known".into(), world.now())
            .await
            .ok();
    }
    let nowhere = json!({ "action": "send_email", "context": { "source_ip": "next door" } });
    assert_eq!(call(&world, "mfa_required_for_action", &nowhere).await.status, 400);
}

#[tokio::test]
async fn a_browser_brings_back_what_is_exchanged_once_by_who_began() {
    let world = World::new().await;
    let dana = world.approver("Dana", &[EMAIL]).await;
    // RFC 7636, appendix B.
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let mut body =
        init(&json!({ "state": "s-1", "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" }));
    body["callbackUrl"] = "https://app.example/back".into();
    body["logoutUrl"] = "https://evil.example/".into();
    let refused = call(&world, "prompt_init_transaction", &body).await;
    assert_eq!(
        (&refused.json()["type"], &refused.json()["field"]),
        (&"urn:tocsin:problem:address_not_allowed".into(), &"logoutUrl".into())
    );
    body["logoutUrl"] = "https://app.example/out".into();
    let begun = call(&world, "prompt_init_transaction", &body).await.json();
    let page = begun["webURI"].as_str().unwrap().replace("http://tocsin.test", "");
    let waits = world.send(Ask::get(&page)).await;
    assert!(
        waits.status == 200 && waits.body.contains("/approve/") && waits.header("x-frame-options") == "DENY"
    );

    approve(&world, &dana, &begun["binding_code"]).await;
    let back = world.send(Ask::get(&page)).await;
    assert_eq!((back.status, back.header("referrer-policy")), (303, "no-referrer"));
    let location = back.header("location");
    let token = location.strip_prefix("https://app.example/back?accessToken=").unwrap();
    let token = token.strip_suffix("&state=s-1").unwrap();
    let exchange = async |verifier: Option<&str>, who: &str| {
        let body = json!({ "accessToken": token, "codeVerifier": verifier });
        world.send(Ask::post("/v1/mfa/prompt_get_credentials", &body).bearer(who)).await
    };
    for (verifier, who) in
        [(None, "gateway"), (Some("guessed"), "gateway"), (Some(verifier), "another-gateway")]
    {
        assert_eq!(exchange(verifier, who).await.status, 401, "{verifier:?} {who}");
    }
    let credentials = exchange(Some(verifier), "gateway").await.json();
    for (name, value) in
        [("email", EMAIL), ("agent", "billing"), ("action", "send_email"), ("status", "confirmed")]
    {
        assert_eq!(credentials[name], value, "{credentials}");
    }
    assert_eq!(exchange(Some(verifier), "gateway").await.status, 401, "once");
    let grant = credentials["token"].as_str().unwrap();
    assert_eq!(world.send(Ask::gate(&line("e1", "billing", 0.0)).resuming(grant, "r1")).await.status, 200);
}
