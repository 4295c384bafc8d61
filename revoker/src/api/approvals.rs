//! `GET /v1/approvals/{id}`: how far the human is, for the agent that waits; `GET /v1/approvals`: what people are asked, for
//! operators; `GET /v1/grants/jwks.json`: what grants are verified with.
//!
//! | asked with | answered |
//! | --- | --- |
//! | nothing | at once |
//! | `?wait=` or `Prefer: wait=` | once it is settled, or after so many seconds, 55 at most |
//! | `Accept: text/event-stream` | server-sent events `status`: as it is, and as it is settled |
//! | a WebSocket's handshake | the same as messages of text |
//!
//! `?timeout=` ends a stream after so many whole seconds, 1 or more; without it the question's own end does.

mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use detector::Timestamp;
use serde::{Deserialize, Serialize};

pub(super) use self::stream::{SOCKET_BYTES, Seconds};
use super::Api;
use super::agents::Question;
use super::caller::{AsAgent, AsAnalyst, text_header};
use super::input::{Asked, Part, Rows};
use super::problem::Problem;
use super::waiters::Waiter;
use crate::agent::AgentKey;
use crate::approval::{Action, Approval, ApprovalId, Factor, State as Answered, Status};
use crate::store::db::Connection;
use crate::store::{StoreError, approvals};

/// Seconds between two questions of an agent that does not wait.
pub(super) const INTERVAL_S: u64 = 5;

/// The longest wait, seconds: under the minute after which proxies like to close.
const WAIT_S_MAX: u64 = 55;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/v1/approvals", get(list))
        .route("/v1/approvals/{id}", get(status))
        .route("/v1/grants/jwks.json", get(jwks))
}

/// A question as operators see it.
#[derive(Serialize)]
struct Row {
    agent: AgentKey,
    action: Action,
    /// Why a human is asked: `evidence` or `asked`.
    cause: &'static str,
    #[serde(flatten)]
    question: Question,
    /// For the next part.
    cursor: i64,
}

/// `GET /v1/approvals?limit=&cursor=`: role `analyst`. The questions that are open, newest first, each with its number and the
/// page's address.
async fn list(
    State(api): State<Api>,
    AsAnalyst(_caller): AsAnalyst,
    Asked(part): Asked<Part>,
) -> Result<Json<Rows<Row>>, Problem> {
    let (page, now) = (part.page(), api.now());
    let open = move |db: &Connection| approvals::open_at(db, now, page).map_err(StoreError::from);
    let row = |approval: Approval| Row {
        agent: approval.agent(),
        action: approval.action(),
        cause: if approval.is_about_evidence() { "evidence" } else { "asked" },
        cursor: approval.opened_at.as_micros(),
        question: Question::of(&api, &approval),
    };
    let rows = api.revoker.read(open).await?.into_iter().map(row).collect();
    Ok(part.answer(rows, |row: &Row| row.cursor))
}

/// Nobody needs a credential: the keys are public.
async fn jwks(State(api): State<Api>) -> Response {
    let headers =
        [(header::CACHE_CONTROL, "max-age=300"), (header::CONTENT_TYPE, "application/jwk-set+json")];
    (headers, api.revoker.grants().jwks().to_string()).into_response()
}

#[derive(Deserialize)]
struct Wait {
    wait: Option<u64>,
    timeout: Option<Seconds>,
}

/// What the agent is told. Who approved is not among it: a hijacked agent need not know whom to work on.
#[derive(Serialize)]
struct Answer<'a> {
    approval_id: &'a ApprovalId,
    status: Status,
    /// When the question lapses or lapsed.
    expires_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_at: Option<Timestamp>,
    /// Seconds to leave between two questions while pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<GrantAnswer>,
}

/// The grant of an approved question. `token` is left out once it is no longer good.
#[derive(Serialize)]
struct GrantAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    expires_at: Timestamp,
    /// The resumption that it belongs to, once used.
    #[serde(skip_serializing_if = "Option::is_none")]
    resume_id: Option<String>,
    acr: &'static str,
    amr: &'static [&'static str],
    auth_time: Timestamp,
}

/// Role `gateway`, or `agent` for a question about the caller itself.
///
/// The id alone is not enough: it cannot be guessed, but addresses end up in logs, and a grant is of use at the gate only,
/// which takes the same role.
async fn status(
    State(api): State<Api>,
    AsAgent(caller): AsAgent,
    id: Result<Path<ApprovalId>, PathRejection>,
    Asked(query): Asked<Wait>,
    headers: HeaderMap,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|_| unknown())?;
    let is_upgrade = headers.contains_key(header::UPGRADE);
    let (is_stream, preferred) = (stream::is_asked_for(&headers), preferred_wait(&headers));
    // They keep the buffer that the request was read into, and thousands may wait below.
    drop(headers);
    let wait = query.wait.or(preferred).unwrap_or(0).min(WAIT_S_MAX);
    // Listening begins before looking, so an answer in between is heard.
    let waiter = if is_upgrade || is_stream || wait > 0 { api.wait_for(&id) } else { None };
    // Another agent's question is none of its own: it is not told that there is one.
    let its_own = load(&api, &id).await?.filter(|approval| caller.speaks_for(&approval.agent()));
    let Some(approval) = its_own else {
        tracing::info!(caller = caller.name, "asked about no question of its own");
        return Err(unknown());
    };
    if is_upgrade {
        return match socket {
            Ok(socket) => stream::socket(api, &approval, waiter, query.timeout, socket),
            Err(rejection) => Ok(rejection.into_response()),
        };
    }
    if is_stream {
        return stream::events(api, &approval, waiter, query.timeout);
    }
    let wait_at_most = Duration::from_secs(wait);
    let approval = settled(&api, approval, waiter, wait_at_most).await?.ok_or_else(unknown)?;
    let now = api.now();
    let mut response = Json(answer(&api, &approval, now)).into_response();
    let out = response.headers_mut();
    out.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    if approval.status(now) == Status::Pending {
        out.insert(header::RETRY_AFTER, INTERVAL_S.into());
    }
    if query.wait.is_none()
        && preferred.is_some()
        && let Ok(applied) = format!("wait={wait}").parse()
    {
        out.insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "approval_unknown", "There is no such approval").detail(
        "Send the request to the gate again; if it still needs a human, the answer names an approval.",
    )
}

/// `wait` of `Prefer: respond-async, wait=30` (RFC 7240).
fn preferred_wait(headers: &HeaderMap) -> Option<u64> {
    text_header(headers, &PREFER)?
        .split([',', ';'])
        .find_map(|preference| preference.trim().strip_prefix("wait="))
        .and_then(|seconds| seconds.trim_matches('"').parse().ok())
}

/// The approval as soon as it is no longer pending, or as it is when the wait is over or the server ends.
pub(super) async fn waited(
    api: &Api,
    id: &ApprovalId,
    wait: Duration,
) -> Result<Option<Arc<Approval>>, StoreError> {
    // Listening begins before looking, so an answer in between is heard.
    let waiter = if wait.is_zero() { None } else { api.wait_for(id) };
    match load(api, id).await? {
        Some(approval) => settled(api, approval, waiter, wait).await,
        None => Ok(None),
    }
}

/// The same, of one that was looked at after listening began.
async fn settled(
    api: &Api,
    approval: Arc<Approval>,
    waiter: Option<Waiter>,
    wait: Duration,
) -> Result<Option<Arc<Approval>>, StoreError> {
    let (Some(mut waiter), Status::Pending) = (waiter, approval.status(api.now())) else {
        return Ok(Some(approval));
    };
    let id = approval.id.clone();
    // Not held meanwhile: thousands may wait.
    drop(approval);
    tokio::select! {
        approval = waiter.settled() => return Ok(Some(approval)),
        () = api.stop.cancelled() => {}
        () = tokio::time::sleep(wait) => {}
    }
    load(api, &id).await
}

async fn load(api: &Api, id: &ApprovalId) -> Result<Option<Arc<Approval>>, StoreError> {
    Ok(api.revoker.approval(id.clone()).await?.map(Arc::new))
}

fn answer<'a>(api: &Api, approval: &'a Approval, now: Timestamp) -> Answer<'a> {
    let status = approval.status(now);
    let settled_at = match approval.state {
        Answered::Answered { at, .. } | Answered::Superseded { at } => Some(at),
        Answered::Pending | Answered::Expired => None,
    };
    let factor = match approval.state {
        Answered::Answered { with, .. } => with,
        _ => Factor::default(),
    };
    let token = || Some(api.revoker.grants().of(approval)?.expose().to_owned());
    let grant = approval.grant.as_ref().map(|grant| GrantAnswer {
        token: if now < grant.expires_at { token() } else { None },
        expires_at: grant.expires_at,
        resume_id: grant.used.as_ref().map(|(resume, _)| resume.as_str().to_owned()),
        acr: factor.acr(),
        amr: factor.amr(),
        auth_time: settled_at.unwrap_or(approval.opened_at),
    });
    Answer {
        approval_id: &approval.id,
        status,
        expires_at: approval.expires_at,
        settled_at,
        interval: (status == Status::Pending).then_some(INTERVAL_S),
        grant,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preferred_wait_is_read_and_nonsense_is_not() {
        let read = |value: &'static str| {
            preferred_wait(&HeaderMap::from_iter([(PREFER, header::HeaderValue::from_static(value))]))
        };
        assert_eq!(read("wait=30"), Some(30));
        assert_eq!(read("respond-async, wait=7"), Some(7));
        for nonsense in ["", "wait", "wait=", "wait=-1", "wait=soon", "await=3"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }
}
