//! What a broker can do to a reader: forget what was not read, die and return, carry records under a wrong key. Readers hear
//! of it by name, and of everything that is still there they miss nothing.

use std::time::Duration;

use crate::support::fleet::{Fleet, text};
use crate::support::kafka::Kafka;
use crate::support::stage::Stage;
use crate::support::tocsin::Tocsin;
use crate::support::wait;

const LIMIT: Duration = Duration::from_mins(2);

struct Scene {
    stage: Stage,
    kafka: Kafka,
    fleet: Fleet,
    tocsin: Tocsin,
}

/// A running program that reads an empty topic, and a thousand calls and more that are not in it yet.
fn scene() -> Scene {
    let stage = Stage::new();
    let kafka = Kafka::start(stage.path());
    kafka.create_topic("calls", 1, &[]);
    let fleet = Fleet::simulate(stage.path(), 2, 2, 3);
    assert!(fleet.lines.len() > 1_000, "{} lines", fleet.lines.len());
    let tocsin = Tocsin::start(stage.path(), &stage.settings(&kafka.source()));
    Scene { stage, kafka, fleet, tocsin }
}

impl Scene {
    /// What alerts of this kind say.
    fn told(&self, kind: &str) -> Vec<String> {
        let sql = format!(
            "SELECT arrayStringConcat(reasons, '; ') AS said FROM tocsin.alerts_once WHERE action = '{kind}'"
        );
        self.stage.engine.rows(&sql).iter().map(|row| text(row, "said")).collect()
    }
}

#[test]
fn offsets_lost_to_retention_are_named_and_the_rest_is_read() {
    let mut scene = scene();
    scene.kafka.produce("calls", scene.fleet.keyed().take(500));
    scene.stage.check_counts(500);
    // What is stored is committed; the position of `score` is saved with the detector when the program ends.
    wait::until_eq("committed", LIMIT, &vec![Some(500)], || scene.kafka.committed("tocsin-store", "calls"));
    assert!(scene.tocsin.stop().success());

    scene.kafka.produce("calls", scene.fleet.keyed().skip(500).take(500));
    scene.kafka.expire_before("calls", 0, 700);
    scene.tocsin.restart();

    scene.stage.check_counts(500 + 300);
    let said = scene.stage.wait("an alert of lost offsets", || {
        Some(scene.told("offsets_lost")).filter(|said| !said.is_empty())
    });
    assert!(said[0].starts_with("calls/0: offsets 500 to 699 were removed before tocsin-s"), "{said:?}");
}

#[test]
fn a_record_under_another_key_is_counted_once_and_its_producer_named() {
    let scene = scene();
    let line = scene.fleet.lines[0].as_str();
    scene.kafka.produce_as("careless-gateway", "calls", [("somebody-else", line.as_bytes())]);
    let said = scene
        .stage
        .wait("an alert of a wrong key", || Some(scene.told("mis_keyed")).filter(|said| !said.is_empty()));
    let agent = crate::support::fleet::agent(line);
    for named in ["calls/0", "offset 0", "somebody-else", agent, "careless-gateway"] {
        assert!(said[0].contains(named), "{named} is not in {said:?}");
    }
    scene.stage.check_counts(1);
}

#[test]
fn a_broker_that_dies_and_returns_costs_nothing() {
    let mut scene = scene();
    scene.kafka.produce("calls", scene.fleet.keyed().take(300));
    scene.stage.check_counts(300);
    scene.kafka.kill();
    scene.kafka.restart();
    scene.kafka.produce("calls", scene.fleet.keyed().skip(300).take(300));
    scene.stage.check_counts(600);
}

#[test]
fn a_consumer_that_another_shut_out_is_replaced() {
    let scene = scene();
    scene.kafka.produce("calls", scene.fleet.keyed().take(300));
    scene.stage.check_counts(300);
    for group in ["tocsin-store", "tocsin-score"] {
        scene.kafka.usurp(group, "calls");
    }
    scene.kafka.produce("calls", scene.fleet.keyed().skip(300).take(300));
    scene.stage.check_counts(600);
}
