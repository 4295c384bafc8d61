//! Approvals: one question put to a human about one act of one agent, and what comes of the answer.
//!
//! An approval is opened in the transaction that challenges the agent, or because the agent or its gateway asks before there
//! is any evidence ([`Cause`]). It is bound to the act, the cause, the policy, what an answer takes and its own end, and answered
//! once. Approved, it is good for one act: the grant that the agent then gets is bound to the same digest, is consumed when the
//! resumed act is admitted, and belongs from then on to the `resume_id` that the agent chose for it.
//!
//! The number (`binding_code`) is shown by the agent and in the operators' alert list, and typed by the human: the page
//! never shows it. The page's address goes to people only; the agent knows the approval by another name.

mod action;
mod approver;
pub(crate) mod arguments;
mod asked;
mod decide;
mod digest;
mod enrol;
mod factor;
mod form;
mod grant;
mod id;
pub mod lockout;
pub(crate) mod notice;
pub mod page;
mod proof;
mod recovery;
pub mod totp;
pub mod webauthn;

use detector::{MicroBits, Timestamp, VerdictRecord};
use serde::{Deserialize, Serialize};

pub use action::Action;
pub(crate) use approver::purpose;
pub use approver::{
    APPROVERS_MAX, ApproverName, ApproverRow, EnrolError, Enrolled, NameError, disable, enrol, list,
};
pub use arguments::{Arguments, Unequivocal};
pub use asked::{Asked, AskedError, Cause};
pub use decide::{Answer, Choice, DecideError, Outcome, Refusal, decide};
pub use digest::Digest;
pub use enrol::{
    CEREMONY_LIFE, Enrolling, Enrolment, LINK_LIFE, Link, Method, begin, invite, standing, take,
};
pub use factor::{Factor, Needs};
pub use form::FormToken;
pub use grant::{Admittance, Claims, Grant, GrantRefused, Grants, ResumeId};
pub(crate) use grant::{Resumption, admit};
pub use id::{ApprovalId, BindingCode, IdError, PageKey};
pub use proof::Proof;
pub(crate) use proof::may_answer;

use crate::agent::AgentKey;
use crate::standing::Standing;
use crate::store::register::Accountable;
use digest::Fields;
use lockout::Attempts;

/// What became of the question, as kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has answered.
    Pending,
    /// A human answered.
    Answered {
        /// What.
        choice: Choice,
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
        /// How they proved who they are.
        with: Factor,
    },
    /// Nobody answered in time.
    Expired,
    /// Something else settled it first: a revocation, a reinstatement, a newer question.
    Superseded {
        /// When.
        at: Timestamp,
    },
}

/// The five answers an agent may get; never mixed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A human is being asked.
    Pending,
    /// A human said yes to this very act.
    Approved,
    /// A human said no.
    Denied,
    /// Nobody answered in time. Not a no.
    Expired,
    /// Settled by something else than an answer to this question.
    Superseded,
}

impl Status {
    /// The name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
        }
    }
}

/// What became of the grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantState {
    /// Not admitted from this instant on.
    pub expires_at: Timestamp,
    /// The record's epoch when it was given; in another it admits nothing.
    pub epoch: i64,
    /// The resumption it was used for, and when first.
    pub used: Option<(ResumeId, Timestamp)>,
}

/// A yes that takes a second person's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The level of evidence that they were shown.
    pub seen: MicroBits,
}

/// One question and all that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    /// The agent's name for it.
    pub id: ApprovalId,
    /// The human's address for it.
    pub page: PageKey,
    /// The case in the agent's standing.
    pub case: String,
    /// The alert that goes with it; empty where there is none.
    pub alert_id: String,
    /// The act, and why a human is asked.
    pub cause: Cause,
    /// The act's arguments for the human, where the evidence comes with them. What is asked brings its own.
    pub arguments: Option<Arguments>,
    /// What an answer takes.
    pub needs: Needs,
    /// Who answers for the agent, as of when it was asked. Where approvers are named, nobody else may answer.
    pub people: Accountable,
    /// The first yes, where it takes a second.
    pub first: Option<First>,
    /// Shown by the agent, typed by the human.
    pub binding_code: BindingCode,
    /// Version of the policy it was asked under.
    pub policy: String,
    /// When it was asked.
    pub opened_at: Timestamp,
    /// No answer counts from this instant on.
    pub expires_at: Timestamp,
    /// What became of it.
    pub state: State,
    /// Wrong answers.
    pub attempts: Attempts,
    /// The grant, once approved.
    pub grant: Option<GrantState>,
}

impl Approval {
    /// What an agent is told at `now`. A question nobody answered is expired from its end on, whether or not anything
    /// has noticed yet.
    pub fn status(&self, now: Timestamp) -> Status {
        match &self.state {
            State::Pending if now < self.expires_at => Status::Pending,
            State::Pending | State::Expired => Status::Expired,
            State::Answered { choice: Choice::Approve, .. } => Status::Approved,
            State::Answered { choice: Choice::Deny | Choice::Attack, .. } => Status::Denied,
            State::Superseded { .. } => Status::Superseded,
        }
    }

    /// The evidence, if that is why.
    pub fn evidence(&self) -> Option<&VerdictRecord> {
        match &self.cause {
            Cause::Evidence(record) => Some(record),
            Cause::Asked(_) => None,
        }
    }

    /// The highest level of evidence that was known when it was put.
    pub fn level(&self) -> MicroBits {
        self.evidence().map_or(MicroBits::ZERO, |record| record.verdict.level)
    }

    /// The highest level of evidence since it was put, where its agent stands so: known as far as that is in this case still.
    pub(crate) fn peak(&self, standing: &Standing) -> MicroBits {
        match standing {
            Standing::Challenged(challenge) if challenge.case.to_string() == self.case => challenge.peak,
            _ => self.level(),
        }
    }

    /// For whom the agent acts: may not let it go on.
    pub fn requester(&self) -> Option<&str> {
        match &self.cause {
            Cause::Evidence(record) => record.delegator.as_deref(),
            Cause::Asked(asked) => asked.requester.as_deref(),
        }
    }

    /// Whom it is about.
    pub fn agent(&self) -> AgentKey {
        let action = self.action();
        AgentKey::new(action.issuer.as_deref(), &action.agent_id)
    }

    /// The act it is about.
    pub fn action(&self) -> Action {
        match &self.cause {
            Cause::Evidence(record) => Action::of_record(record),
            Cause::Asked(asked) => asked.action.clone(),
        }
    }

    /// Digest of everything a yes covers: the act, the evidence or its absence, the policy, who may say it and how, and the end. It
    /// goes into the grant and into the audit entry, so neither can be moved to another question.
    pub fn binding(&self) -> Digest {
        let fields = Fields::of("tocsin approval 2")
            .text(self.id.as_str())
            .text(&self.case)
            .text(&self.action().digest().to_string())
            .text(&self.policy)
            .integer(self.expires_at.as_micros())
            .integer(i64::from(self.needs.approvers))
            .text(self.needs.factor.as_str());
        let fields = self.people.approvers.iter().fold(fields, |fields, name| fields.text(name));
        match &self.cause {
            Cause::Evidence(record) => evidence(fields.text("evidence"), record),
            Cause::Asked(asked) => asked.in_fields(fields.text("asked")),
        }
        .finish()
    }
}

fn evidence(fields: Fields, record: &VerdictRecord) -> Fields {
    let verdict = &record.verdict;
    let fields = fields
        .text(&record.event_id)
        .text(&verdict.id.to_string())
        .integer(i64::from(verdict.version))
        .integer(verdict.level.as_micros());
    verdict
        .parts
        .iter()
        .fold(fields, |fields, part| fields.text(part.signal.as_str()).integer(part.bits.as_micros()))
}
