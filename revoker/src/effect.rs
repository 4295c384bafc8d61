//! What a change of standing asks of the world. Plain data: decided here, done by the store and the executor.

use detector::{Ruling, Timestamp};
use serde::{Deserialize, Serialize};

use crate::agent::CaseId;
use crate::config::WhileAsked;
use crate::part::PartKind;
use crate::policy::Demand;
use crate::policy::envelope::Room;
use crate::restraint::Would;

/// One thing to do, in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Put a question to a human.
    OpenCase {
        /// The question.
        case: CaseId,
        /// How long it stands.
        until: Timestamp,
    },
    /// Take a question back that no human answered.
    CloseCase {
        /// The question.
        case: CaseId,
        /// Why.
        how: Closing,
    },
    /// The request goes on, although a human is being asked.
    LetThrough {
        /// How much more may.
        left: Room,
    },
    /// Put the agent on the list of revoked subjects.
    List {
        /// Tokens issued before are void.
        not_before: Timestamp,
    },
    /// End access of the part of the agent that the call is of, and tell the enforcement points.
    EndPart {
        /// Which of its parts.
        kind: PartKind,
        /// Calls made after are "still acting".
        not_before: Timestamp,
    },
    /// The agent may act again; its `not_before` stays listed until earlier tokens have expired.
    Unlist,
    /// Tell the enforcement points.
    Publish(Event),
    /// Tell the people who watch.
    Alert {
        /// What was done.
        action: AlertAction,
        /// What would have been done in its place, and what withheld it.
        #[serde(flatten)]
        would: Would,
    },
}

/// How a question ends that no human answered. Never a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    /// Nobody answered in time.
    Expired,
    /// Something else decided.
    Superseded,
}

/// What an alert says was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertAction {
    /// The agent is watched.
    Watch,
    /// A human is asked.
    Challenge,
    /// Access was revoked.
    Revoke,
    /// An agent whose access has ended still acts.
    StillActing,
    /// What was said before is amended: an agent was not silent, its logs were late.
    Amend,
}

impl AlertAction {
    /// The name in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Challenge => "challenge",
            Self::Revoke => "revoke",
            Self::StillActing => "still_acting",
            Self::Amend => "amend",
        }
    }
}

/// How bad it is, in the words that SOC tools sort by (OCSF, `severity`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the record.
    Informational,
    /// Look at it today.
    #[default]
    Medium,
    /// Somebody is asked, or access has ended; or would have been.
    High,
    /// What ended goes on.
    Critical,
}

impl Severity {
    /// That of an alert which did this, where more may have been withheld.
    pub fn of(action: AlertAction, would: Option<Demand>) -> Self {
        match action {
            AlertAction::StillActing => Self::Critical,
            AlertAction::Challenge | AlertAction::Revoke => Self::High,
            AlertAction::Watch if would >= Some(Demand::StepUp) => Self::High,
            AlertAction::Watch => Self::Medium,
            AlertAction::Amend => Self::Informational,
        }
    }
}

/// Why access was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The evidence, without a person.
    Evidence,
    /// A human said "this is an attack".
    Attack,
    /// Nobody answered a challenge, and policy says revoke.
    Expired,
    /// An operator said so.
    Operator,
    /// The one task it lived for is over.
    TaskEnded,
    /// The time it was declared for is over.
    Lapsed,
    /// The agent that spawned it was ended.
    Parent,
}

/// What enforcement points are told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The agent must wait for a human.
    Challenged {
        /// The question.
        case: CaseId,
        /// How long it stands.
        until: Timestamp,
        /// What may go on meanwhile, of reading and what is known to be benign and is no part of the evidence.
        envelope: Room,
        /// What the agent does meanwhile.
        #[serde(default)]
        while_asked: WhileAsked,
    },
    /// A human let the agent go on.
    Approved {
        /// The question.
        case: CaseId,
    },
    /// A human said no.
    Denied {
        /// The question.
        case: CaseId,
        /// No new question before.
        until: Timestamp,
    },
    /// Nobody answered.
    Expired {
        /// The question.
        case: CaseId,
    },
    /// Access ends: refuse every token of the subject, whenever issued, until it is reinstated.
    Revoked {
        /// When.
        not_before: Timestamp,
        /// Why.
        cause: Cause,
        /// What would have been enough to end, where not all who are told can end that alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        in_place_of: Option<PartKind>,
    },
    /// Access ends for a time.
    Suspended {
        /// Tokens issued before are void.
        not_before: Timestamp,
        /// When it ends; none where a human is asked, who ends it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// The agent may act again; `not_before` of the revocation still holds for older tokens.
    Reinstated,
    /// The agent is out of service: every credential is void.
    Retired {
        /// When.
        not_before: Timestamp,
    },
    /// A person ruled on the evidence; the standing is what it was.
    Ruled {
        /// What they said of it.
        ruling: Ruling,
    },
    /// A person took the agent back to an earlier baseline; for the detector alone.
    Reverted {
        /// Which, by its number.
        version: i64,
    },
    /// A person declared what the agent is meant to do; for the detector alone.
    Declared {
        /// Which version of its manifest.
        version: i64,
    },
    /// An accepted call after access ended.
    StillActing {
        /// From the end of access to the call, seconds.
        exposure_s: u64,
        /// Such calls so far.
        calls: u64,
    },
}

impl Event {
    /// The `type` of the webhook. Characters `a-z`, `_` and `.` only.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Challenged { .. } => "agent.challenged",
            Self::Approved { .. } => "agent.challenge.approved",
            Self::Denied { .. } => "agent.challenge.denied",
            Self::Expired { .. } => "agent.challenge.expired",
            Self::Revoked { .. } => "agent.access.revoked",
            Self::Suspended { .. } => "agent.access.suspended",
            Self::Reinstated => REINSTATED,
            Self::Retired { .. } => "agent.retired",
            Self::Ruled { .. } => "agent.feedback",
            Self::Reverted { .. } => REVERTED,
            Self::Declared { .. } => DECLARED,
            Self::StillActing { .. } => "agent.still_acting",
        }
    }
}

impl Event {
    /// Whether enforcement points are to end access.
    pub fn ends_access(&self) -> bool {
        matches!(self, Self::Revoked { .. } | Self::Suspended { .. } | Self::Retired { .. })
    }
}

/// The types of the events that end access.
pub const ENDINGS: [&str; 3] = ["agent.access.revoked", "agent.access.suspended", "agent.retired"];

/// The type of the event that gives access back.
pub const REINSTATED: &str = "agent.reinstated";

/// What the detector alone is told, since it carries the baseline.
pub const REVERTED: &str = "agent.baseline.reverted";

/// What the detector alone is told, since it carries the manifest.
pub const DECLARED: &str = "agent.manifest.set";

/// What people are told of questions to them; only for those whose filter names it.
pub const NOTICE: &str = "approval.notice";

/// What those who answer for an agent are told of alerts about it; only by e-mail, for events name them.
pub const ALERT: &str = "agent.alert";

/// What is told to an identity provider that had us ask, and under which name it is a target.
pub const CHANNEL: &str = "ciba-channel";

/// Every `type` there is for others; what a target's filter may name.
pub const EVENT_KINDS: [&str; 10] = [
    "agent.challenged",
    "agent.challenge.approved",
    "agent.challenge.denied",
    "agent.challenge.expired",
    "agent.access.revoked",
    "agent.access.suspended",
    "agent.reinstated",
    "agent.retired",
    "agent.feedback",
    "agent.still_acting",
];
