//! Verdicts between processes: a Kafka topic from those that score to those that revoke, keyed by agent so that an agent's
//! verdicts stay in order. With them goes what else one process would hand on: what judges ask of the call, how calls ended, and
//! the end of tasks.
//!
//! A verdict may come twice (a scorer that was killed says again what it had not marked as done) and late. What changed
//! something is known by its id in the record, what changed nothing by its call's position. An agent that falls silent makes no call:
//! what is said of that is known by its id, for a while and in memory.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::error::Error;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use detector::{Beside, Call, EffectiveAttestation, Kind, Position, Timestamp, VerdictRecord};
use ingest::pipeline::score::VerdictOutlet;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::exit::{Code, OrExit, Result};

/// How long a broker may take to have a verdict on all its replicas before it is sent again.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Verdicts under way at once.
const UNDER_WAY_MAX: usize = 10_000;
/// How long a verdict is waited for before whoever asks to stop is heard.
const POLL: Duration = Duration::from_millis(200);
/// Positions are committed so often.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// After an error.
const AGAIN: Duration = Duration::from_secs(1);
/// What is remembered by its id: more than a scorer says again after its end.
const SEEN_MAX: usize = 262_144;

/// The section `[bus]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BusConfig {
    /// Some of the brokers, `host:port` and commas between.
    brokers: String,
    /// The topic. Its partitions are how many processes can revoke at once.
    topic: String,
    /// The consumer group of those that revoke.
    #[serde(default = "group")]
    group: String,
    /// Settings of librdkafka, such as `security.protocol` and `sasl.password`.
    #[serde(default)]
    client: BTreeMap<String, String>,
}

fn group() -> String {
    "tocsin-revoke".to_owned()
}

impl BusConfig {
    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        // Who died is noticed in ten seconds, and then no partitions move but its own.
        client.set("session.timeout.ms", "10000").set("partition.assignment.strategy", "cooperative-sticky");
        for (key, value) in &self.client {
            client.set(key, value);
        }
        client.set("bootstrap.servers", &self.brokers).set_log_level(RDKafkaLogLevel::Warning);
        client
    }
}

/// A verdict as it lies on the topic, with what its log leaves out.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    record: &'a VerdictRecord,
    #[serde(flatten)]
    beside: &'a Beside,
}

/// What a record says that no verdict speaks of, as far as whoever revokes asks.
#[derive(Serialize, Deserialize)]
struct Unjudged {
    event_id: String,
    kind: Kind,
    ts: Timestamp,
    agent_id: String,
    issuer: Option<String>,
    attestation: EffectiveAttestation,
    bytes_out: Option<u64>,
    position: Position,
}

impl Unjudged {
    fn of(call: &Call<'_>, position: &Position) -> Self {
        Self {
            event_id: call.event_id.to_string(),
            kind: call.kind,
            ts: call.ts,
            agent_id: call.identity.agent_id.to_string(),
            issuer: call.identity.issuer.as_ref().map(ToString::to_string),
            attestation: call.attestation,
            bytes_out: call.bytes_out,
            position: position.clone(),
        }
    }

    fn call(&self) -> Call<'_> {
        let mut call = Call::new(&*self.event_id, self.ts, &*self.agent_id, "");
        call.kind = self.kind;
        call.identity.issuer = self.issuer.as_deref().map(Into::into);
        (call.attestation, call.bytes_out) = (self.attestation, self.bytes_out);
        call
    }
}

/// What lies on the topic.
enum Said {
    Verdict(Arc<VerdictRecord>),
    Record(Unjudged),
}

impl Said {
    fn read(payload: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Either {
            record: Option<Unjudged>,
        }
        if let Some(record) = serde_json::from_slice::<Either>(payload)?.record {
            return Ok(Self::Record(record));
        }
        let record =
            VerdictRecord { beside: serde_json::from_slice(payload)?, ..serde_json::from_slice(payload)? };
        Ok(Self::Verdict(Arc::new(record)))
    }

    /// What it is known by, where no call's position and no event's id are.
    fn id(&self) -> Option<u128> {
        match self {
            Self::Verdict(record) if record.beside.position.is_none() => Some(record.verdict.id.0),
            Self::Verdict(_) | Self::Record(_) => None,
        }
    }

    fn hand_on(
        &self,
        outlet: &mut dyn VerdictOutlet,
    ) -> std::result::Result<(), Box<dyn Error + Send + Sync>> {
        match self {
            Self::Verdict(record) => outlet.verdict(record),
            Self::Record(record) => outlet.record(&record.call(), &record.position),
        }
    }
}

/// What no broker has acknowledged yet.
struct UnderWay {
    key: String,
    payload: Vec<u8>,
    sent: Option<DeliveryFuture>,
}

/// Where a process that only scores hands its verdicts.
pub(super) struct ToBus {
    producer: FutureProducer,
    topic: String,
    under_way: Vec<UnderWay>,
    runtime: Handle,
}

impl ToBus {
    pub(super) fn new(config: &BusConfig) -> std::result::Result<Self, KafkaError> {
        let mut client = config.client();
        client.set("enable.idempotence", "true").set("message.timeout.ms", TIMEOUT.as_millis().to_string());
        let (topic, runtime) = (config.topic.clone(), Handle::current());
        Ok(Self { producer: client.create()?, topic, under_way: Vec::new(), runtime })
    }

    fn put(
        &mut self,
        agent: (Option<&str>, &str),
        payload: Vec<u8>,
    ) -> std::result::Result<(), Box<dyn Error + Send + Sync>> {
        if self.under_way.len() >= UNDER_WAY_MAX {
            self.settle()?;
        }
        self.under_way.push(UnderWay { key: serde_json::json!(agent).to_string(), payload, sent: None });
        Ok(self.send()?)
    }

    /// Sends what is not sent. What does not fit into the client's queue is sent once there is room.
    fn send(&mut self) -> std::result::Result<(), KafkaError> {
        for verdict in self.under_way.iter_mut().filter(|verdict| verdict.sent.is_none()) {
            let record = FutureRecord::to(&self.topic).key(&verdict.key).payload(&verdict.payload);
            match self.producer.send_result(record) {
                Ok(sent) => verdict.sent = Some(sent),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => return Ok(()),
                Err((e, _)) => return Err(e),
            }
        }
        Ok(())
    }
}

impl VerdictOutlet for ToBus {
    fn verdict(
        &mut self,
        record: &Arc<VerdictRecord>,
    ) -> std::result::Result<(), Box<dyn Error + Send + Sync>> {
        let payload = serde_json::to_vec(&Whole { record, beside: &record.beside })?;
        self.put((record.issuer.as_deref(), &record.agent_id), payload)
    }

    fn record(
        &mut self,
        call: &Call<'_>,
        at: &Position,
    ) -> std::result::Result<(), Box<dyn Error + Send + Sync>> {
        if !matches!(call.kind, Kind::Outcome | Kind::TaskEnd) {
            return Ok(());
        }
        let payload = serde_json::to_vec(&serde_json::json!({ "record": Unjudged::of(call, at) }))?;
        self.put((call.identity.issuer.as_deref(), &call.identity.agent_id), payload)
    }

    fn settle(&mut self) -> std::result::Result<(), Box<dyn Error + Send + Sync>> {
        while !self.under_way.is_empty() {
            self.send()?;
            let mut failed = None;
            for verdict in std::mem::take(&mut self.under_way) {
                let UnderWay { key, payload, sent } = verdict;
                let told = sent.map(|sent| self.runtime.block_on(sent));
                match told {
                    Some(Ok(Ok(_))) => continue,
                    Some(Ok(Err((e, _)))) => failed = Some(e),
                    Some(Err(_)) => failed = Some(KafkaError::Canceled),
                    None => {}
                }
                self.under_way.push(UnderWay { key, payload, sent: None });
            }
            if let Some(e) = failed {
                return Err(e.into());
            }
        }
        Ok(())
    }
}

/// Hands what is on the topic, if one is configured, to `outlet`, on a thread of its own, until told to stop.
pub(super) fn read(
    config: &Config,
    outlet: impl VerdictOutlet + 'static,
    stop: &CancellationToken,
) -> Result<Option<JoinHandle<()>>> {
    let start = |section| FromBus::start(section, Box::new(outlet), stop.clone());
    config.bus.as_ref().map(start).transpose().context("bus").or_exit(Code::Config)
}

/// What was seen of late.
#[derive(Default)]
struct Seen {
    ids: HashSet<u128>,
    order: VecDeque<u128>,
}

impl Seen {
    fn note(&mut self, id: u128) {
        if self.ids.insert(id) {
            self.order.push_back(id);
        }
        while self.order.len() > SEEN_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
    }
}

/// What a process that does not score reads.
struct FromBus {
    consumer: BaseConsumer,
    outlet: Box<dyn VerdictOutlet>,
    seen: Seen,
    stop: CancellationToken,
}

impl FromBus {
    fn start(
        config: &BusConfig,
        outlet: Box<dyn VerdictOutlet>,
        stop: CancellationToken,
    ) -> anyhow::Result<JoinHandle<()>> {
        let mut client = config.client();
        client.set("group.id", &config.group).set("auto.offset.reset", "earliest");
        client.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        let consumer: BaseConsumer = client.create()?;
        consumer.subscribe(&[&config.topic])?;
        let bus = Self { consumer, outlet, seen: Seen::default(), stop };
        Ok(std::thread::Builder::new().name("bus".to_owned()).spawn(move || bus.run())?)
    }

    fn run(mut self) {
        let mut committed = Instant::now();
        while !self.stop.is_cancelled() {
            let handled = match self.consumer.poll(POLL) {
                None => Ok(()),
                Some(Ok(message)) => take(&message, self.outlet.as_mut(), &mut self.seen, &self.stop)
                    .then(|| self.consumer.store_offset_from_message(&message))
                    .transpose()
                    .map(drop),
                Some(Err(e)) => Err(e),
            };
            if let Err(e) = handled {
                tracing::error!(error = %e, "verdicts do not come; it is tried again in a second");
                std::thread::sleep(AGAIN);
            }
            if committed.elapsed() >= COMMIT_EVERY {
                self.commit();
                committed = Instant::now();
            }
        }
        self.commit();
    }

    fn commit(&mut self) {
        if let Err(e) = self.outlet.settle() {
            tracing::warn!(error = %e, "alerts of verdicts are not durable; those verdicts will come again");
            return;
        }
        match self.consumer.commit_consumer_state(CommitMode::Sync) {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(e) => {
                tracing::warn!(error = %e, "how far verdicts were read is not kept; some will come again");
            }
        }
    }
}

/// Hands one on, however long the record is away. False if told to stop before it was taken.
fn take(
    message: &BorrowedMessage<'_>,
    outlet: &mut dyn VerdictOutlet,
    seen: &mut Seen,
    stop: &CancellationToken,
) -> bool {
    let payload = message.payload().unwrap_or_default();
    let said = match Said::read(payload) {
        Ok(said) => said,
        Err(e) => {
            let (partition, offset) = (message.partition(), message.offset());
            tracing::error!(partition, offset, error = %e, "no verdict is on the bus there; it is passed over");
            return true;
        }
    };
    let id = said.id();
    if id.is_some_and(|id| seen.ids.contains(&id)) {
        return true;
    }
    // An outlet that acts takes what it is handed, and holds it until that is done.
    let mut acted = said.hand_on(outlet).and_then(|()| outlet.act());
    while let Err(e) = acted {
        tracing::error!(error = %e, "a verdict from the bus is not taken; it is tried again in a second");
        if stop.is_cancelled() {
            return false;
        }
        std::thread::sleep(AGAIN);
        acted = outlet.act();
    }
    if let Some(id) = id {
        seen.note(id);
    }
    true
}
