//! OpenID AuthZEN Authorization API 1.0: the gate for policy enforcement points that speak it.
//!
//! | route | |
//! | --- | --- |
//! | `POST /access/v1/evaluation` | one act; role `gateway` |
//! | `POST /access/v1/evaluations` | up to [`EVALUATIONS_MAX`], with defaults and the three semantics; role `gateway` |
//! | `GET /.well-known/authzen-configuration` | where those are; public |
//!
//! An evaluation is read as a request record of the native schema:
//!
//! | there | here |
//! | --- | --- |
//! | `subject.id` | `agent_id`, whatever `subject.type` says |
//! | `subject.properties` | `issuer`, `instance_id`, `session_id`, `parent_agent_id`, `delegator`, `token_id`, `key_thumbprint`, `token_iat`, `token_exp`, `credential_kind`, `attestation`, `model` |
//! | `action.name` | `endpoint` |
//! | `action.properties` | `method`, `operation`, `scope`, `call_id`, `args`, `args_digest`, `arguments` |
//! | `resource.type`, `resource.id` | `resource`, as `type/id` |
//! | `context` | `event_id`, `ts`, `source_ip`, `user_agent`, `bytes_in`; `grant` and `resume_id` of an act that was approved |
//!
//! With `context.event_id` (and then `ts`) the record is kept and scored, as at `POST /v1/gate`, and the answer rests on it;
//! without, it is the standing in memory, and nothing is learned. An approval is for the act as this table reads it, so who
//! was asked for a human here comes back here.
//!
//! A no is `200` with `decision: false` and a `context` that holds what the gate's problem would: `reason`, `message`, and for a
//! step-up `acr_values`, `max_age`, `approval_id`, `status_url`, `expires_at`, `interval`, `binding_code`. Where no decision was
//! possible one evaluation is answered by a status and a text, one of several by `decision: false` and `context.error`.

mod ask;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::{Map, Value, json};

use self::ask::{Ask, Asks, Semantic};
use super::Api;
use super::caller::{AsGateway, Caller};
use super::gate::{Gate, GoOn, Put, Scorer};
use super::problem::Problem;
use crate::approval::Unequivocal;

/// Evaluations in one request at most.
const EVALUATIONS_MAX: usize = 100;

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A body of several evaluations is no longer than this many records may be.
const RECORDS_IN_BODY: usize = 4;

pub(super) fn router<S: Scorer>(gate: Gate<S>, record_bytes_max: usize) -> Router {
    Router::new()
        .route(EVALUATION, post(evaluation::<S>))
        .route(EVALUATIONS, post(evaluations::<S>))
        .layer(DefaultBodyLimit::max(record_bytes_max.saturating_mul(RECORDS_IN_BODY)))
        .layer(from_fn(identified))
        .with_state(gate)
}

/// Where decisions are to be had (section 9).
pub(super) fn discovery() -> Router<Api> {
    Router::new().route("/.well-known/authzen-configuration", get(configuration))
}

async fn configuration(State(api): State<Api>) -> impl IntoResponse {
    let at = |path: &str| format!("{}{path}", api.public_url);
    let caching = [(header::CACHE_CONTROL, "public, max-age=3600")];
    let metadata = json!({
        "policy_decision_point": *api.public_url,
        "access_evaluation_endpoint": at(EVALUATION),
        "access_evaluations_endpoint": at(EVALUATIONS),
    });
    (caching, Json(metadata))
}

/// `X-Request-ID` comes back as it was sent.
async fn identified(request: Request, next: Next) -> Response {
    let id = request.headers().get(REQUEST_ID).cloned();
    let mut response = next.run(request).await;
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// An error as the specification has it: a status and a text.
struct Failure(Problem);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.0.into_text()
    }
}

/// One decision.
#[derive(Serialize)]
struct Decision {
    decision: bool,
    context: Value,
}

impl Decision {
    fn yes(go_on: &GoOn) -> Self {
        Self { decision: true, context: json!(go_on) }
    }

    /// What the gate decided, or the failure to decide.
    fn no(problem: Problem) -> Result<Self, Problem> {
        if !matches!(problem.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(problem);
        }
        let mut context = problem.facts().clone();
        context.insert("reason".to_owned(), problem.kind().into());
        context.insert("message".to_owned(), problem.words().into());
        Ok(Self { decision: false, context: Value::Object(context) })
    }

    /// Closed, because there was none.
    fn failed(problem: &Problem) -> Self {
        let error = json!({ "status": problem.status().as_u16(), "message": problem.words() });
        Self { decision: false, context: json!({ "error": error }) }
    }
}

type ReadBody = Result<Bytes, BytesRejection>;

async fn evaluation<S: Scorer>(
    State(gate): State<Gate<S>>,
    caller: Result<AsGateway, Problem>,
    headers: HeaderMap,
    body: ReadBody,
) -> Result<Json<Decision>, Failure> {
    let AsGateway(caller) = caller?;
    let body = read(&headers, body)?;
    Ok(Json(decide(&gate, &caller, &Ask::from(body)).await?))
}

async fn evaluations<S: Scorer>(
    State(gate): State<Gate<S>>,
    caller: Result<AsGateway, Problem>,
    headers: HeaderMap,
    body: ReadBody,
) -> Result<Response, Failure> {
    let AsGateway(caller) = caller?;
    let asks = match Asks::read(read(&headers, body)?)? {
        Asks::One(ask) => return Ok(Json(decide(&gate, &caller, &ask).await?).into_response()),
        Asks::Several { asks, .. } if asks.len() > EVALUATIONS_MAX => {
            let words = format!("`evaluations` holds {}; {EVALUATIONS_MAX} is the limit.", asks.len());
            return Err(ask::bad(words).into());
        }
        several @ Asks::Several { .. } => several,
    };
    let decided = all(&gate, &caller, &asks).await;
    Ok(Json(json!({ "evaluations": decided })).into_response())
}

/// Every act in the order asked, up to the one that settles all.
async fn all<S: Scorer>(gate: &Gate<S>, caller: &Caller, asks: &Asks) -> Vec<Decision> {
    let Asks::Several { asks, semantic } = asks else { return Vec::new() };
    let one = async |ask| decide(gate, caller, ask).await.unwrap_or_else(|e| Decision::failed(&e));
    let last = match semantic {
        Semantic::ExecuteAll => return join_all(asks.iter().map(one)).await,
        Semantic::DenyOnFirstDeny => false,
        Semantic::PermitOnFirstPermit => true,
    };
    let mut decided = Vec::new();
    for ask in asks {
        let decision = one(ask).await;
        let is_last = decision.decision == last;
        decided.push(decision);
        if is_last {
            break;
        }
    }
    decided
}

async fn decide<S: Scorer>(gate: &Gate<S>, caller: &Caller, ask: &Ask) -> Result<Decision, Problem> {
    let act = ask.act(gate.api().now())?;
    let answered = if act.is_scored {
        gate.judge(caller, Put { record: act.record.into(), resume: act.resume, token: None }).await
    } else {
        gate.recall(caller, act.record.into()).await
    };
    match answered {
        Ok(go_on) => Ok(Decision::yes(&go_on)),
        Err(problem) => Decision::no(problem),
    }
}

/// The members of the body; every fault is a 400, as the certification scenario has it, but for one that is too long.
fn read(headers: &HeaderMap, body: ReadBody) -> Result<Map<String, Value>, Problem> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        return Err(ask::bad("The content type must be `application/json`."));
    }
    let body = body.map_err(|rejection| super::input::bad(rejection.status(), &rejection))?;
    match serde_json::from_slice(&body) {
        Ok(Unequivocal(Value::Object(members))) => Ok(members),
        Ok(_) => Err(ask::bad("The body is no JSON object.")),
        Err(e) => Err(ask::bad(format!("The body cannot be taken: {e}."))),
    }
}
