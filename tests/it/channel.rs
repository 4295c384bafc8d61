//! Keycloak has people asked here (its CIBA channel), for its clients and for Tocsin itself, whose approvals then come by Keycloak.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gate::Human;
use crate::support::http;
use crate::support::keycloak::Keycloak;
use crate::support::page::Page;
use crate::support::tocsin::Tocsin;
use crate::support::wait;

const LIMIT: Duration = Duration::from_mins(1);
const EMAIL: &str = "dana@example.com";
const GRANT: &str = "urn:openid:params:grant-type:ciba";

/// A client at Keycloak has Dana asked; the request's name.
fn request(keycloak: &Keycloak, message: &str) -> Result<String, Value> {
    let form = [("scope", "openid"), ("login_hint", "dana"), ("binding_message", message)];
    let answer = keycloak.post("ext/ciba/auth", "portal", &form).json();
    answer["auth_req_id"].as_str().map(str::to_owned).ok_or(answer)
}

/// What the client is told in the end.
fn told(keycloak: &Keycloak, auth_req_id: &str) -> Value {
    let ended = || {
        std::thread::sleep(Duration::from_secs(5));
        let form = [("grant_type", GRANT), ("auth_req_id", auth_req_id)];
        let answer = keycloak.post("token", "portal", &form).json();
        (answer["error"] != "authorization_pending").then_some(answer)
    };
    wait::until(LIMIT, ended).expect("an end")
}

/// The page of the question that this client's side had put.
fn page(tocsin: &Tocsin, client: &str) -> Page {
    let open = || {
        let rows = tocsin.look("/v1/approvals")["rows"].as_array().expect("rows").clone();
        rows.into_iter().find(|row| row["agent"]["agent_id"] == client)
    };
    let row = wait::until(LIMIT, open).unwrap_or_else(|| panic!("{:#}", tocsin.look("/v1/approvals")));
    Page::open(row["page_url"].as_str().expect("an address"))
}

/// Dana answers; each code is good once.
fn answer(page: &Page, dana: &Human, choice: &str, number: &str) {
    let done = || {
        let fields = [("name", dana.name), ("number", number), ("code", &dana.code())];
        Some(page.answer(choice, &fields)).filter(|answer| answer.status == 303)
    };
    wait::until(LIMIT, || {
        let done = done();
        std::thread::sleep(Duration::from_secs(2));
        done
    })
    .expect("an answer that counts");
}

#[test]
fn who_is_asked_by_keycloak_answers_here_and_keycloak_is_told() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut tocsin = Tocsin::prepare(folder.path(), "");
    let keycloak = Keycloak::asking(folder.path(), &tocsin.url("/v1/ciba/channel"));
    let issuer = keycloak.issuer();
    tocsin.configure(&format!(
        "[policy.approval]\npush_suffices = true\n[ciba_channel]\nissuer = \"{issuer}\"\nallow_insecure_target = true\n\
         [ciba]\nissuer = \"{issuer}\"\nclient_id = \"approvals\"\nclient_secret = \"approvals-secret\"\nallow_insecure_target = true\n"
    ));
    tocsin.restart();
    let subject = keycloak.add_user("dana", EMAIL);
    keycloak.add_asking("portal");
    keycloak.add_asking("approvals");
    let dana = Human::enrol_as(&tocsin, "Dana", &["dana", EMAIL, &subject]);

    // Nobody types what no agent shows, and whoever has no token of the realm has nobody asked.
    assert!(request(&keycloak, "hello").is_err());
    let body = json!({ "login_hint": "dana", "binding_message": "4711" });
    for token in [keycloak.token("billing-agent").expect("a token").as_str(), "nothing"] {
        let forged = tocsin.request(Method::POST, "/v1/ciba/channel", token).json(&body);
        http::send(forged).expect("it answers").expect(401);
    }
    assert_eq!(tocsin.look("/v1/approvals")["rows"], json!([]));

    let asked = request(&keycloak, "pay-4711").expect("a request");
    let shown = page(&tocsin, "portal");
    assert!(shown.shows("pay-4711") && shown.shows("portal"), "{}", shown.html);
    // Also over a restart the client hears of it.
    answer(&shown, &dana, "approve", "4711");
    tocsin.kill();
    tocsin.restart();
    let tokens = told(&keycloak, &asked);
    assert!(tokens["access_token"].is_string(), "{tokens}");

    let asked = request(&keycloak, "0815").expect("a request");
    answer(&page(&tocsin, "portal"), &dana, "deny", "");
    assert_eq!(told(&keycloak, &asked)["error"], "access_denied");

    // Tocsin's own question goes to Keycloak as any client's, and comes back here.
    let call = |operation: &str, body: &Value| tocsin.mfa(operation, body).expect(200).json();
    let params = json!({ "agent": "pays", "action": "send_ledger" });
    let begun = json!({ "username": "dana", "email": EMAIL, "params": params });
    let tid = call("promptless_init_transaction", &begun)["tid"].clone();
    let sent = call("promptless_send_method", &json!({ "tid": tid, "method": "push" }));
    answer(&page(&tocsin, "approvals"), &dana, "approve", sent["binding_code"].as_str().expect("a number"));
    let confirmed = call("promptless_wait_for_confirmation", &json!({ "tid": tid, "timeoutSeconds": 50 }));
    assert_eq!(
        (&confirmed["status"], &confirmed["acr"]),
        (&"confirmed".into(), &"urn:tocsin:acr:push".into())
    );
}
