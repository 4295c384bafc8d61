//! A Kafka topic as a source, read by two consumer groups: one for each pipeline.
//!
//! Offsets are committed only for what is durable, by hand. `store` goes on from its group's offsets; `score` from the
//! positions saved with the detector, since whoever gets a partition needs its agents' past. A partition that was
//! taken away and comes back is read again from there: reading twice is harmless, skipping is not.
//!
//! librdkafka is told to reset nothing by itself: offsets that retention removed before they were read are named.

mod config;
mod context;
mod ends;
mod message;
mod start;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

pub use self::config::{Group, KafkaConfig, KafkaConfigError};
use self::context::Context;
use self::ends::Ends;
use super::{Batch, Begin, Positions, Source, SourceError};
use crate::decode::SourceContext;
use crate::finding::Findings;
use crate::seen::SeenFile;

/// How long the broker may take to answer a question.
const ASK: Duration = Duration::from_secs(10);

/// A consumer of one topic.
pub struct KafkaSource {
    consumer: BaseConsumer<Context>,
    /// What the consumer was made with, for when it has to be made again.
    client: ClientConfig,
    /// Why the consumer is of no more use, once it is.
    dead: Cell<Option<RDKafkaErrorCode>>,
    /// The consumer group.
    name: String,
    topic: String,
    group: Group,
    source: Arc<SourceContext>,
    partitions: RefCell<HashMap<i32, Arc<str>>>,
    /// Whether some partition is not read because its next record is gone.
    astray: Cell<bool>,
    ends: RefCell<Ends>,
    seen: Arc<SeenFile>,
}

impl KafkaSource {
    /// A consumer in `group`. Does not wait for the broker: while it is away, there is nothing to read.
    ///
    /// `seen` tells redeliveries from duplicates; both groups share it.
    pub fn connect(
        config: &KafkaConfig,
        group: Group,
        seen: Arc<SeenFile>,
        findings: Findings,
    ) -> Result<Self, KafkaConfigError> {
        let name = config.group_name(group);
        let context = Context::new(config.topic.clone(), name.clone(), group, findings);
        let instance = seen.instance().map_err(KafkaConfigError::Seen)?;
        let client = config.client(group, &instance)?;
        let consumer = client.create_with_context(context).map_err(KafkaConfigError::Client)?;
        Ok(Self {
            consumer,
            client,
            dead: Cell::new(None),
            name,
            topic: config.topic.clone(),
            group,
            source: Arc::new(config.source()),
            partitions: RefCell::default(),
            astray: Cell::new(false),
            ends: RefCell::default(),
            seen,
        })
    }

    fn error(&self, cause: KafkaError) -> SourceError {
        SourceError { source_name: format!("{} of {}", self.name, self.topic), cause: Box::new(cause) }
    }

    /// The next message, or nothing for now; `None` where there was neither, but only news of the partitions.
    fn next<'a>(
        &'a self,
        wait: Duration,
        at_end: &mut Vec<i32>,
    ) -> Result<Option<BorrowedMessage<'a>>, SourceError> {
        match self.consumer.poll(wait) {
            None => {
                self.ends.borrow_mut().idle(crate::clock::now());
                Ok(None)
            }
            Some(Ok(message)) => Ok(Some(message)),
            Some(Err(KafkaError::PartitionEOF(number))) => {
                at_end.push(number);
                self.ends.borrow_mut().end(number);
                Ok(None)
            }
            Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => {
                self.astray.set(true);
                self.find_way().map(|()| None)
            }
            // It connects again by itself, and for that has to be polled on; what is wrong stands in the log already.
            Some(Err(KafkaError::MessageConsumption(code))) if is_out_of_reach(code) => Ok(None),
            Some(Err(error)) => {
                if let KafkaError::MessageConsumptionFatal(code) = error {
                    self.dead.set(Some(code));
                }
                Err(self.error(error))
            }
        }
    }

    /// Makes a new consumer where the old one will never read again, such as after another one had its name in the group
    /// for a moment. It goes on from what was handed out, or from the group's offsets: nothing is skipped.
    fn revive(&mut self) -> Result<(), SourceError> {
        let Some(code) = self.dead.get() else { return Ok(()) };
        tracing::warn!(group = self.name, %code, "the consumer is dead; a new one takes its place");
        let context = self.consumer.context().successor();
        self.consumer = self.client.create_with_context(context).map_err(|e| self.error(e))?;
        self.consumer.subscribe(&[&self.topic]).map_err(|e| self.error(e))?;
        self.astray.set(false);
        self.dead.set(None);
        Ok(())
    }

    /// Where records were gone before they were read, goes on at the oldest there are; and tries that again until it
    /// worked, since librdkafka says only once that it is stuck.
    fn find_way(&self) -> Result<(), SourceError> {
        if self.astray.get() {
            self.consumer.context().find_way(&self.consumer).map_err(|e| self.error(e))?;
            self.astray.set(false);
        }
        Ok(())
    }

    /// The name of a partition.
    fn partition(&self, number: i32) -> Arc<str> {
        // Names are few and asked for once a record, so they are made once.
        let mut names = self.partitions.borrow_mut();
        Arc::clone(names.entry(number).or_insert_with(|| partition_name(&self.topic, number).into()))
    }
}

fn partition_name(topic: &str, number: i32) -> String {
    format!("{topic}/{number}")
}

impl Source for KafkaSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn begin(&mut self, begin: Begin) -> Result<(), SourceError> {
        if let Begin::At(positions) = begin {
            self.consumer.context().go_on_from(&positions);
        }
        self.consumer.subscribe(&[&self.topic]).map_err(|e| self.error(e))
    }

    fn poll(&mut self, wait: Duration, rows_max: usize, bytes_max: usize) -> Result<Batch, SourceError> {
        self.revive()?;
        self.find_way()?;
        let (mut batch, mut bytes, mut at_end) = (Batch::default(), 0, Vec::new());
        let due = Instant::now() + wait;
        while batch.deliveries.len() < rows_max && bytes < bytes_max {
            // The first record is waited for; then only what is at hand is taken.
            let wait = if batch.deliveries.is_empty() {
                due.saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            };
            match self.next(wait, &mut at_end) {
                Ok(None) if batch.deliveries.is_empty() && Instant::now() < due => {}
                Ok(None) => break,
                Ok(Some(message)) => {
                    let partition = self.partition(message.partition());
                    bytes += message.payload_len();
                    batch.next.set(&partition, message.offset() + 1);
                    self.consumer.context().passed(message.partition(), message.offset() + 1);
                    let not_before = self.ends.borrow_mut().before(message.partition());
                    let of = (&partition, not_before, &self.source);
                    message::deliver(&message, of, self.group, &mut batch.deliveries);
                }
                Err(error) if batch.deliveries.is_empty() => return Err(error),
                Err(error) => {
                    // What was read is in hand; the error comes again if it lasts.
                    tracing::warn!(%error, "a poll was cut short");
                    break;
                }
            }
        }
        // A partition that is somebody else's has nothing more for us either.
        let taken = self.consumer.context().taken();
        for number in &taken {
            self.ends.borrow_mut().taken(*number);
        }
        at_end.extend(taken);
        batch.at_end = at_end.into_iter().map(|number| self.partition(number)).collect();
        Ok(batch)
    }

    fn commit(&mut self, next: &Positions) -> Result<(), SourceError> {
        let mut offsets = TopicPartitionList::new();
        for (partition, next) in next.iter() {
            let number = partition.rsplit_once('/').filter(|(topic, _)| *topic == self.topic);
            let Some(number) = number.and_then(|(_, number)| number.parse().ok()) else { continue };
            offsets
                .add_partition_offset(&self.topic, number, Offset::Offset(next))
                .map_err(|e| self.error(e))?;
        }
        if offsets.count() == 0 {
            return Ok(());
        }
        let mode = match self.group {
            Group::Store => CommitMode::Sync,
            // Nothing is read from these again; they show people how far the group is.
            Group::Score => CommitMode::Async,
        };
        match self.consumer.commit(&offsets, mode) {
            Err(KafkaError::ConsumerCommit(code)) if is_somebody_elses(code) => {
                tracing::warn!(group = self.name, %code, "a partition was taken away before its offsets were committed");
                Ok(())
            }
            Err(KafkaError::ConsumerCommit(code)) if is_the_end(code) => {
                self.dead.set(Some(code));
                Ok(())
            }
            other => other.map_err(|e| self.error(e)),
        }
    }

    fn seen(&self) -> Option<Arc<SeenFile>> {
        Some(Arc::clone(&self.seen))
    }
}

/// Whether librdkafka is looking for its brokers.
fn is_out_of_reach(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
    )
}

/// Whether this consumer will never commit again. What it read is read again by the next one.
fn is_the_end(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Fatal | RDKafkaErrorCode::FencedInstanceId)
}

/// Whether the commit came too late: whoever has the partition now will read those records again.
fn is_somebody_elses(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::RebalanceInProgress
            | RDKafkaErrorCode::AssignmentLost
            | RDKafkaErrorCode::NoOffset
    )
}
