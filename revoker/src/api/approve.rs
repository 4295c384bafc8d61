//! `GET` and `POST /approve/{page}`: the human's page. No credential: the address cannot be guessed and shows only, and
//! every answer takes a one-time code.
//!
//! A form counts only from the page itself: the browser says where it comes from (`Sec-Fetch-Site`, `Origin`), and the
//! form's token is bound to the page, to a cookie of that browser and to the evidence it showed. An accepted answer is
//! followed by a redirect, so that reloading the outcome sends nothing again.

mod origin;
mod reply;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::{FormRejection, PathRejection};
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use detector::{MicroBits, Timestamp};
use serde::Deserialize;

use super::Api;
use super::caller::text_header;
use crate::approval::page::{PAST_DAYS, Past, Refused, View};
use crate::approval::{Answer, Approval, Choice, DecideError, FormToken, Outcome, PageKey, Refusal, decide};
use crate::standing::Standing;
use crate::store::{StoreError, approvals};

/// The cookie that a form is bound to; it means nothing else and names nobody.
const COOKIE: &str = "tocsin_form";

pub(super) fn router() -> Router<Api> {
    Router::new().route("/approve/{page}", get(show).post(answer))
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
    name: String,
    code: String,
    #[serde(default)]
    number: String,
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
    let cookie = cookie(&headers);
    let outcome = if genuine(&api, &headers, &page, cookie.as_deref(), &posted) {
        given(&api, &page, &posted).await
    } else {
        Ok(Some(Outcome::Refused(Refusal::Stale)))
    };
    match outcome {
        Ok(Some(Outcome::Settled | Outcome::Half)) => reply::see_other(&page),
        Ok(Some(Outcome::Refused(why))) => {
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
    let token = FormToken::new(api.revoker.keys(), page, cookie, MicroBits::from_micros(posted.seen));
    origin::is_own(headers, &api.public_url) && token.matches(&posted.token)
}

async fn given(api: &Api, page: &PageKey, posted: &Posted) -> Result<Option<Outcome>, DecideError> {
    let answer = Answer {
        choice: posted.choice,
        name: posted.name.clone(),
        code: posted.code.clone(),
        number: posted.number.clone(),
        seen: MicroBits::from_micros(posted.seen),
    };
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
            Refusal::ApproverLocked { .. } => "approver_locked",
            Refusal::WrongNumber { .. } => "wrong_number",
            Refusal::WrongCode => "wrong_code",
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
        Refusal::Locked { .. } | Refusal::ApproverLocked { .. } => StatusCode::TOO_MANY_REQUESTS,
        Refusal::WrongNumber { .. } | Refusal::WrongCode | Refusal::Spent { .. } => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
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
    Ok(found.map(|(approval, past)| {
        let peak = peak(api, &approval);
        Loaded { approval, past, peak }
    }))
}

/// The highest level since the question was put, as far as the agent is still in that case.
fn peak(api: &Api, approval: &Approval) -> MicroBits {
    let agent = approval.agent();
    match api.revoker.standing(agent.issuer.as_deref(), &agent.agent_id) {
        Standing::Challenged(challenge) if challenge.case.to_string() == approval.case => challenge.peak,
        _ => approval.level(),
    }
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    text_header(headers, &header::COOKIE)?
        .split(';')
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
        .filter(|value| value.len() == 32 && value.bytes().all(|b| b.is_ascii_hexdigit()))
        .map(str::to_owned)
}

fn new_cookie() -> String {
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
        View {
            approval: &self.approval,
            past: self.past,
            peak: self.peak,
            grant: api.grant(),
            token,
            refused,
            now,
        }
    }
}
