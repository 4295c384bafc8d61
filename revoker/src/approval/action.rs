//! What exactly an approval is good for.

use detector::{Call, Text, VerdictRecord};
use serde::{Deserialize, Serialize};

use super::arguments::{args_digest, numbers};
use super::digest::{Digest, Fields};

/// One act of one agent, down to its arguments; what a human's yes covers and nothing beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the call's, documented there")]
pub struct Action {
    pub issuer: Option<String>,
    pub agent_id: String,
    pub instance_id: Option<String>,
    pub endpoint: String,
    pub method: Option<String>,
    pub operation: Option<String>,
    pub resource: Option<String>,
    /// Digest of the exact arguments: the caller's, or where it brings none that of the call's `args` ([`super::Arguments`]).
    /// Where there is neither, the approval cannot tell one set of arguments from another, and the page says so.
    pub args_digest: Option<String>,
}

impl Action {
    /// The act a request record announces.
    pub fn of_call(call: &Call<'_>) -> Self {
        let own = |text: &Option<Text<'_>>| text.as_ref().map(ToString::to_string);
        Self {
            issuer: own(&call.identity.issuer),
            agent_id: call.identity.agent_id.to_string(),
            instance_id: own(&call.identity.instance_id),
            endpoint: call.endpoint.to_string(),
            method: own(&call.method),
            operation: own(&call.operation),
            resource: own(&call.resource),
            args_digest: own(&call.args_digest).or_else(|| {
                numbers(call.args.iter().map(|(name, value)| (&**name, *value)))
                    .map(|text| args_digest(&text))
            }),
        }
    }

    /// The act a verdict speaks of, as [`super::arguments::bound`] leaves it.
    pub fn of_record(record: &VerdictRecord) -> Self {
        Self {
            issuer: record.issuer.clone(),
            agent_id: record.agent_id.clone(),
            instance_id: record.instance_id.clone(),
            endpoint: record.endpoint.clone(),
            method: record.method.clone(),
            operation: record.operation.clone(),
            resource: record.resource.clone(),
            args_digest: record.args_digest.clone(),
        }
    }

    /// Equal for equal acts only. A session or a token may change between the question and the resumed call; who acts,
    /// from which instance, on what and with which arguments may not.
    pub fn digest(&self) -> Digest {
        let fields = Fields::of("tocsin action 1")
            .maybe(self.issuer.as_deref())
            .text(&self.agent_id)
            .maybe(self.instance_id.as_deref())
            .text(&self.endpoint)
            .maybe(self.method.as_deref())
            .maybe(self.resource.as_deref())
            .maybe(self.args_digest.as_deref());
        // An act without one has the digest of always: questions are open when a program is replaced.
        match &self.operation {
            Some(operation) => fields.text(operation).finish(),
            None => fields.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action() -> Action {
        Action {
            issuer: Some("https://idp.example".into()),
            agent_id: "billing".into(),
            instance_id: Some("pod-1".into()),
            endpoint: "send_money".into(),
            method: Some("CALL".into()),
            operation: None,
            resource: None,
            args_digest: Some("sha256:ab".into()),
        }
    }

    #[test]
    fn every_field_counts_and_none_runs_into_the_next() {
        let all = [
            action(),
            Action { issuer: None, ..action() },
            Action { agent_id: "billin".into(), instance_id: Some("gpod-1".into()), ..action() },
            Action { instance_id: None, ..action() },
            Action { endpoint: "send_mone".into(), method: Some("yCALL".into()), ..action() },
            Action { method: None, ..action() },
            Action { operation: Some("getUser".into()), ..action() },
            Action { operation: Some("deleteUser".into()), ..action() },
            Action { resource: Some(String::new()), ..action() },
            Action { resource: Some("sha256:ab".into()), args_digest: None, ..action() },
            Action { args_digest: None, ..action() },
        ];
        let digests: std::collections::HashSet<_> = all.iter().map(Action::digest).collect();
        assert_eq!(digests.len(), all.len());
        assert_eq!(action().digest(), action().digest());
    }
}
