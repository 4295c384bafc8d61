//! The seven operations that agent frameworks know for a human's confirmation: `POST /v1/mfa/{operation}`, role `gateway`.
//!
//! | operation | body (required in bold) | answer |
//! | --- | --- | --- |
//! | `mfa_required_for_action` | **`action`**, `context` | `required`, `reason`, and of a question that is open `case` and `approval_id` |
//! | `promptless_verify_user_exists` | **`email`** | `exists`; nobody is told |
//! | `promptless_init_transaction` | **`username`**, **`email`**, `params` | `tid` |
//! | `promptless_send_method` | **`tid`**, `method` | `sent`, and what the agent shows its human |
//! | `promptless_wait_for_confirmation` | **`tid`**, `timeoutSeconds` | `status`; once `confirmed` the `token` to act with |
//! | `prompt_init_transaction` | **`username`**, **`email`**, **`callbackUrl`**, **`logoutUrl`**, `params` | `tid`, `webURI` |
//! | `prompt_get_credentials` | **`accessToken`**, `codeVerifier` | the credentials |
//!
//! `promptless_wait_for_confirmation` is also a WebSocket: `GET` with `?tid=` and `?timeoutSeconds=`.
//!
//! `context` and `params` hold the act in fields of the native schema, all of them texts: `agent` (or `agent_id`), `issuer`, `instance_id`, `method`, `operation`,
//! `resource`, `args_digest`, of `context` also `source_ip`, and of `params` also `action`, `arguments` (JSON), `description`, `requester`, `state` and `code_challenge`
//! (RFC 7636, S256). Whatever else is in `params` is shown to the human as the agent's word. Without `agent` the credential's name is
//! the agent. A yes is for that act: its token is the grant that the gate admits it with.

mod input;
mod operations;
mod prompt;
mod wait;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::prompt::MfaConfig;
pub use self::wait::CONFIRMATION_WAIT_MAX;
use super::caller::{AsGateway, Caller};
use super::gate::{Gate, Scorer};
use super::input::Body;
use super::problem::Problem;

/// Bytes of one call, at most.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The operations, by name.
const OPERATIONS: [&str; 7] = [
    "mfa_required_for_action",
    "promptless_verify_user_exists",
    "promptless_init_transaction",
    "promptless_send_method",
    "promptless_wait_for_confirmation",
    "prompt_init_transaction",
    "prompt_get_credentials",
];

/// The operations over one gate. Cheap to clone.
pub struct Mfa<S> {
    gate: Gate<S>,
    config: Arc<MfaConfig>,
    /// Who looked for users in which minute, and how often.
    looked: Arc<Mutex<HashMap<String, (i64, u32)>>>,
    /// Whether an identity provider can be asked.
    pushes: bool,
}

impl<S> Clone for Mfa<S> {
    fn clone(&self) -> Self {
        let (config, looked) = (Arc::clone(&self.config), Arc::clone(&self.looked));
        Self { gate: self.gate.clone(), config, looked, pushes: self.pushes }
    }
}

impl<S: Scorer> Mfa<S> {
    /// Those that ask `gate`.
    pub fn new(gate: Gate<S>, config: MfaConfig) -> Self {
        Self { gate, config: Arc::new(config), looked: Arc::default(), pushes: false }
    }

    /// The same, with the method `push` where `there` is an identity provider to ask.
    #[must_use]
    pub fn pushing(self, there: bool) -> Self {
        Self { pushes: there, ..self }
    }

    /// Carries one out for a caller with the role `gateway`. Everything but `Ok` is a no.
    pub async fn call(&self, caller: &Caller, operation: &str, body: Value) -> Result<Value, Problem> {
        match operation {
            "mfa_required_for_action" => self.required(caller, read(body)?).await,
            "promptless_verify_user_exists" => self.exists(caller, read(body)?).await,
            "promptless_init_transaction" => self.init(caller, read(body)?).await,
            "promptless_send_method" => self.send(caller, read(body)?).await,
            "promptless_wait_for_confirmation" => self.wait(caller, read(body)?).await,
            "prompt_init_transaction" => self.prompt(caller, read(body)?).await,
            "prompt_get_credentials" => self.credentials(caller, read(body)?).await,
            other => {
                Err(Problem::new(StatusCode::NOT_FOUND, "operation_unknown", "There is no such operation")
                    .detail(format!("`{other}` is none of those in `operations`."))
                    .fact("operations", OPERATIONS))
            }
        }
    }
}

fn read<T: DeserializeOwned>(body: Value) -> Result<T, Problem> {
    T::deserialize(body).map_err(|e| super::input::bad(StatusCode::BAD_REQUEST, &e))
}

/// The routes.
pub(super) fn router<S: Scorer>(mfa: Mfa<S>) -> Router {
    let pages = prompt::router().with_state(mfa.gate.api().clone());
    Router::new()
        .route("/v1/mfa/promptless_wait_for_confirmation", get(wait::socket::<S>).post(waited::<S>))
        .route("/v1/mfa/{operation}", post(call::<S>))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(mfa)
        .merge(pages)
        .method_not_allowed_fallback(super::no_such_method)
}

async fn call<S: Scorer>(
    State(mfa): State<Mfa<S>>,
    AsGateway(caller): AsGateway,
    operation: Result<Path<String>, PathRejection>,
    Body(body): Body<Value>,
) -> Result<Json<Value>, Problem> {
    let operation = operation.map_or_else(|_| String::new(), |Path(operation)| operation);
    mfa.call(&caller, &operation, body).await.map(Json)
}

async fn waited<S: Scorer>(
    State(mfa): State<Mfa<S>>,
    AsGateway(caller): AsGateway,
    Body(body): Body<Value>,
) -> Result<Json<Value>, Problem> {
    mfa.call(&caller, "promptless_wait_for_confirmation", body).await.map(Json)
}
