use serde_json::json;

use super::*;

fn config(more: &str) -> IssuerConfig {
    let text = format!(
        "name = \"sso\"\nissuer = \"https://sso.example/realms/agents\"\naudience = \"tocsin\"\n\
         roles = {{ soc = [\"operator\"], edge = [\"gateway\", \"ingest\"] }}\n{more}"
    );
    toml::from_str(&text).unwrap()
}

#[test]
fn roles_are_found_where_the_issuer_puts_them() {
    let allowed = |more: &str, claims: Value| config(more).allowed(claims.as_object().unwrap());
    let nested = "roles_claim = \"realm_access.roles\"";
    assert_eq!(allowed("", json!({ "roles": ["soc", "other"] })), [Role::Operator]);
    assert_eq!(
        allowed(nested, json!({ "realm_access": { "roles": ["edge"] } })),
        [Role::Gateway, Role::Ingest]
    );
    assert_eq!(allowed("roles_claim = \"scope\"", json!({ "scope": "openid soc" })), [Role::Operator]);
    for nothing in
        [json!({}), json!({ "roles": "socs" }), json!({ "roles": { "soc": true } }), json!({ "roles": 1 })]
    {
        assert_eq!(allowed("", nothing.clone()), [], "{nothing}");
    }
    assert_eq!(allowed(nested, json!({ "realm_access.roles": ["soc"] })), []);
}

#[test]
fn an_issuer_that_lets_anybody_in_is_refused() {
    let said =
        |config: IssuerConfig| Issuers::new(&[config]).err().map(|e| e.to_string()).unwrap_or_default();
    insta::assert_snapshot!(said(config("algorithms = [\"RS256\", \"HS256\"]")), @"issuers `sso`: `algorithms`: HS256 is signed with a shared secret; its holder could make tokens of any caller");
    insta::assert_snapshot!(said(config("jwks_url = \"http://sso.example/keys\"")), @"issuers `sso`: `jwks_url`: `http` is not https; `allow_insecure_target` allows it, for tests");
    insta::assert_snapshot!(said(config("algorithms = []")), @"issuers `sso`: `algorithms` must not be empty");
    insta::assert_snapshot!(said(config("")), @"");
}
