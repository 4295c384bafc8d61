//! Thousands who wait at once, by long poll, events and WebSockets: what each costs, and how soon all hear.

use std::sync::Arc;
use std::time::{Duration, Instant};

use detector::Timestamp;
use reqwest::Method;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::stage::Stage;
use crate::support::tocsin::{GATEWAY, OPERATOR, Tocsin};
use crate::support::{gate, http, prove};

/// Requests that are begun at once.
const AT_ONCE: usize = 64;
/// What one waiter may cost the server, KiB.
const KIB_MAX: f64 = 20.0;
/// Agents in a group: what one command may revoke.
const GROUP: usize = 1_000;
/// How long after the decision on a question, and after the first of all, the last may hear.
const WOKEN_MAX: Duration = Duration::from_secs(1);
/// Nobody waits longer; the test has failed then.
const LIMIT: Duration = Duration::from_mins(5);

fn settings(agents: usize) -> String {
    let manifest = |i| {
        let group = i / GROUP;
        format!("[[manifests]]\nagent_id = \"agent-{i}\"\nversion = 1\ngroup = \"fleet-{group}\"\n")
    };
    let manifests = (0..agents).map(manifest).collect::<Vec<_>>().concat();
    format!(
        "[policy]\nchallenge_s = 3600\n[policy.approval]\npasskey_for = []\n[policy.risk]\npayments = [\"wire\"]\n[[policy.when]]\nname = \"money\"\n\
         risk = [\"payments\"]\nat_least = \"step_up\"\n{manifests}"
    )
}

/// The path of each agent's question.
async fn challenged(tocsin: &Tocsin, agents: impl Iterator<Item = String>) -> Vec<String> {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut asked = JoinSet::new();
    for agent in agents {
        let act = json!({ "event_id": format!("act-{agent}"), "kind": "request", "ts": gate::now(), "agent_id": agent,
            "endpoint": "wire", "attestation": "token" });
        let request = tocsin.request(Method::POST, "/v1/gate", GATEWAY).timeout(LIMIT).body(act.to_string());
        let room = Arc::clone(&room);
        asked.spawn(async move {
            let _place = room.acquire().await;
            let body = loop {
                let request = request.try_clone().expect("a body of text");
                let answer = request.send().await.expect("the gate answers");
                let (status, body) = (answer.status(), answer.bytes().await.expect("a body"));
                let body: Value = serde_json::from_slice(&body).expect("JSON");
                if status == 401 {
                    break body;
                }
                // A score that comes late; the same act again waits for it.
                assert_eq!(body["type"], "urn:tocsin:problem:score_required", "{status} {body}");
            };
            let id = body["approval_id"].as_str().unwrap_or_else(|| panic!("no question in {body}"));
            format!("/v1/approvals/{id}")
        });
    }
    asked.join_all().await
}

/// The request of one waiter: every third polls, hears events, has a WebSocket.
fn request(i: usize, path: &str) -> String {
    let how = match i % 3 {
        0 => "",
        1 => "Accept: text/event-stream\r\n",
        _ => {
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        }
    };
    let wait = if how.is_empty() { "?wait=55" } else { "" };
    format!("GET {path}{wait} HTTP/1.1\r\nHost: tocsin\r\nAuthorization: Bearer {GATEWAY}\r\n{how}\r\n")
}

/// When one who waited heard, and how long after the decision on the question: after its command came in, so that the transaction
/// which ends a thousand questions is within it.
struct Heard {
    at: Instant,
    after: Duration,
}

impl Heard {
    /// None until the answer is whole.
    fn in_answer(text: &str) -> Option<Self> {
        let (_, settled) = text.split_once("\"superseded\"")?.1.split_once("\"settled_at\":\"")?;
        let settled: Timestamp = settled.split_once('"')?.0.parse().expect("a time");
        Some(Self { at: Instant::now(), after: gate::now().since(settled) })
    }
}

/// Waits on a connection of its own. `begun` once the server has the request.
async fn wait(address: String, request: String, is_stream: bool, begun: Arc<Semaphore>) -> Heard {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("it takes a request");
    let (mut read, mut some) = (Vec::new(), vec![0; 512]);
    let mut is_begun = false;
    loop {
        let text = String::from_utf8_lossy(&read);
        if !is_begun && (!is_stream || text.contains("\"pending\"")) {
            is_begun = true;
            begun.add_permits(1);
        }
        if let Some(heard) = Heard::in_answer(&text) {
            return heard;
        }
        let n = stream.read(&mut some).await.expect("it reads");
        assert!(n > 0, "the end came before the answer: {text}");
        read.extend_from_slice(&some[..n]);
    }
}

/// Lets this process, and the server that it starts, hold a connection of each, and some files.
fn let_open(agents: usize) {
    const MORE: u64 = 512;
    let (wanted, limit) = (agents as u64 + MORE, getrlimit(Resource::Nofile));
    // None is no limit.
    if limit.current.is_some_and(|soft| soft < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
            .expect("a soft limit may be raised to the hard one");
    }
    let most = limit.maximum.unwrap_or(u64::MAX);
    assert!(
        most >= wanted,
        "RLIMIT_NOFILE: {wanted} open files are needed and the hard limit is {most} (`ulimit -Hn`)"
    );
}

/// Resident memory of a process, KiB.
fn resident_kib(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process of ours");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// By one command a group, each by two persons.
fn revoke_all(tocsin: &Tocsin, agents: usize) {
    let post = |path: &str, body: Value| {
        let request = tocsin.request(Method::POST, path, OPERATOR).timeout(LIMIT).json(&body);
        http::send(request).expect("it answers").expect(200).json()
    };
    let propose = |group| {
        let what = json!({ "command": "revoke_group", "group": format!("fleet-{group}") });
        post("/v1/proposals", json!({ "person": "Olga", "reason": "drill", "what": what }))
    };
    for proposed in (0..agents.div_ceil(GROUP)).map(propose).collect::<Vec<_>>() {
        post("/v1/proposals/confirm", json!({ "person": "Kim", "reason": "drill", "id": proposed["id"] }));
    }
}

#[test]
fn thousands_wait_for_little_and_all_hear_at_once() {
    let agents = prove::scaled(90, 10_000);
    let_open(agents);
    let stage = Stage::new();
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(&settings(agents)));
    let names = (0..agents).map(|i| format!("agent-{i}"));
    let paths = http::block_on(challenged(&tocsin, names));
    let process = tocsin.process().id();
    let before = resident_kib(process);
    let address = tocsin.url("").trim_start_matches("http://").to_owned();
    let begun = Arc::new(Semaphore::new(0));
    let mut waiting = JoinSet::new();
    http::block_on(async {
        for (i, path) in paths.iter().enumerate() {
            waiting.spawn(wait(address.clone(), request(i, path), i % 3 != 0, Arc::clone(&begun)));
            if i % AT_ONCE == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let everybody = begun.acquire_many(u32::try_from(agents).expect("few"));
        tokio::time::timeout(LIMIT, everybody).await.expect("all wait").expect("open").forget();
        // A long poll is under way once its question was looked up.
        tokio::time::sleep(Duration::from_secs(2)).await;
    });
    let kib = (resident_kib(process) - before) / agents as f64;
    prove::row("memory of one who waits, KiB", kib, [kib; 2], "at most 20", kib <= KIB_MAX, "waiting");
    revoke_all(&tocsin, agents);
    let heard = http::block_on(async { tokio::time::timeout(LIMIT, waiting.join_all()).await });
    let mut heard = heard.expect("everybody hears");
    heard.sort_by_key(|heard| heard.after);
    let [median, last] = [heard.len() / 2, heard.len() - 1].map(|i| heard[i].after);
    let name = format!("{agents} who wait, from the decision on a question to who hears last, s");
    let range = [median, last].map(|after| after.as_secs_f64());
    prove::row(&name, range[1], range, "at most 1", last <= WOKEN_MAX, "waiting");
    heard.sort_by_key(|heard| heard.at);
    let spread = heard[heard.len() - 1].at - heard[0].at;
    let commands = agents.div_ceil(GROUP);
    let name =
        format!("{agents} who wait, from the first woken to the last, over {commands} commands in turn, s");
    let seconds = spread.as_secs_f64();
    prove::row(&name, seconds, [0.0, seconds], "at most 1", spread <= WOKEN_MAX, "waiting");

    // Who waits, in whichever way, holds up no end.
    let late = http::block_on(challenged(&tocsin, (0..3).map(|i| format!("late-{i}"))));
    let open: Vec<_> = late
        .iter()
        .enumerate()
        .map(|(i, path)| {
            let mut stream = std::net::TcpStream::connect(&address).expect("a connection");
            std::io::Write::write_all(&mut stream, request(i, path).as_bytes()).expect("it takes a request");
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    assert!(tocsin.stop().success());
    drop(open);
}
