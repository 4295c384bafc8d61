//! `GET /v1/fleet`: whether the fleet keeps the operator's budgets, what is done where it does not, and what many agents do
//! at once.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use ingest::pipeline::score::FleetStatus;
use revoker::api::{AsAnalyst, no_such_method};
use tokio::sync::watch;

pub(super) fn router(health: watch::Receiver<FleetStatus>) -> Router {
    Router::new()
        .route("/v1/fleet", get(fleet))
        .method_not_allowed_fallback(no_such_method)
        .with_state(health)
}

/// Role `analyst`. A row for each peer group and budget, as of the detector's last publication, and cohort incidents.
async fn fleet(
    State(health): State<watch::Receiver<FleetStatus>>,
    AsAnalyst(_caller): AsAnalyst,
) -> Json<FleetStatus> {
    Json(health.borrow().clone())
}
