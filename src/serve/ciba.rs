//! Asking people through an identity provider's own app: a client of OpenID Connect Client-Initiated Backchannel Authentication Core
//! 1.0, in its poll and ping modes.
//!
//! The record says what is to be asked and how far that is; here it is asked. The app shows the person the number that the agent
//! shows (`binding_message`). A yes is an id token that is checked; a no is `access_denied`. Everything else is neither.

mod config;
mod token;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use detector::Timestamp;
use ingest::source::credentials::bearer;
use reqwest::{Client, Url};
use revoker::Revoker;
use revoker::api::{Body, Problem, no_such_method};
use revoker::approval::{Approval, Digest};
use revoker::connector::http::{detail, read_whole};
use revoker::connector::target::Target;
use revoker::store::StoreError;
use revoker::store::pushes::Push;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use self::config::CibaConfig;
use self::config::Mode;
use super::issuers::keys::Keys;
use crate::clock;
use crate::exit::Result;

/// A provider may call the person's phone before it answers.
const TIMEOUT: Duration = Duration::from_secs(15);

/// No answer of a provider is longer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The grant of section 10.1.
const GRANT: &str = "urn:openid:params:grant-type:ciba";

/// What `slow_down` adds (section 11), and what a provider that does not answer is given.
const SLOWER_S: u32 = 5;

/// How often a provider that pings is asked all the same: a ping may be lost.
const PINGED_EVERY_S: u32 = 30;

/// The longest time between two questions, seconds.
const INTERVAL_S_MAX: u32 = 300;

/// The longest sleep: the clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// After a record that could not be read or written.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// One provider.
pub(super) struct Ciba {
    config: CibaConfig,
    secret: String,
    client: Client,
    keys: Keys,
    discovery: Url,
    endpoints: OnceCell<Endpoints>,
    /// What its id tokens must be, but for whom and when they are of.
    validation: jsonwebtoken::Validation,
}

/// Where requests go.
struct Endpoints {
    authentication: Url,
    token: Url,
}

/// The part of the provider's metadata that is read (section 4).
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    backchannel_authentication_endpoint: Option<String>,
    token_endpoint: String,
}

/// A request that the provider took (section 7.3).
#[derive(Deserialize)]
struct Taken {
    auth_req_id: String,
    expires_in: u32,
    interval: Option<u32>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

/// An error (sections 11 and 13).
#[derive(Deserialize)]
struct Refused {
    error: String,
}

/// What came back.
enum Came<T> {
    Good(T),
    /// The provider's error, by its code.
    Refused(String),
    /// None that counts: it is asked again.
    Nothing(String),
}

/// Asks until told to stop.
pub(super) async fn run(ciba: Ciba, revoker: Revoker, stop: CancellationToken) -> Result<()> {
    let ciba = Arc::new(ciba);
    let mut changes = revoker.changes();
    loop {
        // Marked as seen before the record is read: what is committed after wakes us again.
        changes.mark_unchanged();
        let sleep = match turn(&ciba, &revoker).await {
            Ok(sleep) => sleep,
            Err(e) => {
                tracing::error!(error = %e, "what an identity provider is to be asked cannot be read or written");
                AFTER_ERROR
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            seen = changes.changed() => if seen.is_err() { return Ok(()) },
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// Asks all that is due, and says how long there is nothing more to ask.
async fn turn(ciba: &Arc<Ciba>, revoker: &Revoker) -> std::result::Result<Duration, StoreError> {
    let (due, next) = revoker.pushes_due(clock::now()).await?;
    if due.is_empty() {
        return Ok(next.map_or(SLEEP_MAX, |next| next.since(clock::now())).min(SLEEP_MAX));
    }
    let mut asking = JoinSet::new();
    for (push, approval) in due {
        let (ciba, revoker) = (Arc::clone(ciba), revoker.clone());
        asking.spawn(async move { ciba.ask(&revoker, &push, &approval).await });
    }
    // All of them to their end: an answer is fetched once, and would be lost.
    let mut all = Ok(());
    while let Some(asked) = asking.join_next().await {
        all = all.and(asked.unwrap_or(Err(StoreError::Stopped)));
    }
    all.map(|()| Duration::ZERO)
}

impl Ciba {
    async fn ask(
        &self,
        revoker: &Revoker,
        push: &Push,
        approval: &Approval,
    ) -> std::result::Result<(), StoreError> {
        let endpoints = match self.endpoints.get_or_try_init(|| self.discover()).await {
            Ok(endpoints) => endpoints,
            Err(why) => return self.later(revoker, push, &why).await,
        };
        match &push.auth_req_id {
            None => self.begin(revoker, push, approval, &endpoints.authentication).await,
            Some(auth_req_id) => self.look(revoker, push, approval, (auth_req_id, &endpoints.token)).await,
        }
    }

    /// Section 7.1: the request. A crash before it is written down has the person asked twice.
    async fn begin(
        &self,
        revoker: &Revoker,
        push: &Push,
        approval: &Approval,
        url: &Url,
    ) -> std::result::Result<(), StoreError> {
        let left_s = push.expires_at.since(clock::now()).as_secs().max(1);
        let ping =
            (self.config.mode == Mode::Ping).then(|| URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
        let mut form = vec![
            ("scope", "openid".to_owned()),
            ("login_hint", push.login_hint.clone()),
            ("binding_message", approval.binding_code.as_str().to_owned()),
            ("requested_expiry", left_s.to_string()),
        ];
        if !self.config.acr_values.is_empty() {
            form.push(("acr_values", self.config.acr_values.join(" ")));
        }
        form.extend(ping.clone().map(|token| ("client_notification_token", token)));
        let now = clock::now();
        match self.post::<Taken>(url, form).await {
            Came::Good(taken) => {
                let interval_s = taken.interval.unwrap_or(push.interval_s).clamp(1, INTERVAL_S_MAX);
                let until = now + Duration::from_secs(taken.expires_in.into());
                let digest = ping.map(|token| Digest::of(token.as_bytes()));
                let next = self.next(interval_s, now);
                revoker.push_taken(push, (taken.auth_req_id, digest), (interval_s, next), until).await
            }
            Came::Refused(error) => {
                tracing::warn!(approval_id = %push.approval, error, "the identity provider does not ask the person");
                revoker.push_failed(push, format!("refused: {error}"), clock::now()).await
            }
            Came::Nothing(why) => self.later(revoker, push, &why).await,
        }
    }

    /// Section 10.1: whether there is an answer.
    async fn look(
        &self,
        revoker: &Revoker,
        push: &Push,
        approval: &Approval,
        (auth_req_id, url): (&str, &Url),
    ) -> std::result::Result<(), StoreError> {
        let form = vec![("grant_type", GRANT.to_owned()), ("auth_req_id", auth_req_id.to_owned())];
        let came = self.post::<Tokens>(url, form).await;
        let now = clock::now();
        let by = match came {
            Came::Good(tokens) => match self.verified(&tokens.id_token, push, auth_req_id).await {
                Ok(by) => Some(by),
                Err(why) => {
                    tracing::warn!(approval_id = %push.approval, why, "an identity provider's yes is refused");
                    return revoker.push_failed(push, format!("id token: {why}"), now).await;
                }
            },
            Came::Refused(error) => match error.as_str() {
                "authorization_pending" => {
                    return revoker.push_again(push, push.interval_s, self.next(push.interval_s, now)).await;
                }
                "slow_down" => return self.slower(revoker, push, now).await,
                "access_denied" => None,
                // `expired_token` too: nobody answered there, which is no denial.
                _ => return revoker.push_failed(push, error, now).await,
            },
            Came::Nothing(why) => return self.later(revoker, push, &why).await,
        };
        match revoker.push_answered((push, approval), by, now).await {
            Ok(outcome) => {
                tracing::info!(approval_id = %push.approval, ?outcome, "the identity provider has an answer");
                Ok(())
            }
            Err(revoker::approval::DecideError::Store(e)) => Err(e),
            Err(e) => {
                tracing::error!(approval_id = %push.approval, error = %e, "an answer cannot be taken");
                revoker.push_failed(push, "the answer cannot be taken".to_owned(), now).await
            }
        }
    }

    /// When it is asked next of its own accord.
    fn next(&self, interval_s: u32, now: Timestamp) -> Timestamp {
        let wait_s = if self.config.mode == Mode::Ping { interval_s.max(PINGED_EVERY_S) } else { interval_s };
        now + Duration::from_secs(wait_s.into())
    }

    async fn later(&self, revoker: &Revoker, push: &Push, why: &str) -> std::result::Result<(), StoreError> {
        tracing::warn!(approval_id = %push.approval, why, "the identity provider cannot be asked");
        self.slower(revoker, push, clock::now()).await
    }

    async fn slower(
        &self,
        revoker: &Revoker,
        push: &Push,
        now: Timestamp,
    ) -> std::result::Result<(), StoreError> {
        let interval_s = (push.interval_s + SLOWER_S).min(INTERVAL_S_MAX);
        revoker.push_again(push, interval_s, now + Duration::from_secs(interval_s.into())).await
    }

    async fn discover(&self) -> std::result::Result<Endpoints, String> {
        let found: Discovery = self.keys.get(self.discovery.clone()).await?;
        if found.issuer != self.config.issuer {
            return Err(format!("discovery says that it is `{}`", found.issuer));
        }
        let insecure = self.config.allow_insecure_target;
        let target = |name: &str, url: &str| {
            let target = Target::new(url, insecure).map_err(|e| format!("{name}: {e}"))?;
            Ok::<_, String>(target.url().clone())
        };
        let authentication = found.backchannel_authentication_endpoint;
        let authentication = authentication.ok_or("it names no `backchannel_authentication_endpoint`")?;
        Ok(Endpoints {
            authentication: target("backchannel_authentication_endpoint", &authentication)?,
            token: target("token_endpoint", &found.token_endpoint)?,
        })
    }

    /// Posts a form as the client that we are.
    async fn post<T: DeserializeOwned>(&self, url: &Url, mut form: Vec<(&'static str, String)>) -> Came<T> {
        form.push(("client_id", self.config.client_id.clone()));
        form.push(("client_secret", self.secret.clone()));
        let sent = self.client.post(url.clone()).form(&form).timeout(TIMEOUT).send().await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(e) => return Came::Nothing(detail(e)),
        };
        let status = answer.status();
        let body = match read_whole(answer, ANSWER_BYTES_MAX).await {
            Ok(body) => body,
            Err(e) => return Came::Nothing(e),
        };
        if status.is_success() {
            let read = serde_json::from_slice(&body);
            return read.map_or_else(|_| Came::Nothing("its answer cannot be read".to_owned()), Came::Good);
        }
        match serde_json::from_slice::<Refused>(&body) {
            // RFC 6749, section 5.2: a code is printable ASCII. What is none is not repeated.
            Ok(Refused { error })
                if status.is_client_error()
                    && error.len() <= 64
                    && error.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                Came::Refused(error)
            }
            _ => Came::Nothing(format!("it answered {}", status.as_u16())),
        }
    }
}

/// What a ping holds (section 10.2).
#[derive(Deserialize)]
struct Ping {
    auth_req_id: String,
}

/// The route that a provider pings, whose bearer token is that of the one request.
pub(super) fn router(revoker: Revoker) -> Router {
    Router::new()
        .route("/v1/ciba/ping", post(pinged))
        .method_not_allowed_fallback(no_such_method)
        .with_state(revoker)
}

async fn pinged(
    State(revoker): State<Revoker>,
    headers: HeaderMap,
    Body(ping): Body<Ping>,
) -> std::result::Result<StatusCode, Problem> {
    let token = bearer(&headers).and_then(|token| std::str::from_utf8(token).ok());
    let known = match token {
        Some(token) => revoker.pinged(ping.auth_req_id, token, clock::now()).await?,
        None => false,
    };
    if known {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::new(StatusCode::UNAUTHORIZED, "ping_unknown", "This is no ping for a request that is open"))
}
