//! `/v1/audit`: the key that verifies heads, and the newest head.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};

use super::Api;
use super::caller::AsAnalyst;
use super::problem::Problem;
use crate::audit::{Head, PublicKey};

pub(super) fn router() -> Router<Api> {
    Router::new().route("/v1/audit/key", get(key)).route("/v1/audit/head", get(head))
}

/// `GET /v1/audit/key`: no role; it is public.
async fn key(State(api): State<Api>) -> Result<Json<PublicKey>, Problem> {
    Ok(Json(api.revoker.audit_key()?))
}

/// `GET /v1/audit/head`: role `analyst`. The newest signed head, to be kept elsewhere.
async fn head(State(api): State<Api>, AsAnalyst(_caller): AsAnalyst) -> Result<Json<Head>, Problem> {
    let none = || {
        Problem::new(StatusCode::NOT_FOUND, "no_head", "No head has been signed yet")
            .detail("One is signed soon after the first entry of the audit.")
    };
    api.revoker.audit_head().await?.map(Json).ok_or_else(none)
}
