//! `/v1/status`, `/v1/pause`, `/v1/resume`, `/v1/approvers`: the installation as a whole.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use detector::Timestamp;
use serde::{Deserialize, Serialize};

use super::Api;
use super::agents::refused;
use super::caller::{AsAnalyst, AsOperator, Caller};
use super::input::Body;
use super::person::Signed;
use super::problem::Problem;
use crate::approval::{self, ApproverRow};
use crate::config::Shadow;
use crate::governor::Cap;
use crate::store::settings::Pause;
use crate::whom::Scope;

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/pause", post(pause))
        .route("/v1/resume", post(resume))
        .route("/v1/approvers", get(approvers))
}

#[derive(Serialize)]
struct Status {
    /// Who paused all automatic action, when, why and until when; null while it is not paused.
    paused: Option<Pause>,
    /// Every pause, also of an issuer, a group or an agent.
    pauses: Vec<Pause>,
    /// What is done in shadow only, by policy.
    shadow: Shadow,
    /// Name of the policy in force.
    policy: String,
    /// How much was done automatically of late, against what may be.
    governor: Vec<Usage>,
    /// Approvers who may answer. None: every challenge will lapse.
    approvers: usize,
}

#[derive(Serialize)]
struct Usage {
    cap: Cap,
    used: u32,
    limit: u32,
}

/// Role `analyst`.
async fn status(State(api): State<Api>, AsAnalyst(_caller): AsAnalyst) -> Result<Json<Status>, Problem> {
    now(&api).await.map(Json)
}

async fn now(api: &Api) -> Result<Status, Problem> {
    let approvers = approval::list(&api.revoker).await?;
    let policy = api.revoker.policy();
    let pauses: Vec<Pause> =
        api.revoker.pauses().into_iter().filter(|pause| pause.holds(api.now())).collect();
    let usage = api.revoker.usage(api.now());
    Ok(Status {
        governor: usage.into_iter().map(|(cap, used, limit)| Usage { cap, used, limit }).collect(),
        paused: pauses.iter().find(|pause| pause.scope.is_all()).cloned(),
        pauses,
        shadow: policy.config().shadow,
        policy: policy.version().to_owned(),
        approvers: approvers.iter().filter(|approver| approver.disabled_at.is_none()).count(),
    })
}

/// Who, why, and for whom.
#[derive(Deserialize)]
struct Order {
    #[serde(flatten)]
    signed: Signed,
    #[serde(flatten)]
    scope: Scope,
    /// When a pause ends by itself.
    until: Option<Timestamp>,
    /// A name that is misspelt must not come to mean everything.
    #[serde(flatten)]
    unknown: HashMap<String, serde_json::Value>,
}

impl Order {
    fn checked(self, caller: &Caller) -> Result<(Scope, Option<Timestamp>, String, String), Problem> {
        if let Some(field) = self.unknown.keys().min() {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "bad_field",
                "The command has a field that it does not know",
            )
            .detail(format!("`{field}` is none of person, reason, agent_id, issuer, group and until."))
            .fact("field", field));
        }
        let (by, reason) = self.signed.checked(caller)?;
        Ok((self.scope, self.until, by, reason))
    }
}

/// Role `operator`. Body `{person, reason, agent_id?, issuer?, group?, until?}`; without a name it is everything. Verdicts go on and say
/// what would have been done; persons' commands and approvals go on too.
async fn pause(
    State(api): State<Api>,
    AsOperator(caller): AsOperator,
    Body(order): Body<Order>,
) -> Result<Json<Status>, Problem> {
    let (scope, until, by, reason) = order.checked(&caller)?;
    api.revoker.pause(scope, until, by, reason, api.now()).await.map_err(refused)?;
    now(&api).await.map(Json)
}

/// Role `operator`. Body `{person, reason, agent_id?, issuer?, group?}`: ends the pause of exactly this scope.
async fn resume(
    State(api): State<Api>,
    AsOperator(caller): AsOperator,
    Body(order): Body<Order>,
) -> Result<Json<Status>, Problem> {
    let (scope, _, by, reason) = order.checked(&caller)?;
    api.revoker.unpause(scope, by, reason, api.now()).await.map_err(refused)?;
    now(&api).await.map(Json)
}

/// Role `analyst`. All approvers, by name; no secrets. They are enrolled on the server itself.
async fn approvers(
    State(api): State<Api>,
    AsAnalyst(_caller): AsAnalyst,
) -> Result<Json<Vec<ApproverRow>>, Problem> {
    Ok(Json(approval::list(&api.revoker).await?))
}
