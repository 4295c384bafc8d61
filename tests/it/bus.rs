//! The roles as three processes with Kafka between them: what comes twice is done once, and a gate that no score reaches says so.

use serde_json::json;

use crate::support::fleet::{Fleet, TIMELESS, agent};
use crate::support::gate;
use crate::support::kafka::Kafka;
use crate::support::stage::Stage;
use crate::support::tocsin::Tocsin;

/// A process of these roles with a folder of its own.
fn start(stage: &Stage, kafka: &Kafka, role: &str) -> Tocsin {
    let folder = stage.path().join(role);
    std::fs::create_dir_all(&folder).expect("a folder");
    let bus = match role {
        "ingest" => String::new(),
        _ => format!("[bus]\nbrokers = \"{}\"\ntopic = \"verdicts\"\n", kafka.brokers()),
    };
    let calls = if role == "revoke" { String::new() } else { kafka.source() };
    Tocsin::start(&folder, &stage.settings(&format!("{calls}{TIMELESS}\n{bus}[roles]\nrun = [\"{role}\"]\n")))
}

#[test]
fn three_processes_do_what_one_does_though_the_scorer_is_killed() {
    let stage = Stage::new();
    let kafka = Kafka::start(stage.path());
    for topic in ["calls", "verdicts"] {
        kafka.create_topic(topic, 1, &[]);
    }
    let fleet = Fleet::simulate(stage.path(), 4, 3, 5);
    let truth = fleet.replay(stage.path());
    let _ingest = start(&stage, &kafka, "ingest");
    let mut score = start(&stage, &kafka, "score");
    let mut revoke = start(&stage, &kafka, "revoke");

    let produce = |lines: &[String]| {
        kafka.produce("calls", lines.iter().map(|line| (agent(line), line.as_bytes())));
    };
    let verdicts = || kafka.watermarks("verdicts").iter().map(|(_, (_, high))| high).sum::<i64>();
    let (before, after) = fleet.lines.split_at(fleet.lines.len() / 2);
    produce(before);
    // Its state is saved now and then: what it said since then it says again.
    let said = stage.wait("verdicts on the bus", || Some(verdicts()).filter(|said| *said > 100));
    score.kill();
    produce(after);
    score.restart();
    stage.wait("verdicts that come again", || (verdicts() > said).then_some(()));
    revoke.kill();
    revoke.restart();

    stage.check_readers(&fleet, &truth);
    stage.check_effects(&revoke, &[]);
    assert!(verdicts() >= i64::try_from(truth.levels.len()).expect("few"));

    // No score reaches the gate here: the standing answers, and it is said.
    let act = json!({ "event_id": "ask-1", "kind": "request", "agent_id": "a-stranger", "ts": gate::now(),
        "endpoint": "get_order", "attestation": "token" });
    let answer = gate::ask(&revoke, &act, None).expect(200).json();
    assert_eq!((&answer["decision"], &answer["scored"]), (&json!("go_on"), &json!(false)), "{answer}");
}
