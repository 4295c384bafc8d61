//! `/v1/webhooks/schema`: what receivers may expect.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

use super::Api;
use crate::message::EVENTS_SCHEMA;

/// `GET /v1/webhooks/schema`: no role; it is public.
pub(super) fn router() -> Router<Api> {
    let schema = ([(CONTENT_TYPE, "application/schema+json")], EVENTS_SCHEMA);
    Router::new().route("/v1/webhooks/schema", get(async move || schema))
}
