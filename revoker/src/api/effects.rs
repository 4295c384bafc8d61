//! `/v1/effects`, `/v1/targets`: what was sent to enforcement points, and how far it has come.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::Api;
use super::caller::{AsAnalyst, AsOperator};
use super::input::{Asked, Body, Part, Rows};
use super::person::person;
use super::problem::Problem;
use crate::revoker::{RedeliverError, Redelivered};
use crate::store::outbox::{DeliveryRow, DeliveryState};
use crate::store::receipts::{DisabledTarget, Receipt};

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/v1/effects", get(list))
        .route("/v1/effects/receipts", get(receipts))
        .route("/v1/effects/redeliver", post(redeliver))
        .route("/v1/targets/disabled", get(disabled))
        .route("/v1/targets/enable", post(enable))
}

#[derive(Deserialize)]
struct Filter {
    state: Option<DeliveryState>,
    limit: Option<u32>,
    cursor: Option<i64>,
}

/// `GET /v1/effects?state=&limit=&cursor=`: role `analyst`. Deliveries, newest first. State `dead` lists the open items.
async fn list(
    State(api): State<Api>,
    AsAnalyst(_caller): AsAnalyst,
    Asked(filter): Asked<Filter>,
) -> Result<Json<Rows<DeliveryRow>>, Problem> {
    let part = Part::new(filter.limit, filter.cursor);
    let rows = api.revoker.deliveries(part.page(), filter.state).await?;
    Ok(part.answer(rows, |row| row.cursor))
}

#[derive(Deserialize)]
struct WhichDelivery {
    delivery: i64,
}

/// `GET /v1/effects/receipts?delivery=`: role `analyst`. Every attempt at one delivery (its `cursor` in the list), oldest
/// first.
async fn receipts(
    State(api): State<Api>,
    AsAnalyst(_caller): AsAnalyst,
    Asked(which): Asked<WhichDelivery>,
) -> Result<Json<Vec<Receipt>>, Problem> {
    Ok(Json(api.revoker.receipts(which.delivery).await?))
}

#[derive(Deserialize)]
struct Redeliver {
    delivery: i64,
    person: String,
}

#[derive(Serialize)]
struct Accepted {
    accepted: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// `POST /v1/effects/redeliver`: role `operator`. Body `{delivery, person}`. Sends a delivery again with the same id and
/// bytes; a receiver that knows the id drops it. Of an agent's access no old news is sent to who has newer, and 200 says so.
async fn redeliver(
    State(api): State<Api>,
    AsOperator(caller): AsOperator,
    Body(body): Body<Redeliver>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let by = person(&body.person, &caller)?;
    match api.revoker.redeliver(body.delivery, by, api.now()).await {
        Ok(Redelivered::Sent) => Ok((StatusCode::ACCEPTED, Json(Accepted { accepted: true, why: None }))),
        Ok(Redelivered::Outdated { target, since }) => {
            let why = format!("for {target} there is newer news of the agent's access, `{since}`");
            Ok((StatusCode::OK, Json(Accepted { accepted: false, why: Some(why) })))
        }
        Err(RedeliverError::Store(e)) => Err(e.into()),
        Err(e @ RedeliverError::NotFound(_)) => {
            Err(Problem::new(StatusCode::NOT_FOUND, "delivery_unknown", "There is no such delivery")
                .detail(format!("{e}. Its name is the `cursor` in `GET /v1/effects`.")))
        }
    }
}

/// `GET /v1/targets/disabled`: role `analyst`. Targets that answered that they are gone; nothing is sent there any more.
async fn disabled(
    State(api): State<Api>,
    AsAnalyst(_caller): AsAnalyst,
) -> Result<Json<Vec<DisabledTarget>>, Problem> {
    Ok(Json(api.revoker.disabled_targets().await?))
}

#[derive(Deserialize)]
struct Enable {
    target: String,
    person: String,
}

/// `POST /v1/targets/enable`: role `operator`. Body `{target, person}`. Uses such a target again.
async fn enable(
    State(api): State<Api>,
    AsOperator(caller): AsOperator,
    Body(body): Body<Enable>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let by = person(&body.person, &caller)?;
    if api.revoker.enable_target(body.target, by, api.now()).await? {
        return Ok((StatusCode::ACCEPTED, Json(Accepted { accepted: true, why: None })));
    }
    Err(Problem::new(StatusCode::NOT_FOUND, "target_unknown", "No such target is disabled")
        .detail("`GET /v1/targets/disabled` lists those that are."))
}
