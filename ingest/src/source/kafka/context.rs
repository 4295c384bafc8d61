//! What librdkafka tells us besides records: partitions given and taken, and how far behind we are.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use metrics::gauge;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};

use super::start::{Held, start};
use super::{ASK, Group, partition_name};
use crate::finding::{Finding, Findings};
use crate::metric;
use crate::source::Positions;

/// Decides where a partition is read from, whenever we get one.
pub(super) struct Context {
    topic: String,
    name: String,
    group: Group,
    findings: Findings,
    /// Where we are in each partition: handed out to the pipeline, or saved by it earlier.
    passed: Mutex<HashMap<i32, i64>>,
    /// Partitions that were taken away since this was last asked.
    taken: Mutex<Vec<i32>>,
}

impl Context {
    pub(super) fn new(topic: String, name: String, group: Group, findings: Findings) -> Self {
        Self { topic, name, group, findings, passed: Mutex::default(), taken: Mutex::default() }
    }

    /// The same for another consumer, which goes on from where we are.
    pub(super) fn successor(&self) -> Self {
        let passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let successor = Self::new(self.topic.clone(), self.name.clone(), self.group, self.findings.clone());
        Self { passed: Mutex::new(passed), ..successor }
    }

    /// Everything before `next` was handed out.
    pub(super) fn passed(&self, partition: i32, next: i64) {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, next);
    }

    /// Partitions that are not ours any more.
    pub(super) fn taken(&self) -> Vec<i32> {
        std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything before these positions was handed out in an earlier life.
    pub(super) fn go_on_from(&self, positions: &Positions) {
        for (name, next) in positions.iter() {
            let number = name.rsplit_once('/').filter(|(topic, _)| *topic == self.topic);
            if let Some(number) = number.and_then(|(_, number)| number.parse().ok()) {
                self.passed(number, next);
            }
        }
    }

    fn position(&self, partition: i32) -> Option<i64> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).copied()
    }

    /// Finds the partitions whose next record is gone, and goes on at the oldest there is.
    pub(super) fn find_way(&self, consumer: &BaseConsumer<Self>) -> KafkaResult<()> {
        let mut all = consumer.assignment()?;
        let mut astray = TopicPartitionList::new();
        for number in numbers(&all) {
            let wanted = self.position(number);
            let (at, lost) = self.look_up(consumer, number, wanted)?;
            if lost || wanted.is_none() {
                self.passed(number, at);
                astray.add_partition_offset(&self.topic, number, Offset::Offset(at))?;
            }
            all.set_partition_offset(&self.topic, number, Offset::Offset(at))?;
        }
        // A partition whose offset was refused is not read any more and takes no `seek`: it has to be given anew.
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => {
                consumer.incremental_unassign(&astray)?;
                consumer.incremental_assign(&astray)
            }
            _ => consumer.assign(&all),
        }
    }

    /// Sets the offset at which each of these partitions is to be read.
    fn place(&self, consumer: &BaseConsumer<Self>, partitions: &mut TopicPartitionList) {
        let committed = match self.group {
            Group::Store => self.committed(consumer, partitions),
            Group::Score => HashMap::new(),
        };
        for number in numbers(partitions) {
            let wanted = match self.group {
                Group::Store => committed.get(&number).copied(),
                Group::Score => self.position(number),
            };
            let offset = match self.look_up(consumer, number, wanted) {
                Ok((at, _)) => Offset::Offset(at),
                // The broker does not answer just now. What is wrong with the offset comes up when it is read.
                Err(error) => {
                    tracing::warn!(partition = number, %error, "not known whether records are gone");
                    wanted.map_or(Offset::Beginning, Offset::Offset)
                }
            };
            if let Offset::Offset(at) = offset {
                self.passed(number, at);
            }
            if let Err(error) = partitions.set_partition_offset(&self.topic, number, offset) {
                tracing::error!(partition = number, %error, "cannot say where to read from");
            }
        }
    }

    /// Where to read a partition, and whether that is not `wanted`; says what is lost.
    fn look_up(
        &self,
        consumer: &BaseConsumer<Self>,
        number: i32,
        wanted: Option<i64>,
    ) -> KafkaResult<(i64, bool)> {
        let (first, next) = consumer.fetch_watermarks(&self.topic, number, ASK)?;
        let (at, lost) = start(wanted, Held { first, next });
        if lost {
            self.findings.raise(Finding::OffsetsLost {
                group: self.name.clone(),
                partition: partition_name(&self.topic, number),
                from: wanted.unwrap_or(at),
                to: at,
            });
        }
        Ok((at, lost))
    }

    /// The offsets that the group has committed; none where the broker does not say.
    fn committed(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) -> HashMap<i32, i64> {
        let committed = consumer.committed_offsets(partitions.clone(), ASK);
        let committed = committed.inspect_err(|error| {
            tracing::warn!(group = self.name, %error, "the group's offsets are not known");
        });
        let mut offsets = HashMap::new();
        for one in committed.iter().flat_map(TopicPartitionList::elements) {
            if let Offset::Offset(at) = one.offset() {
                offsets.insert(one.partition(), at);
            }
        }
        offsets
    }
}

fn numbers(partitions: &TopicPartitionList) -> Vec<i32> {
    partitions.elements().iter().map(TopicPartitionListElem::partition).collect()
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        err: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let bit_by_bit = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let given = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        tracing::info!(group = self.name, given, partitions = ?numbers(partitions), "partitions were moved");
        if !given {
            self.taken.lock().unwrap_or_else(PoisonError::into_inner).extend(numbers(partitions));
        }
        let done = match (given, bit_by_bit) {
            (true, true) => {
                self.place(consumer, partitions);
                consumer.incremental_assign(partitions)
            }
            (true, false) => {
                self.place(consumer, partitions);
                consumer.assign(partitions)
            }
            (false, true) => consumer.incremental_unassign(partitions),
            (false, false) => consumer.unassign(),
        };
        if let Err(error) = done {
            tracing::error!(group = self.name, %error, "partitions could not be moved");
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info => {
                tracing::debug!(facility, message, "librdkafka");
            }
            _ => tracing::warn!(facility, message, "librdkafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // We ask to be told of ends of partitions; they are no errors.
        if matches!(error, KafkaError::Global(RDKafkaErrorCode::PartitionEOF)) {
            return;
        }
        tracing::warn!(group = self.name, %error, reason, "librdkafka");
    }

    fn stats(&self, statistics: Statistics) {
        for partition in statistics.topics.get(&self.topic).iter().flat_map(|t| t.partitions.values()) {
            if partition.partition >= 0 && partition.consumer_lag >= 0 {
                let name = partition_name(&self.topic, partition.partition);
                gauge!(metric::KAFKA_LAG, "group" => self.name.clone(), "partition" => name)
                    .set(partition.consumer_lag as f64);
            }
        }
    }
}
