//! Management of streams (SSF 1.0 section 8.1).

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;

use super::Ssf;
use super::receiver::{AsManager, AsReceiver, Sent};
use crate::api::caller::{AsAdmin, AsAnalyst};
use crate::api::input::{Asked, Body};
use crate::api::person::Signed;
use crate::api::problem::Problem;
use crate::connector::ssf::{Change, Sent as Config};
use crate::store::ssf::StreamStatus;

pub(super) fn router() -> Router<Ssf> {
    Router::new()
        .route("/ssf/streams", post(create).get(read).patch(update).put(replace).delete(delete))
        .route("/ssf/status", get(status).post(set_status))
        .route("/ssf/subjects/add", post(add))
        .route("/ssf/subjects/remove", post(remove))
        .route("/ssf/verify", post(verify))
        .route("/v1/ssf/streams", get(list))
        .route("/v1/ssf/streams/status", post(set_status_by))
}

#[derive(Deserialize)]
struct Which {
    stream_id: String,
}

/// Which stream, where one must be named.
#[derive(Deserialize)]
struct Maybe {
    stream_id: Option<String>,
}

/// What is a receiver's own is nothing for caches.
fn shown(status: StatusCode, value: Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
}

async fn create(
    State(ssf): State<Ssf>,
    AsManager(who): AsManager,
    Sent(sent): Sent<Config>,
) -> Result<Response, Problem> {
    let stream = ssf.transmitter.create(&who, sent, ssf.now()).await?;
    Ok(shown(StatusCode::CREATED, stream))
}

/// One stream, or without `stream_id` all there are.
async fn read(
    State(ssf): State<Ssf>,
    AsReceiver(who): AsReceiver,
    Asked(which): Asked<Maybe>,
) -> Result<Response, Problem> {
    let found = match which.stream_id {
        Some(id) => ssf.transmitter.stream(&who, id, ssf.now()).await?,
        None => ssf.transmitter.streams(&who).await?,
    };
    Ok(shown(StatusCode::OK, found))
}

async fn update(
    State(ssf): State<Ssf>,
    AsManager(who): AsManager,
    Sent(sent): Sent<Config>,
) -> Result<Response, Problem> {
    Ok(shown(StatusCode::OK, ssf.transmitter.update(&who, sent, Change::Update, ssf.now()).await?))
}

async fn replace(
    State(ssf): State<Ssf>,
    AsManager(who): AsManager,
    Sent(sent): Sent<Config>,
) -> Result<Response, Problem> {
    Ok(shown(StatusCode::OK, ssf.transmitter.update(&who, sent, Change::Replace, ssf.now()).await?))
}

async fn delete(
    State(ssf): State<Ssf>,
    AsManager(who): AsManager,
    Asked(which): Asked<Which>,
) -> Result<StatusCode, Problem> {
    ssf.transmitter.delete(&who, which.stream_id, ssf.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn status(
    State(ssf): State<Ssf>,
    AsReceiver(who): AsReceiver,
    Asked(which): Asked<Which>,
) -> Result<Response, Problem> {
    Ok(shown(StatusCode::OK, ssf.transmitter.status(&who, which.stream_id, ssf.now()).await?))
}

#[derive(Deserialize)]
struct NewStatus {
    stream_id: String,
    status: StreamStatus,
    #[serde(default)]
    reason: Option<String>,
}

async fn set_status(
    State(ssf): State<Ssf>,
    AsManager(who): AsManager,
    Sent(new): Sent<NewStatus>,
) -> Result<Response, Problem> {
    let status = (new.status, new.reason);
    Ok(shown(StatusCode::OK, ssf.transmitter.set_status(&who, new.stream_id, status, ssf.now()).await?))
}

#[derive(Deserialize)]
struct OfSubject {
    stream_id: String,
    subject: Value,
}

async fn add(
    State(ssf): State<Ssf>,
    AsManager(who): AsManager,
    Sent(body): Sent<OfSubject>,
) -> Result<StatusCode, Problem> {
    ssf.transmitter.set_subject(&who, body.stream_id, (body.subject, false), ssf.now()).await?;
    Ok(StatusCode::OK)
}

async fn remove(
    State(ssf): State<Ssf>,
    AsManager(who): AsManager,
    Sent(body): Sent<OfSubject>,
) -> Result<StatusCode, Problem> {
    ssf.transmitter.set_subject(&who, body.stream_id, (body.subject, true), ssf.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Verify {
    stream_id: String,
    #[serde(default)]
    state: Option<String>,
}

async fn verify(
    State(ssf): State<Ssf>,
    AsManager(who): AsManager,
    Sent(body): Sent<Verify>,
) -> Result<StatusCode, Problem> {
    ssf.transmitter.verify(&who, body.stream_id, body.state, ssf.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/ssf/streams`: role `analyst`. All streams of all receivers.
async fn list(State(ssf): State<Ssf>, AsAnalyst(_caller): AsAnalyst) -> Result<Response, Problem> {
    Ok(shown(StatusCode::OK, ssf.transmitter.listed().await?))
}

#[derive(Deserialize)]
struct Command {
    stream_id: String,
    status: StreamStatus,
    #[serde(flatten)]
    signed: Signed,
}

/// `POST /v1/ssf/streams/status`: role `admin`. Body `{stream_id, status, person, reason}`. The receiver is told the
/// status and the reason, and cannot undo it.
async fn set_status_by(
    State(ssf): State<Ssf>,
    AsAdmin(caller): AsAdmin,
    Body(command): Body<Command>,
) -> Result<Response, Problem> {
    let (by, reason) = command.signed.checked(&caller)?;
    let status = (command.status, reason);
    let after = ssf.transmitter.set_status_by(by, command.stream_id, status, ssf.now()).await?;
    Ok(shown(StatusCode::OK, after))
}
