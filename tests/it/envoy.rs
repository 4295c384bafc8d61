//! Envoy before a small API, asking by `ext_authz`: permitted, challenged and resumed, revoked, and closed where nobody answers.

use axum::Router;
use axum::extract::Request;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::envoy::Envoy;
use crate::support::gate::{Human, challenge, operate, page_of, status};
use crate::support::http::{self, Answer};
use crate::support::page::Page;
use crate::support::parts::{python, told};
use crate::support::port;
use crate::support::stage::Stage;
use crate::support::tocsin::Tocsin;

/// Whoever pays, policy asks a human first.
const SETTINGS: &str = "[policy.approval]\npasskey_for = []\n[policy.risk]\npayments = [\"/pay\"]\n[[policy.when]]\nname = \"money\"\nrisk = [\"payments\"]\n\
                        at_least = \"step_up\"\n";

/// An API that tells what reached it.
fn api() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("to be polled");
    let port = listener.local_addr().expect("its address").port();
    let tell = async |request: Request| {
        let names: Vec<_> = request.headers().keys().map(ToString::to_string).collect();
        format!("{} {} {}", request.method(), request.uri(), names.join(" "))
    };
    http::spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        axum::serve(listener, Router::new().fallback(tell)).await.expect("it serves");
    });
    port
}

/// A key set, and a token of each of these agents signed with it.
fn minted(agents: &[&str]) -> (Value, Vec<String>) {
    let claims: Vec<Value> = agents
        .iter()
        .map(|agent| json!({ "iss": "https://idp.example", "sub": agent, "jti": format!("{agent}-1"), "exp": 4_102_444_800_u64 }))
        .collect();
    let told = told(&mut python("mint.py"), &json!({ "claims": claims }));
    let tokens = told[0]["tokens"].as_array().expect("tokens").iter();
    (told[0]["jwks"].clone(), tokens.map(|token| token.as_str().expect("a token").to_owned()).collect())
}

#[test]
fn what_envoy_asks_is_decided_and_where_nobody_answers_it_closes() {
    let stage = Stage::new();
    let checks = port::free();
    let settings = format!("{SETTINGS}[ext_authz]\nlisten = \"127.0.0.1:{checks}\"\n");
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(&settings));
    let (jwks, tokens) = minted(&["billing", "mallory"]);
    let envoy = Envoy::start(stage.path(), api(), checks, &jwks);
    let send = |method: Method, path: &str, token: Option<&str>, headers: &[(&str, &str)]| -> Answer {
        let mut request = http::request(method, &envoy.url(path));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        http::send(request).expect("Envoy answers")
    };
    let [billing, mallory] = [&tokens[0], &tokens[1]].map(|token| Some(token.as_str()));

    let permitted = send(Method::GET, "/orders?n=1", billing, &[]).expect(200);
    assert!(permitted.body.starts_with("GET /orders?n=1"), "{permitted:?}");
    // Nobody vouches for a name that a client writes, and nobody for a token that nobody signed.
    let nobody = send(Method::GET, "/orders", None, &[("x-agent-id", "billing")]).expect(403);
    assert_eq!(nobody.json()["type"], "urn:tocsin:problem:agent_unknown");
    send(Method::GET, "/orders", Some("e30.e30.e30"), &[]).expect(401);

    let dana = Human::enrol(&tocsin, "Dana");
    let challenged = send(Method::POST, "/pay?amount=9", billing, &[]).expect(401);
    let question = challenge(&challenged);
    let page = Page::open(&page_of(&tocsin, &question));
    assert!(["billing", "/pay", "amount=9"].iter().all(|text| page.shows(text)), "{}", page.html);
    let number = question["binding_code"].as_str().expect("a number");
    page.answer("approve", &[("name", dana.name), ("number", number), ("code", &dana.code())]).expect(303);
    let granted = status(&question, 0);
    let grant = granted["grant"]["token"].as_str().expect("a grant");
    let resuming = |path, resume| {
        send(Method::POST, path, billing, &[("tocsin-grant", grant), ("tocsin-resume-id", resume)])
    };
    assert_eq!(resuming("/pay?amount=9000", "r1").expect(401).json()["reason"], "other_act");
    let resumed = resuming("/pay?amount=9", "r1").expect(200);
    assert!(!resumed.body.contains("tocsin-"), "the grant goes no further: {resumed:?}");
    assert_eq!(resuming("/pay?amount=9", "r2").expect(401).json()["reason"], "used");

    send(Method::GET, "/orders", mallory, &[]).expect(200);
    operate(&tocsin, "revoke", "mallory");
    let revoked = send(Method::GET, "/orders", mallory, &[]).expect(403);
    assert_eq!(
        (&revoked.json()["decision"], revoked.header("content-type")),
        (&"revoked".into(), "application/problem+json")
    );

    assert!(tocsin.stop().success());
    let closed = send(Method::GET, "/orders", billing, &[]).expect(403);
    assert!(!closed.body.contains("GET /orders"), "{closed:?}");
}
