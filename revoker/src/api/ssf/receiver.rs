//! Which receiver calls, what it sends, and how it is refused (RFC 6750).

use axum::extract::{FromRequest, FromRequestParts, Json, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};

use serde::de::DeserializeOwned;

use super::Ssf;
use crate::api::caller::{Caller, text_header, told};
use crate::api::input::bad;
use crate::api::problem::Problem;
use crate::connector::ssf::{Receiver, Refusal, Scope};

/// A receiver whose credential was checked.
pub(super) struct AsReceiver(pub(super) Receiver);

impl FromRequestParts<Ssf> for AsReceiver {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, ssf: &Ssf) -> Result<Self, Problem> {
        let token = bearer(&parts.headers);
        if let Some((receiver, scope)) = token.and_then(|token| ssf.transmitter.receiver(token.as_bytes())) {
            parts.extensions.insert(scope);
            return Ok(Self(receiver.clone()));
        }
        // Somebody known, who is no receiver.
        if let Some(caller) = parts.extensions.get::<Caller>() {
            told(parts, &caller.name, "receiver");
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "receiver_required",
                "This credential may not do that",
            )
            .detail(format!("`{}` is none of `[[ssf.receivers]]`.", caller.name))
            .header(header::WWW_AUTHENTICATE, r#"Bearer error="insufficient_scope""#));
        }
        told(parts, "nobody who is known", "receiver");
        let challenge = if token.is_some() { r#"Bearer error="invalid_token""# } else { "Bearer" };
        Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "credential_required",
            "A receiver's credential is required",
        )
        .detail("Send `Authorization: Bearer …` with the token of one of `[[ssf.receivers]]`.")
        .header(header::WWW_AUTHENTICATE, challenge))
    }
}

/// One that may make and change streams.
pub(super) struct AsManager(pub(super) Receiver);

impl FromRequestParts<Ssf> for AsManager {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, ssf: &Ssf) -> Result<Self, Problem> {
        let AsReceiver(receiver) = AsReceiver::from_request_parts(parts, ssf).await?;
        if parts.extensions.get() == Some(&Scope::Manage) {
            return Ok(Self(receiver));
        }
        told(parts, receiver.name(), "ssf.manage");
        let challenge = r#"Bearer error="insufficient_scope", scope="ssf.manage""#;
        Err(Problem::new(StatusCode::FORBIDDEN, "scope_required", "This credential may not do that")
            .detail("It has the scope `ssf.read`, and this takes `ssf.manage`.")
            .header(header::WWW_AUTHENTICATE, challenge))
    }
}

/// A JSON body. SSF knows 400 alone for one that cannot be read, whatever is the matter with it.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(bad(StatusCode::BAD_REQUEST, &rejection)),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text_header(headers, &header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Bad(what) => {
                Self::new(StatusCode::BAD_REQUEST, "bad_request", "The request cannot be done").detail(what)
            }
            Refusal::Forbidden(what) => {
                Self::new(StatusCode::FORBIDDEN, "forbidden", "This receiver may not do that").detail(what)
            }
            Refusal::NotFound => {
                Self::new(StatusCode::NOT_FOUND, "stream_unknown", "This receiver has no such stream")
            }
            Refusal::Conflict(what) => {
                Self::new(StatusCode::CONFLICT, "too_many_streams", "There are too many streams").detail(what)
            }
            Refusal::TooSoon(wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too_soon", "That was asked for a moment ago")
                    .retry_after(seconds)
            }
            Refusal::Store(e) => e.into(),
        }
    }
}
