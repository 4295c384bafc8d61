//! What an answer takes by what the act can do, and how often people are asked.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::Policy;
use super::risk::Risk;
use crate::approval::{Action, Factor, Needs};
use crate::config::Seconds;

/// The section `[policy.approval]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalConfig {
    /// Classes of action to which a yes takes a passkey; to others a one-time code with the agent's number will do.
    pub passkey_for: Vec<Risk>,
    /// Classes of action to which two people must say yes.
    pub two_for: Vec<Risk>,
    /// Whether a yes at the identity provider's own app (`[ciba]`) will do where a one-time code would.
    #[serde(skip_serializing_if = "is_false")]
    pub push_suffices: bool,
    /// Questions without evidence that one agent may have open.
    pub open_per_agent: NonZeroU32,
    /// Notices of questions that one person is sent in an hour; past them questions are only listed, and a finding says so.
    pub notices_per_hour: NonZeroU32,
    /// How long the same act is not asked about again after a no.
    pub cool_down_s: Seconds,
    /// How long one of those who are named to answer is waited for before the next is told.
    pub next_after_s: Seconds,
    /// How long before its end people are told that a question is about to lapse.
    pub warn_before_s: Seconds,
}

impl Default for ApprovalConfig {
    fn default() -> Self {
        const TEN: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
        Self {
            passkey_for: Vec::new(),
            two_for: Vec::new(),
            push_suffices: false,
            open_per_agent: TEN,
            notices_per_hour: TEN.saturating_add(20),
            cool_down_s: Seconds::MINUTE.times(5),
            next_after_s: Seconds::MINUTE.times(5),
            warn_before_s: Seconds::MINUTE.times(2),
        }
    }
}

/// So that a policy which does not say it is called what it was called before.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's shape")]
fn is_false(said: &bool) -> bool {
    !said
}

impl Policy {
    /// What a yes to this act takes.
    pub fn needs(&self, action: &Action) -> Needs {
        let config = self.config();
        let risks = config.risk.of(action.method.as_deref(), &action.endpoint, action.operation.as_deref());
        let any = |listed: &[Risk]| listed.iter().any(|risk| risks.contains(risk));
        Needs {
            approvers: if any(&config.approval.two_for) { 2 } else { 1 },
            factor: if any(&config.approval.passkey_for) {
                Factor::Passkey
            } else if config.approval.push_suffices {
                Factor::Push
            } else {
                Factor::Totp
            },
        }
    }
}
