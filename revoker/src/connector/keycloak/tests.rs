use serde_json::json;

use super::*;
use crate::connector::tokens::Tokens;
use crate::testing::at;
use crate::testing::receiver::{Receiver, Reply};

#[tokio::test]
async fn a_realm_that_answers_without_end_is_cut_short_and_asked_again_later() {
    let token = Reply::Json(200, r#"{"access_token":"abc","expires_in":300}"#);
    let client = Reply::Json(200, r#"[{"id":"1","clientId":"mailer","enabled":true}]"#);
    let replies = [Reply::Endless, token, Reply::Endless, Reply::Endless, client, Reply::Endless];
    let receiver = Receiver::start(&replies).await;
    let config = json!({ "name": "realm", "url": receiver.url(), "realm": "agents", "client_id": "tocsin",
        "client_secret": "s", "ends_sessions": true, "allow_insecure_target": true });
    let config: KeycloakConfig = serde_json::from_value(config).unwrap();
    let target = config.build(Tokens::default(), |_| None).unwrap();
    let message = |part: Option<&str>| {
        let part = part.map(|id| json!({ "kind": "session", "id": id }));
        let body = json!({ "type": "agent.access.revoked", "timestamp": at(0), "data": { "txn": "1",
            "issuer": "https://idp.example", "subject": "mailer", "not_before": at(0), "part": part } });
        let (id, kind) = ("evt_1".to_owned(), "agent.access.revoked".to_owned());
        Message { id, kind, body: serde_json::to_vec(&body).unwrap() }
    };

    let detail = "an answer of more than 4194304 bytes".to_owned();
    let failed = Outcome::Failed { status: None, detail: detail.clone(), wait: None };
    let agent = message(None);
    assert_eq!(target.deliver(&agent, at(0)).await, failed, "our own token");
    assert_eq!(target.deliver(&agent, at(0)).await, failed, "the agent's client");
    let unreachable = Proof::Unreachable { detail };
    assert_eq!(target.verify(&agent).unwrap().await, unreachable, "the same, read back");
    assert_eq!(target.verify(&message(Some("7"))).unwrap().await, unreachable, "its sessions");
    let paths: Vec<String> = receiver.seen().into_iter().map(|seen| seen.path).collect();
    insta::assert_snapshot!(paths.join("\n"), @r"
    /hook/realms/agents/protocol/openid-connect/token
    /hook/realms/agents/protocol/openid-connect/token
    /hook/admin/realms/agents/clients
    /hook/admin/realms/agents/clients
    /hook/admin/realms/agents/clients
    /hook/admin/realms/agents/clients/1/user-sessions
    ");
}
