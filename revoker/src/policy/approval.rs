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
    /// Classes of action to which a yes takes a passkey; to others a one-time code with the agent's number will do. Without a word
    /// of the operator those whose harm stays: [`HARM_STAYS`].
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

/// Money that is gone, data that is gone, what runs, and who may do what. A code can be coaxed out of a person (it is typed where somebody
/// says), so it is for the rest: what is told or read is harm too, but most of an agent's day is that.
const HARM_STAYS: [Risk; 4] = [Risk::Payments, Risk::Deletion, Risk::Infrastructure, Risk::Permissions];

impl Default for ApprovalConfig {
    fn default() -> Self {
        const TEN: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
        Self {
            passkey_for: HARM_STAYS.to_vec(),
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
        self.needs_of(action.method.as_deref(), &action.endpoint, action.operation.as_deref())
    }

    fn needs_of(&self, method: Option<&str>, endpoint: &str, operation: Option<&str>) -> Needs {
        let config = self.config();
        let risks = config.risk.of(method, endpoint, operation);
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

    /// The strongest factor that a yes to some act of an agent may take, by the endpoints that its manifest declares; where it declares
    /// none, any act may come.
    pub fn strongest(&self, endpoints: &[String]) -> Factor {
        if endpoints.is_empty() && !self.config().approval.passkey_for.is_empty() {
            return Factor::Passkey;
        }
        let of = |declared: &String| {
            // As manifests write them: `get_user`, `GET /users/{id}`, `POST /graphql getUser`.
            let words: Vec<&str> = declared.split_whitespace().collect();
            match words[..] {
                [method, path] if path.starts_with('/') => self.needs_of(Some(method), path, None),
                [method, path, operation] => self.needs_of(Some(method), path, Some(operation)),
                _ => self.needs_of(None, declared, None),
            }
        };
        endpoints.iter().map(|declared| of(declared).factor).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use detector::Budgets;

    use super::*;
    use crate::config::PolicyConfig;

    #[test]
    fn a_code_is_for_low_risk_unless_the_operator_says_otherwise() {
        let ours = Policy::new(Budgets::default(), PolicyConfig::default());
        let needs = |policy: &Policy, endpoint: &str| {
            policy.needs(&Action { endpoint: endpoint.to_owned(), ..Action::default() }).factor
        };
        for endpoint in ["send_money", "DeleteUser", "deploy_service", "iam:CreateAccessKey"] {
            assert_eq!(needs(&ours, endpoint), Factor::Passkey, "{endpoint}");
        }
        for endpoint in ["get_order", "send_email", "export_report", "get_balance_of_funds"] {
            assert_eq!(needs(&ours, endpoint), Factor::Totp, "{endpoint}");
        }
        let mut config = PolicyConfig::default();
        config.approval.passkey_for.clear();
        let theirs = Policy::new(Budgets::default(), config);
        assert_eq!(needs(&theirs, "send_money"), Factor::Totp);

        let strongest = |policy: &Policy, endpoints: &[&str]| {
            policy.strongest(&endpoints.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(strongest(&ours, &["get_order", "DELETE /orders/{id}"]), Factor::Passkey);
        assert_eq!(strongest(&ours, &["POST /graphql refundOrder"]), Factor::Passkey);
        assert_eq!(strongest(&ours, &["GET /payments/{id}", "send_email"]), Factor::Totp);
        assert_eq!((strongest(&ours, &[]), strongest(&theirs, &[])), (Factor::Passkey, Factor::Totp));
    }
}
