//! Whom a message speaks of, read back from its bytes: what is sent is what was decided, however long it waited.

use detector::Timestamp;
use serde::Deserialize;

use crate::agent::AgentKey;
use crate::message::Message;
use crate::part::Part;

/// What connectors that act, rather than tell, need of a message.
#[derive(Clone, Debug, Deserialize)]
pub struct Subject {
    pub(super) issuer: Option<String>,
    #[serde(rename = "subject")]
    pub(super) agent_id: String,
    pub(super) txn: String,
    /// The part of it that the message is about alone.
    #[serde(default)]
    pub part: Option<Part>,
    /// Tokens issued before are void; only of a message that ends access.
    #[serde(default)]
    pub(super) not_before: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Envelope {
    data: Subject,
}

impl Subject {
    /// Of this message; in words what is wrong with it.
    pub fn of(message: &Message) -> Result<Self, String> {
        let read = serde_json::from_slice::<Envelope>(&message.body);
        read.map(|envelope| envelope.data).map_err(|e| format!("the message does not read back: {e}"))
    }

    /// Whom it is.
    pub fn agent(&self) -> AgentKey {
        AgentKey::new(self.issuer.as_deref(), &self.agent_id)
    }
}
