//! The list of revoked subjects as a compacted topic, through a broker that was away.

use std::collections::BTreeMap;

use rdkafka::Message as _;
use reqwest::Method;
use serde_json::Value;

use crate::support::gate::operate;
use crate::support::http;
use crate::support::kafka::Kafka;
use crate::support::stage::Stage;
use crate::support::tocsin::{GATEWAY, ISSUER, Tocsin};

/// What whoever reads the topic from its beginning knows of each subject in the end.
fn known(kafka: &Kafka) -> BTreeMap<String, Value> {
    let json = |bytes: Option<&[u8]>| serde_json::from_slice::<Value>(bytes?).ok();
    let records = kafka.read_all("revocations").into_iter().filter_map(|record| {
        let (key, value) = (json(record.key())?, json(record.payload())?);
        assert_eq!((&key["issuer"], &key["subject"]), (&value["issuer"], &value["subject"]));
        assert_eq!(key["issuer"], ISSUER);
        Some((key["subject"].as_str()?.to_owned(), value))
    });
    records.collect()
}

#[test]
fn the_topic_says_of_every_subject_what_the_list_says() {
    let stage = Stage::new();
    let mut kafka = Kafka::start(stage.path());
    kafka.create_topic("revocations", 1, &[("cleanup.policy", "compact")]);
    let topic = format!("[revocation_topic]\nbrokers = \"{}\"\ntopic = \"revocations\"\n", kafka.brokers());
    let tocsin = Tocsin::start(stage.path(), &stage.settings(&topic));

    operate(&tocsin, "revoke", "thief");
    stage.wait("the first revocation in the topic", || known(&kafka).get("thief").cloned());
    kafka.kill();
    operate(&tocsin, "revoke", "mailer");
    operate(&tocsin, "reinstate", "mailer");
    kafka.restart();

    let list = stage.wait("both in the topic", || {
        let known = known(&kafka);
        (known.get("mailer")?["blocked"] == false).then_some(known)
    });
    assert_eq!(list["thief"]["blocked"], true);
    let (not_before, until) = (&list["mailer"]["not_before"], &list["mailer"]["until"]);
    assert!(not_before.is_string() && until.is_string(), "its older tokens stay void: {list:?}");
}

#[test]
fn a_server_ends_although_somebody_follows_the_list() {
    let stage = Stage::new();
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    operate(&tocsin, "revoke", "thief");
    let request = tocsin.request(Method::GET, "/v1/revocations/stream", GATEWAY);
    let mut stream = http::block_on(async { request.send().await }).expect("a stream");
    let first = http::block_on(stream.chunk()).expect("it is open").expect("an event");
    assert!(String::from_utf8_lossy(&first).contains("thief"));
    assert!(tocsin.stop().success());
    while http::block_on(stream.chunk()).is_ok_and(|chunk| chunk.is_some()) {}
}
