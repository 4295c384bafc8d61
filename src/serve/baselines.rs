//! `/v1/agents/history`, `/v1/agents/diff`, `/v1/agents/revert`: versions of what an agent is like.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use detector::endpoint_keys;
use ingest::baseline::{BaselineError, Baselines, Version};
use revoker::Revoker;
use revoker::agent::AgentKey;
use revoker::api::{AsAnalyst, AsOperator, Asked, Body, Problem, Signed, no_such_method, refused};
use revoker::standing::Standing;
use serde::{Deserialize, Serialize};

use super::stored::Stored;
use crate::clock;

/// What the routes need.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) baselines: Baselines,
    pub(super) revoker: Revoker,
    pub(super) stored: Stored,
}

pub(super) fn router(kept: Kept) -> Router {
    Router::new()
        .route("/v1/agents/history", get(history))
        .route("/v1/agents/diff", get(diff))
        .route("/v1/agents/revert", post(revert))
        .method_not_allowed_fallback(no_such_method)
        .with_state(kept)
}

#[derive(Deserialize)]
struct Question {
    agent_id: String,
    issuer: Option<String>,
    /// Versions, by their numbers.
    from: Option<i64>,
    to: Option<i64>,
}

impl Question {
    fn agent(&self) -> AgentKey {
        AgentKey::new(self.issuer.as_deref(), &self.agent_id)
    }
}

#[derive(Serialize)]
struct History {
    rows: Vec<Version>,
}

/// `GET /v1/agents/history?agent_id=&issuer=`: role `analyst`. The versions kept of an agent, newest first.
async fn history(
    State(kept): State<Kept>,
    AsAnalyst(_caller): AsAnalyst,
    Asked(asked): Asked<Question>,
) -> Result<Json<History>, Problem> {
    Ok(Json(History { rows: kept.versions(asked.agent()).await? }))
}

#[derive(Serialize)]
struct Diff {
    from: i64,
    to: i64,
    /// A sentence each; none where nothing that people can read has changed.
    changes: Vec<String>,
}

/// `GET /v1/agents/diff?agent_id=&issuer=&from=&to=`: role `analyst`. What has changed from one version to
/// another; without numbers, from the last but one to the last.
async fn diff(
    State(kept): State<Kept>,
    AsAnalyst(_caller): AsAnalyst,
    Asked(asked): Asked<Question>,
) -> Result<Json<Diff>, Problem> {
    let versions = kept.versions(asked.agent()).await?;
    let of = |number: Option<i64>, without: usize| match number {
        Some(number) => versions.iter().find(|version| version.version == number),
        None => versions.get(without),
    };
    let (from, to) = (of(asked.from, 1), of(asked.to, 0));
    let (from, to) = from.zip(to).ok_or_else(|| unknown(&asked.agent()))?;
    let names = kept.names(&asked.agent()).await;
    let changes = from.summary.changes(&to.summary, |key| names.get(key).cloned());
    Ok(Json(Diff { from: from.version, to: to.version, changes }))
}

#[derive(Deserialize)]
struct Order {
    agent_id: String,
    issuer: Option<String>,
    /// The version, by its number.
    to: i64,
    #[serde(flatten)]
    signed: Signed,
}

#[derive(Serialize)]
struct Reverted {
    version: i64,
    #[serde(flatten)]
    standing: Standing,
}

/// `POST /v1/agents/revert`: role `operator`. Body `{agent_id, issuer?, to, person, reason}`. The agent is read against that
/// baseline as soon as the detector has read the order; its standing is what it was.
async fn revert(
    State(kept): State<Kept>,
    AsOperator(caller): AsOperator,
    Body(order): Body<Order>,
) -> Result<Json<Reverted>, Problem> {
    let (by, reason) = order.signed.checked(&caller)?;
    let agent = AgentKey::new(order.issuer.as_deref(), &order.agent_id);
    let versions = kept.versions(agent.clone()).await?;
    let found = versions.into_iter().find(|version| version.version == order.to);
    let version = found.ok_or_else(|| unknown(&agent))?;
    if !version.is_usable {
        let layout = &version.layout;
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "another_layout",
            "That version cannot be gone back to",
        )
        .detail(format!("Another version of this program packed it (layout {layout}); it can be compared."))
        .fact("layout", layout));
    }
    let reverted = kept.revoker.revert(agent, order.to, version.text(), by, reason, clock::now()).await;
    Ok(Json(Reverted { version: order.to, standing: reverted.map_err(refused)? }))
}

impl Kept {
    async fn versions(&self, agent: AgentKey) -> Result<Vec<Version>, Problem> {
        let baselines = self.baselines.clone();
        let read = move || baselines.of(agent.issuer.as_deref(), &agent.agent_id);
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(|e| failed(&e))?.map_err(|e: BaselineError| failed(&e))
    }

    /// The names of an agent's endpoints by their keys, as far as the database knows its calls.
    async fn names(&self, agent: &AgentKey) -> HashMap<String, String> {
        let Some(store) = self.stored.get() else { return HashMap::new() };
        match store.endpoints_shown(agent.issuer.as_deref(), &agent.agent_id).await {
            Ok(shown) => shown
                .into_iter()
                .flat_map(|shown| endpoint_keys(&shown).map(|key| (key, shown.clone())).collect::<Vec<_>>())
                .collect(),
            Err(error) => {
                tracing::warn!(%error, "endpoints are shown without their names");
                HashMap::new()
            }
        }
    }
}

fn unknown(agent: &AgentKey) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "version_unknown", "There is no such version")
        .detail(format!(
            "No such baseline of agent `{agent}` is kept. An agent is looked up under exactly the issuer it is known by, and of \
             each {} versions are kept.",
            ingest::baseline::KEPT
        ))
        .fact("agent_id", &agent.agent_id)
        .fact("issuer", &agent.issuer)
}

fn failed(error: &impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "baselines cannot be read");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "What is stored cannot be read")
        .detail("The server's log says more.")
}
