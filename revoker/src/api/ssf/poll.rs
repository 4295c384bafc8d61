//! Polls, the long ones too: a receiver waits until there is something, not until its timer says so.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::Ssf;
use super::receiver::{AsReceiver, Sent};
use crate::api::problem::Problem;
use crate::connector::ssf::{Ask, Polled};

/// The longest wait: under the minute after which proxies like to close.
const WAIT: Duration = Duration::from_secs(30);

/// Between two looks, however much changes meanwhile.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn poll(
    State(ssf): State<Ssf>,
    AsReceiver(who): AsReceiver,
    Path(stream_id): Path<String>,
    Sent(ask): Sent<Ask>,
) -> Result<Response, Problem> {
    ssf.transmitter.poll_stream(&who, stream_id.clone(), ssf.now()).await?;
    ssf.transmitter.take_answers(&who, &stream_id, &ask, ssf.now()).await?;
    let place = if ask.waits() { ssf.place(&who) } else { None };
    // Who waits gives no sign meanwhile.
    let wait = ssf.transmitter.inactivity().map_or(WAIT, |timeout| WAIT.min(timeout / 2));
    let end = Instant::now() + wait;
    let mut changes = ssf.revoker.changes();
    loop {
        // Marked as seen before the outbox is read: what is committed after the read wakes us again.
        changes.mark_unchanged();
        let polled = ssf.transmitter.poll(&who, &stream_id, &ask, ssf.now()).await?;
        let over = place.is_none() || Instant::now() >= end || ssf.stop.is_cancelled();
        if over || !polled.sets.is_empty() {
            return Ok(answer(&polled));
        }
        tokio::select! {
            _ = changes.changed() => tokio::time::sleep(PAUSE).await,
            () = tokio::time::sleep_until(end) => {}
            () = ssf.stop.cancelled() => {}
        }
    }
}

fn answer(polled: &Polled) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(polled)).into_response()
}
