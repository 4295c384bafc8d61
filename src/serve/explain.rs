//! `GET /v1/explain`: why an agent was flagged at some time, or was not.
//!
//! It stands here and not with the operators' other routes, because it needs the database: alerts and standings are the
//! revoker's own, but the verdicts that led to nothing are kept in ClickHouse alone.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use detector::{Budgets, Timestamp};
use ingest::store::StoreError;
use revoker::api::{AsAnalyst, Asked, Problem, no_such_method};
use serde::Deserialize;

use super::stored::Stored;
use crate::clock;
use crate::explain::Explanation;

/// Seconds after which the database may be there.
const AGAIN_S: u64 = 2;

pub(super) fn router(budgets: Budgets, stored: Stored) -> Router {
    Router::new()
        .route("/v1/explain", get(explain))
        .method_not_allowed_fallback(no_such_method)
        .with_state((budgets, stored))
}

#[derive(Deserialize)]
struct Question {
    agent_id: String,
    issuer: Option<String>,
    /// RFC 3339; without it, now.
    at: Option<String>,
}

/// `GET /v1/explain?agent_id=&issuer=&at=`: role `analyst`. The agent's last verdict at or before a time, whole.
async fn explain(
    State((budgets, stored)): State<(Budgets, Stored)>,
    AsAnalyst(_caller): AsAnalyst,
    Asked(asked): Asked<Question>,
) -> Result<Json<Explanation>, Problem> {
    let at = asked
        .at
        .as_deref()
        .map_or_else(|| Ok(clock::now()), |at| at.parse().map_err(|e| bad_time(at, &e)))?;
    let store =
        stored.get().ok_or_else(|| unavailable("It has not been reached since the server started."))?;
    let record = store
        .last_verdict(asked.issuer.as_deref(), &asked.agent_id, at)
        .await
        .map_err(|e| failed(&e, "a verdict"))?;
    let record = record.ok_or_else(|| unknown(&asked, at))?;
    Ok(Json(Explanation::new(record, budgets)))
}

fn bad_time(at: &str, error: &detector::TimestampError) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_field", "The question cannot be read")
        .detail(format!("`at` is {at:?}: {error}."))
        .fact("field", "at")
}

fn unknown(asked: &Question, at: Timestamp) -> Problem {
    let issuer = asked.issuer.as_ref().map_or("no issuer".to_owned(), |issuer| format!("issuer `{issuer}`"));
    Problem::new(StatusCode::NOT_FOUND, "verdict_unknown", "There is no such verdict")
        .detail(format!(
            "The database holds no verdict on agent `{}` under {issuer} at or before {at}. An agent is looked up under \
             exactly the issuer it is known by, verdicts arrive a moment after their calls, and old ones are deleted.",
            asked.agent_id
        ))
        .fact("agent_id", &asked.agent_id)
        .fact("issuer", &asked.issuer)
        .fact("at", at)
}

pub(super) fn unavailable(why: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", "The database does not answer")
        .detail(format!("{why} Scoring and revoking go on without it."))
        .retry_after(AGAIN_S)
}

/// The database failed to read `what`.
pub(super) fn failed(error: &StoreError, what: &'static str) -> Problem {
    tracing::error!(%error, what, "what is stored cannot be read");
    if error.is_transient() {
        return unavailable("It was reached before and cannot just now.");
    }
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "What is stored cannot be read")
        .detail("The server's log says more.")
}
