//! `kill -9` at random points: readers see every call once and every verdict once, a receiver that takes each `webhook-id`
//! once sees every effect once, and the audit has no gap; whichever database holds the record.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::chance::Chance;
use crate::support::feed::post_until_taken;
use crate::support::fleet::{Fleet, TIMELESS, agent};
use crate::support::kafka::Kafka;
use crate::support::postgres::Postgres;
use crate::support::prove;
use crate::support::stage::Stage;
use crate::support::tocsin::Tocsin;

/// Calls in one request or one flush.
const CHUNK: usize = 100;

/// How often the program is killed.
fn kills() -> u32 {
    prove::scaled(4, 100)
}

fn fleet(stage: &Stage) -> Fleet {
    Fleet::simulate(stage.path(), prove::scaled(4, 12), prove::scaled(3, 7), 5)
}

#[test]
fn what_arrives_by_http_survives_kills() {
    let stage = Stage::new();
    by_http(&stage, "");
    survived("HTTP", "kills::what_arrives_by_http");
}

#[test]
fn what_is_recorded_in_postgresql_survives_kills() {
    let stage = Stage::new();
    let postgres = Postgres::start(stage.path());
    by_http(&stage, &postgres.record());
    survived("HTTP, the record on PostgreSQL", "kills::what_is_recorded_in_postgresql");
}

fn by_http(stage: &Stage, record: &str) {
    let fleet = fleet(stage);
    let truth = fleet.replay(stage.path());
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(&(TIMELESS.to_owned() + record)));
    let url = tocsin.url("/v1/calls");
    through_kills(&mut tocsin, |chunk| post_until_taken(&url, chunk), &fleet);
    stage.check_readers(&fleet, &truth);
    stage.check_effects(&tocsin, &[]);
    Stage::check_audit(&tocsin);
}

#[test]
fn what_arrives_by_kafka_survives_kills() {
    let stage = Stage::new();
    let kafka = Kafka::start(stage.path());
    kafka.create_topic("calls", 1, &[]);
    let fleet = fleet(&stage);
    let truth = fleet.replay(stage.path());
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(&(kafka.source() + TIMELESS)));
    let produce =
        |chunk: &[String]| kafka.produce("calls", chunk.iter().map(|line| (agent(line), line.as_bytes())));
    through_kills(&mut tocsin, produce, &fleet);
    stage.check_readers(&fleet, &truth);
    stage.check_effects(&tocsin, &[]);
    Stage::check_audit(&tocsin);
    survived("Kafka", "kills::what_arrives_by_kafka");
}

/// One row, once every call, verdict, alert and effect was found once; a test that fails before writes none and fails the
/// command.
fn survived(source: &str, test: &str) {
    let n = kills();
    let range = [f64::from(n); 2];
    prove::row(&format!("kill -9 survived, calls by {source}"), n, range, "everything read once", true, test);
}

/// Feeds the fleet at a pace that lasts over all kills, which come at random times, some before it is ready again.
fn through_kills(tocsin: &mut Tocsin, feed: impl Fn(&[String]) + Sync, fleet: &Fleet) {
    let mut chance = Chance::new();
    let chunks = fleet.lines.len().div_ceil(CHUNK) as u32;
    let pause = Duration::from_millis(1200) * kills() / chunks;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for chunk in fleet.lines.chunks(CHUNK) {
                feed(chunk);
                std::thread::sleep(pause);
            }
            done.store(true, Ordering::Release);
        });
        for _ in 0..kills() {
            std::thread::sleep(chance.between(Duration::from_millis(50), Duration::from_millis(1500)));
            // Now and then it is asked to end; where it is still starting, that may well count as killing it.
            if chance.once_in(4) {
                tocsin.stop();
            }
            tocsin.launch();
            if !chance.once_in(3) {
                tocsin.await_ready();
            }
        }
        tocsin.await_ready();
    });
    assert!(done.load(Ordering::Acquire));
}
