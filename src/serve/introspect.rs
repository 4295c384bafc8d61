//! `POST /v1/introspect` (RFC 7662): whether a token of an agent counts, by its issuer's signature and by where its subject stands here.
//!
//! Answered for are tokens of `[[issuers]]` whose `aud` is one of `agents_audience`. Whatever is not a live token of an agent that may act
//! is `{"active":false}` and nothing else: dead, forged, for somebody else, or its subject revoked, suspended or retired, or it or its session ended alone, or from
//! before its subject's last revocation. An agent that waits for a human keeps its token: what it may do is the gate's to say. A
//! token's subject is looked up by its `sub`, `client_id` and `azp`, under its issuer and under none.

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Form, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use detector::Timestamp;
use revoker::Revoker;
use revoker::agent::AgentKey;
use revoker::api::{AsGateway, Problem, no_such_method};
use revoker::part::{Part, PartKind};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::http::Who;

/// The longest form: one token and a hint.
const FORM_BYTES_MAX: usize = 32 * 1_024;

/// What is told of a live token, where it says so itself.
const TOLD: [&str; 15] = [
    "iss",
    "sub",
    "client_id",
    "aud",
    "scope",
    "exp",
    "iat",
    "nbf",
    "jti",
    "acr",
    "auth_time",
    "cnf",
    "act",
    "sid",
    "username",
];

#[derive(Clone)]
struct Asked {
    who: Arc<Who>,
    revoker: Revoker,
}

pub(super) fn router(who: Arc<Who>, revoker: Revoker) -> Router {
    Router::new()
        .route("/v1/introspect", post(introspect))
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .with_state(Asked { who, revoker })
}

/// `token_type_hint` may come along; there is one type.
#[derive(Deserialize)]
struct Question {
    token: String,
}

/// Role `gateway`.
async fn introspect(
    State(Asked { who, revoker }): State<Asked>,
    AsGateway(caller): AsGateway,
    form: Result<Form<Question>, FormRejection>,
) -> Result<Response, Problem> {
    let Form(Question { token }) = form.map_err(|rejection| {
        Problem::new(StatusCode::BAD_REQUEST, "bad_request", "The request cannot be read")
            .detail(rejection.body_text())
            .fact("error", "invalid_request")
    })?;
    let answer = match who.issuers.agent(&token).await {
        Ok(claims) if revoker.is_void(names(&claims), parts(&claims), seconds(&claims, "iat")).await? => {
            dead()
        }
        Ok(claims) => alive(claims),
        Err(reason) => {
            tracing::debug!(caller = caller.name, %reason, "a token that is asked about is none");
            dead()
        }
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

fn dead() -> Value {
    json!({ "active": false })
}

fn alive(mut claims: Map<String, Value>) -> Value {
    claims.retain(|claim, _| TOLD.contains(&claim.as_str()));
    claims.insert("active".to_owned(), true.into());
    claims.insert("token_type".to_owned(), "Bearer".into());
    Value::Object(claims)
}

fn names(claims: &Map<String, Value>) -> Vec<AgentKey> {
    let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
    let subjects = ["sub", "client_id", "azp"].into_iter().filter_map(text);
    subjects.flat_map(|subject| [AgentKey::new(text("iss"), subject), AgentKey::new(None, subject)]).collect()
}

/// What of its agent the token is: itself, its session, and the key that it is bound to.
fn parts(claims: &Map<String, Value>) -> Vec<Part> {
    let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
    let named = [
        (PartKind::Token, text("jti")),
        (PartKind::Session, text("sid")),
        (PartKind::Key, key_thumbprint(claims)),
    ];
    named.into_iter().filter_map(|(kind, id)| Part::new(kind, id?)).collect()
}

/// Thumbprint of the key that a token of these claims is bound to: by proof (RFC 9449 §6.1), or by a client certificate (RFC 8705 §3.1).
pub(super) fn key_thumbprint(claims: &Map<String, Value>) -> Option<&str> {
    let cnf = claims.get("cnf")?;
    ["jkt", "x5t#S256"].into_iter().find_map(|member| cnf.get(member)?.as_str())
}

fn seconds(claims: &Map<String, Value>, claim: &str) -> Option<Timestamp> {
    let seconds = claims.get(claim)?.as_f64().filter(|seconds| (0.0..1e11).contains(seconds))?;
    Some(Timestamp::from_millis((seconds * 1e3) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_the_key_that_it_is_bound_to() {
        let key = |cnf: Value| {
            let claims = json!({ "jti": "t", "cnf": cnf });
            let parts = parts(claims.as_object().unwrap());
            parts.into_iter().find(|part| part.kind == PartKind::Key).map(|part| part.id)
        };
        assert_eq!(key(json!({ "jkt": "0ZcO" })).as_deref(), Some("0ZcO"));
        assert_eq!(key(json!({ "x5t#S256": "bwcK" })).as_deref(), Some("bwcK"));
        assert_eq!(key(json!({ "jkt": "0ZcO", "x5t#S256": "bwcK" })).as_deref(), Some("0ZcO"));
        for none in [json!({ "kid": "k" }), json!({ "jkt": 1 }), json!("0ZcO"), Value::Null] {
            assert_eq!(key(none), None);
        }
    }
}
