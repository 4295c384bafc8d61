//! Waiting on an open connection: server-sent events and WebSockets.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::future::ready;
use futures_util::stream::{self, StreamExt as _};
use serde::{Deserialize, Deserializer};
use tokio::time::Instant;

use super::answer;
use crate::api::Api;
use crate::api::caller::text_header;
use crate::api::problem::Problem;
use crate::api::waiters::Waiter;
use crate::approval::{Approval, Status};

/// How often a connection says that it lives; proxies close quiet ones after a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// A question is over long before that.
const SECONDS_MAX: u64 = 7 * 24 * 3_600;

/// Nothing of length is read from who waits; the library's own default is 128 KiB a connection.
pub(in crate::api) const SOCKET_BYTES: usize = 1_024;

/// How long to wait: whole seconds, 1 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) struct Seconds(u64);

impl Seconds {
    /// None where the text is no such number.
    pub(in crate::api) fn new(text: &str) -> Option<Self> {
        text.parse().ok().filter(|seconds| (1..=SECONDS_MAX).contains(seconds)).map(Self)
    }

    /// The same as a duration.
    pub(in crate::api) fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::new(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "timeout: `{text}` is no number of whole seconds from 1 to {SECONDS_MAX}"
            ))
        })
    }
}

/// Whether events are what the client takes first.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let accepted = text_header(headers, &header::ACCEPT).unwrap_or_default();
    accepted.split([',', ';']).next().is_some_and(|first| first.trim() == "text/event-stream")
}

/// One that waits. The question itself is not held: it is some KiB with its evidence, and thousands may wait.
struct Waiting {
    api: Api,
    /// How the question stands as the wait begins, until that is told.
    first: String,
    waiter: Option<Waiter>,
    end: Option<Instant>,
}

impl Waiting {
    fn new(
        api: Api,
        approval: &Approval,
        waiter: Option<Waiter>,
        timeout: Option<Seconds>,
    ) -> Result<Self, Problem> {
        let (first, is_pending) = (told(&api, approval), approval.status(api.now()) == Status::Pending);
        if !is_pending {
            return Ok(Self { api, first, waiter: None, end: None });
        }
        let full =
            || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_room", "As many wait as may").retry_after(5);
        let waiter = Some(waiter.ok_or_else(full)?);
        Ok(Self { api, first, waiter, end: timeout.map(|timeout| Instant::now() + timeout.duration()) })
    }

    /// The question once it is settled; none where time is over or the server ends first.
    async fn settled(&mut self) -> Option<Arc<Approval>> {
        let waiter = self.waiter.as_mut()?;
        let end = self.end;
        let over = async {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            approval = waiter.settled() => Some(approval),
            () = self.api.stop.cancelled() => None,
            () = over => None,
        }
    }
}

fn told(api: &Api, approval: &Approval) -> String {
    // A struct of texts and times cannot fail to be JSON.
    serde_json::to_string(&answer(api, approval, api.now())).unwrap_or_default()
}

/// Server-sent events.
pub(super) fn events(
    api: Api,
    approval: &Approval,
    waiter: Option<Waiter>,
    timeout: Option<Seconds>,
) -> Result<Response, Problem> {
    let mut waiting = Waiting::new(api, approval, waiter, timeout)?;
    let event = |text: String| Ok::<_, Infallible>(Event::default().event("status").data(text));
    let first = event(std::mem::take(&mut waiting.first));
    let last = async move {
        let approval = waiting.settled().await?;
        Some(event(told(&waiting.api, &approval)))
    };
    let told = stream::once(ready(first)).chain(stream::once(last).filter_map(ready));
    Ok(Sse::new(told).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// A WebSocket.
pub(super) fn socket(
    api: Api,
    approval: &Approval,
    waiter: Option<Waiter>,
    timeout: Option<Seconds>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    let waiting = Waiting::new(api, approval, waiter, timeout)?;
    let upgrade = upgrade.read_buffer_size(SOCKET_BYTES).write_buffer_size(0).max_message_size(SOCKET_BYTES);
    Ok(upgrade.on_upgrade(|socket| async {
        // Whoever has gone hears nothing more.
        talk(socket, waiting).await.ok();
    }))
}

async fn talk(mut socket: WebSocket, mut waiting: Waiting) -> Result<(), axum::Error> {
    socket.send(Message::text(std::mem::take(&mut waiting.first))).await?;
    let mut alive = tokio::time::interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    let settled = loop {
        tokio::select! {
            settled = waiting.settled() => break settled,
            _ = alive.tick() => socket.send(Message::Ping(Vec::new().into())).await?,
            said = socket.recv() => match said {
                None | Some(Err(_) | Ok(Message::Close(_))) => return Ok(()),
                // Nothing that it says changes anything.
                Some(Ok(_)) => {}
            },
        }
    };
    let (code, reason) = match settled {
        Some(approval) => {
            socket.send(Message::text(told(&waiting.api, &approval))).await?;
            (close_code::NORMAL, "settled")
        }
        None if waiting.waiter.is_none() => (close_code::NORMAL, "settled"),
        None if waiting.api.stop.is_cancelled() => (close_code::AWAY, "the server ends"),
        None => (close_code::NORMAL, "timeout"),
    };
    socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_whole_seconds_from_one_on() {
        assert_eq!(Seconds::new("1"), Some(Seconds(1)));
        for wrong in ["0", "-1", "1.5", "", "soon", "604801", "1e3"] {
            assert_eq!(Seconds::new(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn events_are_for_who_takes_them_first() {
        let asks = |accept: &'static str| {
            is_asked_for(&HeaderMap::from_iter([(header::ACCEPT, header::HeaderValue::from_static(accept))]))
        };
        assert!(asks("text/event-stream") && asks("text/event-stream; q=1, application/json"));
        assert!(!asks("application/json, text/event-stream") && !asks("*/*"));
    }
}
