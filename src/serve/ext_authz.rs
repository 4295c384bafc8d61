//! Envoy's external authorization (`envoy.service.auth.v3.Authorization/Check`, gRPC): the gate for whatever Envoy stands before.
//!
//! Envoy shows a credential of ours with the role `gateway` (`initial_metadata` of its `grpc_service`), and its checks are that source's
//! records. Every check is scored. A yes takes `Tocsin-Grant` and `Tocsin-Resume-Id` away from the request before it goes on; a no is
//! the gate's answer, with its status, headers and body. Envoy itself closes (403) where nobody answers, unless it is told to
//! fail open.

mod act;
mod wire;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::Response as HttpResponse;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Extension, Router};
use rand::RngExt as _;
use revoker::api::{Caller, Gate, Problem, Put};
use serde::Deserialize;
use serde_json::Value;
use tonic::codegen::Service;
use tonic::server::Grpc;
use tonic_prost::ProstCodec;

use self::wire::{
    Allowed, Attributes, CheckRequest, CheckResponse, Denied, Header, HeaderOption, HttpStatus, Status,
};
use super::gate::ToLog;
use crate::clock;

/// The largest check: headers, and the body where Envoy sends it along.
const CHECK_BYTES_MAX: usize = 256 * 1_024;

/// The largest answer's body that is handed on.
const ANSWER_BYTES_MAX: usize = 64 * 1_024;

const GRANT: &str = "tocsin-grant";
const RESUME_ID: &str = "tocsin-resume-id";

/// Codes of `google.rpc.Code`.
const OK: i32 = 0;
const PERMISSION_DENIED: i32 = 7;

/// The section `[ext_authz]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtAuthzConfig {
    /// Where to listen; plain HTTP/2, for an Envoy beside us.
    pub(crate) listen: SocketAddr,
    /// Under which name Envoy's JWT filter tells the claims of a token that it verified (its `payload_in_metadata`).
    #[serde(default = "jwt_payload")]
    jwt_payload: String,
    /// The claim that names the agent, or a path of claims with dots between.
    #[serde(default = "agent_claim")]
    agent_claim: String,
    /// Where there is no such token: take who the client's certificate says it is, as Envoy verified it.
    #[serde(default)]
    principals: bool,
    /// Fields of the record that a header fills. Only for headers that Envoy sets itself and takes away from what clients
    /// send.
    #[serde(default, deserialize_with = "headers")]
    headers: BTreeMap<String, String>,
}

fn jwt_payload() -> String {
    "jwt_payload".to_owned()
}

fn agent_claim() -> String {
    "sub".to_owned()
}

fn headers<'de, D: serde::Deserializer<'de>>(d: D) -> Result<BTreeMap<String, String>, D::Error> {
    let headers = BTreeMap::<String, String>::deserialize(d)?;
    if let Some(field) = headers.keys().find(|field| !act::FROM_HEADERS.contains(&field.as_str())) {
        let known = act::FROM_HEADERS.join("`, `");
        return Err(serde::de::Error::custom(format!("`{field}` is none of `{known}`")));
    }
    Ok(headers.into_iter().map(|(field, header)| (field, header.to_ascii_lowercase())).collect())
}

#[derive(Clone)]
struct Checks {
    gate: Gate<ToLog>,
    config: Arc<ExtAuthzConfig>,
}

/// The one method. Who calls is said by the layer before.
pub(super) fn router(gate: Gate<ToLog>, config: &ExtAuthzConfig) -> Router {
    let checks = Checks { gate, config: Arc::new(config.clone()) };
    Router::new().route("/envoy.service.auth.v3.Authorization/Check", post(check)).with_state(checks)
}

async fn check(
    State(checks): State<Checks>,
    caller: Option<Extension<Caller>>,
    request: Request,
) -> HttpResponse<tonic::body::Body> {
    let check = Check { checks, caller: caller.map(|Extension(caller)| caller) };
    let codec = ProstCodec::<CheckResponse, CheckRequest>::default();
    Grpc::new(codec).apply_max_message_size_config(Some(CHECK_BYTES_MAX), None).unary(check, request).await
}

/// One check, as tonic calls it.
struct Check {
    checks: Checks,
    caller: Option<Caller>,
}

impl Service<tonic::Request<CheckRequest>> for Check {
    type Response = tonic::Response<CheckResponse>;
    type Error = tonic::Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), tonic::Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<CheckRequest>) -> Self::Future {
        let (checks, caller) = (self.checks.clone(), self.caller.clone());
        Box::pin(async move {
            let caller = caller.filter(Caller::is_gateway).ok_or_else(|| {
                tonic::Status::unauthenticated("a credential with the role `gateway` is required")
            })?;
            let attributes = request.into_inner().attributes.unwrap_or_default();
            let answer = match checks.judge(&caller, &attributes).await {
                Ok(()) => allowed(),
                Err(problem) => denied(problem).await,
            };
            Ok(tonic::Response::new(answer))
        })
    }
}

impl Checks {
    async fn judge(&self, caller: &Caller, attributes: &Attributes) -> Result<(), Problem> {
        // Not Envoy's own id of the request: where clients may choose that, they would choose which events are the same.
        let event_id = format!("envoy-{:032x}", rand::rng().random::<u128>());
        let now = clock::now().to_string();
        let record = act::record(&self.config, attributes, (&event_id, &now)).ok_or_else(act::nameless)?;
        let http = attributes.request.as_ref().and_then(|request| request.http.as_ref());
        let header = |name: &str| http.and_then(|http| http.headers.get(name)).map(String::as_str);
        let put = Put {
            record: Value::Object(record).to_string().into(),
            resume: revoker::api::resuming(header(GRANT), header(RESUME_ID))?,
            token: None,
        };
        self.gate.judge(caller, put).await.map(drop)
    }
}

fn allowed() -> CheckResponse {
    let headers_to_remove = [GRANT, RESUME_ID].map(str::to_owned).into();
    CheckResponse {
        status: Some(Status { code: OK }),
        ok_response: Some(Allowed { headers_to_remove }),
        denied_response: None,
    }
}

/// The gate's own answer, as Envoy shall give it.
async fn denied(problem: Problem) -> CheckResponse {
    let (parts, body) = problem.into_response().into_parts();
    // It is all in memory.
    let body = to_bytes(body, ANSWER_BYTES_MAX).await.unwrap_or_default();
    let header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        let value = value.to_str().ok()?.to_owned();
        Some(HeaderOption { header: Some(Header { key: name.to_string(), value }) })
    };
    let denied = Denied {
        status: Some(HttpStatus { code: i32::from(parts.status.as_u16()) }),
        headers: parts.headers.iter().filter_map(header).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    CheckResponse {
        status: Some(Status { code: PERMISSION_DENIED }),
        denied_response: Some(denied),
        ok_response: None,
    }
}
