//! The one listener: the crates' routes, who is calling, health and metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use ingest::baseline::Baselines;
use ingest::pipeline::score::{Enquirer, FleetStatus};
use ingest::source::Intake;
use ingest::source::credentials::{Credential, Credentials, Denied, bearer};
use ingest::source::http::{self, HttpState};
use metrics_exporter_prometheus::PrometheusHandle;
use revoker::Revoker;
use revoker::agent::AgentKey;
use revoker::api::ssf::{self, Ssf};
use revoker::api::{Caller, Gate, Mfa};
use revoker::connector::ssf::Transmitter;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::channel::{self, Realm};
use super::ext_authz::{self, ExtAuthzConfig};
use super::fleet;
use super::gate::ToLog;
use super::issuers::Issuers;
#[cfg(feature = "mcp")]
use super::mcp;
use super::register::{self, Records};
use super::stored::Stored;
use super::tls::Peer;
use super::{baselines, ciba, explain, introspect, manifests, openapi, roles};
use crate::clock;
use crate::config::Config;

/// The longest record the gate takes.
const RECORD_BYTES_MAX: usize = 256 * 1_024;
/// How long the database may take to say that it is there.
const PING_MAX: Duration = Duration::from_secs(2);

/// What the routes need.
pub(super) struct Parts {
    pub(super) who: Arc<Who>,
    pub(super) intake: Intake,
    pub(super) revoker: Revoker,
    pub(super) transmitter: Option<Arc<Transmitter>>,
    pub(super) gate: Gate<ToLog>,
    pub(super) realm: Option<Arc<Realm>>,
    pub(super) mfa: Mfa<ToLog>,
    pub(super) metrics: PrometheusHandle,
    pub(super) health: watch::Receiver<FleetStatus>,
    pub(super) enquirer: Enquirer,
    pub(super) stored: Stored,
    pub(super) baselines: Baselines,
    /// Whether calls may be posted here.
    pub(super) takes_calls: bool,
    pub(super) stop: CancellationToken,
}

/// All routes.
pub(super) fn router(config: &Config, parts: Parts) -> Router {
    let Parts {
        who,
        intake,
        revoker,
        transmitter,
        gate,
        realm,
        mfa,
        metrics,
        health,
        enquirer,
        stored,
        baselines,
        takes_calls,
        stop,
    } = parts;
    let calls = HttpState::new(&config.http, Arc::clone(&who.credentials), intake, stop.clone());
    let streams = transmitter.map_or_else(Router::new, |transmitter| {
        ssf::router(Ssf::new(transmitter, revoker.clone(), Arc::new(clock::now), stop.clone()))
    });
    let explanations = explain::router(config.budgets, stored.clone());
    let register = register::router(Records { revoker: revoker.clone(), stored: stored.clone(), enquirer });
    let baselines =
        baselines::router(baselines::Kept { baselines, revoker: revoker.clone(), stored: stored.clone() });
    let probes = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(async move || metrics.render()))
        .merge(openapi::router())
        .with_state((revoker.clone(), stored, stop.clone()));
    #[cfg(feature = "mcp")]
    let tools = {
        let issuers = config.issuers.iter().map(|issuer| issuer.issuer().to_owned()).collect();
        let resource = mcp::Resource { public_url: config.http.public_url().into(), issuers };
        mcp::router(mcp::Doors { gate: gate.clone(), mfa: mfa.clone() }, resource, stop.clone())
    };
    #[cfg(not(feature = "mcp"))]
    let tools = Router::new();
    revoker::api::router(gate, mfa, RECORD_BYTES_MAX)
        .merge(tools)
        .merge(explanations)
        .merge(register)
        .merge(manifests::router(revoker.clone()))
        .merge(baselines)
        .merge(fleet::router(health))
        .merge(streams)
        .merge(if takes_calls { http::router(calls) } else { Router::new() })
        .merge(ciba::router(revoker.clone()))
        .merge(channel::router(realm, revoker.clone()))
        .merge(introspect::router(Arc::clone(&who), revoker))
        .layer(middleware::from_fn_with_state(who, identify))
        .merge(probes)
}

/// What Envoy asks, on a listener of its own.
pub(super) fn checks(who: Arc<Who>, gate: Gate<ToLog>, config: &ExtAuthzConfig) -> Router {
    ext_authz::router(gate, config).layer(middleware::from_fn_with_state(who, identify))
}

/// Everybody who may call.
pub(super) struct Who {
    pub(super) credentials: Arc<Credentials>,
    pub(super) issuers: Issuers,
}

impl Who {
    /// Who sends these headers, and what their records are known under. Why nobody is known is logged.
    async fn calls(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Option<(Arc<Credential>, String)> {
        match self.credentials.known(headers) {
            Ok(credential) => {
                let name = credential.name.clone();
                Some((credential, name))
            }
            // A token that is shown is what counts, so a wrong one is not made good by a certificate.
            Err(Denied::NoToken) if peer.is_some_and(|peer| !peer.names().is_empty()) => {
                let names = peer.map(Peer::names).unwrap_or_default();
                let known = self.credentials.certified(names);
                if known.is_none() {
                    tracing::warn!(?names, "nobody is known by this certificate");
                }
                known.map(|credential| (Arc::clone(&credential), credential.name.clone()))
            }
            Err(Denied::UnknownToken) if !self.issuers.is_empty() => {
                let token = std::str::from_utf8(bearer(headers)?).ok()?;
                match self.issuers.check(token).await {
                    Ok((credential, source)) => Some((Arc::new(credential), source)),
                    Err(reason) => {
                        tracing::warn!(%reason, "a token was refused");
                        None
                    }
                }
            }
            Err(reason) => {
                tracing::debug!(%reason, "a caller is not known");
                None
            }
        }
    }
}

/// Says who calls; the routes say whether that is enough.
async fn identify(State(who): State<Arc<Who>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|ConnectInfo(peer)| peer.clone());
    if let Some((credential, source)) = who.calls(request.headers(), peer.as_ref()).await {
        let agent = credential.agent.as_ref();
        let caller = Caller {
            name: credential.name.clone(),
            source,
            roles: roles::held_by(&credential.roles),
            agent: agent.map(|(issuer, agent_id)| AgentKey::new(issuer.as_deref(), agent_id)),
        };
        request.extensions_mut().insert(caller);
        request.extensions_mut().insert(credential);
    }
    next.run(request).await
}

/// Ready: calls are taken and decided on. A database that is down is told and is no reason not to be.
async fn ready(State((revoker, stored, stop)): State<(Revoker, Stored, CancellationToken)>) -> Response {
    let store = match stored.get() {
        None => "not reached yet",
        Some(store) => match tokio::time::timeout(PING_MAX, store.ping()).await {
            Ok(Ok(())) => "ok",
            Ok(Err(_)) | Err(_) => "down",
        },
    };
    let record = match revoker.ready(clock::now()).await {
        Ok(()) => "ok",
        Err(error) => {
            tracing::warn!(%error, "the record is not ready");
            "down"
        }
    };
    let stopping = stop.is_cancelled();
    let status = if record == "ok" && !stopping { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "record": record, "store": store, "stopping": stopping }))).into_response()
}
