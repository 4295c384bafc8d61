//! `GET` and `POST /enrol/{link}`: where somebody with a link becomes an approver. No credential: the address cannot be guessed, is
//! good for a day, and for one passkey and one one-time code.

use std::sync::Arc;

use axum::extract::rejection::{FormRejection, PathRejection};
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use detector::MicroBits;
use serde::Deserialize;

use super::Api;
use super::approve::{cookie, is_own, new_cookie, reply};
use crate::approval::page::enrol::{Asked, Told, done, page};
use crate::approval::{EnrolError, Enrolling, FormToken, Link, Method, begin, standing, take};

pub(super) fn router() -> Router<Api> {
    Router::new().route("/enrol/{link}", get(show).post(enrol)).route("/enrol/{link}/passkey", post(asks))
}

#[derive(Deserialize)]
struct Posted {
    token: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    passkey: Option<String>,
    #[serde(default)]
    label: String,
}

fn link(path: Result<Path<String>, PathRejection>) -> Option<Link> {
    Link::new(&path.ok()?)
}

fn token(api: &Api, link: &Link, cookie: &str) -> FormToken {
    FormToken::new(api.revoker.keys(), link.as_str(), cookie, MicroBits::ZERO)
}

/// Whether the form is this page's, as this browser was shown it.
fn genuine(api: &Api, headers: &HeaderMap, link: &Link, posted: &str) -> bool {
    let known = cookie(headers).is_some_and(|cookie| token(api, link, &cookie).matches(posted));
    is_own(headers, &api.public_url) && known
}

async fn show(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let Some(link) = link(path) else { return reply::no_link() };
    shown(&api, &link, &headers, StatusCode::OK, None).await
}

async fn shown(
    api: &Api,
    link: &Link,
    headers: &HeaderMap,
    status: StatusCode,
    told: Option<Told>,
) -> Response {
    match standing(&api.revoker, link, api.now()).await {
        Ok(Some(standing)) => {
            let cookie = cookie(headers).unwrap_or_else(new_cookie);
            let token = token(api, link, &cookie);
            let markup = page(&Asked { link, standing: &standing, token: &token, told });
            reply::with_cookie(api, reply::html(status, markup), &link.path(), &cookie)
        }
        Ok(None) => reply::no_link(),
        Err(e) => reply::failed(&e),
    }
}

async fn enrol(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    form: Result<Form<Posted>, FormRejection>,
) -> Response {
    let Some(link) = link(path) else { return reply::no_link() };
    let Ok(Form(posted)) = form else { return reply::incomplete() };
    if !genuine(&api, &headers, &link, &posted.token) {
        return shown(&api, &link, &headers, StatusCode::FORBIDDEN, Some(Told::Stale)).await;
    }
    let method = match (posted.passkey.as_deref().map(serde_json::from_str), posted.code) {
        (Some(Ok(made)), _) => Method::Passkey(made, posted.label),
        (None, Some(code)) => Method::Totp(code),
        _ => return reply::incomplete(),
    };
    let (keys, now) = (Arc::clone(api.revoker.keys()), api.now());
    let taken = link.clone();
    let enrolled: Result<Enrolling, EnrolError> =
        api.revoker.write(move |w| take(w, &keys, &taken, &method, now)).await;
    match enrolled {
        Ok(Enrolling::Done(codes)) => match standing(&api.revoker, &link, now).await {
            Ok(Some(standing)) => reply::html(StatusCode::OK, done(&link, &standing, &codes)),
            Ok(None) => reply::no_link(),
            Err(e) => reply::failed(&e),
        },
        Ok(Enrolling::WrongCode) => refused(&api, &link, &headers, Told::WrongCode).await,
        Ok(Enrolling::WrongPasskey) => refused(&api, &link, &headers, Told::WrongPasskey).await,
        Ok(Enrolling::Over) => refused(&api, &link, &headers, Told::Over).await,
        Err(e) => reply::failed(&e),
    }
}

async fn refused(api: &Api, link: &Link, headers: &HeaderMap, told: Told) -> Response {
    shown(api, link, headers, StatusCode::UNPROCESSABLE_ENTITY, Some(told)).await
}

/// What the browser is to ask the authenticator for.
async fn asks(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    form: Result<Form<Posted>, FormRejection>,
) -> Response {
    let (Some(link), Ok(Form(posted))) = (link(path), form) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if !genuine(&api, &headers, &link, &posted.token) {
        return StatusCode::FORBIDDEN.into_response();
    }
    match begin(&api.revoker, &link, api.now()).await {
        Ok(Some(options)) => Json(options).into_response(),
        Ok(None) => StatusCode::CONFLICT.into_response(),
        Err(e) => reply::failed(&e),
    }
}
