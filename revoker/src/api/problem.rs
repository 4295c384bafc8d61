//! Errors as `application/problem+json` (RFC 9457): a type to branch on, a sentence for people, and the facts.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::store::StoreError;

/// What types of problem begin with. A name, not an address: it need not be fetched, now or ever.
const TYPE_PREFIX: &str = "urn:tocsin:problem:";

/// A refusal or a failure, as the caller sees it.
#[derive(Debug)]
pub struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: Option<String>,
    facts: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of type `urn:tocsin:problem:{kind}`.
    pub fn new(status: StatusCode, kind: &'static str, title: &'static str) -> Self {
        Self(Box::new(Inner { status, kind, title, detail: None, facts: Map::new(), headers: Vec::new() }))
    }

    /// What is the matter this time, and what to do.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// A member of its own. What cannot be written as JSON is left out.
    #[must_use]
    pub fn fact(mut self, name: &'static str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.0.facts.insert(name.to_owned(), value);
        }
        self
    }

    /// A header besides. A value that no header may hold is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.0.headers.push((name, value));
        }
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What a caller branches on: the end of the type.
    pub fn kind(&self) -> &'static str {
        self.0.kind
    }

    /// What is the matter, in a sentence or two.
    pub fn words(&self) -> &str {
        self.0.detail.as_deref().unwrap_or(self.0.title)
    }

    /// The members of its own.
    pub fn facts(&self) -> &Map<String, Value> {
        &self.0.facts
    }

    /// When to try again.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, seconds.to_string())
    }
}

impl Problem {
    /// All of it as RFC 9457 has it.
    pub fn body(&self) -> Value {
        let mut body = self.0.facts.clone();
        // Last, so that no member of ours can stand in for one that RFC 9457 defines.
        body.insert("type".to_owned(), format!("{TYPE_PREFIX}{}", self.0.kind).into());
        body.insert("title".to_owned(), self.0.title.into());
        body.insert("status".to_owned(), self.0.status.as_u16().into());
        if let Some(detail) = &self.0.detail {
            body.insert("detail".to_owned(), detail.clone().into());
        }
        Value::Object(body)
    }

    /// As plain text, for interfaces whose errors are text; status and headers are the same.
    pub fn into_text(self) -> Response {
        let Inner { status, detail, title, headers, .. } = *self.0;
        let text = detail.unwrap_or_else(|| title.to_owned());
        (status, HeaderMap::from_iter(headers), text).into_response()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.body().to_string();
        let problem = *self.0;
        let mut response = (problem.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in problem.headers {
            headers.append(name, value);
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(e: StoreError) -> Self {
        tracing::error!(error = %e, "a request could not be answered");
        let problem = if e.may_pass() {
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The record cannot be reached")
                .retry_after(2)
        } else {
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The record cannot be used")
        };
        problem.detail("Nothing was changed. Take this as a no; the server's log says more.")
    }
}
