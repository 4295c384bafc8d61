//! The roles as three processes with Kafka between them: what comes twice is done once, and a gate that no score reaches says so.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::fleet::{Fleet, TIMELESS, agent};
use crate::support::gate;
use crate::support::http;
use crate::support::kafka::Kafka;
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, OPERATOR, Tocsin};

/// A process of this role with a folder of its own.
fn start(stage: &Stage, kafka: &Kafka, role: &str) -> Tocsin {
    start_with(stage, kafka, role, "")
}

/// The same with `more` settings, of the policy first.
fn start_with(stage: &Stage, kafka: &Kafka, role: &str, more: &str) -> Tocsin {
    let folder = stage.path().join(role);
    std::fs::create_dir_all(&folder).expect("a folder");
    let bus = match role {
        "ingest" => String::new(),
        _ => format!("[bus]\nbrokers = \"{}\"\ntopic = \"verdicts\"\n", kafka.brokers()),
    };
    let calls = if role == "revoke" { String::new() } else { kafka.source() };
    Tocsin::start(
        &folder,
        &stage.settings(&format!("{calls}{TIMELESS}\n{more}{bus}[roles]\nrun = [\"{role}\"]\n")),
    )
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

#[test]
fn what_a_verdict_keeps_to_itself_and_what_none_speaks_of_cross_the_topic_too() {
    let stage = Stage::new();
    let kafka = Kafka::start(stage.path());
    for topic in ["calls", "verdicts"] {
        kafka.create_topic(topic, 1, &[]);
    }
    let manifest =
        format!("[[manifests]]\nagent_id = \"errand\"\nissuer = \"{ISSUER}\"\nends_with_task = true\n");
    let policy = format!("on_task_end = \"revoke\"\n{manifest}");
    let _score = start_with(&stage, &kafka, "score", &manifest);
    let revoke = start_with(&stage, &kafka, "revoke", &policy);
    gate::operate(&revoke, "revoke", "mailer");
    gate::operate(&revoke, "reinstate", "mailer");

    let made = gate::now() + Duration::from_mins(1);
    let line = |mut line: Value| {
        (line["attestation"], line["ts"]) = ("token".into(), json!(made));
        line.to_string()
    };
    let lines = [
        (
            "helper",
            line(
                json!({ "event_id": "1", "agent_id": "helper", "endpoint": "send", "parent_agent_id": "mailer" }),
            ),
        ),
        ("errand", line(json!({ "event_id": "2", "agent_id": "errand", "endpoint": "fetch" }))),
        ("errand", line(json!({ "event_id": "3", "agent_id": "errand", "kind": "task_end" }))),
    ];
    kafka.produce("calls", lines.iter().map(|(agent, line)| (*agent, line.as_bytes())));
    let stands = |agent: &str, standing: &str| {
        stage.wait(standing, || {
            let found = revoke.look(&format!("/v1/agent?agent_id={agent}&issuer={ISSUER}"));
            (found["standing"] == standing).then_some(())
        });
    };
    stands("errand", "revoked");
    let body = json!({ "agent_id": "mailer", "issuer": ISSUER, "person": "Olga", "reason": "a look",
        "cascade": "children", "plan": true });
    let request = revoke.request(Method::POST, "/v1/agents/cascade", OPERATOR).json(&body);
    let plan: Value = http::send(request).expect("it answers").expect(200).json();
    assert!(plan.to_string().contains("helper"), "{plan:#}");

    // With a token from before it was revoked, and said to have been written before it was reinstated: of a partition that was read
    // to its end nobody is told that.
    std::thread::sleep(Duration::from_secs(1));
    let issued = gate::now() - Duration::from_hours(1);
    let uses =
        line(json!({ "event_id": "4", "agent_id": "mailer", "endpoint": "send", "token_iat": issued }));
    kafka.produce_stamped("calls", issued.as_millis(), "mailer", &uses);
    stands("mailer", "challenged");
    let alerts = revoke.look("/v1/alerts?limit=10");
    assert!(alerts.to_string().contains("before the agent's access was last ended"), "{alerts:#}");

    // What it got counts against what may go on while somebody is asked.
    let got = json!({ "event_id": "5", "agent_id": "mailer", "kind": "outcome", "call_id": "c", "bytes_out": 70_000 });
    kafka.produce("calls", [("mailer", line(got).as_bytes())]);
    stage.wait("an outcome", || {
        let found = revoke.look(&format!("/v1/agent?agent_id=mailer&issuer={ISSUER}"));
        (found["used"]["bytes"] == 70_000).then_some(())
    });
}
