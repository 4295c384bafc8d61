//! A human's answer: who may give which, and everything it changes, in one transaction.
//!
//! A yes takes the number read where the agent is and a one-time code. A no and "this is an attack" take the code only:
//! whoever has never seen the number is the very person who should say so. They take no less than the code, as a leaked
//! address must not be enough to stop an agent for good.

use detector::{MicroBits, Timestamp};
use serde::{Deserialize, Serialize};

use super::notice::Turn;
use super::proof::{Proof, may_answer, prove};
use super::{Approval, ApproverName, Factor, First, PageKey, State, Status};
use crate::agent::CaseId;
use crate::keys::{KeyError, Keys};
use crate::lifecycle::Input;
use crate::revoker::{Admission, ApplyError, Write};
use crate::store::{self, StoreError, approvals, db, settings};

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
    /// Who they are.
    pub proof: Proof,
    /// The level of evidence the page showed them.
    pub seen: MicroBits,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done as they said.
    Settled,
    /// A yes that takes a second person's.
    Half,
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
    /// Too many wrong codes of this approver; for a while none counts. The page says what it says of [`Self::WrongCode`]: names can only be
    /// locked that exist. Operators see it in the log and in the list of approvers.
    ApproverLocked,
    /// Not the number that the agent shows.
    WrongNumber {
        /// Wrong answers left before a lock.
        left: u32,
    },
    /// No such approver, or not their code now. One answer for both: which names exist is not told.
    WrongCode,
    /// Not a passkey that is enrolled, or not its answer to this.
    WrongPasskey,
    /// Their code, but taken before.
    Spent {
        /// When the next one begins.
        next: Timestamp,
    },
    /// The agent acts for this very person.
    OwnRequest,
    /// Others are named to answer for this agent.
    NotNamed,
    /// This very person has said yes already; it takes another.
    SameApprover,
    /// A yes to this takes a stronger factor.
    StrongerFactor,
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
    let proven = match prove(w, keys, &approval, answer, now)? {
        Ok(proven) => proven,
        Err(refusal) => return refused(refusal),
    };
    if let Err(refusal) = may_answer(&approval, &proven.who, answer.choice) {
        return refused(refusal);
    }
    let said = Said { choice: answer.choice, seen: answer.seen, by: &proven.who.name, with: proven.with };
    settle(w, &approval, &said, grant_until, now).map(Some)
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

/// An answer of somebody who may give it.
pub(super) struct Said<'a> {
    pub(super) choice: Choice,
    pub(super) seen: MicroBits,
    pub(super) by: &'a ApproverName,
    pub(super) with: Factor,
}

/// What is written to the audit besides what the new standing says itself.
#[derive(Serialize)]
struct Settled<'a> {
    approval_id: &'a str,
    choice: Choice,
    by: &'a ApproverName,
    /// Who had said yes before, where it took two.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<&'a str>,
    acr: &'static str,
    amr: &'static [&'static str],
    binding: String,
}

fn settle(
    w: &mut Write<'_>,
    approval: &Approval,
    said: &Said<'_>,
    grant_until: Timestamp,
    now: Timestamp,
) -> Result<Outcome, DecideError> {
    let agent = approval.agent();
    let approves = said.choice == Choice::Approve;
    let takes_two = approves && approval.needs.approvers > 1;
    if takes_two && w.has_outgrown(approval, said.seen, now) {
        return Ok(Outcome::Refused(Refusal::EvidenceGrew));
    }
    let is_taken_back = takes_two && w.take_first_back(approval, w.peak(approval), now)?;
    let first = approval.first.as_ref().filter(|_| !is_taken_back);
    let body = Settled {
        approval_id: approval.id.as_str(),
        choice: said.choice,
        by: said.by,
        first: first.map(|first| first.by.as_str()),
        acr: said.with.acr(),
        amr: said.with.amr(),
        binding: approval.binding().to_string(),
    };
    if takes_two && first.is_none() {
        store::first::set(
            w.tx(),
            &approval.id,
            &First { by: said.by.to_string(), at: now, seen: said.seen },
        )?;
        w.audit(Some(&agent), "approval.half", &body, now)?;
        if let Some(turn) = Turn::second(approval, said.by.as_str()) {
            w.tell_turn(approval, turn, now)?;
        }
        return Ok(Outcome::Half);
    }
    if let Some(refusal) = take(w, approval, said, now)? {
        return Ok(Outcome::Refused(refusal));
    }
    let covers = approves.then(|| approval.binding());
    let epoch = settings::epoch(w.tx())?;
    let grant = covers.map(|covers| (covers, grant_until, epoch));
    let answer = approvals::Answer { choice: said.choice, by: said.by.as_str(), with: said.with, grant };
    if !approvals::settle(w.tx(), &approval.id, &answer, now)? {
        // An error, so that the standing does not change either.
        return Err(StoreError::damaged("a question is settled that the agent's standing still asks").into());
    }
    w.settled(approval.id.clone());
    w.audit(Some(&agent), "approval.settled", &body, now)?;
    if said.choice == Choice::Attack && !approval.is_about_evidence() {
        // After the answer: what is still open about the agent's acts is taken back with its access.
        let reason = "a human says that what the agent asked for is an attack".to_owned();
        let revoked = w.apply(&agent, Input::Revoke { by: said.by.to_string(), reason }, now);
        revoked.map_err(|e| StoreError::damaged(format!("an agent that may act cannot be revoked: {e}")))?;
    }
    Ok(Outcome::Settled)
}

/// What the answer does to the agent's standing; or why it does not count any more.
fn take(
    w: &mut Write<'_>,
    approval: &Approval,
    said: &Said<'_>,
    now: Timestamp,
) -> Result<Option<Refusal>, DecideError> {
    let (agent, by) = (approval.agent(), said.by.to_string());
    let input = if approval.is_about_evidence() {
        let case: CaseId = approval.case.parse()?;
        match said.choice {
            Choice::Approve => Input::Approved { case, by, seen: said.seen },
            Choice::Deny => Input::Denied { case, by },
            Choice::Attack => Input::Attack { case, by },
        }
    } else {
        // The agent need not be stopped to be told yes or no, but what it may not do at all is not to be approved.
        let ended = Admission::of(&w.standing(&agent)).is_ended();
        return Ok(ended.then_some(Refusal::Over));
    };
    match w.apply(&agent, input, now) {
        Ok(_) => Ok(None),
        Err(ApplyError::Store(e)) => Err(e.into()),
        Err(ApplyError::EvidenceGrew { .. }) => Ok(Some(Refusal::EvidenceGrew)),
        // The agent has moved on: another case, another standing.
        Err(_) => Ok(Some(Refusal::Over)),
    }
}
