//! `POST /v1/gate`: may this agent do this now?
//!
//! The record is scored before the answer, and the answer is the agent's standing after that. Where the score does not
//! come in time the answer is the last standing, and says so (`scored: false`). Anything but 200 is a no: a gate that
//! cannot decide refuses.
//!
//! | answer | means | body |
//! | --- | --- | --- |
//! | 200 | go on | `decision`, `scored`, `event_id`, `level`, `standing`, `resumed`, `restricted` |
//! | 401 `challenged` | a human must approve (RFC 9470) | `approval_id`, `status_url`, `expires_at`, `interval`, `binding_code` |
//! | 401 `grant_required` | approved; the grant must come with it | `approval_id`, `status_url` |
//! | 401 `grant_refused` | the grant does not admit this act | `reason` |
//! | 403 `revoked`, `suspended`, `retired` | access has ended; of this `token`, `session`, `instance` or `key` alone where `part` says so; a `token` also where `token_iat` is from before the agent was last revoked | `not_before`, `until`, `since`, `part` |
//! | 400, 409, 413 | the record is not one | `field` |
//! | 429, 503 | no decision was possible | `Retry-After` |
//!
//! An agent that was approved sends the same act again with `Tocsin-Grant` (from `GET /v1/approvals/{id}`) and
//! `Tocsin-Resume-Id` (its own choice). The first resume id that comes with a grant owns it: the same id is admitted again
//! until the grant expires (`resumed.repeated` says so, for whoever must not carry the act out twice), any other is refused.
//!
//! A record may bring all `arguments` of the act, as any JSON: what is scored and kept is their digest (RFC 8785, SHA-256) as `args_digest`,
//! and a human who is asked about the act reads them. With neither, an approval is bound to its `args`.
//!
//! While a human is asked, a few requests go on that read or are known to be benign and are no part of the evidence; the answer then
//! says how many more may (`restricted: {calls, bytes}`).
//!
//! A gateway may hand on the token that the agent called with (`Tocsin-Subject-Token`): it is held in memory, so that it can be
//! ended, and seen to have ended, should the agent be revoked.

mod answer;
mod arguments;
mod scorer;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::routing::post;
use detector::{Kind, Timestamp};
use tokio::sync::Semaphore;

pub use answer::GoOn;
pub use scorer::{GateError, Scored, Scorer};

use super::Api;
use super::approvals as waiting;
use super::caller::{AsAgent, Caller, text_header};
use super::problem::Problem;
use crate::agent::AgentKey;
use crate::approval::{
    Action, Admittance, Approval, ApprovalId, Arguments, BindingCode, Grant, ResumeId, State as Kept, Status,
};
use crate::connector::tokens::Token;
use crate::part::{Part, PartKind, parts_of};
use crate::policy::Demand;
use crate::revoker::Admission;
use crate::store::{StoreError, approvals};

/// Requests waiting for their score at most; more are told to come back.
const IN_FLIGHT_MAX: usize = 2_048;

/// The longest a score is waited for whatever the scorer does; it has a shorter limit of its own.
const SCORE_WAIT_MAX: Duration = Duration::from_secs(30);

const GRANT: HeaderName = HeaderName::from_static("tocsin-grant");
const RESUME_ID: HeaderName = HeaderName::from_static("tocsin-resume-id");
const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("tocsin-subject-token");

/// What the gate needs besides the rest.
pub struct Gate<S> {
    api: Api,
    scorer: Arc<S>,
    places: Arc<Semaphore>,
}

impl<S> Clone for Gate<S> {
    fn clone(&self) -> Self {
        Self { api: self.api.clone(), scorer: Arc::clone(&self.scorer), places: Arc::clone(&self.places) }
    }
}

impl<S: Scorer> Gate<S> {
    /// A gate that asks `scorer`.
    pub fn new(api: Api, scorer: S) -> Self {
        Self { api, scorer: Arc::new(scorer), places: Arc::new(Semaphore::new(IN_FLIGHT_MAX)) }
    }
}

/// The gate's one route. A record longer than `record_bytes_max` is refused.
pub(super) fn router<S: Scorer>(gate: Gate<S>, record_bytes_max: usize) -> Router {
    Router::new()
        .route("/v1/gate", post(decide::<S>))
        .layer(DefaultBodyLimit::max(record_bytes_max))
        .with_state(gate)
}

/// The very record that a human was asked about goes on under its grant only: it is not scored again, so nothing else
/// would tell how often it was carried out.
async fn unconditional(api: &Api, said: &answer::Said<'_>) -> Result<(), Problem> {
    let event_id = said.event_id.to_owned();
    let asked =
        api.revoker.read(move |db| approvals::by_event(db, &event_id).map_err(StoreError::from)).await?;
    match asked {
        Some(approval) if approval.status(said.now) == Status::Approved => {
            Err(answer::grant_required(api, said, &approval))
        }
        _ => Ok(()),
    }
}

/// What is asked: the act a request record announces.
struct Asked {
    event_id: String,
    /// What of the agent asks.
    parts: Vec<Part>,
    /// When its token was issued, where the record says so.
    token_iat: Option<Timestamp>,
    action: Action,
    /// Its arguments in canonical form, where the gate made their digest.
    arguments: Option<String>,
}

/// One act put to the gate, by whichever door it came.
#[derive(Debug)]
pub struct Put {
    /// One native record of the kind `request`, perhaps with `arguments`: any JSON.
    pub record: Bytes,
    /// The grant that it comes back with, and the agent's name for this resumption.
    pub resume: Option<(Grant, ResumeId)>,
    /// The token that the agent called with, where the gateway hands it on.
    pub token: Option<Token>,
}

/// A question as whoever asked the gate is told.
#[derive(Clone, Debug)]
pub struct Question {
    /// How it stands.
    pub status: Status,
    /// When it was put.
    pub asked_at: Timestamp,
    /// Since when it stands as it does.
    pub since: Timestamp,
    /// Shown by the agent's side, typed by the human.
    pub binding_code: BindingCode,
    /// Where the human answers. For a client that shows it to one.
    pub page_url: String,
    /// Of one that was approved, while it is good.
    pub grant: Option<String>,
}

/// Role `gateway`; with the role `agent`, an approved act of the caller's own.
async fn decide<S: Scorer>(
    State(gate): State<Gate<S>>,
    AsAgent(caller): AsAgent,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<GoOn, Problem> {
    let put = Put {
        record: body.map_err(|rejection| answer::unreadable(&rejection))?,
        resume: resumption(&headers)?,
        token: text_header(&headers, &SUBJECT_TOKEN).and_then(Token::new),
    };
    gate.judge(&caller, put).await
}

impl<S: Scorer> Gate<S> {
    /// How a question stands once it is settled, or when the wait is over.
    pub async fn question(&self, id: &ApprovalId, wait: Duration) -> Result<Option<Question>, Problem> {
        let Some(approval) = waiting::waited(&self.api, id, wait).await? else { return Ok(None) };
        let (status, now) = (approval.status(self.api.now()), self.api.now());
        let good = approval.grant.as_ref().is_some_and(|grant| now < grant.expires_at);
        let grant = if good { self.api.revoker.grants().of(&approval) } else { None };
        let since = match approval.state {
            Kept::Answered { at, .. } | Kept::Superseded { at } => at,
            Kept::Pending | Kept::Expired if status == Status::Expired => approval.expires_at,
            Kept::Pending | Kept::Expired => approval.opened_at,
        };
        Ok(Some(Question {
            status,
            asked_at: approval.opened_at,
            since,
            binding_code: approval.binding_code.clone(),
            page_url: format!("{}{}", self.api.public_url, approval.page.path()),
            grant: grant.map(|grant| grant.expose().to_owned()),
        }))
    }

    pub(super) fn api(&self) -> &Api {
        &self.api
    }

    /// The text without what looks like a token: for what is kept and shown.
    pub(super) fn masked(&self, text: String) -> String {
        self.scorer.masked(text)
    }

    /// A record as this caller would deliver it; nothing is kept.
    pub(super) fn decode<'a>(
        &self,
        record: &'a [u8],
        caller: &Caller,
    ) -> Result<detector::Call<'a>, GateError> {
        self.scorer.decode(record, caller)
    }

    /// Has an act scored and answers by where its agent stands then. Everything but an `Ok` is a no: of status 401 or 403 a
    /// decision, else there was none.
    pub async fn judge(&self, caller: &Caller, put: Put) -> Result<GoOn, Problem> {
        let _place = self.places.try_acquire().map_err(|_| answer::no_room())?;
        let (record, arguments) = arguments::take(put.record)?;
        let (asked, least) = {
            let call = self.scorer.decode(&record, caller)?;
            (asked(&call, arguments)?, self.api.revoker.asks_for(&call, self.api.now()))
        };
        let agent = AgentKey::new(asked.action.issuer.as_deref(), &asked.action.agent_id);
        may_ask(caller, &agent, put.resume.is_some())?;
        if let Some(token) = put.token {
            let named = asked.parts.iter().find(|part| part.kind == PartKind::Token);
            self.api.revoker.tokens().hold(&agent, token, named.map(|part| part.id.as_str()));
        }
        let has_ended = || {
            let revoker = &self.api.revoker;
            revoker.ended_part(&agent, &asked.parts).is_some()
                || revoker.voided(&agent, asked.token_iat).is_some()
        };
        // An agent that may not act at all consumes no grant by trying.
        let stands = self.api.revoker.admission(agent.issuer.as_deref(), &agent.agent_id);
        let admitted = match put.resume {
            Some(resume) if stands == Admission::Go && !has_ended() => {
                Some(admitted(self, resume, &asked).await?)
            }
            _ => None,
        };
        let scored = match tokio::time::timeout(SCORE_WAIT_MAX, self.scorer.score(record, caller)).await {
            Ok(scored) => scored?,
            Err(_) => Scored::default(),
        };
        // A score that comes late must not let go on what policy asks a human about.
        let is_asked_about = scored.verdict.is_none() && admitted.is_none() && least >= Demand::StepUp;
        let answer = self.answer(&agent, &asked, scored, admitted).await?;
        if is_asked_about { Err(answer::score_required(&asked.event_id)) } else { Ok(answer) }
    }

    /// Answers by where the agent stands now, from memory: nothing is scored or kept. What policy asks a human about whatever
    /// the evidence says is refused, since only a scored act opens a question.
    pub async fn recall(&self, caller: &Caller, record: Bytes) -> Result<GoOn, Problem> {
        let (record, arguments) = arguments::take(record)?;
        let call = self.scorer.decode(&record, caller)?;
        let asked = asked(&call, arguments)?;
        let agent = AgentKey::new(asked.action.issuer.as_deref(), &asked.action.agent_id);
        may_ask(caller, &agent, false)?;
        let answer = self.answer(&agent, &asked, Scored::default(), None).await?;
        if self.api.revoker.asks_for(&call, self.api.now()) >= Demand::StepUp {
            return Err(answer::score_required(&asked.event_id));
        }
        Ok(answer)
    }

    async fn answer(
        &self,
        agent: &AgentKey,
        asked: &Asked,
        scored: Scored,
        admitted: Option<Admittance>,
    ) -> Result<GoOn, Problem> {
        let revoker = &self.api.revoker;
        // The standing now, not the one the verdict found: between the two a human may have answered.
        let standing = revoker.standing(agent.issuer.as_deref(), &agent.agent_id);
        let said = answer::Said { standing, event_id: &asked.event_id, scored, now: self.api.now() };
        let admission = revoker.admission(agent.issuer.as_deref(), &agent.agent_id);
        let ended = revoker.ended_part(agent, &asked.parts);
        if matches!(admission, Admission::Go | Admission::Challenged { .. }) {
            if let Some((kind, not_before)) = ended {
                return Err(answer::part_revoked(&said, kind, not_before));
            }
            if let Some(not_before) = revoker.voided(agent, asked.token_iat) {
                return Err(answer::token_voided(&said, not_before));
            }
        }
        match admission {
            Admission::Go => {
                if said.scored.duplicate && admitted.is_none() {
                    unconditional(&self.api, &said).await?;
                }
                Ok(answer::go_on(&said, admitted.as_ref()))
            }
            // Once: the very record that comes again might be carried out again, uncounted.
            Admission::Challenged { .. } if said.scored.let_through.is_some() && !said.scored.duplicate => {
                Ok(answer::go_on(&said, None))
            }
            Admission::Challenged { case, phase, until } => {
                let case = case.to_string();
                let read = move |db: &_| approvals::by_case(db, &case).map_err(StoreError::from);
                let approval = revoker.read(read).await?;
                if let Some(approval) = &approval {
                    self.show(approval, asked, said.now).await?;
                }
                Err(answer::challenged(&self.api, &said, approval.as_ref(), phase, until))
            }
            Admission::Suspended { until } => Err(answer::suspended(&said, until)),
            Admission::Revoked { not_before } => Err(answer::revoked(&said, not_before)),
            Admission::Retired { since } => Err(answer::retired(&said, since)),
        }
    }

    /// Shows whoever is asked about this very act its arguments.
    async fn show(&self, approval: &Approval, asked: &Asked, now: Timestamp) -> Result<(), StoreError> {
        let Some(arguments) = &asked.arguments else { return Ok(()) };
        let is_shown = approval.arguments.as_ref().is_some_and(Arguments::is_digested);
        let is_this = approval.evidence().is_some_and(|record| record.event_id == asked.event_id)
            && approval.action() == asked.action;
        if is_shown || !is_this || approval.status(now) != Status::Pending {
            return Ok(());
        }
        let arguments = Arguments::digested(&self.scorer.masked(arguments.clone()));
        self.api.revoker.show(approval.id.clone(), arguments).await
    }
}

/// An agent goes on with what was approved of its own, and asks nothing else: what it says of itself no gateway has seen.
fn may_ask(caller: &Caller, agent: &AgentKey, resumes: bool) -> Result<(), Problem> {
    if caller.is_gateway() || (resumes && caller.speaks_for(agent)) {
        return Ok(());
    }
    tracing::warn!(
        caller = caller.name,
        route = "POST /v1/gate",
        resumes,
        "refused: not an approved act of its own"
    );
    Err(Problem::new(StatusCode::FORBIDDEN, "role_required", "This credential may not ask that").detail(
        "With the role `agent` an agent goes on with an approved act of its own, and asks nothing else.",
    ))
}

fn asked(call: &detector::Call<'_>, arguments: Option<String>) -> Result<Asked, Problem> {
    if call.kind != Kind::Request {
        return Err(answer::bad_record(
            Some("kind"),
            &format!(
                "must be `request`, not `{}`: the gate judges what has not happened yet",
                call.kind.as_str()
            ),
        ));
    }
    Ok(Asked {
        event_id: call.event_id.to_string(),
        parts: parts_of(&call.identity),
        token_iat: call.credential.issued_at,
        action: Action::of_call(call),
        arguments,
    })
}

fn resumption(headers: &HeaderMap) -> Result<Option<(Grant, ResumeId)>, Problem> {
    // What comes twice, or is no text, is there and cannot be read.
    let read = |name| headers.contains_key(name).then(|| text_header(headers, name).unwrap_or_default());
    resuming(read(&GRANT), read(&RESUME_ID))
}

/// A grant and the agent's name for this resumption, both or neither, as the headers `Tocsin-Grant` and `Tocsin-Resume-Id` hold
/// them.
pub fn resuming(grant: Option<&str>, resume: Option<&str>) -> Result<Option<(Grant, ResumeId)>, Problem> {
    let bad = |name: &HeaderName, why: &str| {
        Problem::new(StatusCode::BAD_REQUEST, "bad_resumption", "The resumption is incomplete")
            .detail(format!(
                "The header `{name}` is {why}. Send it once, together with the other of the two."
            ))
            .fact("header", name.as_str())
    };
    if grant.is_none() && resume.is_none() {
        return Ok(None);
    }
    let grant = grant.ok_or_else(|| bad(&GRANT, "missing"))?;
    let resume = resume.ok_or_else(|| bad(&RESUME_ID, "missing"))?;
    let grant = grant.parse().map_err(|e: crate::approval::IdError| bad(&GRANT, &e.to_string()))?;
    let resume = resume.parse().map_err(|e: crate::approval::IdError| bad(&RESUME_ID, &e.to_string()))?;
    Ok(Some((grant, resume)))
}

/// Admits the act before it is scored, so that its own evidence, which a human has answered, does not stop it again.
async fn admitted<S>(
    gate: &Gate<S>,
    resumption: (Grant, ResumeId),
    asked: &Asked,
) -> Result<Admittance, Problem> {
    let revoker = &gate.api.revoker;
    let admitted =
        revoker.admit(resumption, asked.action.clone(), asked.event_id.clone(), gate.api.now()).await?;
    admitted.map_err(|refused| answer::grant_refused(&asked.event_id, refused))
}
