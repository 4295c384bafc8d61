//! The HTTP source: `POST /v1/calls`.
//!
//! The body is NDJSON or CloudTrail, plain or gzip. The answer 200 says that every line of it is settled: durable in the
//! log, or kept as a reject and named. Any other answer says that some lines may not be: send the whole body again,
//! later where `Retry-After` says so; what was taken already is then counted as a duplicate. A body that breaks off is
//! not taken at all.

mod rate;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use self::rate::Rate;
use super::credentials::{Credential, CredentialConfig, Credentials, Role};
use super::intake::{Intake, IntakeCause, IntakeError, Reading, Report};
use super::problem::Problem;
use crate::decode::{Limits, RecordReader};
use crate::log::LogError;

/// Bytes of request bodies held at a time, in all requests together.
const BODIES_KIB_MAX: usize = 64 * 1_024;
/// What a request counts at least against that, so that the number of requests is bounded as well (to 512).
const REQUEST_KIB_MIN: usize = 128;
/// A gzipped body may expand to this many times the largest body.
const EXPANSION_MAX: u64 = 16;
/// How long a client may take to send its body.
const BODY_TIME_MAX: Duration = Duration::from_mins(1);

/// The section `[http]`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Where to listen, for all interfaces together.
    pub listen: SocketAddr,
    /// What people and receivers reach that under, where it is not what [`HttpConfig::public_url`] makes of `listen`.
    pub public_url: Option<String>,
    /// The largest body, in bytes as sent.
    pub body_bytes_max: usize,
    /// The longest line, in bytes; longer ones are rejected one by one.
    pub line_bytes_max: usize,
    /// Lines a second that one credential may send over time, ≥ 1.
    pub lines_per_second_max: u32,
    /// Who may call.
    pub credentials: Vec<CredentialConfig>,
    /// TLS; without it plain HTTP.
    pub tls: Option<TlsConfig>,
}

/// The section `[http.tls]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The server's certificate in PEM, and those between it and its root.
    pub cert_file: PathBuf,
    /// Its private key in PEM.
    pub key_file: PathBuf,
    /// Whose certificates clients may show, in PEM.
    #[serde(default)]
    pub client_ca_file: Option<PathBuf>,
    /// Whether clients show one.
    #[serde(default)]
    pub client_cert: ClientCert,
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCert {
    /// None is asked for.
    #[default]
    Off,
    /// Who shows none may still be known by a token.
    Optional,
    /// Who shows none is not let in.
    Required,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 7700).into(),
            public_url: None,
            body_bytes_max: 16 << 20,
            line_bytes_max: 1 << 20,
            lines_per_second_max: 50_000,
            credentials: Vec::new(),
            tls: None,
        }
    }
}

impl HttpConfig {
    /// What people and receivers reach this server under, without a slash at the end. Unless it is configured, that is where it
    /// listens, by the name `localhost` if it is this machine: `http://localhost` is a secure context to browsers (W3C Secure
    /// Contexts §3.1) and a name that passkeys can be bound to, which an address is not.
    pub fn public_url(&self) -> String {
        if let Some(url) = &self.public_url {
            return url.trim_end_matches('/').to_owned();
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let (ip, port) = (self.listen.ip(), self.listen.port());
        let is_here = ip.is_unspecified() || ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST;
        if is_here { format!("{scheme}://localhost:{port}") } else { format!("{scheme}://{}", self.listen) }
    }
}

/// What the source needs to run. Clones share it.
#[derive(Clone, Debug)]
pub struct HttpState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    credentials: Arc<Credentials>,
    intake: Intake,
    limits: Limits,
    body_bytes_max: usize,
    room: Arc<Semaphore>,
    rates: HashMap<String, Rate>,
    stop: CancellationToken,
}

impl HttpState {
    /// A source that takes calls into `intake` until `stop`.
    pub fn new(
        config: &HttpConfig,
        credentials: Arc<Credentials>,
        intake: Intake,
        stop: CancellationToken,
    ) -> Self {
        let rates = credentials.iter().map(|c| (c.name.clone(), Rate::new(config.lines_per_second_max)));
        let rates = rates.collect();
        let limits = Limits {
            record_bytes_max: config.line_bytes_max,
            expanded_bytes_max: EXPANSION_MAX * config.body_bytes_max as u64,
            document_bytes_max: EXPANSION_MAX * config.body_bytes_max as u64,
            ..Limits::default()
        };
        let room = Arc::new(Semaphore::new(BODIES_KIB_MAX));
        let body_bytes_max = config.body_bytes_max;
        Self(Arc::new(Inner { credentials, intake, limits, body_bytes_max, room, rates, stop }))
    }
}

/// The routes of this source.
pub fn router(state: HttpState) -> Router {
    let limit = DefaultBodyLimit::max(state.0.body_bytes_max);
    Router::new().route("/v1/calls", post(calls)).layer(limit).with_state(state)
}

async fn calls(State(state): State<HttpState>, request: Request) -> Result<Json<Report>, Response> {
    // Who was known before, by a token that this crate does not know of, is known here.
    let caller = match request.extensions().get::<Arc<Credential>>() {
        Some(known) => Ok(Arc::clone(known)),
        None => state.0.credentials.known(request.headers()),
    };
    let may = caller.and_then(|caller| caller.may(Role::Ingest).map(|()| caller));
    let caller = may.map_err(|denied| {
        tracing::warn!(route = "POST /v1/calls", reason = %denied, "refused");
        denied.into_response()
    })?;
    take(&state.0, &caller, request).await.map(Json).map_err(IntoResponse::into_response)
}

async fn take(state: &Inner, caller: &Arc<Credential>, request: Request) -> Result<Report, Problem> {
    if state.stop.is_cancelled() {
        return Err(stopping());
    }
    check_encoding(request.headers())?;
    let rate = state.rates.get(&caller.name);
    if let Some(wait) = rate.and_then(|r| r.wait(Instant::now())) {
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate", "More lines a second than allowed");
        return Err(problem.retry_after_s(wait.as_secs() + 1));
    }
    let room = state.reserve(request.headers())?;
    let body = read_body(request).await?;
    let report = state.append(caller, body).await;
    drop(room);
    let lines = match &report {
        Ok(report) | Err(IntakeError { so_far: report, .. }) => report.lines(),
    };
    if let Some(rate) = rate {
        rate.charge(lines, Instant::now());
    }
    report.map_err(|e| refusal(&e))
}

impl Inner {
    /// Room for the body in memory.
    fn reserve(&self, headers: &HeaderMap) -> Result<OwnedSemaphorePermit, Problem> {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
        let bytes = length.unwrap_or(self.body_bytes_max);
        if bytes > self.body_bytes_max {
            return Err(too_large().detail(&format!("{bytes} bytes; at most {}", self.body_bytes_max)));
        }
        let kib = bytes.div_ceil(1_024).clamp(REQUEST_KIB_MIN, BODIES_KIB_MAX);
        Arc::clone(&self.room).try_acquire_many_owned(kib as u32).map_err(|_| {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "pressure", "Too much is being taken in at once")
                .retry_after_s(1)
        })
    }

    async fn append(&self, caller: &Arc<Credential>, body: Bytes) -> Result<Report, IntakeError> {
        let (intake, limits, source) = (self.intake.clone(), self.limits, Arc::clone(&caller.source));
        let runtime = Handle::current();
        let task = tokio::task::spawn_blocking(move || {
            let records = RecordReader::new(&*body, source.format, limits);
            let reading = Reading { source: &source, first_line: 1, leave_unended: false, patience: None };
            intake.read(records, &reading, &runtime).map(|done| done.report)
        });
        task.await.unwrap_or_else(|e| {
            let cause = std::io::Error::other(e).into();
            Err(IntakeError { so_far: Report::default(), cause })
        })
    }
}

async fn read_body(request: Request) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_TIME_MAX, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(e)) if e.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(too_large().detail(&e)),
        Ok(Err(e)) => {
            Err(Problem::new(e.status(), "body", "The body broke off; nothing of it was taken").detail(&e))
        }
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body", "The body took too long to come")),
    }
}

/// Gzip is told from the bytes; but what claims to be something else cannot be read.
fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let known =
        |value: &[u8]| [&b"gzip"[..], b"x-gzip", b"identity"].iter().any(|k| value.eq_ignore_ascii_case(k));
    match headers.get(header::CONTENT_ENCODING) {
        Some(value) if !known(value.as_bytes()) => {
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding", "Send it plain or gzipped")
                .header(header::ACCEPT_ENCODING, &"gzip, identity"))
        }
        _ => Ok(()),
    }
}

fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body is too large; send it in pieces")
}

fn stopping() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "Shutting down").retry_after_s(5)
}

/// What a client is told when its lines were not all taken. Everything here may be sent again as it is.
fn refusal(error: &IntakeError) -> Problem {
    let problem = match &error.cause {
        IntakeCause::Log(LogError::Pressure { .. }) => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "pressure", "The disk is behind").retry_after_s(1)
        }
        IntakeCause::Log(LogError::Full { .. }) => {
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, "full", "There is no room left").retry_after_s(30)
        }
        IntakeCause::Log(LogError::Closed { .. }) | IntakeCause::Stopped => stopping(),
        IntakeCause::Log(LogError::Storage { .. }) | IntakeCause::Input(_) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "storage", "The log cannot be written")
                .retry_after_s(5)
        }
    };
    tracing::warn!(%error, "a body was not taken as a whole");
    let detail = "Send the whole body again; lines taken already will be counted as duplicates.";
    let so_far = serde_json::to_value(&error.so_far).unwrap_or_default();
    problem.detail(&detail).with("so_far", so_far)
}

#[cfg(test)]
mod tests;
