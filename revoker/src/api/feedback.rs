//! `POST /v1/agents/feedback`: what an operator or analyst says of an agent's evidence.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use detector::Ruling;
use serde::{Deserialize, Serialize};

use super::Api;
use super::agents::refused;
use super::caller::AsOperator;
use super::input::Body;
use super::person::Signed;
use super::problem::Problem;
use crate::agent::AgentKey;
use crate::revoker::Evidence;
use crate::standing::Standing;

pub(super) fn router() -> Router<Api> {
    Router::new().route("/v1/agents/feedback", post(feedback))
}

#[derive(Deserialize)]
struct Said {
    agent_id: Option<String>,
    issuer: Option<String>,
    alert_id: Option<String>,
    ruling: Ruling,
    #[serde(flatten)]
    signed: Signed,
}

#[derive(Serialize)]
struct Taken {
    agent: AgentKey,
    ruling: Ruling,
    #[serde(flatten)]
    standing: Standing,
}

/// Role `operator`. Body `{ruling, person, reason}` and either `{agent_id, issuer?}` or `{alert_id}`, with a ruling of `benign`,
/// `deploy`, `cohort_deploy` or `malicious`; answers with where the agent stands, which is where it stood.
async fn feedback(
    State(api): State<Api>,
    AsOperator(caller): AsOperator,
    Body(Said { agent_id, issuer, alert_id, ruling, signed }): Body<Said>,
) -> Result<Json<Taken>, Problem> {
    let evidence = match (agent_id, alert_id) {
        (Some(agent_id), None) => Evidence::Agent(AgentKey::new(issuer.as_deref(), &agent_id)),
        (None, Some(alert_id)) => Evidence::Alert(alert_id),
        _ => {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_field", "The command is incomplete")
                .detail("Either `agent_id` or `alert_id` must say whose evidence it is."));
        }
    };
    let (by, reason) = signed.checked(&caller)?;
    let ruled = api.revoker.rule(evidence, ruling, by, reason, api.now()).await;
    let (agent, standing) = ruled.map_err(refused)?;
    Ok(Json(Taken { agent, ruling, standing }))
}
