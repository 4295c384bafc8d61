//! Errors as `application/problem+json` (RFC 9457): a type to branch on, a sentence for people, and the facts.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

/// What types of problem begin with. A name, not an address: it need not be fetched, now or ever.
const TYPE_PREFIX: &str = "urn:tocsin:problem:";

/// An error on its way to a client.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    headers: HeaderMap,
    body: Map<String, Value>,
}

impl Problem {
    /// A problem of type `urn:tocsin:problem:{kind}`.
    pub(crate) fn new(status: StatusCode, kind: &str, title: &str) -> Self {
        let mut body = Map::new();
        body.insert("type".to_owned(), format!("{TYPE_PREFIX}{kind}").into());
        body.insert("title".to_owned(), title.into());
        body.insert("status".to_owned(), status.as_u16().into());
        Self(Box::new(Inner { status, headers: HeaderMap::new(), body }))
    }

    /// What happened this time.
    pub(crate) fn detail(self, detail: &impl ToString) -> Self {
        let detail = detail.to_string();
        self.with("detail", detail)
    }

    /// A fact beside the standard members.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.body.insert(name.to_owned(), value.into());
        self
    }

    /// A response header. One that is no valid header value is left out.
    pub(crate) fn header(mut self, name: HeaderName, value: &impl ToString) -> Self {
        if let Ok(value) = HeaderValue::try_from(value.to_string()) {
            self.0.headers.insert(name, value);
        }
        self
    }

    /// When to come back.
    pub(crate) fn retry_after_s(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, &seconds.max(1))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let Inner { status, headers, body } = *self.0;
        (status, headers, content_type, Value::Object(body).to_string()).into_response()
    }
}
