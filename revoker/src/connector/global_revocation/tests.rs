use serde_json::{Value, json};

use super::*;
use crate::connector::Proof;
use crate::connector::signing::Signer;
use crate::connector::signing::tests::{decode, file};
use crate::connector::tokens::{Token, Tokens};
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

fn build(change: &Value, tokens: Tokens) -> Result<GlobalRevocation, String> {
    let mut entry =
        json!({ "name": "as", "url": "https://as.example/revoke", "issuer": "https://idp.example" });
    for (key, value) in change.as_object().unwrap() {
        entry[key] = value.clone();
    }
    let signing = Signing {
        issuer: "https://tocsin.example".to_owned(),
        signer: Signer::open(Some(&file("a.pem")), &[]).unwrap().into(),
    };
    let config: GlobalRevocationConfig = serde_json::from_value(entry).unwrap();
    config.build(Some(&signing), tokens, |_| None).map_err(|e| e.to_string())
}

fn target(receiver: &Receiver, mut change: Value) -> GlobalRevocation {
    change["url"] = receiver.url().into();
    change["allow_insecure_target"] = true.into();
    build(&change, Tokens::default()).unwrap()
}

#[tokio::test]
async fn the_subject_stands_as_the_draft_has_it_or_as_it_was_before() {
    let receiver = Receiver::start(&[]).await;
    let old = json!({ "token": "0123456789abcdef", "subject_key": "subject", "subject_format": "opaque" });
    for change in [json!({ "token": "0123456789abcdef" }), old] {
        let outcome = target(&receiver, change).deliver(&message(), at(0)).await;
        assert_eq!(outcome, Outcome::Acknowledged { status: 200 });
    }
    let seen = receiver.seen();
    let subject = json!({ "format": "iss_sub", "iss": "https://idp.example", "sub": "mailer" });
    assert_eq!(seen[0].json(), json!({ "sub_id": subject }));
    assert_eq!(seen[1].json(), json!({ "subject": { "format": "opaque", "id": "mailer" } }));
    assert_eq!(seen[0].header("authorization"), "Bearer 0123456789abcdef");
    assert_eq!(seen[0].header("content-type"), "application/json");
}

#[tokio::test]
async fn where_it_is_signed_the_token_is_for_this_server_alone() {
    let receiver = Receiver::start(&[]).await;
    target(&receiver, json!({ "signed": true })).deliver(&message(), at(0)).await;
    let seen = receiver.seen();
    let token = seen[0].header("authorization").strip_prefix("Bearer ").unwrap();
    let parts: Vec<Value> = token.split('.').take(2).map(decode).collect();
    assert_eq!(parts[0]["typ"], "global-token-revocation+jwt");
    assert_eq!(parts[1]["aud"], receiver.url());
    assert_eq!((&parts[1]["exp"], &parts[1]["iat"]), (&json!(1_772_442_300), &json!(1_772_442_000)));
}

#[tokio::test]
async fn each_answer_means_one_thing() {
    let replies = [204, 400, 404, 401, 422].map(Reply::Status);
    let receiver = Receiver::start(&replies).await;
    let target = target(&receiver, json!({ "signed": true }));
    let mut outcomes = Vec::new();
    for _ in replies {
        outcomes.push(format!("{:?}", target.deliver(&message(), at(0)).await));
    }
    insta::assert_snapshot!(outcomes.join("\n"), @r#"
    Acknowledged { status: 204 }
    Hopeless { detail: "400: the server cannot read the request" }
    Hopeless { detail: "404: the server knows no such subject, or it is not there" }
    Failed { status: Some(401), detail: "refused", wait: None }
    Failed { status: Some(422), detail: "refused", wait: None }
    "#);
}

#[tokio::test]
async fn a_server_that_ends_nothing_is_found_out_by_introspection() {
    let active = Reply::Json(200, r#"{"active":true}"#);
    let receiver = Receiver::start(&[active, Reply::Status(204), active]).await;
    let tokens = Tokens::default();
    tokens.hold(&Subject::of(&message()).unwrap().agent(), Token::new("abc").unwrap(), None);
    let url = receiver.url();
    let change = json!({ "url": url, "introspection_url": url, "client_id": "tocsin", "client_secret": "s",
        "signed": true, "allow_insecure_target": true });
    let target = build(&change, tokens).unwrap();
    assert_eq!(target.deliver(&message(), at(0)).await, Outcome::Acknowledged { status: 204 });
    let proof = target.verify(&message()).unwrap().await;
    assert_eq!(proof, Proof::Refuted { detail: "1 of 1 tokens still active".to_owned() });
}

#[test]
fn what_is_no_target_says_why() {
    let said = |change: Value| build(&change, Tokens::default()).map(|_| ()).unwrap_err();
    let all = [
        said(json!({})),
        said(json!({ "token": "0123456789abcdef", "signed": true })),
        said(json!({ "token": "a\nb" })),
        said(json!({ "token_env": "GTR" })),
        said(json!({ "signed": true, "introspection_url": "https://as.example/introspect" })),
        said(json!({ "signed": true, "client_secret": "s" })),
        said(json!({ "signed": true, "url": "http://as.example/revoke" })),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    exactly one of `token`, `token_env` and `token_file` is needed
    `signed` and `token` are two ways to be known; give one
    `token` is no bearer token
    `token_env`: the environment variable GTR is not set
    `introspection_url`, `client_id` and `client_secret` are there together or not at all
    `introspection_url`, `client_id` and `client_secret` are there together or not at all
    `url`: `http` is not https; `allow_insecure_target` allows it, for tests
    ");
}
