//! Apache Kafka itself: one broker on free loopback ports and a scratch folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use super::parts::{house, part};
use super::process::Process;
use super::tocsin::ISSUER;
use super::{http, port, wait};

/// It answers after 2 to 7 s on two idle cores.
const START_LIMIT: Duration = Duration::from_secs(90);
/// One request to a broker that answers.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// A run of the test suite keeps two brokers at most; this leaves room for everything else.
const HEAP: &str = "-Xmx512m";

/// A running broker. Killed when dropped; its folder lives as long as the caller's.
pub(crate) struct Kafka {
    process: Option<Process>,
    folder: PathBuf,
    broker: u16,
}

impl Kafka {
    /// Starts a broker of its own under `folder` and waits until it answers.
    pub(crate) fn start(folder: &Path) -> Self {
        let data = folder.join("kafka");
        std::fs::create_dir_all(&data).expect("a folder for the broker");
        for file in ["meta.properties", "bootstrap.checkpoint"] {
            std::fs::copy(part("kafka/formatted").join(file), data.join(file)).expect("the formatted folder");
        }
        let (broker, controller) = (port::free(), port::free());
        let properties = std::fs::read_to_string(house().join("parts/kafka/server.properties"))
            .expect("the broker's properties")
            .replace("@DATA@", &data.display().to_string())
            .replace("@BROKER@", &broker.to_string())
            .replace("@CONTROLLER@", &controller.to_string());
        std::fs::write(folder.join("server.properties"), properties)
            .expect("to write the broker's properties");
        let mut kafka = Self { process: None, folder: folder.to_owned(), broker };
        kafka.restart();
        kafka
    }

    /// What a client connects to.
    pub(crate) fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.broker)
    }

    /// The `[kafka]` section that makes Tocsin read the topic `calls`.
    pub(crate) fn source(&self) -> String {
        format!(
            "[kafka]\nbrokers = \"{}\"\ntopic = \"calls\"\nattestation_max = \"token\"\nissuer = \"{ISSUER}\"\n",
            self.brokers()
        )
    }

    /// Ends the broker as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it (again) on the same folder and ports, and waits until it answers.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut command = Command::new("java");
        command
            .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", HEAP])
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-cp")
            .arg(part("kafka/libs").join("*"))
            .arg("kafka.Kafka")
            .arg(self.folder.join("server.properties"));
        let mut process = Process::start("Kafka", &mut command, &self.folder.join("kafka.out"));
        let admin = self.admin();
        // Until the broker is there, librdkafka tells of each refused connection; that is what is being waited for.
        process.ready("answer to a metadata request", START_LIMIT, || {
            let answer = admin.inner().fetch_metadata(None, Duration::from_secs(1)).ok()?;
            (!answer.brokers().is_empty()).then_some(())
        });
        self.process = Some(process);
    }

    /// Makes a topic. `settings` are the topic's own.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_LIMIT));
        let made =
            http::block_on(self.admin().create_topics([&topic], &options)).expect("the broker answers");
        assert_eq!(made, [Ok(name.to_owned())]);
    }

    /// Produces `(key, payload)` records, durably and in order; the key decides the partition.
    pub(crate) fn produce<'a>(&self, topic: &str, records: impl IntoIterator<Item = (&'a str, &'a [u8])>) {
        self.produce_as("test", topic, records);
    }

    /// One record, stamped by a producer whose clock stands at `ms` since 1970.
    pub(crate) fn produce_stamped(&self, topic: &str, ms: i64, key: &str, payload: &str) {
        let client: ThreadedProducer<DefaultProducerContext> = self.client().create().expect("a producer");
        let record = BaseRecord::to(topic).key(key).payload(payload).timestamp(ms);
        client.send(record).map_err(|(error, _)| error).expect("room for a record");
        client.flush(REQUEST_LIMIT).expect("the record acknowledged");
    }

    /// The same, with records that name their `producer` in a header.
    pub(crate) fn produce_as<'a>(
        &self,
        producer: &str,
        topic: &str,
        records: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("linger.ms", "20");
        let client: ThreadedProducer<DefaultProducerContext> = config.create().expect("a producer");
        let named = OwnedHeaders::new().insert(Header { key: "client.id", value: Some(producer) });
        for (key, payload) in records {
            let mut record = BaseRecord::to(topic).key(key).payload(payload).headers(named.clone());
            // The client's queue is bounded; where it is full, it is being sent.
            while let Err((error, back)) = client.send(record) {
                assert_eq!(
                    error.rdkafka_error_code(),
                    Some(rdkafka::types::RDKafkaErrorCode::QueueFull),
                    "{error}"
                );
                std::thread::sleep(Duration::from_millis(5));
                record = back;
            }
        }
        client.flush(REQUEST_LIMIT).expect("every record acknowledged");
    }

    /// Everything in a topic from its first offset to its end as of now, by a client in no group.
    pub(crate) fn read_all(&self, topic: &str) -> Vec<OwnedMessage> {
        let consumer: BaseConsumer = self.client().set("group.id", "reads-all").create().expect("a consumer");
        let mut wanted = 0;
        let mut assignment = TopicPartitionList::new();
        for (partition, (low, high)) in self.watermarks(topic) {
            wanted += usize::try_from(high - low).expect("no negative length");
            assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("a valid offset");
        }
        consumer.assign(&assignment).expect("an assignment");
        let mut read = Vec::new();
        wait::until(REQUEST_LIMIT, || {
            while let Some(message) = consumer.poll(Duration::from_millis(50)) {
                read.push(message.expect("a message").detach());
            }
            (read.len() >= wanted).then_some(())
        })
        .unwrap_or_else(|| panic!("{} of {wanted} records of {topic} within {REQUEST_LIMIT:?}", read.len()));
        read
    }

    /// First offset and end of each partition.
    pub(crate) fn watermarks(&self, topic: &str) -> Vec<(i32, (i64, i64))> {
        let admin = self.admin();
        let metadata = admin.inner().fetch_metadata(Some(topic), REQUEST_LIMIT).expect("the broker answers");
        let partitions = metadata.topics().first().expect("the topic asked for").partitions();
        let mut marks: Vec<_> = partitions
            .iter()
            .map(|p| {
                (p.id(), admin.inner().fetch_watermarks(topic, p.id(), REQUEST_LIMIT).expect("watermarks"))
            })
            .collect();
        marks.sort_unstable();
        marks
    }

    /// What a group has committed, by partition; `None` where it has committed nothing.
    pub(crate) fn committed(&self, group: &str, topic: &str) -> Vec<Option<i64>> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().expect("a consumer");
        let mut partitions = TopicPartitionList::new();
        for (partition, _) in self.watermarks(topic) {
            partitions.add_partition(topic, partition);
        }
        let offsets = consumer.committed_offsets(partitions, REQUEST_LIMIT).expect("committed offsets");
        offsets
            .elements()
            .iter()
            .map(|e| if let Offset::Offset(o) = e.offset() { Some(o) } else { None })
            .collect()
    }

    /// How many are in a group that has settled who reads what; none while it has not.
    pub(crate) fn members(&self, group: &str) -> Option<usize> {
        let groups =
            self.admin().inner().fetch_group_list(Some(group), REQUEST_LIMIT).expect("the broker answers");
        groups.groups().iter().find(|found| found.state() == "Stable").map(|found| found.members().len())
    }

    /// Has a group, of which nobody runs, read a topic from its first offset again.
    pub(crate) fn rewind(&self, group: &str, topic: &str) {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().expect("a consumer");
        let mut begin = TopicPartitionList::new();
        for (partition, (low, _)) in self.watermarks(topic) {
            begin.add_partition_offset(topic, partition, Offset::Offset(low)).expect("a valid offset");
        }
        consumer.commit(&begin, CommitMode::Sync).expect("the group's offsets set");
    }

    /// Joins a group under the name of its one member, so that the broker shuts the rightful one out, and leaves again.
    pub(crate) fn usurp(&self, group: &str, topic: &str) {
        let groups =
            self.admin().inner().fetch_group_list(Some(group), REQUEST_LIMIT).expect("the broker answers");
        let member =
            groups.groups().first().and_then(|g| g.members().first()).expect("a member").id().to_owned();
        // The broker makes a static member's id of its name, a dash and 36 characters of chance.
        let name = &member[..member.len() - 37];
        let mut config = self.client();
        config.set("group.id", group).set("group.instance.id", name);
        config.set("partition.assignment.strategy", "cooperative-sticky").set("session.timeout.ms", "10000");
        let usurper: BaseConsumer = config.create().expect("a consumer");
        usurper.subscribe(&[topic]).expect("a subscription");
        let joined = wait::until(REQUEST_LIMIT, || {
            // Records and their absence are all the same here; the call is what makes it join.
            drop(usurper.poll(Duration::from_millis(100)));
            usurper.assignment().ok().filter(|partitions| partitions.count() > 0)
        });
        assert!(joined.is_some(), "{name} was not taken for a member of {group} within {REQUEST_LIMIT:?}");
    }

    /// Drops everything before `offset`, as retention does, but now.
    pub(crate) fn expire_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut until = TopicPartitionList::new();
        until.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("a valid offset");
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_LIMIT));
        let gone = http::block_on(self.admin().delete_records(&until, &options)).expect("the broker answers");
        for element in gone.elements() {
            element.error().expect("the records are gone");
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers()).set("log_level", "2");
        config
    }
}
