//! The page's replies: HTML under headers that leave a browser nothing to do but to show it.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::Markup;

use super::{COOKIE, Loaded};
use crate::api::Api;
use crate::approval::page::{CONTENT_SECURITY_POLICY, Refused, notice, render, unknown as unknown_page};
use crate::approval::{FormToken, PageKey, Refusal};

/// What every reply carries. `same-origin` for the referrer, as with none at all a browser posts a form with the origin
/// `null`.
const HEADERS: [(HeaderName, &str); 8] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=(), publickey-credentials-get=(self), publickey-credentials-create=(self)",
    ),
];

/// The page of a question, with the cookie its form is bound to.
pub(super) fn page(
    api: &Api,
    status: StatusCode,
    loaded: &Loaded,
    cookie: &str,
    refused: Option<Refused<'_>>,
) -> Response {
    let page = &loaded.approval.page;
    let token = FormToken::new(api.revoker.keys(), page.as_str(), cookie, loaded.peak);
    let now = api.now();
    let markup = render(&loaded.view(api, &token, refused, now));
    let mut response = with_cookie(api, html(status, markup), &page.path(), cookie);
    let shut = match refused.map(|refused| refused.why) {
        Some(Refusal::Locked { until }) => Some(until),
        _ => None,
    };
    if let Some(until) = shut {
        response.headers_mut().insert(header::RETRY_AFTER, (until.since(now).as_secs() + 1).into());
    }
    response
}

/// The same with the cookie that the forms at this path are bound to.
pub(in crate::api) fn with_cookie(api: &Api, mut response: Response, path: &str, cookie: &str) -> Response {
    let secure = if api.public_url.starts_with("https:") { "; Secure" } else { "" };
    let set = format!("{COOKIE}={cookie}; Path={path}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(set) = HeaderValue::from_str(&set) {
        response.headers_mut().insert(header::SET_COOKIE, set);
    }
    response
}

/// No such link, or one that has ended.
pub(in crate::api) fn no_link() -> Response {
    let text = "The link is incomplete, or its time is over. Ask whoever runs Tocsin for a new one.";
    html(StatusCode::NOT_FOUND, notice("This link is good for nothing", text))
}

/// No such page of a prompted flow, or one whose time is over.
pub(in crate::api) fn no_prompt() -> Response {
    let text =
        "The address is incomplete, or its time is over. Go back to where you came from, and begin again.";
    html(StatusCode::NOT_FOUND, notice("There is no such page", text))
}

/// No such question, or no such address.
pub(super) fn unknown() -> Response {
    html(StatusCode::NOT_FOUND, unknown_page())
}

/// What came is no form of ours.
pub(in crate::api) fn incomplete() -> Response {
    let text = "The answer did not arrive whole. Go back, reload the page, and send it again.";
    html(StatusCode::BAD_REQUEST, notice("Nothing was done", text))
}

/// The record cannot be read or written.
pub(in crate::api) fn failed(error: &dyn std::error::Error) -> Response {
    tracing::error!(%error, "the approval page could not be answered");
    let text = "The server could not look into its record, so nothing was decided: the agent is still stopped. Try again in a \
                moment. If it goes on, tell whoever runs Tocsin; the server's log says more.";
    html(StatusCode::SERVICE_UNAVAILABLE, notice("Nothing was done", text))
}

/// After an accepted answer: look at the outcome.
pub(super) fn see_other(page: &PageKey) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    harden(&mut response);
    // Hexadecimal digits and slashes fit into every header.
    if let Ok(location) = HeaderValue::from_str(&format!("{}#outcome", page.path())) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

pub(in crate::api) fn html(status: StatusCode, markup: Markup) -> Response {
    let mut response = (status, markup.into_string()).into_response();
    harden(&mut response);
    response
}

fn harden(response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&CONTENT_SECURITY_POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}
