//! An approval is answered, and the agent that waits, the server and the database are each killed once on the way, in whatever order: the act
//! goes on once.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::chance::Chance;
use crate::support::gate::{Human, ask, now};
use crate::support::page::Page;
use crate::support::parts::readme;
use crate::support::postgres::Postgres;
use crate::support::process::Process;
use crate::support::stage::Stage;
use crate::support::tocsin::{GATEWAY, ISSUER, Tocsin};
use crate::support::{prove, wait};

const SETTINGS: &str = "[policy.approval]\npasskey_for = []\n[policy.risk]\npayments = [\"wire\"]\n[[policy.when]]\nname = \"money\"\nrisk = [\"payments\"]\n\
                        at_least = \"step_up\"\n";

/// How long the agent may take to be blocked, or to go on once nothing is killed any more.
const LIMIT: Duration = Duration::from_mins(2);

/// Within this time of the agent's being blocked everything happens that a schedule holds.
const SPREAD: Duration = Duration::from_secs(2);

fn schedules() -> usize {
    prove::scaled(3, 100)
}

/// What happens at a time of a schedule.
#[derive(Clone, Copy, Debug)]
enum Event {
    Approval,
    AgentKilled,
    ServerKilled,
    DatabaseKilled,
}

#[test]
fn an_act_goes_on_once_whatever_is_killed_on_a_file() {
    let stage = Stage::new();
    through(&stage, None);
    let name = "agent and server killed while an approval is answered, schedules that resume once";
    survived(name, "approval_kills::an_act_goes_on_once_whatever_is_killed_on_a_file");
}

#[test]
fn an_act_goes_on_once_whatever_is_killed_on_postgresql() {
    let stage = Stage::new();
    let postgres = Postgres::start(stage.path());
    through(&stage, Some(postgres));
    let name =
        "agent, server and PostgreSQL killed while an approval is answered, schedules that resume once";
    survived(name, "approval_kills::an_act_goes_on_once_whatever_is_killed_on_postgresql");
}

fn survived(name: &str, test: &str) {
    let n = schedules();
    prove::row(name, n, [n as f64; 2], "all of 100", true, test);
}

fn through(stage: &Stage, mut postgres: Option<Postgres>) {
    let record = postgres.as_ref().map(Postgres::record).unwrap_or_default();
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(&(SETTINGS.to_owned() + &record)));
    let mut chance = Chance::new();
    for n in 0..schedules() {
        let mut events = vec![Event::Approval, Event::AgentKilled, Event::ServerKilled];
        events.extend(postgres.as_ref().map(|_| Event::DatabaseKilled));
        let mut events: Vec<_> =
            events.into_iter().map(|event| (chance.between(Duration::ZERO, SPREAD), event)).collect();
        events.sort_by_key(|(at, _)| *at);
        println!("{n}: {events:?}");
        schedule(stage.path(), &mut tocsin, postgres.as_mut(), n, &events);
    }
    Stage::check_audit(&tocsin);
}

fn schedule(
    folder: &Path,
    tocsin: &mut Tocsin,
    mut postgres: Option<&mut Postgres>,
    n: usize,
    events: &[(Duration, Event)],
) {
    // A code counts once, so each question has a person of its own.
    let dana = Human::enrol(tocsin, Box::leak(format!("Dana {n}").into_boxed_str()));
    let name = format!("agent-{n}");
    let act = json!({ "event_id": format!("wire-{n}"), "kind": "request", "ts": now(), "agent_id": name,
                      "endpoint": "wire", "args_digest": "sha256:0f", "attestation": "token" });
    let mut agent = Some(start(folder, tocsin, &name, &act));
    let output = folder.join(format!("{name}.out"));
    let blocked = said(&output, "blocked");
    let mut passed = Duration::ZERO;
    for &(at, event) in events {
        std::thread::sleep(at.saturating_sub(passed));
        passed = at;
        match event {
            Event::Approval => approve(tocsin, &dana, &blocked["blocked"]),
            Event::AgentKilled => {
                drop(agent.take());
                agent = Some(start(folder, tocsin, &name, &act));
            }
            Event::ServerKilled => tocsin.restart(),
            Event::DatabaseKilled => {
                postgres.as_mut().expect("there is one").kill_and_restart(folder);
                tocsin.await_ready();
            }
        }
    }
    let resumed = said(&output, "grant");
    assert_eq!(
        (&resumed["status"], &resumed["told"]["decision"]),
        (&200.into(), &"go_on".into()),
        "{resumed}"
    );
    // It is this resumption's for good, whatever else comes.
    let grant = resumed["grant"].as_str().expect("a grant");
    let other = ask(tocsin, &act, Some((grant, "another"))).expect(401).json();
    assert_eq!(other["reason"], "used", "{other}");
    let history = tocsin.look(&format!("/v1/agent?agent_id={name}&issuer={ISSUER}"))["history"].clone();
    let count = |kind: &str| {
        history.as_array().map_or(0, |all| all.iter().filter(|entry| entry["kind"] == kind).count())
    };
    assert_eq!((count("approval.settled"), count("approval.resumed")), (1, 1), "{history}");
}

/// The agent of the README, with what it has kept so far.
fn start(folder: &Path, tocsin: &Tocsin, name: &str, act: &Value) -> Process {
    let record = folder.join(format!("{name}.json"));
    std::fs::write(&record, act.to_string()).expect("to write its record");
    let program = folder.join("agent.py");
    std::fs::write(&program, readme("Make your agent resume", "python")).expect("to write the program");
    // The shell gives it its record and becomes it.
    let mut command = Command::new("sh");
    command.args(["-c", "exec python3 \"$0\" \"$1\" < \"$2\""]).arg(program);
    command.arg(folder.join(format!("{name}.state"))).arg(&record);
    command.env("TOCSIN_URL", tocsin.url("")).env("TOCSIN_TOKEN", GATEWAY);
    Process::start(name, &mut command, &folder.join(format!("{name}.out")))
}

/// What the agent said of this kind, once it has.
fn said(output: &Path, what: &str) -> Value {
    let told = wait::until(LIMIT, || {
        let text = std::fs::read_to_string(output).ok()?;
        let all = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        all.into_iter().find(|said| said.get(what).is_some())
    });
    told.unwrap_or_else(|| panic!("no `{what}`: {:?}", std::fs::read_to_string(output)))
}

fn approve(tocsin: &Tocsin, human: &Human, challenge: &Value) {
    let open = tocsin.look("/v1/approvals");
    let rows = open["rows"].as_array().expect("rows");
    let question = rows.iter().find(|row| row["approval_id"] == challenge["approval_id"]);
    let url =
        question.and_then(|row| row["page_url"].as_str()).unwrap_or_else(|| panic!("{challenge}: {open}"));
    let number = challenge["binding_code"].as_str().expect("a number");
    let fields = [("name", human.name), ("number", number), ("code", &human.code())];
    Page::open(url).answer("approve", &fields).expect(303);
}
