//! `/v1/agents`, `/v1/agent`: where agents stand, and what operators do about it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use detector::Timestamp;
use serde::{Deserialize, Serialize};

use super::Api;
use super::caller::{AsAnalyst, AsOperator, Caller};
use super::input::Part as Page_;
use super::input::{Asked, Body, Rows, Which};
use super::person::Signed;
use super::problem::Problem;
use crate::agent::{AgentKey, CaseId};
use crate::approval::{Approval, Status};
use crate::audit;
use crate::config::Cascade;
use crate::part::Part;
use crate::revoker::{ApplyError, Planned};
use crate::standing::Standing;
use crate::store::agents::StandingRow;
use crate::store::db;
use crate::store::register::{Accountable, Registration};
use crate::store::{Page, StoreError, approvals};

/// Audit entries shown with one agent.
const HISTORY: u32 = 50;

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/v1/agents", get(list))
        .route("/v1/agent", get(one))
        .route("/v1/agents/register", post(register))
        .route("/v1/agents/review", post(review))
        .route("/v1/agents/cascade", post(cascade))
        .route("/v1/agents/{command}", post(command))
}

/// Which of them.
#[derive(Deserialize)]
struct Only {
    /// Only those about whom less was done than the evidence asks for.
    #[serde(default)]
    withheld: bool,
    limit: Option<u32>,
    cursor: Option<i64>,
}

/// `GET /v1/agents?limit=&cursor=&withheld=`: role `analyst`. Agents that are not plainly trusted, last changed first.
async fn list(
    State(api): State<Api>,
    AsAnalyst(_caller): AsAnalyst,
    Asked(only): Asked<Only>,
) -> Result<Json<Rows<StandingRow>>, Problem> {
    let part = Page_::new(only.limit, only.cursor);
    let rows = if only.withheld {
        api.revoker.held_back(part.page()).await?
    } else {
        api.revoker.standings(part.page()).await?
    };
    Ok(part.answer(rows, |row| row.cursor))
}

#[derive(Serialize)]
struct One {
    agent: AgentKey,
    #[serde(flatten)]
    standing: Standing,
    /// The question that is open, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<Question>,
    /// Parts of it whose access has ended alone, and when.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ended: Vec<EndedPart>,
    /// What was done with it, newest first.
    history: Vec<audit::Entry>,
}

#[derive(Serialize)]
struct EndedPart {
    #[serde(flatten)]
    part: Part,
    not_before: Timestamp,
}

/// `GET /v1/agent?agent_id=&issuer=`: role `analyst`. One agent, known or not: a name never seen is trusted.
async fn one(
    State(api): State<Api>,
    AsAnalyst(_caller): AsAnalyst,
    Asked(which): Asked<Which>,
) -> Result<Json<One>, Problem> {
    let agent = which.key();
    let standing = api.revoker.standing(agent.issuer.as_deref(), &agent.agent_id);
    let approval = questions(&api, vec![standing.case()]).await?.pop().flatten();
    let history = api.revoker.audit_of(agent.clone(), Page::new(HISTORY, None)).await?;
    let ended = api.revoker.ended_parts(&agent).into_iter();
    let ended = ended.map(|(part, not_before)| EndedPart { part, not_before }).collect();
    Ok(Json(One { agent, standing, approval, ended, history }))
}

/// A question as operators see it: with the number, for the alert's place is where it is shown.
#[derive(Serialize)]
pub(super) struct Question {
    approval_id: String,
    status: Status,
    opened_at: Timestamp,
    expires_at: Timestamp,
    /// What the human types on the page. Only while it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    binding_code: Option<String>,
    /// Where the human answers.
    page_url: String,
}

/// The questions of these cases, in their order.
pub(super) async fn questions(
    api: &Api,
    cases: Vec<Option<CaseId>>,
) -> Result<Vec<Option<Question>>, StoreError> {
    let approvals = api
        .revoker
        .read(move |db| -> Result<Vec<Option<Approval>>, StoreError> {
            let find = |case: CaseId| approvals::by_case(db, &case.to_string()).transpose();
            Ok(cases.into_iter().map(|case| case.and_then(find).transpose()).collect::<db::Result<_>>()?)
        })
        .await?;
    Ok(approvals.into_iter().map(|approval| approval.map(|approval| Question::of(api, &approval))).collect())
}

impl Question {
    pub(super) fn of(api: &Api, approval: &Approval) -> Self {
        let status = approval.status(api.now());
        let number = || approval.binding_code.as_str().to_owned();
        Self {
            status,
            opened_at: approval.opened_at,
            expires_at: approval.expires_at,
            binding_code: (status == Status::Pending).then(number),
            page_url: format!("{}{}", api.public_url, approval.page.path()),
            approval_id: approval.id.to_string(),
        }
    }
}

/// What an operator asks for.
#[derive(Deserialize)]
struct Command {
    #[serde(flatten)]
    which: Which,
    #[serde(flatten)]
    signed: Signed,
    /// When a suspension ends.
    until: Option<Timestamp>,
    /// The one token, session, instance or key of it that is meant.
    part: Option<Part>,
}

/// `POST /v1/agents/revoke | suspend | retire | reinstate`: role `operator`.
/// Body `{agent_id, issuer?, person, reason, until?, part?}`; answers with the new standing. `part: {kind, id}` is one `token`, `session`,
/// `instance` or `key` to revoke or to reinstate alone.
async fn command(
    State(api): State<Api>,
    AsOperator(caller): AsOperator,
    Path(verb): Path<String>,
    Body(command): Body<Command>,
) -> Result<Json<Standing>, Problem> {
    let agent = command.which.key();
    obey(&api, &caller, &verb, agent, command).await.map(Json)
}

/// An agent that is to end with whom it spawned.
#[derive(Deserialize)]
struct Line {
    #[serde(flatten)]
    which: Which,
    #[serde(flatten)]
    signed: Signed,
    /// How far down.
    cascade: Cascade,
    /// Says what would be done, and does nothing.
    #[serde(default)]
    plan: bool,
}

/// `POST /v1/agents/cascade`: role `operator`. Body `{agent_id, issuer?, person, reason, cascade: "children" | "descendants", plan?}`;
/// answers with the plan, agent by agent: who spawned it and how that is known, who is told, and why it is excepted if it is.
/// With `plan: true` nothing is done.
async fn cascade(
    State(api): State<Api>,
    AsOperator(caller): AsOperator,
    Body(Line { which, signed, cascade, plan }): Body<Line>,
) -> Result<Json<Vec<Planned>>, Problem> {
    let ((by, reason), agent) = (signed.checked(&caller)?, which.key());
    let planned = if plan {
        api.revoker.plan(agent, cascade, api.now()).await
    } else {
        api.revoker.revoke_with(agent, cascade, by, reason, api.now()).await
    };
    planned.map(Json).map_err(refused)
}

/// Who is to answer for an agent.
#[derive(Deserialize)]
struct Entry {
    #[serde(flatten)]
    which: Which,
    #[serde(flatten)]
    signed: Signed,
    #[serde(flatten)]
    accountable: Accountable,
}

/// `POST /v1/agents/register`: role `operator`. Body `{agent_id, issuer?, person, reason, owner?, sponsor?, approvers?}`;
/// answers with the agent's entry in the register.
async fn register(
    State(api): State<Api>,
    AsOperator(caller): AsOperator,
    Body(Entry { which, signed, accountable }): Body<Entry>,
) -> Result<Json<Registration>, Problem> {
    let (by, reason) = signed.checked(&caller)?;
    let entry = api.revoker.register(which.key(), accountable, by, reason, api.now()).await;
    entry.map(Json).map_err(refused)
}

/// What was looked at.
#[derive(Deserialize)]
struct Reviewed {
    #[serde(flatten)]
    which: Which,
    #[serde(flatten)]
    signed: Signed,
    /// The edition of its manifest.
    manifest: Option<String>,
}

/// `POST /v1/agents/review`: role `operator`. Body `{agent_id, issuer?, person, reason, manifest?}`; answers with the agent's
/// entry in the register.
async fn review(
    State(api): State<Api>,
    AsOperator(caller): AsOperator,
    Body(Reviewed { which, signed, manifest }): Body<Reviewed>,
) -> Result<Json<Registration>, Problem> {
    let (by, reason) = signed.checked(&caller)?;
    let entry = api.revoker.review(which.key(), manifest, by, reason, api.now()).await;
    entry.map(Json).map_err(refused)
}

async fn obey(
    api: &Api,
    caller: &Caller,
    verb: &str,
    agent: AgentKey,
    command: Command,
) -> Result<Standing, Problem> {
    let (until, part) = (command.until, command.part);
    let (by, reason) = command.signed.checked(caller)?;
    let (revoker, now) = (&api.revoker, api.now());
    let standing = match (verb, part) {
        ("revoke", Some(part)) => revoker.revoke_part(agent, part, by, reason, now).await,
        ("reinstate", Some(part)) => revoker.reinstate_part(agent, part, by, reason, now).await,
        (_, Some(_)) => {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_field", "That is done to agents alone")
                .detail("A `part` can be revoked and reinstated.")
                .fact("field", "part"));
        }
        ("revoke", None) => revoker.revoke(agent, by, reason, now).await,
        ("retire", None) => revoker.retire(agent, by, reason, now).await,
        ("reinstate", None) => revoker.reinstate(agent, by, reason, now).await,
        ("suspend", None) => {
            let until = until.ok_or_else(|| {
                Problem::new(StatusCode::BAD_REQUEST, "bad_field", "The command is incomplete")
                    .detail("`until` must say when the suspension ends, as RFC 3339.")
                    .fact("field", "until")
            })?;
            revoker.suspend(agent, by, reason, until, now).await
        }
        (_, None) => {
            return Err(Problem::new(StatusCode::NOT_FOUND, "command_unknown", "There is no such command")
                .detail("The commands are `revoke`, `suspend`, `retire` and `reinstate`."));
        }
    };
    standing.map_err(refused)
}

/// Why a command was not obeyed.
pub fn refused(e: ApplyError) -> Problem {
    match e {
        ApplyError::Store(e) => e.into(),
        e @ (ApplyError::NoReason | ApplyError::Names { .. }) => {
            Problem::new(StatusCode::BAD_REQUEST, "bad_field", "The command is incomplete")
                .detail(format!("{e}."))
        }
        ApplyError::Manifest(e) => {
            Problem::new(StatusCode::BAD_REQUEST, "bad_manifest", "The manifest cannot be used")
                .detail(e.to_string())
                .fact("field", e.field)
        }
        e @ ApplyError::ManifestGiven => {
            Problem::new(StatusCode::CONFLICT, "manifest_given", "The configuration holds its manifest")
                .detail(format!("{e}."))
        }
        ApplyError::ManifestChanged { version } => {
            Problem::new(StatusCode::CONFLICT, "manifest_changed", "Another version is in force")
                .detail("Read it again, and say in `replaces` which version yours is in the place of.")
                .fact("version", version)
        }
        e @ ApplyError::NoAlert => {
            Problem::new(StatusCode::NOT_FOUND, "alert_unknown", "There is no such alert")
                .detail(format!("{e}."))
        }
        e => Problem::new(StatusCode::CONFLICT, "not_possible", "The agent's standing does not allow that")
            .detail(format!("{e}.")),
    }
}
