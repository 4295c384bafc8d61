//! The Shared Signals transmitter over HTTP: what receivers find, ask and fetch.
//!
//! | who | routes |
//! | --- | --- |
//! | anybody | `GET /.well-known/ssf-configuration` and the issuer's path behind it, `GET /ssf/jwks.json` |
//! | receivers | `POST`, `GET`, `PATCH`, `PUT`, `DELETE /ssf/streams`; `GET`, `POST /ssf/status` |
//! | | `POST /ssf/subjects/add`, `/ssf/subjects/remove`, `/ssf/verify`, `/ssf/poll/{stream_id}` |
//! | operators | `GET /v1/ssf/streams`; `POST /v1/ssf/streams/status` |
//!
//! A receiver shows its bearer token in the header `Authorization` and nowhere else (RFC 6750). A stream that is another
//! receiver's is answered for as one that is not there.

mod poll;
mod receiver;
mod streams;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use detector::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Clock, SMALL_BODY_BYTES_MAX, no_such_method};
use crate::connector::ssf::Transmitter;
use crate::revoker::Revoker;

/// How long receivers may go on with what they found: a new key is seen within minutes, and an unknown `kid` makes them look.
const MAX_AGE: &str = "max-age=300";

/// Bytes of a poll: it may acknowledge many tokens.
const POLL_BODY_BYTES_MAX: usize = 256 * 1_024;

/// Receivers that wait at once. Whoever comes after is answered at once and asks again.
const WAITERS_MAX: usize = 256;

/// What the routes need. Cheap to clone.
#[derive(Clone)]
pub struct Ssf {
    transmitter: Arc<Transmitter>,
    revoker: Revoker,
    clock: Clock,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Ssf {
    /// The routes of this transmitter. Who waits is answered when `stop` is told.
    pub fn new(
        transmitter: Arc<Transmitter>,
        revoker: Revoker,
        clock: Clock,
        stop: CancellationToken,
    ) -> Self {
        Self { transmitter, revoker, clock, places: Arc::new(Semaphore::new(WAITERS_MAX)), stop }
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

/// All routes.
pub fn router(ssf: Ssf) -> Router {
    let polls = Router::new()
        .route("/ssf/poll/{stream_id}", post(poll::poll))
        .layer(DefaultBodyLimit::max(POLL_BODY_BYTES_MAX));
    Router::new()
        .route(&ssf.transmitter.metadata_path(), get(metadata))
        .route("/ssf/jwks.json", get(jwks))
        .merge(streams::router())
        .layer(DefaultBodyLimit::max(SMALL_BODY_BYTES_MAX))
        .merge(polls)
        .method_not_allowed_fallback(no_such_method)
        .with_state(ssf)
}

async fn metadata(State(ssf): State<Ssf>) -> Response {
    ([(header::CACHE_CONTROL, MAX_AGE)], Json(ssf.transmitter.metadata())).into_response()
}

async fn jwks(State(ssf): State<Ssf>) -> Response {
    let headers = [(header::CACHE_CONTROL, MAX_AGE), (header::CONTENT_TYPE, "application/jwk-set+json")];
    (headers, ssf.transmitter.jwks().to_string()).into_response()
}
