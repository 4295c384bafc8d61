//! Approvals: one question put to a human about one act of one agent, and what comes of the answer.
//!
//! An approval is opened in the transaction that challenges the agent, bound to the act, the evidence, the policy and
//! its own end, and answered once. Approved, it is good for one act: the grant that the agent then gets is bound to the
//! same digest, is consumed when the resumed act is admitted, and belongs from then on to the `resume_id` that the agent
//! chose for it.
//!
//! The number (`binding_code`) is shown by the agent and in the operators' alert list, and typed by the human: the page
//! never shows it. The page's address goes to people only; the agent knows the approval by another name.

mod action;
mod approver;
mod decide;
mod digest;
mod form;
mod grant;
mod id;
pub mod lockout;
pub mod page;
pub mod totp;

use detector::{Timestamp, VerdictRecord};
use serde::{Deserialize, Serialize};

pub use action::Action;
pub(crate) use approver::purpose;
pub use approver::{
    APPROVERS_MAX, ApproverName, ApproverRow, EnrolError, Enrolled, NameError, disable, enrol, list,
};
pub use decide::{Answer, Choice, DecideError, Outcome, Refusal, decide};
pub use digest::Digest;
pub use form::FormToken;
pub use grant::{Admittance, Grant, GrantRefused, ResumeId, admit};
pub use id::{ApprovalId, BindingCode, IdError, PageKey};

use crate::agent::AgentKey;
use digest::Fields;
use lockout::Attempts;

/// The authentication context that an approval stands for: a person other than the requester, with a one-time code and
/// the number read where the agent is.
pub const ACR: &str = "urn:tocsin:acr:otp-number-match";

/// The authentication methods behind it (RFC 8176).
pub const AMR: [&str; 2] = ["otp", "mfa"];

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
    /// The resumption it was used for, and when first.
    pub used: Option<(ResumeId, Timestamp)>,
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
    /// The alert that goes with it.
    pub alert_id: String,
    /// The act and the evidence.
    pub record: VerdictRecord,
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

    /// Whom it is about.
    pub fn agent(&self) -> AgentKey {
        AgentKey::new(self.record.issuer.as_deref(), &self.record.agent_id)
    }

    /// The act it is about.
    pub fn action(&self) -> Action {
        Action::of_record(&self.record)
    }

    /// Digest of everything a yes covers: the act, the evidence, the policy and the end. It goes into the grant and into
    /// the audit entry, so neither can be moved to another question.
    pub fn binding(&self) -> Digest {
        let verdict = &self.record.verdict;
        let mut fields = Fields::of("tocsin approval 1")
            .text(self.id.as_str())
            .text(&self.case)
            .text(&self.action().digest().to_string())
            .text(&self.record.event_id)
            .text(&verdict.id.to_string())
            .integer(i64::from(verdict.version))
            .integer(verdict.level.as_micros())
            .text(&self.policy)
            .integer(self.expires_at.as_micros());
        for part in &verdict.parts {
            fields = fields.text(part.signal.as_str()).integer(part.bits.as_micros());
        }
        fields.finish()
    }
}
