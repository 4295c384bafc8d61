//! Keycloak's authentication channel for CIBA: `POST /v1/ciba/channel`, by which a realm has a person asked, and the answer back to its
//! callback.
//!
//! Keycloak sends whom (`login_hint`, the user's name), for what, and a token of the realm's that names the request; it is checked with the
//! realm's published keys and kept, sealed, since the callback takes it. `binding_message` must hold a number of four digits,
//! which the person reads where the agent is and types on the page. What came of it goes through the outbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use detector::Timestamp;
use ingest::source::credentials::bearer;
use jsonwebtoken::{Algorithm, Validation};
use reqwest::{Client, Url};
use revoker::Revoker;
use revoker::api::{Body, Problem, no_such_method};
use revoker::approval::{Action, Asked, BindingCode};
use revoker::connector::http::{client, detail};
use revoker::connector::target::{Target, TargetError};
use revoker::connector::{Attempt, Connector, Outcome, Route};
use revoker::effect::CHANNEL;
use revoker::message::Message;
use revoker::revoker::{AskError, ChannelError};
use serde::Deserialize;
use serde_json::json;

use super::issuers::keys::Keys;
use super::issuers::{LEEWAY_S, is_shared, rs256, verified};
use crate::clock;

/// Where Keycloak takes the answer, under the realm.
const CALLBACK: &str = "protocol/openid-connect/ext/ciba/auth/callback";

/// How long it may take to take it.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// The section `[ciba_channel]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChannelConfig {
    /// The realm, by the `iss` of its tokens: `https://sso.example/realms/people`.
    issuer: String,
    /// What its tokens may be signed with.
    #[serde(default = "rs256")]
    algorithms: Vec<Algorithm>,
    /// Allows `http` and addresses that are not public. For tests.
    #[serde(default)]
    allow_insecure_target: bool,
}

/// Why the section cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelConfigError {
    #[error("`issuer`: {0}")]
    Target(#[from] TargetError),
    #[error("`algorithms` must name one at least, and none that signs with a shared secret")]
    Algorithms,
    #[error("the HTTP client does not start: {0}")]
    Client(String),
}

/// One realm.
pub(super) struct Realm {
    issuer: String,
    keys: Keys,
    validation: Validation,
    client: Client,
    callback: Url,
}

impl ChannelConfig {
    /// The realm it describes.
    pub(super) fn build(&self) -> Result<Realm, ChannelConfigError> {
        let realm = self.issuer.trim_end_matches('/');
        let discovery = format!("{realm}/.well-known/openid-configuration");
        let discovery = Target::new(&discovery, self.allow_insecure_target)?;
        let callback = Target::new(&format!("{realm}/{CALLBACK}"), self.allow_insecure_target)?;
        let first = self.algorithms.first().ok_or(ChannelConfigError::Algorithms)?;
        if self.algorithms.iter().any(|algorithm| is_shared(*algorithm)) {
            return Err(ChannelConfigError::Algorithms);
        }
        revoker::signatures::install();
        let mut validation = Validation::new(*first);
        validation.algorithms.clone_from(&self.algorithms);
        validation.leeway = LEEWAY_S;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.issuer]);
        // The realm speaks to itself through us: what it gives to clients is for others.
        validation.set_audience(&[&self.issuer]);
        Ok(Realm {
            issuer: self.issuer.clone(),
            keys: Keys::new(&discovery, None, &self.issuer).map_err(ChannelConfigError::Client)?,
            validation,
            client: client(&callback).map_err(ChannelConfigError::Client)?,
            callback: callback.url().clone(),
        })
    }

    /// What it is told: answers to its own questions.
    pub(crate) fn route() -> Route {
        Route { name: CHANNEL.to_owned(), events: vec![CHANNEL.to_owned()], ..Route::default() }
    }
}

/// What is read of the realm's token.
#[derive(Deserialize)]
struct Claims {
    /// The client that wants somebody to sign in.
    azp: String,
    exp: i64,
    jti: String,
}

/// What Keycloak sends.
#[derive(Deserialize)]
struct Sent {
    login_hint: String,
    #[serde(default)]
    scope: Option<String>,
    binding_message: Option<String>,
    #[serde(default)]
    acr_values: Option<String>,
    #[serde(default)]
    is_consent_required: Option<bool>,
}

#[derive(Clone)]
struct Door {
    realm: Option<Arc<Realm>>,
    revoker: Revoker,
}

/// The route; without a realm nobody is let in.
pub(super) fn router(realm: Option<Arc<Realm>>, revoker: Revoker) -> Router {
    Router::new()
        .route("/v1/ciba/channel", post(asked))
        .method_not_allowed_fallback(no_such_method)
        .with_state(Door { realm, revoker })
}

async fn asked(
    State(door): State<Door>,
    headers: HeaderMap,
    Body(sent): Body<Sent>,
) -> Result<StatusCode, Problem> {
    let unknown = || {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "realm_unknown",
            "This is no token of the realm for this channel",
        )
    };
    let token = bearer(&headers).and_then(|token| std::str::from_utf8(token).ok());
    let (Some(realm), Some(token)) = (&door.realm, token.filter(|token| token.len() <= TOKEN_BYTES_MAX))
    else {
        return Err(unknown());
    };
    let claims: Claims =
        verified(&realm.issuer, &realm.keys, token, &realm.validation).await.map_err(|reason| {
            tracing::warn!(%reason, "a token at Keycloak's channel is refused");
            unknown()
        })?;
    let message = sent.binding_message.as_deref().unwrap_or_default();
    let number = BindingCode::shown_in(message).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "number_missing",
            "`binding_message` must hold a number of four digits",
        )
        .detail("The person reads it where the agent is, and types it.")
    })?;
    let until = Timestamp::from_millis(claims.exp.saturating_mul(1_000));
    let question = realm.question(claims, &sent);
    let asked = door.revoker.ask_for_provider(question, number, token.to_owned(), until, clock::now()).await;
    asked.map(|_| StatusCode::CREATED).map_err(|e| nobody_is_asked(&e))
}

impl Realm {
    fn question(&self, claims: Claims, sent: &Sent) -> Asked {
        let consent = sent.is_consent_required.filter(|consent| *consent).map(|_| "required".to_owned());
        let context = [
            ("binding_message", sent.binding_message.clone()),
            ("scope", sent.scope.clone()),
            ("acr_values", sent.acr_values.clone()),
            ("consent", consent),
            ("request", Some(claims.jti)),
        ];
        let context = context
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|value| !value.is_empty())?)));
        Asked {
            action: Action {
                issuer: Some(self.issuer.clone()),
                agent_id: claims.azp,
                instance_id: None,
                endpoint: "sign_in".to_owned(),
                method: None,
                operation: None,
                resource: None,
                args_digest: None,
            },
            arguments: None,
            description: Some("wants to sign in as you at the identity provider".to_owned()),
            requester: None,
            approver: Some(sent.login_hint.clone()),
            context: context.collect::<BTreeMap<_, _>>(),
            by: CHANNEL.to_owned(),
        }
    }
}

fn nobody_is_asked(e: &ChannelError) -> Problem {
    let problem = |status, kind| Problem::new(status, kind, "Nobody is asked").detail(format!("{e}."));
    match e {
        ChannelError::Nobody => problem(StatusCode::NOT_FOUND, "user_unknown"),
        ChannelError::Open | ChannelError::Ask(AskError::CoolingDown { .. }) => {
            problem(StatusCode::CONFLICT, "asked_before")
        }
        ChannelError::Ask(AskError::Invalid(_)) => problem(StatusCode::BAD_REQUEST, "bad_params"),
        ChannelError::Ask(AskError::Ended(_)) => problem(StatusCode::FORBIDDEN, "ended"),
        ChannelError::Ask(AskError::TooMany { .. }) => {
            problem(StatusCode::TOO_MANY_REQUESTS, "too_many_questions")
        }
        ChannelError::Ask(AskError::Store(_)) | ChannelError::Key(_) | ChannelError::Store(_) => {
            tracing::error!(error = %e, "a question of Keycloak's cannot be put");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "record", "The record cannot be written")
        }
    }
}

/// The way back to the realm.
pub(super) struct Channel {
    realm: Arc<Realm>,
    revoker: Revoker,
}

/// What came of a question.
#[derive(Deserialize)]
struct Answer {
    approval_id: String,
    status: String,
}

impl Channel {
    pub(super) fn new(realm: Arc<Realm>, revoker: Revoker) -> Self {
        Self { realm, revoker }
    }

    async fn send(&self, message: &Message) -> Outcome {
        let hopeless = |detail: &str| Outcome::Hopeless { detail: detail.to_owned() };
        let failed = |status, detail| Outcome::Failed { status, detail, wait: None };
        let Ok(answer) = serde_json::from_slice::<Answer>(&message.body) else {
            return hopeless("no answer");
        };
        let token = match self.revoker.bearer_for(answer.approval_id).await {
            Ok(Some(token)) => token,
            Ok(None) => return hopeless("the realm's token is gone"),
            Err(e) => return failed(None, e.to_string()),
        };
        let Ok(token) = std::str::from_utf8(token.expose()) else {
            return hopeless("the realm's token is none");
        };
        let request = self.realm.client.post(self.realm.callback.clone()).bearer_auth(token);
        match request.json(&json!({ "status": answer.status })).timeout(TIMEOUT).send().await {
            Ok(answer) if answer.status().is_success() => {
                Outcome::Acknowledged { status: answer.status().as_u16() }
            }
            // What the realm does not know any more, or had told before.
            Ok(answer)
                if answer.status().is_client_error() && answer.status() != StatusCode::TOO_MANY_REQUESTS =>
            {
                hopeless(&format!("the realm refused: {}", answer.status().as_u16()))
            }
            Ok(answer) => failed(Some(answer.status().as_u16()), "refused".to_owned()),
            Err(e) => failed(None, detail(e)),
        }
    }
}

impl Connector for Channel {
    fn name(&self) -> &str {
        CHANNEL
    }

    fn deliver<'a>(&'a self, message: &'a Message, _now: Timestamp) -> Attempt<'a> {
        Box::pin(self.send(message))
    }
}
