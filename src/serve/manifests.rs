//! `/v1/register/{agent_id}/manifest`: what an agent is meant to do, read and set while the server runs.
//!
//! What the configuration declares (`manifests`, `manifests_dir`) stands: it is changed there, and a manifest that was set here for the
//! same agent gives way to it. One that is set here is in force for people, groups and lines at once, and for the detector from its
//! place in the log on, where a replay finds it.

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use detector::Manifest;
use ingest::decode::native::MANIFEST_BYTES_MAX;
use revoker::Revoker;
use revoker::agent::AgentKey;
use revoker::api::{AsAnalyst, AsOperator, Asked, Body, Problem, Signed, no_such_method, refused};
use revoker::store::register::Signature;
use serde::{Deserialize, Serialize};

use super::register::undeclared;
use crate::clock;
use crate::config::manifests;
use crate::register::ByAgent;

pub(super) fn router(revoker: Revoker) -> Router {
    Router::new()
        .route("/v1/register/{agent_id}/manifest", get(read).put(set))
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(2 * MANIFEST_BYTES_MAX))
        .with_state(revoker)
}

#[derive(Deserialize)]
struct Question {
    issuer: Option<String>,
}

/// A manifest, and where it is from.
#[derive(Serialize)]
struct Known {
    manifest: Manifest,
    /// Which one that was set; none of one of the configuration.
    version: Option<i64>,
    set: Option<Signature>,
}

/// `GET /v1/register/{agent_id}/manifest?issuer=`: role `analyst`. What is in force of the agent.
async fn read(
    State(revoker): State<Revoker>,
    AsAnalyst(_caller): AsAnalyst,
    Path(agent_id): Path<String>,
    Asked(Question { issuer }): Asked<Question>,
) -> Result<Json<Known>, Problem> {
    let agent = AgentKey::new(issuer.as_deref(), &agent_id);
    let all = revoker.manifests();
    let manifest = ByAgent::new(&all).of(&agent).cloned().ok_or_else(|| undeclared(&agent))?;
    let named = AgentKey::new(manifest.issuer.as_deref(), &manifest.agent_id);
    let (version, set) = revoker.manifest(named).await?.map(|known| (known.version, known.set)).unzip();
    Ok(Json(Known { manifest, version, set }))
}

#[derive(Deserialize)]
struct Order {
    manifest: serde_json::Value,
    /// The version that this is in the place of; none where there is none.
    replaces: Option<i64>,
    #[serde(flatten)]
    signed: Signed,
}

/// `PUT /v1/register/{agent_id}/manifest?issuer=`: role `operator`. Body `{manifest, replaces?, person, reason}`; the manifest is as in a
/// file.
async fn set(
    State(revoker): State<Revoker>,
    AsOperator(caller): AsOperator,
    Path(agent_id): Path<String>,
    Asked(Question { issuer }): Asked<Question>,
    Body(order): Body<Order>,
) -> Result<Json<Known>, Problem> {
    let (by, reason) = order.signed.checked(&caller)?;
    let manifest = manifests::sent(&order.manifest, "manifest").map_err(|e| wrong(e.to_string()))?;
    if (&manifest.agent_id, &manifest.issuer) != (&agent_id, &issuer) {
        let named = &manifest.agent_id;
        return Err(wrong(format!(
            "manifest: agent `{named}`: agent_id, issuer: the address names another agent"
        )));
    }
    let bytes = serde_json::to_string(&manifest).map_or(0, |text| text.len());
    if bytes > MANIFEST_BYTES_MAX {
        return Err(wrong(format!(
            "manifest: agent `{agent_id}`: {bytes} bytes; {MANIFEST_BYTES_MAX} is the limit"
        )));
    }
    let set = revoker.declare(manifest, order.replaces.unwrap_or(0), by, reason, clock::now()).await;
    let set = set.map_err(refused)?;
    Ok(Json(Known { manifest: set.manifest, version: Some(set.version), set: Some(set.set) }))
}

fn wrong(why: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_manifest", "The manifest cannot be used").detail(why)
}
