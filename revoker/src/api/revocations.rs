//! `/v1/revocations`: the list of revoked subjects, for gateways that check tokens by themselves.
//!
//! A token is void if its subject is listed and `blocked`, or if it was issued before `not_before`. Who keeps the list asks with
//! `If-None-Match`, or for what came `after` the version it knows, or stays on the stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::Api;
use super::caller::{AsGateway, text_header};
use super::input::Asked;
use super::problem::Problem;
use crate::revoker::Revoker;
use crate::store::revocations::{Listed, RevokedRow};

/// Entries in one answer.
const ENTRIES_MAX: u32 = 10_000;

/// Entries read at once for a stream.
const CHUNK: u32 = 500;

/// Nothing is said for no longer.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where a stream that was cut goes on (HTML, section 9.2.4).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(super) fn router() -> Router<Api> {
    Router::new().route("/v1/revocations", get(list)).route("/v1/revocations/stream", get(follow))
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: i64,
}

#[derive(Serialize)]
struct List {
    /// Of the whole list; `after` it nothing is new.
    version: i64,
    revocations: Vec<Listed>,
    /// To go on `after`, where there are more.
    next: Option<i64>,
}

/// `GET /v1/revocations?after=`: role `gateway`. Entries newer than a version, oldest first; 304 to `If-None-Match` with the
/// `ETag` of the list as it is.
async fn list(
    State(api): State<Api>,
    AsGateway(_caller): AsGateway,
    Asked(known): Asked<After>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (version, rows) = api.revoker.revocations(known.after, ENTRIES_MAX).await?;
    let etag = format!("\"{version}.{}\"", known.after);
    let caching = [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if text_header(&headers, &header::IF_NONE_MATCH) == Some(etag.as_str()) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let last = rows.last().map(|row| row.version);
    let next = last.filter(|_| rows.len() >= ENTRIES_MAX as usize);
    let answer = List { version, revocations: rows.into_iter().map(Listed::from).collect(), next };
    Ok((caching, Json(answer)).into_response())
}

/// Where a stream has come to.
struct Follower {
    revoker: Revoker,
    changes: watch::Receiver<u64>,
    after: i64,
    read: std::vec::IntoIter<RevokedRow>,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next change, once there is one; none when the record cannot be read or the server ends: the client comes back where it
    /// was.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(row) = self.read.next() {
                self.after = row.version;
                let event = Event::default().event("revocation").id(row.version.to_string());
                return Some((Ok(event.json_data(Listed::from(row)).ok()?), self));
            }
            // Before the look, so that a change after it wakes us.
            self.changes.mark_unchanged();
            let (_version, rows) = self.revoker.revocations(self.after, CHUNK).await.ok()?;
            if rows.is_empty() {
                self.stop.run_until_cancelled(self.changes.changed()).await?.ok()?;
            }
            self.read = rows.into_iter();
        }
    }
}

/// `GET /v1/revocations/stream?after=`: role `gateway`. Server-sent events: every entry newer than a version, and then each change
/// as it is made. `Last-Event-ID` goes on where a stream was cut.
async fn follow(
    State(api): State<Api>,
    AsGateway(_caller): AsGateway,
    Asked(known): Asked<After>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let Ok(place) = Arc::clone(&api.followers).try_acquire_owned() else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_room", "As many follow as may")
            .header(header::RETRY_AFTER, "5"));
    };
    let last = text_header(&headers, &LAST_EVENT_ID).and_then(|id| id.parse().ok());
    let follower = Follower {
        changes: api.revoker.changes(),
        revoker: api.revoker,
        stop: api.stop,
        after: last.unwrap_or(known.after),
        read: Vec::new().into_iter(),
        _place: place,
    };
    let changes = stream::unfold(follower, Follower::next);
    Ok(Sse::new(changes).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}
