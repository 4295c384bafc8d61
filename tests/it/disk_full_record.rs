//! The disk under the record runs full: what was acknowledged (a manifest, an ended session, a question and the notice of
//! it, the end of a declared task, a consumed grant) is there after a kill, and what was refused was not done.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::disk::SmallDisk;
use crate::support::gate::{Human, ask, challenge, now, page_of, status};
use crate::support::http::{self, Answer};
use crate::support::page::Page;
use crate::support::prove;
use crate::support::stage::Stage;
use crate::support::tocsin::{GATEWAY, ISSUER, OPERATOR, Tocsin};

const DISK_BYTES: u64 = 48 << 20;
/// What is left when it gets tight: some tens of transactions.
const FREE_BYTES: u64 = 1_536 << 10;
/// Of each kind, at most.
const TRIES_MAX: usize = 500;
/// Payments are asked about, and what is done with a task ends it.
pub(crate) const SETTINGS: &str = "[policy]\non_task_end = \"revoke\"\n[policy.approval]\nnotices_per_hour = 10000\npasskey_for = []\n[policy.risk]\npayments = [\"wire\"]\n[[policy.when]]\nname = \"money\"\nrisk = [\"payments\"]\n\
                        at_least = \"step_up\"\n";
const KINDS: [&str; 4] = ["manifest", "session", "question", "task"];

/// Who is told of questions, and agents that live for one task.
fn more(stage: &Stage) -> String {
    let bell = format!(
        "[[webhooks]]\nname = \"bell\"\nurl = \"{}\"\nsecret_env = \"WEBHOOK_SECRET\"\n\
         allow_insecure_target = true\nevents = [\"approval.notice\"]\n",
        stage.receiver.url()
    );
    let lives =
        |n| format!("[[manifests]]\nagent_id = \"task-{n}\"\nissuer = \"{ISSUER}\"\nends_with_task = true\n");
    [SETTINGS.to_owned(), bell].into_iter().chain((0..TRIES_MAX).map(lives)).collect()
}

pub(crate) fn act(agent: &str, event: &str) -> Value {
    json!({ "event_id": event, "kind": "request", "agent_id": agent, "ts": now(), "endpoint": "wire",
            "args_digest": "sha256:0f", "attestation": "token" })
}

/// The grant of a payment that somebody has approved.
pub(crate) fn approved(tocsin: &Tocsin, approver: &'static str, payer: &str) -> String {
    let human = Human::enrol(tocsin, approver);
    let asked = challenge(&ask(tocsin, &act(payer, &format!("{payer}-1")), None));
    let page = Page::open(&page_of(tocsin, &asked));
    let number = asked["binding_code"].as_str().expect("a number");
    let pressed =
        page.answer("approve", &[("name", human.name), ("number", number), ("code", &human.code())]);
    assert_eq!(pressed.status, 303, "{pressed:?}");
    status(&asked, 10)["grant"]["token"].as_str().expect("a grant").to_owned()
}

/// Does the `n`th of its kind.
fn attempt(tocsin: &Tocsin, kind: &str, n: usize) -> Answer {
    let agent = format!("{kind}-{n}");
    if kind == "question" {
        return ask(tocsin, &act(&agent, &agent), None);
    }
    if kind == "task" {
        let ends = json!({ "event_id": agent, "kind": "task_end", "agent_id": agent, "ts": now(), "attestation": "token" });
        return tocsin.append(&format!("{ends}\n")).expect("an answer, even now");
    }
    let mut body = json!({ "person": "Olga", "reason": "a full disk" });
    let request = if kind == "manifest" {
        let endpoints: Vec<String> = (0..100).map(|i| format!("endpoint-{i}")).collect();
        body["manifest"] = json!({ "agent_id": agent, "endpoints": endpoints });
        tocsin.request(Method::PUT, &format!("/v1/register/{agent}/manifest"), OPERATOR)
    } else {
        body["agent_id"] = agent.into();
        body["part"] = json!({ "kind": "session", "id": format!("s-{n}") });
        tocsin.request(Method::POST, "/v1/agents/revoke", OPERATOR)
    };
    http::send(request.json(&body)).expect("an answer, even now")
}

/// Whether the `n`th of its kind is in the record.
fn is_there(tocsin: &Tocsin, kind: &str, n: usize) -> bool {
    let agent = format!("{kind}-{n}");
    match kind {
        "manifest" => {
            let path = format!("/v1/register/{agent}/manifest");
            http::send(tocsin.request(Method::GET, &path, OPERATOR)).expect("it answers").status == 200
        }
        "session" | "task" => {
            let request = tocsin.request(Method::GET, "/v1/revocations?limit=1000", GATEWAY);
            let list = http::send(request).expect("it answers").expect(200).json();
            list["revocations"].as_array().expect("a list").iter().any(|row| row["subject"] == *agent)
        }
        _ => {
            let list = tocsin.look("/v1/approvals?limit=1000");
            list["rows"].as_array().expect("rows").iter().any(|row| row["agent"]["agent_id"] == *agent)
        }
    }
}

#[test]
fn what_was_acknowledged_on_a_full_disk_is_in_the_record_and_nothing_else() {
    let stage = Stage::new();
    let disk = Rc::new(SmallDisk::new(&stage.path().join("data"), DISK_BYTES));
    let launcher = Rc::clone(&disk);
    let mut tocsin = Tocsin::start_by(
        stage.path(),
        &stage.settings(&more(&stage)),
        Box::new(move |program| launcher.command(program)),
    );
    let grants =
        [("early", "Dana"), ("late", "Erin")].map(|(payer, by)| (payer, approved(&tocsin, by, payer)));
    let resume = |tocsin: &Tocsin, (payer, grant): &(&str, String), n: u32, resume: &str| {
        ask(tocsin, &act(payer, &format!("{payer}-{n}")), Some((grant, resume))).status
    };

    disk.fill(tocsin.process(), FREE_BYTES);
    assert_eq!(resume(&tocsin, &grants[0], 2, "r-1"), 200, "there is room yet");
    let mut outcomes: BTreeMap<(&str, usize), bool> = BTreeMap::new();
    for kind in KINDS.into_iter().cycle().take(KINDS.len() * TRIES_MAX).collect::<Vec<_>>() {
        let n = outcomes.keys().filter(|(of, _)| *of == kind).count();
        let answer = attempt(&tocsin, kind, n);
        let done = if kind == "question" { 401 } else { 200 };
        // A request that is in the log and whose verdict cannot be written down is refused without one.
        let refused = matches!(answer.status, 500 | 503 | 507) || kind == "question" && answer.status == 403;
        assert!(answer.status == done || refused, "{kind}: {answer:?}");
        outcomes.insert((kind, n), answer.status == done);
        if KINDS.iter().all(|kind| outcomes.iter().any(|((of, _), done)| of == kind && !done)) {
            break;
        }
    }
    assert_eq!(resume(&tocsin, &grants[1], 2, "r-1"), 503);
    tocsin.kill();
    disk.relieve(None);
    tocsin.restart();

    let count = |done: bool| outcomes.values().filter(|was| **was == done).count();
    println!("{} acknowledged, {} refused", count(true), count(false));
    assert!(count(true) > 0 && count(false) >= KINDS.len(), "{outcomes:?}");
    for ((kind, n), done) in &outcomes {
        // Its record is in the log, and read again.
        if *kind == "task" && *done {
            stage.wait("a task's end", || is_there(&tocsin, kind, *n).then_some(()));
        }
        // A question that was refused is asked once there is room: its request may be in the log.
        assert!(is_there(&tocsin, kind, *n) == *done || *kind == "question" && !done, "{kind} {n}");
    }
    let agents = |path: &str, wanted: &dyn Fn(&Value) -> bool| -> BTreeSet<String> {
        let list = tocsin.look(path);
        let rows = list["rows"].as_array().expect("rows").iter().filter(|row| wanted(row));
        rows.map(|row| row["agent"]["agent_id"].as_str().expect("a name").to_owned()).collect()
    };
    let asked = agents("/v1/approvals?limit=1000", &|_| true);
    let told = agents("/v1/effects?limit=1000", &|row| row["kind"] == "approval.notice");
    let answered = grants.iter().map(|(payer, _)| (*payer).to_owned());
    assert_eq!(
        told,
        asked.into_iter().chain(answered).collect(),
        "who was asked about, and whom people are told of"
    );
    for grant in &grants {
        assert_eq!(resume(&tocsin, grant, 3, "r-1"), 200, "who resumed it, or tried, goes on: {}", grant.0);
        assert_eq!(resume(&tocsin, grant, 4, "r-2"), 401, "and nobody else: {}", grant.0);
    }
    Stage::check_audit(&tocsin);
    prove::row(
        "disk full under the record: acknowledged acts that are lost, refused ones that were done",
        0,
        [0.0; 2],
        "0",
        true,
        "disk_full_record::",
    );
}
