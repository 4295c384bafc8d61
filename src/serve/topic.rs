//! The list of revoked subjects as a compacted Kafka topic: the newest record of a key is what the list says of that subject.

use std::collections::BTreeMap;
use std::time::Duration;

use detector::Timestamp;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use revoker::Revoker;
use revoker::connector::subject::Subject;
use revoker::connector::{Attempt, Connector, Outcome, Route};
use revoker::effect::{ENDINGS, REINSTATED};
use revoker::message::Message;
use revoker::part::PartKind;
use revoker::store::revocations::Listed;
use serde::Deserialize;
use serde_json::json;

/// How long a broker may take to have a record on all its replicas.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The section `[revocation_topic]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopicConfig {
    /// Some of the brokers, `host:port` and commas between.
    brokers: String,
    /// The topic; `cleanup.policy=compact` is whoever makes it to set.
    topic: String,
    /// Settings of librdkafka, such as `security.protocol` and `sasl.password`.
    #[serde(default)]
    client: BTreeMap<String, String>,
}

impl TopicConfig {
    /// What it is told: whatever changes the list.
    pub(crate) fn route(&self) -> Route {
        let events = ENDINGS.into_iter().chain([REINSTATED]).map(str::to_owned).collect();
        Route { name: self.name(), events, enforces: true, parts: PartKind::ALL.into(), ..Route::default() }
    }

    fn name(&self) -> String {
        format!("topic-{}", self.topic)
    }
}

/// One topic.
pub(super) struct Topic {
    name: String,
    records_to: String,
    producer: FutureProducer,
    revoker: Revoker,
}

impl Topic {
    pub(super) fn new(config: &TopicConfig, revoker: Revoker) -> Result<Self, KafkaError> {
        let mut client = ClientConfig::new();
        for (key, value) in &config.client {
            client.set(key, value);
        }
        // Acknowledged is on every replica; a record that is tried again is there once.
        client.set("bootstrap.servers", &config.brokers).set("enable.idempotence", "true");
        client.set("message.timeout.ms", TIMEOUT.as_millis().to_string());
        Ok(Self {
            name: config.name(),
            records_to: config.topic.clone(),
            producer: client.create()?,
            revoker,
        })
    }

    /// Writes what the list says now, whatever the message said: behind newer news older ones are none.
    async fn write(&self, message: &Message) -> Result<Outcome, String> {
        let subject = Subject::of(message)?;
        let (agent, part) = (subject.agent(), subject.part);
        let mut key = json!({ "issuer": agent.issuer, "subject": agent.agent_id });
        if let Some(part) = &part {
            key["part"] = json!(part);
        }
        let key = key.to_string();
        let row = self.revoker.revocation(agent, part).await.map_err(|e| e.to_string())?;
        let value = row.map(|row| serde_json::to_string(&Listed::from(row))).transpose();
        let value = value.map_err(|e| e.to_string())?;
        let record = FutureRecord { payload: value.as_ref(), ..FutureRecord::to(&self.records_to).key(&key) };
        match self.producer.send(record, TIMEOUT).await {
            Ok(_) => Ok(Outcome::Acknowledged { status: 200 }),
            Err((e, _)) => Err(e.to_string()),
        }
    }
}

impl Connector for Topic {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver<'a>(&'a self, message: &'a Message, _now: Timestamp) -> Attempt<'a> {
        Box::pin(async {
            let written = self.write(message).await;
            written.unwrap_or_else(|detail| Outcome::Failed { status: None, detail, wait: None })
        })
    }
}
