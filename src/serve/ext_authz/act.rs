//! A request that Envoy holds, as a record of the native schema.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use revoker::api::Problem;
use serde_json::{Map, Value, json};

use super::ExtAuthzConfig;
use super::wire::{Attributes, Http};
use crate::serve::introspect::key_thumbprint;

/// Where Envoy's JWT filter puts the claims of a token that it verified.
const JWT_FILTER: &str = "envoy.filters.http.jwt_authn";

/// Fields of a record that a header may fill, if the operator says so.
pub(super) const FROM_HEADERS: [&str; 7] =
    ["agent_id", "issuer", "instance_id", "session_id", "key_thumbprint", "delegator", "parent_agent_id"];

/// Why nobody is asked about a request: who makes it is not known.
pub(super) fn nameless() -> Problem {
    Problem::new(axum::http::StatusCode::FORBIDDEN, "agent_unknown", "Nobody vouches for who calls")
        .detail("Neither a verified token nor anything else that the gateway vouches for names the agent.")
}

/// The record of the act, dated now; none where nothing that may be believed names the agent.
pub(super) fn record(
    config: &ExtAuthzConfig,
    attributes: &Attributes,
    (event_id, now): (&str, &str),
) -> Option<Map<String, Value>> {
    let http = attributes.request.as_ref()?.http.as_ref()?;
    let mut record = who(config, attributes, http)?;
    let (path, query) = http.path.split_once('?').unwrap_or((&http.path, ""));
    let body = if http.raw_body.is_empty() { http.body.as_bytes() } else { &http.raw_body };
    let mut put = |name: &str, value: Value| {
        if value.as_str() != Some("") {
            record.insert(name.to_owned(), value);
        }
    };
    put("kind", "request".into());
    put("event_id", event_id.into());
    put("ts", now.into());
    put("endpoint", path.into());
    put("method", http.method.as_str().into());
    put("resource", http.host.as_str().into());
    put("call_id", http.id.as_str().into());
    put("user_agent", http.headers.get("user-agent").map_or("", String::as_str).into());
    if http.size > 0 {
        put("bytes_in", http.size.into());
    }
    if !(query.is_empty() && body.is_empty()) {
        // A human reads these, and a yes is for them and no others.
        let mut arguments = json!({ "query": query });
        match std::str::from_utf8(body) {
            Ok("") => {}
            Ok(text) => arguments["body"] = text.into(),
            Err(_) => arguments["body_base64"] = STANDARD.encode(body).into(),
        }
        put("arguments", arguments);
    }
    let address = attributes.source.as_ref().and_then(|peer| peer.address.as_ref());
    if let Some(socket) = address.and_then(|address| address.socket_address.as_ref()) {
        put("source_ip", socket.address.as_str().into());
    }
    Some(record)
}

/// Who acts, by what a client cannot write: the claims that Envoy verified, the certificate that it verified, and of headers those alone that
/// the operator named.
fn who(config: &ExtAuthzConfig, attributes: &Attributes, http: &Http) -> Option<Map<String, Value>> {
    let mut record = Map::new();
    let claims = attributes.metadata_context.as_ref().and_then(|all| all.filter_metadata.get(JWT_FILTER));
    let claims = claims.and_then(|filter| filter.fields.get(&config.jwt_payload));
    let peer = attributes.source.as_ref().map(|peer| peer.principal.as_str()).unwrap_or_default();
    if let Some(Value::Object(claims)) = claims.cloned().map(Value::from) {
        of_claims(&mut record, &claims, &config.agent_claim);
    } else if config.principals && !peer.is_empty() {
        record.insert("agent_id".to_owned(), peer.into());
        record.insert("attestation".to_owned(), "key".into());
    }
    for (field, header) in &config.headers {
        if let Some(value) = http.headers.get(header).filter(|value| !value.is_empty()) {
            // What was verified stands.
            record.entry(field.as_str()).or_insert_with(|| value.as_str().into());
            record.entry("attestation").or_insert_with(|| "network".into());
        }
    }
    record.contains_key("agent_id").then_some(record)
}

fn of_claims(record: &mut Map<String, Value>, claims: &Map<String, Value>, agent: &str) {
    let mut path = agent.split('.');
    let first = path.next().and_then(|claim| claims.get(claim));
    let Some(Value::String(agent)) = path.fold(first, |value, claim| value?.get(claim)) else { return };
    record.insert("agent_id".to_owned(), agent.as_str().into());
    record.insert("attestation".to_owned(), "token".into());
    for (field, claim) in [("issuer", "iss"), ("token_id", "jti"), ("session_id", "sid"), ("scope", "scope")]
    {
        if let Some(Value::String(text)) = claims.get(claim) {
            record.insert(field.to_owned(), text.as_str().into());
        }
    }
    if let Some(key) = key_thumbprint(claims) {
        record.insert("key_thumbprint".to_owned(), key.into());
    }
    for (field, claim) in [("token_iat", "iat"), ("token_exp", "exp")] {
        let at = claims.get(claim).and_then(Value::as_f64).filter(|s| (0.0..1e10).contains(s));
        if let Some(at) = at {
            record.insert(field.to_owned(), json!(detector::Timestamp::from_millis((at * 1e3) as i64)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Metadata, Peer, Request, Struct};
    use super::*;
    use crate::serve::ext_authz::wire;

    fn text(value: &str) -> wire::Value {
        wire::Value { kind: Some(wire::Kind::Text(value.to_owned())) }
    }

    fn verified(claims: Vec<(&str, wire::Value)>) -> Metadata {
        let fields = claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let claims = wire::Value { kind: Some(wire::Kind::Struct(Struct { fields })) };
        let filter = Struct { fields: [("jwt_payload".to_owned(), claims)].into() };
        Metadata { filter_metadata: [(JWT_FILTER.to_owned(), filter)].into() }
    }

    fn attributes(path: &str, headers: &[(&str, &str)]) -> Attributes {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let http = Http {
            method: "POST".into(),
            path: path.into(),
            host: "api.example".into(),
            headers,
            ..Http::default()
        };
        let request = Some(Request { http: Some(http) });
        Attributes { request, ..Attributes::default() }
    }

    fn read(config: &str, attributes: &Attributes) -> Option<Value> {
        let config: ExtAuthzConfig = toml::from_str(&format!("listen = \"127.0.0.1:1\"\n{config}")).unwrap();
        record(&config, attributes, ("e1", "2026-11-22T03:00:00Z")).map(Value::Object)
    }

    #[test]
    fn nothing_that_a_client_writes_names_the_agent_unless_the_operator_says_so() {
        let mut asked = attributes("/orders", &[("x-agent", "billing"), ("authorization", "Bearer x")]);
        asked.source = Some(Peer { principal: "spiffe://example/billing".into(), ..Peer::default() });
        assert_eq!(read("", &asked), None);
        let by_header = read("headers = { agent_id = \"X-Agent\" }", &asked).unwrap();
        assert_eq!(
            (&by_header["agent_id"], &by_header["attestation"]),
            (&"billing".into(), &"network".into())
        );
        let by_certificate = read("principals = true\nheaders = { agent_id = \"x-agent\" }", &asked).unwrap();
        assert_eq!(by_certificate["agent_id"], "spiffe://example/billing");
        assert_eq!(by_certificate["attestation"], "key");
    }

    #[test]
    fn verified_claims_name_the_agent_and_arguments_are_told_apart() {
        let number = wire::Value { kind: Some(wire::Kind::Number(1_767_600_000.0)) };
        let actor = Struct { fields: [("sub".to_owned(), text("helper"))].into() };
        let bound = Struct { fields: [("jkt".to_owned(), text("0ZcO"))].into() };
        let [actor, bound] =
            [actor, bound].map(|fields| wire::Value { kind: Some(wire::Kind::Struct(fields)) });
        let claims = vec![
            ("sub", text("billing")),
            ("iss", text("https://idp")),
            ("iat", number),
            ("act", actor),
            ("cnf", bound),
        ];
        let asked =
            |path| Attributes { metadata_context: Some(verified(claims.clone())), ..attributes(path, &[]) };
        let record = read("", &asked("/orders?n=1")).unwrap();
        assert_eq!(
            [
                &record["agent_id"],
                &record["issuer"],
                &record["endpoint"],
                &record["method"],
                &record["resource"],
                &record["key_thumbprint"]
            ],
            ["billing", "https://idp", "/orders", "POST", "api.example", "0ZcO"]
        );
        assert_eq!(record["token_iat"], "2026-01-05T08:00:00Z");
        assert_eq!(record["arguments"], json!({ "query": "n=1" }));
        assert_eq!(read("", &asked("/orders")).unwrap().get("arguments"), None);
        let mut posted = asked("/orders");
        let mut body = |bytes: &[u8]| {
            posted.request.as_mut().unwrap().http.as_mut().unwrap().raw_body = bytes.to_vec();
            read("", &posted).unwrap()["arguments"].clone()
        };
        assert_eq!(body(b"amount=9"), json!({ "query": "", "body": "amount=9" }));
        assert_eq!(body(b"\xff"), json!({ "query": "", "body_base64": "/w==" }));
        assert_eq!(read("agent_claim = \"act.sub\"", &asked("/orders")).unwrap()["agent_id"], "helper");
        assert_eq!(read("agent_claim = \"azp\"", &asked("/orders")), None);
    }
}
