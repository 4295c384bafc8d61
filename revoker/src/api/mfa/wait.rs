//! Waiting for the confirmation.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::Mfa;
use super::input::{Wait, bad};
use crate::api::approvals::{self, SOCKET_BYTES, Seconds};
use crate::api::caller::{AsGateway, Caller};
use crate::api::gate::Scorer;
use crate::api::input::Asked;
use crate::api::problem::Problem;
use crate::approval::{Approval, ApprovalId, State as Answered, Status};

/// How long is waited where nobody says, and at most by a plain request: under the minute after which proxies like to close.
pub const CONFIRMATION_WAIT_MAX: Duration = Duration::from_secs(55);

impl<S: Scorer> Mfa<S> {
    pub(super) async fn wait(&self, caller: &Caller, asked: Wait) -> Result<Value, Problem> {
        let wait = seconds(asked.timeout_seconds.as_ref())?
            .unwrap_or(CONFIRMATION_WAIT_MAX)
            .min(CONFIRMATION_WAIT_MAX);
        let id = self.sent(caller, &asked.tid).await?;
        self.waited(&asked.tid, &id, wait).await
    }

    /// The question of a transaction for which a method was sent.
    async fn sent(&self, caller: &Caller, tid: &str) -> Result<ApprovalId, Problem> {
        self.transaction(caller, tid).await?.approval.ok_or_else(|| {
            Problem::new(StatusCode::CONFLICT, "not_sent", "Nobody was asked yet")
                .detail("Send a method first: `promptless_send_method`.")
        })
    }

    async fn waited(&self, tid: &str, id: &ApprovalId, wait: Duration) -> Result<Value, Problem> {
        let approval = approvals::waited(self.gate.api(), id, wait).await?;
        let over =
            || Problem::new(StatusCode::NOT_FOUND, "transaction_unknown", "There is no such transaction");
        Ok(self.told(tid, &*approval.ok_or_else(over)?))
    }

    pub(super) fn told(&self, tid: &str, approval: &Approval) -> Value {
        let status = approval.status(self.now());
        let mut told = json!({
            "tid": tid,
            "approval_id": approval.id,
            "status": if status == Status::Approved { "confirmed" } else { status.as_str() },
            "expires_at": approval.expires_at,
        });
        if let Answered::Answered { with, at, .. } = &approval.state
            && status == Status::Approved
        {
            let grant = approval.grant.as_ref().filter(|grant| self.now() < grant.expires_at);
            let token = grant.and_then(|_| self.gate.api().revoker.grants().of(approval));
            told["token"] = token.map(|token| token.expose().to_owned()).into();
            told["token_expires_at"] = json!(grant.map(|grant| grant.expires_at));
            told["acr"] = with.acr().into();
            told["amr"] = json!(with.amr());
            told["auth_time"] = json!(at);
        }
        told
    }
}

/// None where nobody says.
fn seconds(asked: Option<&Value>) -> Result<Option<Duration>, Problem> {
    let Some(value) = asked.filter(|value| !value.is_null()) else { return Ok(None) };
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let wrong =
        || bad("bad_timeout", format!("`timeoutSeconds` is {value}; it must be a whole number from 1 on."));
    Ok(Some(Seconds::new(&text).ok_or_else(wrong)?.duration()))
}

/// The same over a WebSocket: one message of text with how it stands, one as soon as it is settled or time is over.
pub(super) async fn socket<S: Scorer>(
    State(mfa): State<Mfa<S>>,
    AsGateway(caller): AsGateway,
    Asked(asked): Asked<Wait>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    let wait = seconds(asked.timeout_seconds.as_ref())?;
    let id = mfa.sent(&caller, &asked.tid).await?;
    let upgrade = upgrade.read_buffer_size(SOCKET_BYTES).write_buffer_size(0).max_message_size(SOCKET_BYTES);
    Ok(upgrade.on_upgrade(async move |mut socket| {
        // Whoever has gone hears nothing more.
        talk(&mfa, &mut socket, (&asked.tid, &id), wait).await.ok();
    }))
}

async fn talk<S: Scorer>(
    mfa: &Mfa<S>,
    socket: &mut WebSocket,
    (tid, id): (&str, &ApprovalId),
    wait: Option<Duration>,
) -> Result<(), axum::Error> {
    let end = wait.map(|wait| tokio::time::Instant::now() + wait);
    let mut told = mfa.waited(tid, id, Duration::ZERO).await.unwrap_or_default();
    socket.send(Message::text(told.to_string())).await?;
    while told["status"] == "pending" {
        let left = end.map_or(CONFIRMATION_WAIT_MAX, |end| {
            end.saturating_duration_since(tokio::time::Instant::now()).min(CONFIRMATION_WAIT_MAX)
        });
        if left.is_zero() || mfa.gate.api().stop.is_cancelled() {
            break;
        }
        tokio::select! {
            now = mfa.waited(tid, id, left) => told = now.unwrap_or_default(),
            said = socket.recv() => match said {
                None | Some(Err(_) | Ok(Message::Close(_))) => return Ok(()),
                // Nothing that it says changes anything.
                Some(Ok(_)) => continue,
            },
        }
        if told["status"] == "pending" {
            // Also keeps the connection alive.
            socket.send(Message::Ping(Vec::new().into())).await?;
        }
    }
    socket.send(Message::text(told.to_string())).await?;
    let reason = if told["status"] == "pending" { "timeout" } else { "settled" };
    socket.send(Message::Close(Some(CloseFrame { code: close_code::NORMAL, reason: reason.into() }))).await
}
