//! `/v1/proposals`: commands that touch many agents at once, done when a second person confirms.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::Api;
use super::agents::refused;
use super::caller::{AsAnalyst, AsOperator};
use super::input::Body;
use super::person::Signed;
use super::problem::Problem;
use crate::fleetwide::{FleetCommand, Proposal};
use crate::revoker::Confirmed;

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/v1/proposals", get(list).post(propose))
        .route("/v1/proposals/confirm", post(confirm))
}

/// Role `analyst`. Those that wait for a second person.
async fn list(State(api): State<Api>, AsAnalyst(_caller): AsAnalyst) -> Result<Json<Vec<Proposal>>, Problem> {
    Ok(Json(api.revoker.proposals(api.now()).await?))
}

#[derive(Deserialize)]
struct Proposed {
    #[serde(flatten)]
    signed: Signed,
    what: FleetCommand,
}

/// Role `operator`. Body `{person, reason, what: {command: "pause", until?} | {command: "revoke_group", group}}`.
async fn propose(
    State(api): State<Api>,
    AsOperator(caller): AsOperator,
    Body(Proposed { signed, what }): Body<Proposed>,
) -> Result<Json<Proposal>, Problem> {
    let (person, reason) = signed.named(&caller)?;
    api.revoker.propose(what, person, reason, api.now()).await.map(Json).map_err(refused)
}

#[derive(Deserialize)]
struct Confirmation {
    #[serde(flatten)]
    signed: Signed,
    id: String,
}

/// Role `operator`, and another person than the one who proposed. Body `{person, reason, id}`; answers with what was done.
async fn confirm(
    State(api): State<Api>,
    AsOperator(caller): AsOperator,
    Body(Confirmation { signed, id }): Body<Confirmation>,
) -> Result<Json<Confirmed>, Problem> {
    let (person, reason) = signed.named(&caller)?;
    api.revoker.confirm(id, person, reason, api.now()).await.map(Json).map_err(refused)
}
