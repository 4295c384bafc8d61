//! A human's answer: who may give which, and everything it changes, in one transaction.
//!
//! A yes takes the number read where the agent is and a one-time code. A no and "this is an attack" take the code only:
//! whoever has never seen the number is the very person who should say so. They take no less than the code, as a leaked
//! address must not be enough to stop an agent for good.

use detector::{MicroBits, Timestamp};
use serde::{Deserialize, Serialize};

use super::lockout::{self, Attempts};
use super::totp::{self, Checked};
use super::{AMR, Approval, ApproverName, Grant, PageKey, State, Status};
use crate::agent::CaseId;
use crate::keys::{KeyError, Keys};
use crate::lifecycle::Input;
use crate::revoker::{ApplyError, Write};
use crate::store::db;
use crate::store::{StoreError, approvals, approvers};

/// What a human may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// Let this act go on.
    Approve,
    /// Do not; the agent stays challenged.
    Deny,
    /// Revoke the agent.
    Attack,
}

impl Choice {
    /// The name in forms and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::Attack => "attack",
        }
    }

    pub(crate) fn from_stored(text: &str) -> Option<Self> {
        [Self::Approve, Self::Deny, Self::Attack].into_iter().find(|choice| choice.as_str() == text)
    }
}

/// What came with the form.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What they say.
    pub choice: Choice,
    /// Who they say they are.
    pub name: String,
    /// The one-time code they typed.
    pub code: String,
    /// The number they typed; only looked at for a yes.
    pub number: String,
    /// The level of evidence the page showed them.
    pub seen: MicroBits,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done as they said.
    Settled,
    /// Not done.
    Refused(Refusal),
}

/// Why an answer does not count. None of them settles the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too many wrong answers to this question; none is looked at before this.
    Locked {
        /// When to try again.
        until: Timestamp,
    },
    /// Too many wrong codes of this approver; none is looked at before this.
    ApproverLocked {
        /// When to try again.
        until: Timestamp,
    },
    /// Not the number that the agent shows.
    WrongNumber {
        /// Wrong answers left before a lock.
        left: u32,
    },
    /// No such approver, or not their code now. One answer for both: which names exist is not told.
    WrongCode,
    /// Their code, but taken before.
    Spent {
        /// When the next one begins.
        next: Timestamp,
    },
    /// The agent acts for this very person.
    OwnRequest,
    /// There is more against the agent than the page showed.
    EvidenceGrew,
    /// The question is settled or over; the approval says how.
    Over,
    /// The form did not come from the page as this browser was shown it. Nothing was looked at.
    Stale,
}

/// Why an answer could not be taken at all. Nothing is changed.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The approver's secret does not open.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The approver's secret is no secret.
    #[error("the approver's secret cannot be used: {0}")]
    Secret(totp_rs::TotpError),
    /// The case in the approval is no case.
    #[error(transparent)]
    Case(#[from] crate::agent::CaseIdError),
}

impl From<db::Error> for DecideError {
    fn from(e: db::Error) -> Self {
        Self::Store(e.into())
    }
}

/// Takes an answer. None if there is no such page. Commit whatever comes back: refusals are counted.
pub fn decide(
    w: &mut Write<'_>,
    keys: &Keys,
    page: &PageKey,
    answer: &Answer,
    grant_until: Timestamp,
    now: Timestamp,
) -> Result<Option<Outcome>, DecideError> {
    let Some(approval) = approvals::by_page(w.tx(), page)? else { return Ok(None) };
    let refused = |refusal| Ok(Some(Outcome::Refused(refusal)));
    if !answerable(&approval, answer.choice, now) {
        return refused(Refusal::Over);
    }
    if let Some(until) = approval.attempts.shut_until(now) {
        return refused(Refusal::Locked { until });
    }
    // Before the code, so that a slip with the number does not cost a code and half a minute of waiting.
    if answer.choice == Choice::Approve && !approval.binding_code.matches(&answer.number) {
        let attempts = approval.attempts.failed(lockout::APPROVAL, now);
        approvals::set_attempts(w.tx(), &approval.id, attempts)?;
        return refused(wrong(attempts, now, |left| Refusal::WrongNumber { left }));
    }
    let by = match authenticate(w, keys, &approval, answer, now)? {
        Ok(by) => by,
        Err(refusal) => return refused(refusal),
    };
    settle(w, keys, &approval, answer, &by, grant_until, now).map(Some)
}

/// "This is an attack" also counts when nobody answered in time, or somebody merely said no.
fn answerable(approval: &Approval, choice: Choice, now: Timestamp) -> bool {
    match approval.status(now) {
        Status::Pending => true,
        Status::Expired => choice == Choice::Attack,
        Status::Denied => {
            choice == Choice::Attack && matches!(approval.state, State::Answered { choice: Choice::Deny, .. })
        }
        Status::Approved | Status::Superseded => false,
    }
}

fn wrong(attempts: Attempts, now: Timestamp, refusal: impl FnOnce(u32) -> Refusal) -> Refusal {
    match attempts.shut_until(now) {
        Some(until) => Refusal::Locked { until },
        None => refusal(attempts.left(lockout::APPROVAL)),
    }
}

/// Who it is, by a code that is spent from here on whatever follows.
fn authenticate(
    w: &mut Write<'_>,
    keys: &Keys,
    approval: &Approval,
    answer: &Answer,
    now: Timestamp,
) -> Result<Result<ApproverName, Refusal>, DecideError> {
    let stored = match ApproverName::new(&answer.name) {
        Ok(name) => approvers::by_name(w.tx(), name.as_str())?,
        Err(_) => None,
    };
    let Some(stored) = stored.filter(|approver| approver.row.disabled_at.is_none()) else {
        return Ok(Err(miscounted(w, approval, now)?));
    };
    if let Some(until) = stored.attempts.shut_until(now) {
        return Ok(Err(Refusal::ApproverLocked { until }));
    }
    let name = stored.row.name.clone();
    let secret = keys.open_sealed(&name.purpose(), &stored.sealed)?;
    let checked = totp::check(secret.expose(), &answer.code, now, stored.last_step);
    match checked.map_err(DecideError::Secret)? {
        Checked::Accepted { step } => {
            approvers::accept(w.tx(), name.as_str(), step)?;
            let own = approval.record.delegator.as_deref().is_some_and(|who| stored.row.is(who));
            Ok(if own && answer.choice == Choice::Approve { Err(Refusal::OwnRequest) } else { Ok(name) })
        }
        Checked::Spent => Ok(Err(Refusal::Spent { next: totp::next_code(now, stored.last_step) })),
        Checked::Wrong => {
            let attempts = stored.attempts.failed(lockout::APPROVER, now);
            approvers::set_attempts(w.tx(), name.as_str(), attempts)?;
            let refusal = miscounted(w, approval, now)?;
            Ok(Err(attempts.shut_until(now).map_or(refusal, |until| Refusal::ApproverLocked { until })))
        }
    }
}

/// A wrong name or code also counts against the approval, so that nobody can go through the names.
fn miscounted(w: &mut Write<'_>, approval: &Approval, now: Timestamp) -> Result<Refusal, DecideError> {
    let attempts = approval.attempts.failed(lockout::APPROVAL, now);
    approvals::set_attempts(w.tx(), &approval.id, attempts)?;
    Ok(wrong(attempts, now, |_| Refusal::WrongCode))
}

/// What is written to the audit besides what the new standing says itself.
#[derive(Serialize)]
struct Settled<'a> {
    approval_id: &'a str,
    choice: Choice,
    by: &'a ApproverName,
    amr: [&'static str; 2],
    binding: String,
}

fn settle(
    w: &mut Write<'_>,
    keys: &Keys,
    approval: &Approval,
    answer: &Answer,
    by: &ApproverName,
    grant_until: Timestamp,
    now: Timestamp,
) -> Result<Outcome, DecideError> {
    let case: CaseId = approval.case.parse()?;
    let who = by.to_string();
    let input = match answer.choice {
        Choice::Approve => Input::Approved { case, by: who, seen: answer.seen },
        Choice::Deny => Input::Denied { case, by: who },
        Choice::Attack => Input::Attack { case, by: who },
    };
    let agent = approval.agent();
    match w.apply(&agent, input, now) {
        Ok(_) => {}
        Err(ApplyError::Store(e)) => return Err(e.into()),
        Err(ApplyError::EvidenceGrew { .. }) => return Ok(Outcome::Refused(Refusal::EvidenceGrew)),
        // The agent has moved on: another case, another standing.
        Err(_) => return Ok(Outcome::Refused(Refusal::Over)),
    }
    let grant = (answer.choice == Choice::Approve).then(|| (Grant::of(keys, approval).digest(), grant_until));
    if !approvals::settle(w.tx(), &approval.id, (answer.choice, by.as_str()), grant, now)? {
        // An error, so that the standing does not change either.
        return Err(StoreError::damaged("a question is settled that the agent's standing still asks").into());
    }
    let body = Settled {
        approval_id: approval.id.as_str(),
        choice: answer.choice,
        by,
        amr: AMR,
        binding: approval.binding().to_string(),
    };
    w.audit(Some(&agent), "approval.settled", &body, now)?;
    Ok(Outcome::Settled)
}
