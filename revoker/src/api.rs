//! The HTTP interface: the agents' gate, the humans' page, the operators' lists and commands.
//!
//! Every route with its role, what it takes and what it answers stands in `openapi/`, which a server has at `/openapi.json`; a test holds
//! the one against the other. A role is a type among a route's arguments ([`AsAnalyst`] and its like).
//!
//! Agents are named in queries and bodies and never in paths: their names hold slashes, colons and whatever else an ARN
//! or a SPIFFE id may hold, and proxies disagree on what an escaped slash in a path means.
//!
//! Every error is `application/problem+json`. Whatever is not an explicit "go on" is a no.

mod agents;
mod alerts;
mod approvals;
mod approve;
mod audit;
mod authzen;
mod caller;
mod cases;
mod control;
mod effects;
mod enrol;
mod feedback;
mod gate;
mod input;
mod mfa;
mod person;
mod problem;
mod proposals;
mod revocations;
pub mod ssf;
mod waiters;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use detector::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use agents::refused;
pub use caller::{AsAdmin, AsAnalyst, AsGateway, AsOperator, Caller, Role};
pub use gate::{Gate, GateError, GoOn, Put, Question, Scored, Scorer, resuming};
pub use input::{Asked, Body};
pub use mfa::{CONFIRMATION_WAIT_MAX, Mfa, MfaConfig};
pub use person::Signed;
pub use problem::Problem;

use crate::revoker::Revoker;
use waiters::Waiters;

/// Reads the wall clock; a test turns it by hand.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Bytes of a form or of an operator's command, at most.
const SMALL_BODY_BYTES_MAX: usize = 16 * 1024;

/// Gateways that follow the revocation list at once.
const FOLLOWERS_MAX: usize = 1_024;

/// What every route needs. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    revoker: Revoker,
    clock: Clock,
    public_url: Arc<str>,
    waiters: Waiters,
    followers: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Api {
    /// `public_url` is where people and agents reach this server: scheme and authority, perhaps a path; a slash at the
    /// end is dropped.
    pub fn new(revoker: Revoker, public_url: &str, clock: Clock) -> Self {
        Self {
            revoker,
            clock,
            public_url: public_url.trim_end_matches('/').into(),
            waiters: Waiters::default(),
            followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
            stop: CancellationToken::new(),
        }
    }

    /// The same, whose streams end with `stop`: a server that waits for its answers to end would wait for them for ever.
    #[must_use]
    pub fn until(mut self, stop: CancellationToken) -> Self {
        self.stop = stop;
        self
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// How long a yes is good for.
    fn grant(&self) -> std::time::Duration {
        self.revoker.policy().config().grant_s.duration()
    }
}

/// The answer to a method that a route does not have; for routes that stand beside these.
pub async fn no_such_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "Not with this method")
        .detail("The header `Allow` names those that are.")
}

/// All routes. A record at the gate is limited to `record_bytes_max`.
pub fn router<S: Scorer>(gate: Gate<S>, mfa: Mfa<S>, record_bytes_max: usize) -> Router {
    let api = gate.api().clone();
    gate::router(gate.clone(), record_bytes_max)
        .merge(authzen::router(gate, record_bytes_max))
        .method_not_allowed_fallback(no_such_method)
        .merge(mfa::router(mfa))
        .merge(console(api))
}

/// All routes but the gate; for a process that scores nothing.
pub fn console(api: Api) -> Router {
    let pages = approve::router().merge(enrol::router());
    approvals::router()
        .merge(pages.layer(from_fn_with_state(api.clone(), approve::by_public_name)))
        .merge(agents::router())
        .merge(alerts::router())
        .merge(audit::router())
        .merge(authzen::discovery())
        .merge(cases::router())
        .merge(effects::router())
        .merge(feedback::router())
        .merge(control::router())
        .merge(proposals::router())
        .merge(revocations::router())
        .merge(webhooks::router())
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(SMALL_BODY_BYTES_MAX))
        .with_state(api)
}

#[cfg(test)]
mod tests;
