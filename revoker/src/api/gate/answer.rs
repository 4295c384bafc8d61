//! The gate's answers in words and fields.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use detector::{MicroBits, Timestamp, VerdictId};
use serde::Serialize;

use super::scorer::Scored;
use crate::api::Api;
use crate::api::approvals::INTERVAL_S;
use crate::api::problem::Problem;
use crate::approval::{Admittance, Approval, Factor, GrantRefused, Status};
use crate::part::PartKind;
use crate::policy::envelope::Room;
use crate::standing::{Phase, Standing};

/// What every answer says.
pub(super) struct Said<'a> {
    pub(super) event_id: &'a str,
    pub(super) scored: Scored,
    pub(super) standing: Standing,
    pub(super) now: Timestamp,
}

/// The act may be done.
#[derive(Clone, Debug, Serialize)]
pub struct GoOn {
    decision: &'static str,
    /// False: the score did not come in time, or none was asked for, and this is the last standing's answer.
    scored: bool,
    event_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict_id: Option<VerdictId>,
    /// Bits of evidence after the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<MicroBits>,
    standing: &'static str,
    /// The same record was asked about before.
    duplicate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed: Option<Resumed>,
    /// A human is being asked, and what is no part of the evidence goes on: so much more of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    restricted: Option<Room>,
}

#[derive(Clone, Debug, Serialize)]
struct Resumed {
    approval_id: String,
    /// Admitted before under the same resume id: the act may have been carried out already.
    repeated: bool,
    first_admitted_at: Timestamp,
    expires_at: Timestamp,
}

impl IntoResponse for GoOn {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

pub(super) fn go_on(said: &Said<'_>, admitted: Option<&Admittance>) -> GoOn {
    count("go_on");
    let (verdict_id, level) = said.scored.verdict.unzip();
    GoOn {
        decision: "go_on",
        scored: verdict_id.is_some(),
        event_id: said.event_id.to_owned(),
        verdict_id,
        level,
        standing: said.standing.name(),
        duplicate: said.scored.duplicate,
        resumed: admitted.map(|admitted| Resumed {
            approval_id: admitted.approval.id.as_str().to_owned(),
            repeated: admitted.repeated,
            first_admitted_at: admitted.first,
            expires_at: admitted.until,
        }),
        restricted: said.scored.let_through.filter(|_| matches!(said.standing, Standing::Challenged(_))),
    }
}

/// RFC 9470 on the outside, and within what the agent needs to wait and to come back.
pub(super) fn challenged(
    api: &Api,
    said: &Said<'_>,
    approval: Option<&Approval>,
    phase: Phase,
    until: Timestamp,
) -> Problem {
    count("challenged");
    let factor = approval.map_or_else(Factor::default, |approval| approval.needs.factor);
    let (title, detail) = match phase {
        Phase::Pending => (
            "A human must approve this",
            "A human is being asked. Show them the number in `binding_code`, wait at `status_url`, and once it is approved \
             send the same act again with the grant."
                .to_owned(),
        ),
        Phase::Denied => {
            ("A human said no", format!("A human denied it. Nobody is asked again before {until}."))
        }
        Phase::Expired => (
            "Nobody answered in time",
            "Nobody answered, which is not a no. Send the request again and a human is asked anew.".to_owned(),
        ),
    };
    let problem = refusal(StatusCode::UNAUTHORIZED, "challenged", title, said)
        .detail(detail)
        .fact("decision", "challenged");
    let problem = step_up(problem, title, factor, api.grant().as_secs());
    let problem = match phase {
        Phase::Denied => problem.retry_after(until.since(said.now).as_secs() + 1),
        Phase::Pending | Phase::Expired => problem,
    };
    match approval {
        Some(approval) => with_approval(problem, api, approval, said.now),
        None => problem,
    }
}

/// Approved, and sent again without what the approval gave.
pub(super) fn grant_required(api: &Api, said: &Said<'_>, approval: &Approval) -> Problem {
    count("grant_required");
    let title = "Approved, but the grant is missing";
    let problem = refusal(StatusCode::UNAUTHORIZED, "grant_required", title, said)
        .detail(
            "Fetch the grant at `status_url` and send this record with it. If the grant has expired, send the act as a new \
             event: it is judged anew.",
        )
        .fact("decision", "grant_required");
    let problem = step_up(problem, title, approval.needs.factor, api.grant().as_secs());
    with_approval(problem, api, approval, said.now)
}

fn with_approval(problem: Problem, api: &Api, approval: &Approval, now: Timestamp) -> Problem {
    let problem = problem
        .fact("approval_id", &approval.id)
        .fact("approval_status", approval.status(now))
        .fact("status_url", format!("{}/v1/approvals/{}", api.public_url, approval.id))
        .fact("expires_at", approval.expires_at)
        // The act that the human is asked about; another act of the same agent waits for the same answer.
        .fact("asked_for", approval.evidence().map(|record| &record.event_id));
    match approval.status(now) {
        Status::Pending => problem.fact("interval", INTERVAL_S).fact("binding_code", &approval.binding_code),
        Status::Approved | Status::Denied | Status::Expired | Status::Superseded => problem,
    }
}

/// The demand of RFC 9470, for whoever reads headers and for whoever reads bodies.
fn step_up(problem: Problem, description: &str, factor: Factor, max_age_s: u64) -> Problem {
    let acr = factor.acr();
    let challenge = format!(
        "Bearer error=\"insufficient_user_authentication\", error_description=\"{description}\", acr_values=\"{acr}\", \
         max_age=\"{max_age_s}\""
    );
    problem.fact("acr_values", acr).fact("max_age", max_age_s).header(header::WWW_AUTHENTICATE, challenge)
}

/// Of an act that is not scored.
pub(super) fn score_required(event_id: &str) -> Problem {
    count("score_required");
    Problem::new(StatusCode::FORBIDDEN, "score_required", "Policy asks a human about this act")
        .detail(
            "Only a scored act opens the question: send it with an event id and its time, or again where its score was late.",
        )
        .fact("decision", "score_required")
        .fact("event_id", event_id)
        .fact("scored", false)
}

pub(super) fn revoked(said: &Said<'_>, not_before: Timestamp) -> Problem {
    count("revoked");
    refusal(StatusCode::FORBIDDEN, "revoked", "Access is revoked", said)
        .detail("Only an operator can reinstate this agent. A new token does not help.")
        .fact("decision", "revoked")
        .fact("not_before", not_before)
}

/// The agent's other parts may go on.
pub(super) fn part_revoked(said: &Said<'_>, kind: PartKind, not_before: Timestamp) -> Problem {
    count("revoked");
    let kind = kind.as_str();
    refusal(StatusCode::FORBIDDEN, "revoked", "Access is revoked", said)
        .detail(format!(
            "Access of this {kind} has ended, and only an operator can give it back. The agent's others go on."
        ))
        .fact("decision", "revoked")
        .fact("part", kind)
        .fact("not_before", not_before)
}

/// The agent may act again, with a token from after its last revocation.
pub(super) fn token_voided(said: &Said<'_>, not_before: Timestamp) -> Problem {
    count("revoked");
    refusal(StatusCode::FORBIDDEN, "revoked", "Access is revoked", said)
        .detail("The token is from before the agent's access was last ended. Get a new one and ask again.")
        .fact("decision", "revoked")
        .fact("part", "token")
        .fact("not_before", not_before)
}

pub(super) fn suspended(said: &Said<'_>, until: Timestamp) -> Problem {
    count("suspended");
    refusal(StatusCode::FORBIDDEN, "suspended", "Access is suspended", said)
        .detail(format!("Access comes back at {until}, on probation, or earlier by an operator."))
        .fact("decision", "suspended")
        .fact("until", until)
        .retry_after(until.since(said.now).as_secs() + 1)
}

pub(super) fn retired(said: &Said<'_>, since: Timestamp) -> Problem {
    count("retired");
    refusal(StatusCode::FORBIDDEN, "retired", "This agent is out of service", said)
        .detail("It was taken out of service for good.")
        .fact("decision", "retired")
        .fact("since", since)
}

pub(super) fn grant_refused(event_id: &str, refused: GrantRefused) -> Problem {
    count("grant_refused");
    tracing::warn!(event_id, %refused, "a grant was refused");
    let reason = match refused {
        GrantRefused::Unknown => "unknown",
        GrantRefused::Expired => "expired",
        GrantRefused::OtherAct => "other_act",
        GrantRefused::Used => "used",
        GrantRefused::Retries => "retries",
        GrantRefused::Stale => "stale",
        GrantRefused::Restored => "restored",
        GrantRefused::Standing(_) => "standing",
    };
    let title = "The grant does not admit this";
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "grant_refused", title)
        .detail(format!("{refused}."))
        .fact("decision", "grant_refused")
        .fact("event_id", event_id)
        .fact("reason", reason);
    step_up(problem, title, Factor::Totp, 0)
}

pub(super) fn bad_record(field: Option<&str>, reason: &str) -> Problem {
    count("bad_record");
    let problem = Problem::new(StatusCode::BAD_REQUEST, "bad_record", "The record cannot be read").detail(
        match field {
            Some(field) => format!("`{field}` {reason}. Nothing was stored, and the answer is no."),
            None => format!("{reason}. Nothing was stored, and the answer is no."),
        },
    );
    match field {
        Some(field) => problem.fact("field", field),
        None => problem,
    }
}

pub(super) fn unreadable(rejection: &BytesRejection) -> Problem {
    count("bad_record");
    let (status, title) = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => (StatusCode::PAYLOAD_TOO_LARGE, "The record is too long"),
        _ => (StatusCode::BAD_REQUEST, "The record did not arrive"),
    };
    Problem::new(status, "bad_record", title).detail("Send one native request record as JSON.")
}

pub(super) fn no_room() -> Problem {
    count("no_room");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many requests wait for their score")
        .detail("No decision was made, so the answer is no. Send the same record again.")
        .retry_after(1)
}

fn refusal(status: StatusCode, kind: &'static str, title: &'static str, said: &Said<'_>) -> Problem {
    let problem = Problem::new(status, kind, title)
        .fact("event_id", said.event_id)
        .fact("scored", said.scored.verdict.is_some());
    match said.scored.verdict {
        Some((_, level)) => problem.fact("level", level),
        None => problem,
    }
}

fn count(answer: &'static str) {
    metrics::counter!("tocsin_gate_answers_total", "answer" => answer).increment(1);
}
