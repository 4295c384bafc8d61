//! The section `[kafka]`.

use std::collections::BTreeMap;

use detector::Attestation;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use serde::Deserialize;

use crate::decode::{Format, SourceContext};

/// Where calls are read from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// Some of the brokers, `host:port` and commas between.
    pub brokers: String,
    /// The topic. Records are to be keyed by `agent_id`.
    pub topic: String,
    /// The consumer groups are `<group>-store` and `<group>-score`.
    #[serde(default = "group")]
    pub group: String,
    /// What the records are written in.
    #[serde(default)]
    pub format: Format,
    /// The most its records may claim for their identity.
    #[serde(default)]
    pub attestation_max: Attestation,
    /// The issuer of agents whose record names none.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Settings of librdkafka, such as `security.protocol` and `sasl.password`.
    #[serde(default)]
    pub client: BTreeMap<String, String>,
}

fn group() -> String {
    "tocsin".to_owned()
}

/// The pipeline a consumer works for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Brings records into ClickHouse.
    Store,
    /// Brings calls before the detector.
    Score,
}

/// A section that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KafkaConfigError {
    /// A setting that decides what is lost or doubled is not an operator's.
    #[error("kafka.client.\"{0}\" is set by Tocsin itself")]
    Reserved(String),
    /// A name is empty.
    #[error("kafka.{0} is empty")]
    Empty(&'static str),
    /// librdkafka refuses the settings.
    #[error("kafka: {0}")]
    Client(KafkaError),
    /// The index of events seen cannot be used.
    #[error("kafka: the index of events seen: {0}")]
    Seen(rusqlite::Error),
}

/// What Tocsin sets, and why nobody else may.
const RESERVED: [(&str, &str); 5] = [
    // Only what is durable is committed, and by us.
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // Records that are gone are named, not skipped.
    ("auto.offset.reset", "error"),
    // A partition that has no more must not hold event time back.
    ("enable.partition.eof", "true"),
    // A record in a transaction that is not committed does not exist.
    ("isolation.level", "read_committed"),
];

/// What Tocsin prefers.
const PREFERRED: [(&str, &str); 5] = [
    // A process that died is noticed in ten seconds.
    ("session.timeout.ms", "10000"),
    // A broker that is back is found within a second.
    ("reconnect.backoff.max.ms", "1000"),
    // For the metric of how far behind a group is.
    ("statistics.interval.ms", "5000"),
    // The most that is read ahead.
    ("queued.max.messages.kbytes", "65536"),
    // One process more or less moves no partitions but those it must.
    ("partition.assignment.strategy", "cooperative-sticky"),
];

impl KafkaConfig {
    /// What can be said of it without asking a broker.
    pub fn validate(&self) -> Result<(), KafkaConfigError> {
        self.client(Group::Store, "any").map(|_| ())
    }

    pub(super) fn group_name(&self, group: Group) -> String {
        match group {
            Group::Store => format!("{}-store", self.group),
            Group::Score => format!("{}-score", self.group),
        }
    }

    pub(super) fn source(&self) -> SourceContext {
        SourceContext {
            default_issuer: self.issuer.clone(),
            ..SourceContext::new(format!("kafka/{}", self.topic), self.attestation_max, self.format)
        }
    }

    /// The client's settings. `instance` is this process's name in the group: after a crash it gets its partitions back
    /// at once, without a rebalance.
    pub(super) fn client(&self, group: Group, instance: &str) -> Result<ClientConfig, KafkaConfigError> {
        for (name, value) in [("brokers", &self.brokers), ("topic", &self.topic), ("group", &self.group)] {
            if value.is_empty() {
                return Err(KafkaConfigError::Empty(name));
            }
        }
        let ours = ["bootstrap.servers", "group.id", "group.instance.id"].into_iter();
        let reserved: Vec<_> = ours.chain(RESERVED.map(|(name, _)| name)).collect();
        if let Some(name) = self.client.keys().find(|name| reserved.contains(&name.as_str())) {
            return Err(KafkaConfigError::Reserved(name.clone()));
        }
        let name = self.group_name(group);
        let mut client = ClientConfig::new();
        for (key, value) in PREFERRED {
            client.set(key, value);
        }
        client.set("client.id", &name);
        for (key, value) in &self.client {
            client.set(key, value);
        }
        for (key, value) in RESERVED {
            client.set(key, value);
        }
        client.set("bootstrap.servers", &self.brokers);
        client.set("group.instance.id", format!("{name}-{instance}"));
        client.set("group.id", name);
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_over_loss_is_not_to_be_set() {
        let config = |client: &str| -> KafkaConfig {
            let text = format!(r#"{{"brokers":"b:9092","topic":"calls","client":{client}}}"#);
            serde_json::from_str(&text).unwrap()
        };
        assert!(config(r#"{"security.protocol":"ssl"}"#).validate().is_ok());
        let refused = config(r#"{"auto.offset.reset":"latest"}"#).validate().unwrap_err();
        insta::assert_snapshot!(refused, @r#"kafka.client."auto.offset.reset" is set by Tocsin itself"#);
        let client = config("{}").client(Group::Score, "one").unwrap();
        assert_eq!(client.get("group.id"), Some("tocsin-score"));
        assert_eq!(client.get("group.instance.id"), Some("tocsin-score-one"));
    }
}
