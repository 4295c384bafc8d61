//! `/v1/register`: every identity that was seen, declared or put on record, and how it compares with what it is declared to be.
//!
//! It stands here and not with the operators' other routes, because it needs the database and the manifests.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use detector::{Belonging, Manifest, Timestamp, Zone};
use ingest::pipeline::score::Enquirer;
use ingest::store::{CallsOf, EndpointUse, Store, StoreError, Usage};
use revoker::Revoker;
use revoker::agent::AgentKey;
use revoker::api::{AsAnalyst, Asked, Problem, no_such_method};
use revoker::approval;
use serde::{Deserialize, Serialize};

use super::explain::{failed, unavailable};
use super::stored::Stored;
use crate::clock;
use crate::register::draft::Draft;
use crate::register::drift::{Drift, drift};
use crate::register::{Branch, ByAgent, Register, Row, Sources};

/// Days that are looked at where the question does not say, and at most: calls are kept for 90.
const DAYS: u32 = 30;
const DAYS_MAX: u32 = 400;
/// Agents that were seen and that are not plainly trusted, at most: beyond, the rest is left out and that is said.
const AGENTS_MAX: u32 = 10_000;
/// Rows of an answer where the question does not say, and at most.
const ROWS: usize = 1_000;
const ROWS_MAX: usize = 10_000;
/// Agents compared in one answer.
const DRIFTS_MAX: usize = 100;

/// What the routes need.
#[derive(Clone)]
pub(super) struct Records {
    pub(super) revoker: Revoker,
    pub(super) stored: Stored,
    pub(super) enquirer: Enquirer,
}

pub(super) fn router(records: Records) -> Router {
    Router::new()
        .route("/v1/register", get(list))
        .route("/v1/register/agent", get(one))
        .route("/v1/register/tree", get(tree))
        .route("/v1/register/report", get(report))
        .route("/v1/register/drift", get(drifts))
        .route("/v1/register/draft", get(draft))
        .method_not_allowed_fallback(no_such_method)
        .with_state(records)
}

/// Which agent, or all; over how many days; how many rows; by which clock.
#[derive(Deserialize)]
struct Question {
    agent_id: Option<String>,
    issuer: Option<String>,
    days: Option<u32>,
    limit: Option<usize>,
    time_zone: Option<String>,
}

impl Question {
    fn agent(&self) -> Option<AgentKey> {
        self.agent_id.as_deref().map(|agent_id| AgentKey::new(self.issuer.as_deref(), agent_id))
    }

    fn one(&self) -> Result<AgentKey, Problem> {
        self.agent().ok_or_else(|| bad("agent_id", "must name the agent"))
    }

    fn days(&self) -> u32 {
        self.days.unwrap_or(DAYS).clamp(1, DAYS_MAX)
    }

    fn from(&self) -> Timestamp {
        clock::now() - Duration::from_hours(24) * self.days()
    }

    fn rows(&self) -> usize {
        self.limit.unwrap_or(ROWS).clamp(1, ROWS_MAX)
    }
}

fn bad(field: &'static str, why: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_field", "The question cannot be read")
        .detail(format!("`{field}` {why}."))
        .fact("field", field)
}

/// A list, and what is not on it.
#[derive(Serialize)]
struct List<T> {
    rows: Vec<T>,
    /// Rows that there was no room for, as far as they are known.
    left_out: usize,
    /// Days of calls behind it; 0 where the database does not answer and nothing that rests on calls is said.
    days: u32,
}

impl<T> List<T> {
    fn of(mut rows: Vec<T>, rows_max: usize, days: u32) -> Json<Self> {
        let left_out = rows.len().saturating_sub(rows_max);
        rows.truncate(rows_max);
        Json(Self { rows, left_out, days })
    }
}

impl Records {
    fn store(&self) -> Result<Store, Problem> {
        self.stored.get().ok_or_else(|| unavailable("It has not been reached since the server started."))
    }

    /// Everything but the calls of one agent, and those of all as far as the database answers.
    async fn sources<'a>(
        &self,
        asked: &Question,
        manifests: &'a [Manifest],
    ) -> Result<(Sources<'a>, bool), Problem> {
        let calls = CallsOf { from: asked.from(), agent: None };
        let seen = match self.stored.get() {
            Some(store) => store.agents_seen(calls, AGENTS_MAX).await,
            None => Ok(Vec::new()),
        };
        let answers = self.stored.get().is_some() && seen.is_ok();
        let seen = match seen {
            Err(e) if !e.is_transient() => return Err(broken(&e)),
            seen => seen.unwrap_or_default(),
        };
        let standings = self.revoker.standings_up_to(AGENTS_MAX as usize).await?;
        let approvers = approval::list(&self.revoker).await?;
        let enrolled = approvers.into_iter().filter(|a| a.disabled_at.is_none());
        let sources = Sources {
            manifests,
            entries: self.revoker.registrations().await?,
            untrusted: standings.into_iter().map(|row| row.agent).collect(),
            seen,
            lifted: self.revoker.lifted(),
            enrolled: enrolled.map(|a| a.name.as_str().to_lowercase()).collect(),
            now: clock::now(),
        };
        Ok((sources, answers))
    }

    fn register<'a>(&self, sources: Sources<'a>) -> Register<'a> {
        Register::new(sources, |agent| self.revoker.standing(agent.issuer.as_deref(), &agent.agent_id))
    }

    async fn usage(&self, agent: &AgentKey, from: Timestamp) -> Result<Option<Usage>, Problem> {
        let usage = self.store()?.usage(agent.issuer.as_deref(), &agent.agent_id, from).await;
        usage.map_err(|e| broken(&e))
    }
}

/// `GET /v1/register?days=&limit=`: role `analyst`. Every agent with its findings, by issuer and name.
async fn list(
    State(records): State<Records>,
    AsAnalyst(_caller): AsAnalyst,
    Asked(asked): Asked<Question>,
) -> Result<Json<List<Row>>, Problem> {
    let manifests = records.revoker.manifests();
    let (sources, answers) = records.sources(&asked, &manifests).await?;
    let rows = records.register(sources).rows().collect();
    Ok(List::of(rows, asked.rows(), if answers { asked.days() } else { 0 }))
}

/// `GET /v1/register/tree?agent_id=&issuer=&days=&limit=`: role `analyst`. Who spawned whom, all lines or what begins with one
/// agent.
async fn tree(
    State(records): State<Records>,
    AsAnalyst(_caller): AsAnalyst,
    Asked(asked): Asked<Question>,
) -> Result<Json<List<Branch>>, Problem> {
    let manifests = records.revoker.manifests();
    let (sources, answers) = records.sources(&asked, &manifests).await?;
    let register = records.register(sources);
    let agent = asked.agent();
    if let Some(agent) = agent.as_ref().filter(|agent| register.of(agent).is_none()) {
        return Err(unknown(agent));
    }
    Ok(List::of(register.tree(agent.as_ref()), asked.rows(), if answers { asked.days() } else { 0 }))
}

/// One agent.
#[derive(Serialize)]
struct One {
    #[serde(flatten)]
    row: Row,
    /// What is declared of it.
    declared: Option<Manifest>,
    /// Who it is compared with, as far as the detector knows it.
    peers: Option<Belonging>,
    days: u32,
}

/// `GET /v1/register/agent?agent_id=&issuer=&days=`: role `analyst`. One agent with its findings and its manifest.
async fn one(
    State(records): State<Records>,
    AsAnalyst(_caller): AsAnalyst,
    Asked(asked): Asked<Question>,
) -> Result<Json<One>, Problem> {
    let agent = asked.one()?;
    let manifests = records.revoker.manifests();
    let (mut sources, answers) = records.sources(&asked, &manifests).await?;
    let is_listed = |s: &ingest::store::AgentSeen| AgentKey::new(s.issuer.as_deref(), &s.agent_id) == agent;
    if answers && !sources.seen.iter().any(is_listed) {
        let calls = CallsOf { from: asked.from(), agent: Some((agent.issuer.as_deref(), &agent.agent_id)) };
        sources.seen.extend(records.store()?.agents_seen(calls, 1).await.map_err(|e| broken(&e))?);
    }
    let row = records.register(sources).of(&agent).ok_or_else(|| unknown(&agent))?;
    let declared = ByAgent::new(&manifests).of(&agent).cloned();
    let peers = records.enquirer.belonging(agent.issuer.as_deref(), &agent.agent_id).await;
    Ok(Json(One { row, declared, peers, days: if answers { asked.days() } else { 0 } }))
}

/// `GET /v1/register/report?agent_id=&issuer=&days=&limit=`: role `analyst`. How often each agent, or one, authenticates and
/// calls each endpoint.
async fn report(
    State(records): State<Records>,
    AsAnalyst(_caller): AsAnalyst,
    Asked(asked): Asked<Question>,
) -> Result<Json<List<EndpointUse>>, Problem> {
    let agent = asked.agent();
    let named = agent.as_ref().map(|agent| (agent.issuer.as_deref(), agent.agent_id.as_str()));
    let calls = CallsOf { from: asked.from(), agent: named };
    // One row more tells that there are more.
    let limit = u32::try_from(asked.rows()).unwrap_or(AGENTS_MAX).saturating_add(1);
    let uses = records.store()?.endpoint_uses(calls, limit).await.map_err(|e| broken(&e))?;
    Ok(List::of(uses, asked.rows(), asked.days()))
}

/// `GET /v1/register/drift?agent_id=&issuer=&days=`: role `analyst`. Declared against observed: of one agent, or of all that have
/// a manifest and called.
async fn drifts(
    State(records): State<Records>,
    AsAnalyst(_caller): AsAnalyst,
    Asked(asked): Asked<Question>,
) -> Result<Json<List<Drift>>, Problem> {
    let manifests = records.revoker.manifests();
    let manifests = ByAgent::new(&manifests);
    if let Some(agent) = asked.agent() {
        let manifest = manifests.of(&agent).ok_or_else(|| undeclared(&agent))?;
        let usage = records.usage(&agent, asked.from()).await?.ok_or_else(|| unseen(&agent, asked.days()))?;
        return Ok(List::of(vec![drift(agent, manifest, &usage)], 1, asked.days()));
    }
    let calls = CallsOf { from: asked.from(), agent: None };
    let seen = records.store()?.agents_seen(calls, AGENTS_MAX).await.map_err(|e| broken(&e))?;
    let agents = seen.iter().map(|seen| AgentKey::new(seen.issuer.as_deref(), &seen.agent_id));
    let declared: Vec<_> = agents.filter_map(|agent| manifests.of(&agent).map(|m| (agent, m))).collect();
    let left_out = declared.len().saturating_sub(DRIFTS_MAX);
    let mut rows = Vec::new();
    for (agent, manifest) in declared.into_iter().take(DRIFTS_MAX) {
        if let Some(usage) = records.usage(&agent, asked.from()).await? {
            rows.push(drift(agent, manifest, &usage));
        }
    }
    Ok(Json(List { rows, left_out, days: asked.days() }))
}

/// A draft as text.
#[derive(Serialize)]
struct Drafted {
    toml: String,
}

/// `GET /v1/register/draft?agent_id=&issuer=&days=&time_zone=`: role `analyst`. A manifest from what was seen.
async fn draft(
    State(records): State<Records>,
    AsAnalyst(_caller): AsAnalyst,
    Asked(asked): Asked<Question>,
) -> Result<Json<Drafted>, Problem> {
    let agent = asked.one()?;
    let zone = asked.time_zone.as_deref().map_or(Ok(Zone::utc()), str::parse);
    let zone = zone.map_err(|e: detector::ZoneError| bad("time_zone", &format!("is not one: {e}")))?;
    let usage = records.usage(&agent, asked.from()).await?.ok_or_else(|| unseen(&agent, asked.days()))?;
    let entry = records.revoker.registration(agent.clone()).await?;
    let manifests = records.revoker.manifests();
    let before = ByAgent::new(&manifests).of(&agent);
    let draft = Draft::new(&usage, entry.as_ref().map(|entry| &entry.accountable), before, &zone);
    let toml = draft.toml().map_err(|e| {
        tracing::error!(error = %e, "a draft cannot be written");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The draft cannot be written")
    })?;
    Ok(Json(Drafted { toml }))
}

fn broken(error: &StoreError) -> Problem {
    failed(error, "calls")
}

fn unknown(agent: &AgentKey) -> Problem {
    not_found("agent_unknown", agent, "Nobody has seen, declared or registered it under exactly this issuer")
}

pub(super) fn undeclared(agent: &AgentKey) -> Problem {
    not_found(
        "manifest_unknown",
        agent,
        "It has no manifest; `tocsin agents draft` writes one from what was seen",
    )
}

fn unseen(agent: &AgentKey, days: u32) -> Problem {
    not_found("calls_unknown", agent, &format!("The database holds no call of it in the last {days} days"))
}

fn not_found(code: &'static str, agent: &AgentKey, why: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, code, "There is no such agent")
        .detail(format!("{why}."))
        .fact("agent_id", &agent.agent_id)
        .fact("issuer", &agent.issuer)
}
