//! `GET` and `POST /approve/{page}`: the human's page. No credential: the address cannot be guessed and shows only, and
//! every answer takes a one-time code.
//!
//! A form counts only from the page itself: the browser says where it comes from (`Sec-Fetch-Site`, `Origin`), and the
//! form's token is bound to the page, to a cookie of that browser and to the evidence it showed. An accepted answer is
//! followed by a redirect, so that reloading the outcome sends nothing again.

mod origin;
pub(super) mod reply;

pub(super) use origin::{by_public_name, is_own};

use std::sync::Arc;

use axum::extract::rejection::{FormRejection, PathRejection};
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use detector::{MicroBits, Timestamp};
use serde::Deserialize;

use super::Api;
use super::caller::text_header;
use crate::approval::page::{PAST_DAYS, Past, Refused, View};
use crate::approval::webauthn::{self, Bound, Options};
use crate::approval::{
    Answer, Approval, CEREMONY_LIFE, Choice, DecideError, FormToken, Outcome, PageKey, Proof, Refusal, decide,
};
use crate::config::{Cascade, WhileAsked};
use crate::standing::Standing;
use crate::store::{StoreError, approvals};

/// The cookie that a form is bound to; it means nothing else and names nobody.
const COOKIE: &str = "tocsin_form";

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/approve/{page}", get(show).post(answer))
        .route("/approve/{page}/passkey", post(asks))
}

fn key(path: Result<Path<String>, PathRejection>) -> Option<PageKey> {
    path.ok()?.parse().ok()
}

/// What a form brings.
#[derive(Deserialize)]
struct Posted {
    token: String,
    seen: i64,
    choice: Choice,
    #[serde(default)]
    name: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    number: String,
    /// What the passkey says, as JSON; empty where it is not by one.
    #[serde(default)]
    passkey: String,
}

impl Posted {
    /// Who it is, as far as the form says; none where it cannot be read.
    fn proof(&self) -> Option<Proof> {
        if self.passkey.is_empty() {
            let (name, code, number) = (self.name.clone(), self.code.clone(), self.number.clone());
            return Some(Proof::Code { name, code, number });
        }
        serde_json::from_str(&self.passkey).ok().map(Proof::Passkey)
    }
}

async fn show(
    State(api): State<Api>,
    page: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let Some(page) = key(page) else { return reply::unknown() };
    match load(&api, &page).await {
        Ok(Some(loaded)) => {
            let cookie = cookie(&headers).unwrap_or_else(new_cookie);
            reply::page(&api, StatusCode::OK, &loaded, &cookie, None)
        }
        Ok(None) => reply::unknown(),
        Err(e) => reply::failed(&e),
    }
}

async fn answer(
    State(api): State<Api>,
    page: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    form: Result<Form<Posted>, FormRejection>,
) -> Response {
    let Some(page) = key(page) else { return reply::unknown() };
    let Ok(Form(posted)) = form else { return reply::incomplete() };
    let Some(proof) = posted.proof() else { return reply::incomplete() };
    let cookie = cookie(&headers);
    let outcome = if genuine(&api, &headers, &page, cookie.as_deref(), &posted) {
        given(&api, &page, &posted, proof).await
    } else {
        Ok(Some(Outcome::Refused(Refusal::Stale)))
    };
    match outcome {
        Ok(Some(Outcome::Settled | Outcome::Half)) => reply::see_other(&page),
        Ok(Some(Outcome::Refused(why))) => {
            let (choice, why_not) = (posted.choice.as_str(), label(Some(&Outcome::Refused(why))));
            tracing::warn!(choice, name = posted.name, why = why_not, "an answer was refused");
            let cookie = cookie.unwrap_or_else(new_cookie);
            let refused = Refused { why, choice: posted.choice, name: &posted.name };
            match load(&api, &page).await {
                Ok(Some(loaded)) => reply::page(&api, status_of(why), &loaded, &cookie, Some(refused)),
                Ok(None) => reply::unknown(),
                Err(e) => reply::failed(&e),
            }
        }
        Ok(None) => reply::unknown(),
        Err(e) => reply::failed(&e),
    }
}

fn genuine(api: &Api, headers: &HeaderMap, page: &PageKey, cookie: Option<&str>, posted: &Posted) -> bool {
    let Some(cookie) = cookie else { return false };
    let token =
        FormToken::new(api.revoker.keys(), page.as_str(), cookie, MicroBits::from_micros(posted.seen));
    origin::is_own(headers, &api.public_url) && token.matches(&posted.token)
}

/// What the browser is to ask the passkey for: a challenge for this answer to this question, and for no other.
async fn asks(
    State(api): State<Api>,
    page: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    form: Result<Form<Posted>, FormRejection>,
) -> Response {
    let (Some(page), Ok(Form(posted))) = (key(page), form) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if !genuine(&api, &headers, &page, cookie(&headers).as_deref(), &posted) {
        tracing::warn!(choice = posted.choice.as_str(), why = "stale", "no challenge was made");
        return StatusCode::FORBIDDEN.into_response();
    }
    match challenged(&api, &page, &posted).await {
        Ok(Some(options)) => Json(options).into_response(),
        Ok(None) => StatusCode::CONFLICT.into_response(),
        Err(e) => reply::failed(&e),
    }
}

async fn challenged(api: &Api, page: &PageKey, posted: &Posted) -> Result<Option<Options>, StoreError> {
    let page = page.clone();
    let found = api.revoker.read(move |db| approvals::by_page(db, &page).map_err(StoreError::from)).await?;
    let (Some(approval), Some(rp)) = (found, api.revoker.relying_party()) else { return Ok(None) };
    let (challenge, now) = (webauthn::challenge(), api.now());
    let bound = Bound::Answer(&approval, posted.choice, MicroBits::from_micros(posted.seen)).digest();
    let opened = api.revoker.open_challenge(challenge.clone(), bound, now + CEREMONY_LIFE, now).await?;
    Ok(opened.then(|| Options::answer(rp, challenge, CEREMONY_LIFE)))
}

async fn given(
    api: &Api,
    page: &PageKey,
    posted: &Posted,
    proof: Proof,
) -> Result<Option<Outcome>, DecideError> {
    let answer = Answer { choice: posted.choice, proof, seen: MicroBits::from_micros(posted.seen) };
    let (page, keys, now) = (page.clone(), Arc::clone(api.revoker.keys()), api.now());
    let grant_until = now + api.grant();
    let outcome = api.revoker.write(move |w| decide(w, &keys, &page, &answer, grant_until, now)).await?;
    metrics::counter!("tocsin_approval_answers_total", "choice" => posted.choice.as_str(), "outcome" => label(outcome.as_ref()))
        .increment(1);
    Ok(outcome)
}

fn label(outcome: Option<&Outcome>) -> &'static str {
    match outcome {
        None => "unknown",
        Some(Outcome::Settled) => "settled",
        Some(Outcome::Half) => "half",
        Some(Outcome::Refused(why)) => match why {
            Refusal::Locked { .. } => "locked",
            Refusal::ApproverLocked => "approver_locked",
            Refusal::WrongNumber { .. } => "wrong_number",
            Refusal::WrongCode => "wrong_code",
            Refusal::WrongPasskey => "wrong_passkey",
            Refusal::Spent { .. } => "spent",
            Refusal::OwnRequest => "own_request",
            Refusal::NotNamed => "not_named",
            Refusal::SameApprover => "same_approver",
            Refusal::StrongerFactor => "stronger_factor",
            Refusal::EvidenceGrew => "evidence_grew",
            Refusal::Over => "over",
            Refusal::Stale => "stale",
        },
    }
}

fn status_of(why: Refusal) -> StatusCode {
    match why {
        Refusal::Locked { .. } => StatusCode::TOO_MANY_REQUESTS,
        Refusal::WrongNumber { .. }
        | Refusal::WrongCode
        | Refusal::ApproverLocked
        | Refusal::WrongPasskey
        | Refusal::Spent { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::OwnRequest
        | Refusal::NotNamed
        | Refusal::SameApprover
        | Refusal::StrongerFactor
        | Refusal::Stale => StatusCode::FORBIDDEN,
        Refusal::EvidenceGrew | Refusal::Over => StatusCode::CONFLICT,
    }
}

/// The question and what is known around it.
struct Loaded {
    approval: Approval,
    past: Past,
    peak: MicroBits,
    while_asked: WhileAsked,
    spawned: Option<String>,
}

async fn load(api: &Api, page: &PageKey) -> Result<Option<Loaded>, StoreError> {
    let page = page.clone();
    let since = api.now() - std::time::Duration::from_secs(PAST_DAYS * 86_400);
    let found = api
        .revoker
        .read(move |db| -> Result<_, StoreError> {
            let Some(approval) = approvals::by_page(db, &page)? else { return Ok(None) };
            let past = approvals::past(db, &approval, since)?;
            Ok(Some((approval, past)))
        })
        .await?;
    let Some((approval, past)) = found else { return Ok(None) };
    let agent = approval.agent();
    let standing = api.revoker.standing(agent.issuer.as_deref(), &agent.agent_id);
    let peak = approval.peak(&standing);
    let while_asked = match standing {
        Standing::Challenged(c) if c.case.to_string() == approval.case => c.meanwhile.in_force(),
        _ => WhileAsked::Gate,
    };
    let spawned = api.revoker.spawned(agent).await?;
    Ok(Some(Loaded { approval, past, peak, while_asked, spawned }))
}

pub(super) fn cookie(headers: &HeaderMap) -> Option<String> {
    text_header(headers, &header::COOKIE)?
        .split(';')
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
        .filter(|value| value.len() == 32 && value.bytes().all(|b| b.is_ascii_hexdigit()))
        .map(str::to_owned)
}

pub(super) fn new_cookie() -> String {
    format!("{:032x}", rand::random::<u128>())
}

impl Loaded {
    fn view<'a>(
        &'a self,
        api: &Api,
        token: &'a FormToken,
        refused: Option<Refused<'a>>,
        now: Timestamp,
    ) -> View<'a> {
        let (policy, action) = (api.revoker.policy(), self.approval.action());
        let budgets = policy.budgets();
        View {
            approval: &self.approval,
            past: self.past,
            peak: self.peak,
            grant: api.grant(),
            token,
            edges: [budgets.watch(), budgets.step_up(), budgets.revoke()],
            risks: policy.config().risk.of(
                action.method.as_deref(),
                &action.endpoint,
                action.operation.as_deref(),
            ),
            while_asked: self.while_asked,
            spawned: self.spawned.as_deref(),
            cascades: policy.config().cascade != Cascade::None,
            may_passkey: api.revoker.relying_party().is_some(),
            refused,
            now,
        }
    }
}
