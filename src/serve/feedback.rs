//! What a person ruled benign goes back into the log of calls, where the detector learns it and a replay finds it.

use detector::Timestamp;
use ingest::source::Intake;
use revoker::connector::{Attempt, Connector, Outcome, Route};
use revoker::message::Message;
use serde_json::Value;

/// The name that the outbox knows this target by.
const NAME: &str = "detector";

/// Approvals alone say that the evidence was benign.
pub(super) fn route() -> Route {
    Route { name: NAME.to_owned(), events: vec!["agent.challenge.approved".to_owned()] }
}

/// A target like any other: durable, retried, with a receipt.
pub(super) struct Feedback {
    intake: Intake,
}

impl Feedback {
    pub(super) fn new(intake: Intake) -> Self {
        Self { intake }
    }

    async fn learn(&self, message: &Message, now: Timestamp) -> Outcome {
        let failed = |detail: String| Outcome::Failed { status: None, detail, wait: None };
        let data = match serde_json::from_slice::<Value>(&message.body) {
            Ok(body) => body["data"].clone(),
            Err(e) => return failed(e.to_string()),
        };
        let Some(agent_id) = data["subject"].as_str() else { return failed("no subject".to_owned()) };
        match self.intake.feedback(&message.id, data["issuer"].as_str(), agent_id, now).await {
            Ok(()) => Outcome::Acknowledged { status: 200 },
            Err(e) => failed(e.to_string()),
        }
    }
}

impl Connector for Feedback {
    fn name(&self) -> &str {
        NAME
    }

    fn deliver<'a>(&'a self, message: &'a Message, now: Timestamp) -> Attempt<'a> {
        Box::pin(self.learn(message, now))
    }
}
