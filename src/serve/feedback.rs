//! What a person ruled goes back into the log of calls, where the detector learns it and a replay finds it.

use detector::{Ruling, Timestamp};
use ingest::source::Intake;
use revoker::connector::{Attempt, Connector, Outcome, Route};
use revoker::effect::REVERTED;
use revoker::message::Message;
use serde_json::Value;

/// The name that the outbox knows this target by.
const NAME: &str = "detector";

/// What says something of evidence.
const APPROVED: &str = "agent.challenge.approved";
const REVOKED: &str = "agent.access.revoked";
const RULED: &str = "agent.feedback";

pub(super) fn route() -> Route {
    Route {
        name: NAME.to_owned(),
        events: [APPROVED, REVOKED, RULED, REVERTED].map(str::to_owned).into(),
        ..Route::default()
    }
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
            Ok(mut body) => body["data"].take(),
            Err(e) => return failed(e.to_string()),
        };
        let Some(agent_id) = data["subject"].as_str() else { return failed("no subject".to_owned()) };
        let (id, issuer) = (&message.id, data["issuer"].as_str());
        let written = if message.kind == REVERTED {
            let Some(baseline) = data["baseline"].as_str() else { return failed("no baseline".to_owned()) };
            self.intake.revert(id, baseline, issuer, agent_id, now).await
        } else {
            match ruling(&message.kind, &data) {
                Ok(Some(ruling)) => self.intake.feedback(id, ruling, issuer, agent_id, now).await,
                Ok(None) => return Outcome::Acknowledged { status: 200 },
                Err(e) => return failed(e.to_string()),
            }
        };
        match written {
            Ok(()) => Outcome::Acknowledged { status: 200 },
            Err(e) => failed(e.to_string()),
        }
    }
}

/// What a message says of the evidence. Access also ends without a person, and by one who says nothing of it.
fn ruling(kind: &str, data: &Value) -> serde_json::Result<Option<Ruling>> {
    match kind {
        APPROVED => Ok(Some(Ruling::Benign)),
        REVOKED => Ok((data["cause"] == "attack").then_some(Ruling::Malicious)),
        _ => serde_json::from_value(data["ruling"].clone()).map(Some),
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
