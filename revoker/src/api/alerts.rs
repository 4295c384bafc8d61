//! `GET /v1/alerts`: what was found and what was done.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::Api;
use super::agents::{Question, questions};
use super::caller::AsAnalyst;
use super::input::{Asked, Part, Rows};
use super::problem::Problem;
use crate::store::alerts::AlertRow;

pub(super) fn router() -> Router<Api> {
    Router::new().route("/v1/alerts", get(list))
}

/// An alert with the question it put to a human, where it did.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    alert: AlertRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<Question>,
}

/// Role `analyst`. `?limit=&cursor=`, newest first. A pending question comes with its number and the page's address.
async fn list(
    State(api): State<Api>,
    AsAnalyst(_caller): AsAnalyst,
    Asked(part): Asked<Part>,
) -> Result<Json<Rows<Row>>, Problem> {
    let alerts = api.revoker.alerts(part.page()).await?;
    let cases = alerts.iter().map(|row| row.alert.case).collect();
    let approvals = questions(&api, cases).await?;
    let rows = alerts.into_iter().zip(approvals).map(|(alert, approval)| Row { alert, approval }).collect();
    Ok(part.answer(rows, |row| row.alert.cursor))
}
