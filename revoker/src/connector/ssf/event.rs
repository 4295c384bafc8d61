//! Which events of CAEP, RISC and SSF say what was decided, and what each of them holds.

use detector::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::approval::Factor;
use crate::effect::Cause;
use crate::message::{Message, clip};
use crate::part::Part;

/// What all types begin with.
const BASE: &str = "https://schemas.openid.net/secevent/";

/// The types of the messages that speak of a stream and not of an agent; nobody asks for them and everybody gets them.
pub(crate) const VERIFICATION: &str = "ssf.verification";
pub(crate) const STREAM_UPDATED: &str = "ssf.stream-updated";

/// Reasons are sentences for people: so many bytes of them.
const REASON_BYTES_MAX: usize = 1_500;

/// What stands for the trust put in an agent: whether a human had to be, or was, asked. No level of authentication of
/// NIST or ISO is claimed.
const NAMESPACE: &str = "urn:tocsin:standing";

/// An event that receivers may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum EventType {
    SessionRevoked,
    CredentialChange,
    AssuranceLevelChange,
    RiskLevelChange,
    SessionEstablished,
    AccountDisabled,
    AccountEnabled,
}

use EventType::{
    AccountDisabled, AccountEnabled, AssuranceLevelChange, CredentialChange, RiskLevelChange,
    SessionEstablished, SessionRevoked,
};

/// What a type of message becomes, in the order in which it is sent.
const MAPPING: [(&str, &[EventType]); 6] = [
    ("agent.access.revoked", &[SessionRevoked, CredentialChange]),
    ("agent.access.suspended", &[SessionRevoked]),
    ("agent.retired", &[AccountDisabled]),
    ("agent.reinstated", &[AccountEnabled]),
    ("agent.challenged", &[AssuranceLevelChange, RiskLevelChange]),
    ("agent.challenge.approved", &[AssuranceLevelChange, RiskLevelChange, SessionEstablished]),
];

impl EventType {
    pub(super) const ALL: [Self; 7] = [
        SessionRevoked,
        CredentialChange,
        AssuranceLevelChange,
        RiskLevelChange,
        SessionEstablished,
        AccountDisabled,
        AccountEnabled,
    ];

    /// The last part of its address, and its name in the configuration.
    pub(super) fn name(self) -> &'static str {
        match self {
            SessionRevoked => "session-revoked",
            CredentialChange => "credential-change",
            AssuranceLevelChange => "assurance-level-change",
            RiskLevelChange => "risk-level-change",
            SessionEstablished => "session-established",
            AccountDisabled => "account-disabled",
            AccountEnabled => "account-enabled",
        }
    }

    /// Its address.
    pub(super) fn uri(self) -> String {
        let family = if matches!(self, AccountDisabled | AccountEnabled) { "risc" } else { "caep" };
        format!("{BASE}{family}/event-type/{}", self.name())
    }

    pub(super) fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.uri() == uri)
    }
}

/// The types of message that become one of these events.
pub(super) fn kinds(delivered: &[EventType]) -> Vec<&'static str> {
    let wanted = |(_, events): &&(&str, &[EventType])| events.iter().any(|event| delivered.contains(event));
    MAPPING.iter().filter(wanted).map(|(kind, _)| *kind).collect()
}

/// What a message says, read back from its bytes.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Said {
    pub(super) timestamp: Timestamp,
    pub(super) data: Data,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Data {
    pub(super) txn: String,
    #[serde(default)]
    pub(super) issuer: Option<String>,
    pub(super) subject: String,
    #[serde(default)]
    pub(super) part: Option<Part>,
    #[serde(default)]
    standing: String,
    #[serde(default)]
    cause: Option<Cause>,
    #[serde(default)]
    reasons: Vec<String>,
    #[serde(default)]
    evidence: Option<IgnoredAny>,
    /// Of the messages about a stream.
    #[serde(default)]
    notice: Map<String, Value>,
}

impl Said {
    pub(super) fn of(message: &Message) -> Result<Self, String> {
        serde_json::from_slice(&message.body).map_err(|e| format!("the message does not read back: {e}"))
    }

    /// Seconds since 1970: what CAEP and JWTs count in.
    pub(super) fn seconds(&self) -> i64 {
        self.timestamp.as_micros().div_euclid(1_000_000)
    }

    /// The events that a message becomes for a stream that gets `delivered`: name, address and content.
    pub(super) fn events(
        &self,
        kind: &str,
        delivered: &[EventType],
        credential: &str,
    ) -> Vec<(&'static str, String, Value)> {
        let of_stream = |name: &'static str| {
            vec![(name, format!("{BASE}ssf/event-type/{name}"), Value::Object(self.data.notice.clone()))]
        };
        match kind {
            VERIFICATION => of_stream("verification"),
            STREAM_UPDATED => of_stream("stream-updated"),
            _ => MAPPING
                .iter()
                .filter(|(known, _)| *known == kind)
                .flat_map(|(_, events)| *events)
                .filter(|event| delivered.contains(event))
                // Of a part its session ends and does not come back; the agent's account and credentials are as they were.
                .filter(|event| self.data.part.is_none() || **event == SessionRevoked)
                .map(|event| (event.name(), event.uri(), self.content(kind, *event, credential)))
                .collect(),
        }
    }

    fn content(&self, kind: &str, event: EventType, credential: &str) -> Value {
        let approved = kind == "agent.challenge.approved";
        let mut content = match event {
            // RISC has claims of its own and none of CAEP's.
            AccountDisabled | AccountEnabled => return json!({}),
            SessionRevoked => json!({}),
            CredentialChange => json!({ "credential_type": credential, "change_type": "revoke" }),
            AssuranceLevelChange => json!({
                "namespace": NAMESPACE,
                "current_level": self.data.standing,
                "change_direction": if approved { "increase" } else { "decrease" },
            }),
            RiskLevelChange => json!({
                "principal": "USER",
                "current_level": if approved { "LOW" } else { "HIGH" },
                "risk_reason": self.reason(),
            }),
            SessionEstablished => json!({ "acr": Factor::Totp.acr(), "amr": Factor::Totp.amr() }),
        };
        // Only a question is left by an answer; what stood before a question the message does not say.
        if approved && event == AssuranceLevelChange {
            content["previous_level"] = "challenged".into();
        }
        if approved && event == RiskLevelChange {
            content["previous_level"] = "HIGH".into();
        }
        content["event_timestamp"] = self.seconds().into();
        content["initiating_entity"] = self.initiator(approved).into();
        content["reason_admin"] = json!({ "en": self.reason() });
        content
    }

    /// Who began it: what was decided by evidence is policy's, an approver's answer a user's, a command an administrator's.
    fn initiator(&self, approved: bool) -> &'static str {
        match (self.data.cause, approved) {
            (Some(Cause::Attack), _) | (None, true) => "user",
            (
                Some(Cause::Evidence | Cause::Expired | Cause::TaskEnded | Cause::Lapsed | Cause::Parent),
                _,
            ) => "policy",
            (None, false) if self.data.evidence.is_some() => "policy",
            (Some(Cause::Operator), _) | (None, false) => "admin",
        }
    }

    /// Never empty: the interoperability profile wants a reason on every end of access.
    fn reason(&self) -> String {
        let reasons =
            self.data.reasons.iter().map(|reason| reason.trim()).filter(|reason| !reason.is_empty());
        let text = reasons.collect::<Vec<_>>().join("; ");
        if text.is_empty() { "no reason was given".to_owned() } else { clip(&text, REASON_BYTES_MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::EVENT_KINDS;

    #[test]
    fn every_event_comes_of_a_message_that_there_is() {
        let all: Vec<EventType> = MAPPING.iter().flat_map(|(_, events)| *events).copied().collect();
        assert!(EventType::ALL.iter().all(|event| all.contains(event)));
        assert!(kinds(&EventType::ALL).iter().all(|kind| EVENT_KINDS.contains(kind)));
        assert_eq!(kinds(&[CredentialChange]), ["agent.access.revoked"]);
        assert!(EventType::ALL.iter().all(|event| EventType::from_uri(&event.uri()) == Some(*event)));
        assert_eq!(EventType::from_uri("https://schemas.openid.net/secevent/caep/event-type/none"), None);
    }
}
