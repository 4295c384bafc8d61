//! What a person ruled goes back into the log of calls, where the detector learns it and a replay finds it.

use detector::{Ruling, Timestamp};
use ingest::source::{Act, Intake};
use revoker::connector::{Attempt, Connector, Outcome, Route};
use revoker::effect::{DECLARED, REVERTED};
use revoker::message::Message;
use serde::Deserialize;
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
        events: [APPROVED, REVOKED, RULED, REVERTED, DECLARED].map(str::to_owned).into(),
        ..Route::default()
    }
}

/// What is read of a message's body.
#[derive(Deserialize)]
struct Envelope {
    /// When it was decided, and not when it is delivered: a second attempt then says the same.
    timestamp: Timestamp,
    data: Value,
}

/// A target like any other: durable, retried, with a receipt.
pub(super) struct Feedback {
    intake: Intake,
}

impl Feedback {
    pub(super) fn new(intake: Intake) -> Self {
        Self { intake }
    }

    async fn learn(&self, message: &Message) -> Outcome {
        let failed = |detail: String| Outcome::Failed { status: None, detail, wait: None };
        let Envelope { timestamp, data } = match serde_json::from_slice(&message.body) {
            Ok(envelope) => envelope,
            Err(e) => return failed(e.to_string()),
        };
        let Some(agent_id) = data["subject"].as_str() else { return failed("no subject".to_owned()) };
        let (id, issuer) = (&message.id, data["issuer"].as_str());
        let written = if [REVERTED, DECLARED].contains(&message.kind.as_str()) {
            // An earlier version of this program called it by what it was.
            let Some(carried) = data["carried"].as_str().or(data["baseline"].as_str()) else {
                return failed("it carries nothing".to_owned());
            };
            if message.kind == REVERTED {
                self.intake.revert(id, carried, issuer, agent_id, timestamp).await
            } else {
                self.intake.manifest(id, carried, issuer, agent_id, timestamp).await
            }
        } else {
            match ruling(&message.kind, &data) {
                Ok(Some(ruling)) => {
                    // A person who lets an act go on has ruled on that act and on nothing else of the agent's. Messages of earlier
                    // versions name none.
                    let act = match Option::<Act<'_>>::deserialize(&data["evidence"]) {
                        Ok(act) => act.filter(|_| message.kind == APPROVED),
                        Err(e) => return failed(e.to_string()),
                    };
                    self.intake.feedback(id, ruling, act, issuer, agent_id, timestamp).await
                }
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

    fn deliver<'a>(&'a self, message: &'a Message, _now: Timestamp) -> Attempt<'a> {
        Box::pin(self.learn(message))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ingest::finding::{FindingSink, Findings, Raised};
    use ingest::log::{EntryKind, Log, LogConfig};
    use serde_json::json;

    use super::*;

    fn message(id: &str, kind: &str, data: &Value) -> Message {
        let body = json!({ "type": kind, "timestamp": "2026-03-01T00:00:00Z", "data": data });
        Message { id: id.to_owned(), kind: kind.to_owned(), body: body.to_string().into_bytes() }
    }

    struct Nobody;

    impl FindingSink for Nobody {
        fn raise(&self, _raised: Raised) {}
    }

    #[tokio::test]
    async fn a_second_attempt_is_the_same_record_and_what_is_refused_is_not_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(&folder.path().join("calls.db"), LogConfig::read_by(&["score"])).unwrap();
        let feedback = Feedback::new(Intake::new(log.clone(), Findings::new(Arc::new(Nobody))));
        let ruled = |ruling: &str| message("evt_1", RULED, &json!({ "subject": "a", "ruling": ruling }));
        for second in 0..2 {
            let outcome = feedback.deliver(&ruled("deploy"), Timestamp::from_millis(second * 1_000)).await;
            assert_eq!(outcome, Outcome::Acknowledged { status: 200 });
        }
        let another = feedback.deliver(&ruled("benign"), Timestamp::default()).await;
        assert!(matches!(another, Outcome::Failed { detail, .. } if detail.contains("told before")));
        let act = json!({ "endpoint": "/pay", "method": "POST", "bits": 20.5 });
        let approved = message("evt_2", APPROVED, &json!({ "subject": "a", "evidence": act }));
        let outcome = feedback.deliver(&approved, Timestamp::default()).await;
        assert_eq!(outcome, Outcome::Acknowledged { status: 200 });
        let entries = log.reader().unwrap().read(1, 10, usize::MAX).unwrap();
        let records = entries.iter().filter(|entry| entry.kind == EntryKind::Record);
        let texts = records.map(|entry| serde_json::from_slice::<Value>(&entry.payload).unwrap());
        let told =
            texts.map(|record| ["ts", "ruling", "endpoint", "method"].map(|name| record[name].clone()));
        let ts = json!("2026-03-01T00:00:00Z");
        let expected = [
            [ts.clone(), json!("deploy"), Value::Null, Value::Null],
            [ts, Value::Null, json!("/pay"), json!("POST")],
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}
