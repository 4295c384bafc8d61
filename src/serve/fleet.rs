//! `GET /v1/fleet`: whether the fleet keeps the operator's budgets, and what is done where it does not.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use detector::FleetHealth;
use revoker::api::{AsOperator, no_such_method};
use serde::Serialize;
use tokio::sync::watch;

pub(super) fn router(health: watch::Receiver<Vec<FleetHealth>>) -> Router {
    Router::new()
        .route("/v1/fleet", get(fleet))
        .method_not_allowed_fallback(no_such_method)
        .with_state(health)
}

#[derive(Serialize)]
struct Fleet {
    rows: Vec<FleetHealth>,
}

/// Role `operator`. A row for each peer group and budget, as of the detector's last publication.
async fn fleet(
    State(health): State<watch::Receiver<Vec<FleetHealth>>>,
    AsOperator(_caller): AsOperator,
) -> Json<Fleet> {
    Json(Fleet { rows: health.borrow().clone() })
}
