//! Callers that a real identity provider knows, and tokens that somebody made up.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::http;
use crate::support::keycloak::Keycloak;
use crate::support::stage::Stage;
use crate::support::tocsin::Tocsin;

fn entry(keycloak: &Keycloak) -> String {
    format!(
        "[[issuers]]\nname = \"sso\"\nissuer = \"{}\"\naudience = \"tocsin\"\nroles_claim = \"realm_access.roles\"\n\
         roles = {{ tocsin-operators = [\"operator\"] }}\nallow_insecure_target = true\n",
        keycloak.issuer()
    )
}

/// The same token with its header changed.
fn with_header(token: &str, change: impl Fn(&mut Value)) -> String {
    let (header, rest) = token.split_once('.').expect("three parts");
    let header = URL_SAFE_NO_PAD.decode(header).expect("base64");
    let mut header: Value = serde_json::from_slice(&header).expect("JSON");
    change(&mut header);
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

#[test]
fn who_the_provider_says_is_an_operator_is_one_and_nobody_else() {
    let stage = Stage::new();
    let keycloak = Keycloak::start(stage.path());
    let tocsin = Tocsin::start(stage.path(), &stage.settings(&entry(&keycloak)));
    let status = |token: &str| {
        http::send(tocsin.request(Method::GET, "/v1/agents", token)).expect("it answers").status
    };
    let operator = keycloak.token("soc").expect("a token");
    assert_eq!(status(&operator), 200);

    let body = json!({ "agent_id": "thief", "person": "Olga", "reason": "stolen" });
    let revoke = tocsin.request(Method::POST, "/v1/agents/revoke", &operator).json(&body);
    http::send(revoke).expect("it answers").expect(200);
    let audit = tocsin.look("/v1/agent?agent_id=thief")["history"].to_string();
    assert!(audit.contains("Olga via sso/"), "{audit}");

    // No role; for somebody else; not signed by it; signed by nobody; signed with what is public; of an unknown key.
    let agent = keycloak.token("billing-agent").expect("a token");
    let elsewhere = keycloak.token("checker").expect("a token");
    let (body, signature) = operator.rsplit_once('.').expect("a signature");
    let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
    let tampered = format!("{body}.{flipped}{}", &signature[1..]);
    let forged = [
        agent,
        elsewhere,
        tampered,
        with_header(&operator, |header| header["alg"] = "none".into()),
        with_header(&operator, |header| header["alg"] = "HS256".into()),
        with_header(&operator, |header| header["kid"] = "another".into()),
        format!("{body}."),
        "a.b.c".to_owned(),
    ];
    for token in &forged {
        assert_eq!(status(token), 401, "{token}");
    }
    let log = std::fs::read_to_string(stage.path().join("tocsin.out")).expect("its log");
    for reason in
        ["none of its roles allows anything here", "InvalidAudience", "InvalidSignature", "names no key"]
    {
        assert!(log.contains(reason), "why a token was refused: {reason}\n{log}");
    }
    assert!(
        forged.iter().all(|token| token.len() < 20 || !log.contains(token.as_str())),
        "a token in the log"
    );
}
