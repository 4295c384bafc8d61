//! What a verdict is answered.

use detector::{Timestamp, VerdictId};
use serde::{Deserialize, Serialize};

use crate::agent::{AgentKey, CaseId};
use crate::alert::Alert;
use crate::policy::envelope::Room;
use crate::standing::{Challenge, Meanwhile, Phase, Standing};

/// What an agent may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "admission", rename_all = "snake_case")]
pub enum Admission {
    /// Go on.
    Go,
    /// Wait for a human.
    Challenged {
        /// The question put to the human.
        case: CaseId,
        /// How far it has come.
        phase: Phase,
        /// Until then the question stands, and after a denial no new one is asked.
        until: Timestamp,
    },
    /// Stopped for a time.
    Suspended {
        /// When it ends.
        until: Timestamp,
    },
    /// Stopped until a person says otherwise.
    Revoked {
        /// Since when.
        not_before: Timestamp,
    },
    /// Out of service.
    Retired {
        /// Since when.
        since: Timestamp,
    },
}

impl Admission {
    /// Whether access has ended, for a time or for good.
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Suspended { .. } | Self::Revoked { .. } | Self::Retired { .. })
    }

    /// What follows from a standing.
    pub fn of(standing: &Standing) -> Self {
        match standing {
            Standing::Trusted
            | Standing::Watched(_)
            | Standing::Probation(_)
            | Standing::Challenged(Challenge { meanwhile: Meanwhile::GoesOn, .. }) => Self::Go,
            Standing::Challenged(c) => Self::Challenged { case: c.case, phase: c.phase, until: c.until },
            Standing::Suspended(s) => Self::Suspended { until: s.until },
            Standing::Revoked(r) => Self::Revoked { not_before: r.not_before },
            Standing::Retired(r) => Self::Retired { since: r.since },
        }
    }
}

/// The answer to one verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Which verdict.
    pub verdict: VerdictId,
    /// Whom it speaks of.
    pub agent: AgentKey,
    /// What the agent may do.
    #[serde(flatten)]
    pub admission: Admission,
    /// What to tell the people who watch, where something changed.
    pub alert: Option<Alert>,
    /// Of a request that goes on although the agent is challenged: what more may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub let_through: Option<Room>,
}
