//! Two processes on one record in PostgreSQL: they share the work, and who dies in the middle of it leaves nothing undone and
//! nothing done twice.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::fleet::{Fleet, TIMELESS, text};
use crate::support::gate;
use crate::support::http;
use crate::support::kafka::Kafka;
use crate::support::postgres::Postgres;
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, OPERATOR, Tocsin};
use crate::support::wait;

const LIMIT: Duration = Duration::from_mins(2);
/// More than a target is sent at once.
const AGENTS: usize = 40;
/// The group of those that revoke.
const GROUP: &str = "tocsin-revoke";

/// Two of them with the same key, targets and record.
struct Pair {
    first: Tocsin,
    second: Tocsin,
}

impl Pair {
    fn start(stage: &Stage, settings: &str) -> Self {
        let [one, two] = ["one", "two"].map(|name| stage.path().join(name));
        std::fs::create_dir_all(&one).expect("a folder");
        std::fs::create_dir_all(two.join("data")).expect("a folder");
        let first = Tocsin::start(&one, settings);
        std::fs::copy(one.join("data/revoker.key"), two.join("data/revoker.key")).expect("the same key");
        Self { first, second: Tocsin::start(&two, settings) }
    }
}

fn revoke(tocsin: &Tocsin, n: usize) {
    let body = json!({ "agent_id": name(n), "issuer": ISSUER, "person": "Olga", "reason": "a test" });
    let request = tocsin.request(Method::POST, "/v1/agents/revoke", OPERATOR).json(&body);
    http::send(request).expect("an answer").expect(200);
}

fn name(n: usize) -> String {
    format!("agent-{n}")
}

/// Whether the gate lets the agent do anything.
fn is_let_in(tocsin: &Tocsin, agent: &str) -> bool {
    let act = json!({ "event_id": format!("ask-{agent}"), "kind": "request", "agent_id": agent,
        "ts": gate::now(), "endpoint": "get_order", "attestation": "token" });
    gate::ask(tocsin, &act, None).status == 200
}

#[test]
fn who_is_killed_in_the_middle_of_deliveries_is_taken_over_from() {
    let stage = Stage::new();
    let postgres = Postgres::start(stage.path());
    let Pair { mut first, second } = Pair::start(&stage, &stage.settings(&postgres.record()));
    // What is decided by one holds at the other.
    revoke(&first, 0);
    let told = wait::until(LIMIT, || (!is_let_in(&second, &name(0))).then_some(()));
    assert!(told.is_some(), "the other process still lets it in");

    // The first to start serves the target. It hangs, so that all deliveries are under way when it dies.
    stage.receiver.behave(&json!({ "hang": true }));
    for n in 1..AGENTS {
        revoke(if n % 2 == 0 { &first } else { &second }, n);
    }
    first.kill();
    stage.receiver.behave(&json!({}));
    stage.check_effects(&second, &[("agent-1", &["agent.access.revoked"])]);
    assert_eq!(stage.receiver.effects().len(), AGENTS);

    // And it comes back as the one that stands by.
    first.restart();
    revoke(&first, AGENTS);
    stage.check_effects(&first, &[("agent-40", &["agent.access.revoked"])]);
    Stage::check_audit(&second);
}

/// Waits until all verdicts on the topic are read.
fn read_to_the_end(stage: &Stage, kafka: &Kafka) {
    stage.wait("verdicts that are read", || {
        let ends = kafka.watermarks("verdicts").into_iter().map(|(_, (_, end))| end);
        let mut read = ends.zip(kafka.committed(GROUP, "verdicts"));
        // Of a partition without a verdict nothing is committed.
        read.all(|(end, read)| end == read.unwrap_or(0)).then_some(())
    });
}

/// What was decided, by the record: alerts, effects, who stands where and all that is remembered of it, and the root over all
/// entries of its audit.
fn recorded(tocsin: &Tocsin) -> [Value; 4] {
    let rows = |of: &str| tocsin.look(&format!("/v1/{of}?limit=1000"))["rows"].take();
    let audit = String::from_utf8(tocsin.command(&["audit", "verify"]).stdout).expect("text");
    let root = audit.lines().find(|line| line.starts_with("root ")).expect("a root").to_owned();
    [rows("alerts"), rows("effects"), rows("agents"), root.into()]
}

#[test]
fn of_two_that_read_one_topic_one_is_killed_and_each_agent_is_revoked_once() {
    let stage = Stage::new();
    let (kafka, postgres) = (Kafka::start(stage.path()), Postgres::start(stage.path()));
    kafka.create_topic("calls", 1, &[]);
    kafka.create_topic("verdicts", 4, &[]);
    let fleet = Fleet::attacked(stage.path(), 10, 3, 6, 8);
    let truth = fleet.replay(stage.path());
    // Whether an agent has company goes by the server's clock, and a replay ends agents alone.
    let policy = format!("{TIMELESS}narrowest = \"agent\"\n");
    let bus = format!("{policy}[bus]\nbrokers = \"{}\"\ntopic = \"verdicts\"\n", kafka.brokers());
    let scores = format!("{bus}{}[roles]\nrun = [\"ingest\", \"score\"]\n", kafka.source());
    let folder = stage.path().join("score");
    std::fs::create_dir_all(&folder).expect("a folder");
    let _score = Tocsin::start(&folder, &stage.settings(&scores));
    let settings = format!("{bus}{}[roles]\nrun = [\"revoke\"]\n", postgres.record());
    let Pair { mut first, mut second } = Pair::start(&stage, &stage.settings(&settings));
    let both_read = || stage.wait("two that read", || (kafka.members(GROUP) == Some(2)).then_some(()));
    both_read();

    // The first serves the target, which hangs: it dies with deliveries under way, and with verdicts in its partitions.
    stage.receiver.behave(&json!({ "hang": true }));
    kafka.produce("calls", fleet.keyed());
    stage.wait("something to deliver", || {
        let under_way = second.look("/v1/effects?state=pending&limit=1");
        under_way["rows"].as_array().filter(|rows| !rows.is_empty()).map(drop)
    });
    first.kill();
    stage.receiver.behave(&json!({}));
    stage.wait("all verdicts", || {
        let said: i64 = kafka.watermarks("verdicts").iter().map(|(_, (_, end))| end).sum();
        usize::try_from(said).is_ok_and(|said| said >= truth.levels.len()).then_some(())
    });
    read_to_the_end(&stage, &kafka);
    stage.check_effects(&second, &[]);

    // Alerts that the first had not brought to the database lie in its folder.
    first.restart();
    both_read();
    stage.check_readers(&fleet, &truth);
    let mut revoked: BTreeMap<String, u32> = BTreeMap::new();
    for effect in stage.receiver.effects().iter().filter(|effect| effect["type"] == "agent.access.revoked") {
        *revoked.entry(text(&effect["data"], "subject")).or_default() += 1;
    }
    let wanted = truth.actions.values().filter(|(_, action)| action == "revoke");
    assert_eq!(revoked, wanted.map(|(agent, _)| (agent.clone(), 1)).collect());
    Stage::check_audit(&second);

    // All that was ever said comes again, to processes that remember none of it.
    let (before, sent) = (recorded(&second), stage.receiver.recorded().len());
    first.stop();
    second.stop();
    kafka.rewind(GROUP, "verdicts");
    first.restart();
    second.restart();
    read_to_the_end(&stage, &kafka);
    assert_eq!(recorded(&second), before);
    stage.check_readers(&fleet, &truth);
    assert_eq!(stage.receiver.recorded().len(), sent, "deliveries of what was decided before");
}

#[test]
fn a_record_of_another_key_and_a_server_that_is_not_there_are_told_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let postgres = Postgres::start(folder.path());
    let stage = Stage::new();
    let started = Tocsin::start(stage.path(), &stage.settings(&postgres.record()));
    let other = tempfile::tempdir().expect("a folder");
    let says = |record: &str, expected: &str| {
        let command = Tocsin::prepared(other.path(), &stage.settings(record)).command(&["approver", "list"]);
        let said = String::from_utf8_lossy(&command.stderr).into_owned();
        assert!(!command.status.success() && said.contains(expected), "{said}");
    };
    says(&postgres.record(), "`root` was sealed with another key");
    says(
        "[revoker]\nstore = \"postgres://tocsin@127.0.0.1:1/postgres\"\n",
        "PostgreSQL at 127.0.0.1:1/postgres",
    );
    says("[revoker]\nstore = \"mysql://a\"\n", "revoker.store: not an address of PostgreSQL");
    drop(started);
}
