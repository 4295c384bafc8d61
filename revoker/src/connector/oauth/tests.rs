use serde_json::json;

use super::*;
use crate::testing::at;
use crate::testing::receiver::{Receiver, Reply};

#[tokio::test]
async fn an_issuer_that_answers_without_end_is_cut_short_and_proves_nothing() {
    let active = Reply::Json(200, r#"{"active":true}"#);
    let receiver = Receiver::start(&[active, Reply::Endless, Reply::Endless]).await;
    let config = json!({ "name": "as", "issuer": "https://idp.example", "revocation_url": receiver.url(),
        "introspection_url": receiver.url(), "client_id": "tocsin", "client_secret": "s",
        "allow_insecure_target": true });
    let body = json!({ "type": "agent.access.revoked", "timestamp": at(0),
        "data": { "txn": "1", "issuer": "https://idp.example", "subject": "mailer", "not_before": at(0) } });
    let message = Message {
        id: "evt_1".to_owned(),
        kind: "agent.access.revoked".to_owned(),
        body: serde_json::to_vec(&body).unwrap(),
    };
    let tokens = Tokens::default();
    tokens.hold(&Subject::of(&message).unwrap().agent(), Token::new("abc").unwrap(), None);
    let config: OauthConfig = serde_json::from_value(config).unwrap();
    let target = config.build(tokens, |_| None).unwrap();

    // Of the answer to a revocation the status is all that counts.
    assert_eq!(target.deliver(&message, at(0)).await, Outcome::Acknowledged { status: 200 });
    let detail = "introspection: an answer of more than 65536 bytes".to_owned();
    assert_eq!(target.verify(&message).unwrap().await, Proof::Unreachable { detail });
}
