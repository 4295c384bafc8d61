use serde_json::json;

use super::*;
use crate::connector::signing::tests::{decode, file};
use crate::connector::signing::{Signer, Signing};
use crate::testing::at;
use crate::testing::receiver::{Receiver, Reply};

fn message() -> Message {
    let body = json!({ "type": "agent.access.revoked", "timestamp": at(0),
        "data": { "txn": "1", "issuer": "https://idp.example", "subject": "mailer", "not_before": at(0) } });
    Message {
        id: "evt_1".to_owned(),
        kind: "agent.access.revoked".to_owned(),
        body: serde_json::to_vec(&body).unwrap(),
    }
}

fn target(receiver: &Receiver) -> Logout {
    let signing = Signing {
        issuer: "https://tocsin.example".to_owned(),
        signer: Signer::open(Some(&file("a.pem")), &[]).unwrap().into(),
    };
    let config = LogoutConfig {
        name: "rp".to_owned(),
        url: receiver.url(),
        client_id: "portal".to_owned(),
        issuer: "https://idp.example".to_owned(),
        ends_sessions: true,
        allow_insecure_target: true,
    };
    config.build(Some(&signing)).unwrap()
}

#[tokio::test]
async fn a_logout_token_says_who_and_that_and_nothing_more_and_each_attempt_is_one_of_its_own() {
    let receiver = Receiver::start(&[]).await;
    let logout = target(&receiver);
    for second in [0, 1] {
        let outcome = logout.deliver(&message(), at(second)).await;
        assert_eq!(outcome, Outcome::Acknowledged { status: 200 });
    }
    let seen = receiver.seen();
    assert_eq!(seen[0].header("content-type"), "application/x-www-form-urlencoded");
    let parts = |n: usize| {
        let body = String::from_utf8(seen[n].body.to_vec()).unwrap();
        let token = body.strip_prefix("logout_token=").unwrap().to_owned();
        let parts: Vec<Value> = token.split('.').take(2).map(decode).collect();
        parts
    };
    let (first, second) = (parts(0), parts(1));
    assert_eq!((&first[0]["typ"], &first[0]["alg"]), (&json!("logout+jwt"), &json!("RS256")));
    insta::assert_snapshot!(first[1], @r#"{"aud":"portal","events":{"http://schemas.openid.net/event/backchannel-logout":{}},"exp":1772442120,"iat":1772442000,"iss":"https://tocsin.example","jti":"evt_1.rp.1772442000000000","sub":"mailer"}"#);
    assert_ne!(first[1]["jti"], second[1]["jti"]);
    assert!(first[1].get("sid").is_none(), "all its sessions are over");

    let mut of_a_session = message();
    let mut body: Value = serde_json::from_slice(&of_a_session.body).unwrap();
    body["data"]["part"] = json!({ "kind": "session", "id": "s-1" });
    of_a_session.body = body.to_string().into_bytes();
    logout.deliver(&of_a_session, at(2)).await;
    let seen = receiver.seen();
    let body = String::from_utf8(seen[2].body.to_vec()).unwrap();
    let claims: Value = decode(body.split('.').nth(1).unwrap());
    assert_eq!((&claims["sub"], &claims["sid"]), (&json!("mailer"), &json!("s-1")));
    assert!(logout.route().ends(crate::part::PartKind::Session));
}

#[tokio::test]
async fn each_answer_means_one_thing() {
    let replies = [Reply::Status(204), Reply::Status(400), Reply::RetryAfter(503, "7"), Reply::Redirect];
    let receiver = Receiver::start(&replies).await;
    let logout = target(&receiver);
    let mut outcomes = Vec::new();
    for _ in replies {
        outcomes.push(format!("{:?}", logout.deliver(&message(), at(0)).await));
    }
    insta::assert_snapshot!(outcomes.join("\n"), @r#"
    Acknowledged { status: 204 }
    Hopeless { detail: "400: the relying party finds the token invalid, or its logout failed" }
    Failed { status: Some(503), detail: "refused", wait: Some(7s) }
    Failed { status: Some(307), detail: "a redirect, which is not followed", wait: None }
    "#);
}

#[test]
fn what_is_no_target_says_why() {
    let entry = |change: &[(&str, &str)]| {
        let mut entry = json!({ "name": "rp", "url": "https://rp.example/logout", "client_id": "portal",
            "issuer": "https://idp.example" });
        for (key, value) in change {
            entry[key] = json!(value);
        }
        let config: LogoutConfig = serde_json::from_value(entry).unwrap();
        config.build(None).map(|_| ()).unwrap_err().to_string()
    };
    let all = [
        entry(&[]),
        entry(&[("name", "a b")]),
        entry(&[("client_id", "")]),
        entry(&[("url", "http://rp.example/logout")]),
        entry(&[("url", "https://10.0.0.1/logout")]),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    its tokens are signed with the key of the section `[ssf]`, and there is none: set `ssf.key_file`
    `name` must be 1 to 64 letters, digits, `-` and `_`
    `client_id` must not be empty
    `url`: `http` is not https; `allow_insecure_target` allows it, for tests
    `url`: 10.0.0.1 is not a public address; `allow_insecure_target` allows it, for tests
    ");
}
