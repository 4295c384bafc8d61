//! `GET /v1/case`: one story in order, from the first evidence to the last receipt.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use detector::Timestamp;
use serde::{Deserialize, Serialize};

use super::Api;
use super::caller::AsAnalyst;
use super::input::Asked;
use super::problem::Problem;
use crate::agent::AgentKey;
use crate::audit;
use crate::standing::Standing;
use crate::store::cases::{Exposure, Progress};
use crate::store::outbox::DeliveryRow;
use crate::store::receipts::Receipt;

pub(super) fn router() -> Router<Api> {
    Router::new().route("/v1/case", get(one))
}

#[derive(Deserialize)]
struct Which {
    id: String,
}

#[derive(Serialize)]
struct Case {
    txn: String,
    agent: Option<AgentKey>,
    /// Where the agent stands now.
    standing: Option<Standing>,
    /// What it did after its access had ended; none that anybody logged.
    exposure: Option<Exposure>,
    /// What each enforcement point was told, oldest first.
    points: Vec<Point>,
    /// What was done, oldest first.
    story: Vec<audit::Entry>,
}

/// One message to one enforcement point.
#[derive(Serialize)]
struct Point {
    target: String,
    event: String,
    progress: Progress,
    planned_at: Timestamp,
    sent_at: Option<Timestamp>,
    acknowledged_at: Option<Timestamp>,
    /// Every attempt and every look, oldest first.
    receipts: Vec<Receipt>,
    /// Its name in `/v1/effects`.
    delivery: i64,
}

impl Point {
    fn of(row: DeliveryRow, receipts: Vec<Receipt>) -> Self {
        let acknowledged = receipts.iter().any(|receipt| receipt.outcome == "acknowledged");
        Self {
            progress: Progress::of(&row),
            target: row.target,
            event: row.kind,
            planned_at: row.at,
            sent_at: row.sent_at,
            acknowledged_at: row.settled_at.filter(|_| acknowledged),
            receipts,
            delivery: row.cursor,
        }
    }
}

/// `GET /v1/case?id=`: role `analyst`. `id` is the `txn` of a webhook or an audit entry, an alert's id or an approval's.
async fn one(
    State(api): State<Api>,
    AsAnalyst(_caller): AsAnalyst,
    Asked(which): Asked<Which>,
) -> Result<Json<Case>, Problem> {
    let Some(story) = api.revoker.story(which.id).await? else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "case_unknown", "There is no such case")
            .detail("`id` is the `txn` of a webhook or an audit entry, an alert's id or an approval's."));
    };
    let standing =
        story.agent.as_ref().map(|agent| api.revoker.standing(agent.issuer.as_deref(), &agent.agent_id));
    Ok(Json(Case {
        txn: story.txn,
        agent: story.agent,
        standing,
        exposure: story.exposure,
        points: story.points.into_iter().map(|(row, receipts)| Point::of(row, receipts)).collect(),
        story: story.entries,
    }))
}
