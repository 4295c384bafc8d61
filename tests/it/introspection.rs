//! Introspection of the tokens of a real identity provider's agents, by where their subjects stand here.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::keycloak::Keycloak;
use crate::support::stage::Stage;
use crate::support::tocsin::{GATEWAY, OPERATOR, Tocsin};
use crate::support::{http, wait};

#[test]
fn a_revoked_agents_token_is_dead_and_so_is_one_from_before() {
    let stage = Stage::new();
    let keycloak = Keycloak::start(stage.path());
    let entry = format!(
        "[[issuers]]\nname = \"sso\"\nissuer = \"{}\"\naudience = \"tocsin\"\nagents_audience = [\"checker\"]\n\
         allow_insecure_target = true\n",
        keycloak.issuer()
    );
    let tocsin = Tocsin::start(stage.path(), &stage.settings(&entry));
    let introspect = |token: &str| {
        let request = tocsin.request(Method::POST, "/v1/introspect", GATEWAY);
        http::send(request.form(&[("token", token), ("token_type_hint", "access_token")]))
            .expect("it answers")
    };
    let operate = |verb: &str, person: &str| {
        let body = json!({ "agent_id": "billing-agent", "issuer": keycloak.issuer(), "person": person, "reason": "as agreed" });
        let request = tocsin.request(Method::POST, &format!("/v1/agents/{verb}"), OPERATOR).json(&body);
        http::send(request).expect("it answers").expect(200);
    };
    let dead = json!({ "active": false });

    let token = keycloak.token("billing-agent").expect("a token");
    let alive = introspect(&token).expect(200);
    assert_eq!(alive.header("cache-control"), "no-store");
    let alive = alive.json();
    assert_eq!((&alive["active"], &alive["iss"]), (&true.into(), &keycloak.issuer().into()));
    for claim in ["sub", "exp", "iat", "jti"] {
        assert!(!alive[claim].is_null(), "{claim}: {alive}");
    }
    assert!(alive.get("realm_access").is_none(), "{alive}");
    // For somebody else; tampered with; of nobody; not a token.
    let (body, signature) = token.rsplit_once('.').expect("a signature");
    let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
    let elsewhere = keycloak.token("soc").expect("a token");
    for other in
        [elsewhere, format!("{body}.{flipped}{}", &signature[1..]), "a.b.c".to_owned(), String::new()]
    {
        assert_eq!(introspect(&other).expect(200).json(), dead);
    }
    // Who may not ask, and who asks nothing.
    let form = [("token", token.as_str())];
    let without = http::request(Method::POST, &tocsin.url("/v1/introspect"));
    http::send(without.form(&form)).expect("it answers").expect(401);
    let operator = tocsin.request(Method::POST, "/v1/introspect", OPERATOR);
    http::send(operator.form(&form)).expect("it answers").expect(403);
    let nothing = tocsin.request(Method::POST, "/v1/introspect", GATEWAY);
    http::send(nothing.form(&[("hint", "x")])).expect("it answers").expect(400);

    operate("revoke", "Olga");
    assert_eq!(introspect(&token).expect(200).json(), dead);
    operate("reinstate", "Kim");
    assert_eq!(introspect(&token).expect(200).json(), dead, "it is from before");
    // Tokens count time in seconds.
    let renewed = wait::until(Duration::from_mins(1), || {
        let token = keycloak.token("billing-agent")?;
        let told: Value = introspect(&token).expect(200).json();
        (told["active"] == true).then_some(told)
    });
    assert!(renewed.is_some(), "a new token counts again");
}
