//! AuthZEN decisions on one core beside the HTTP framework's empty handler on the same core, 100,000 agents known.
//!
//! The real program runs on core 0, from memory and scored; so does, in turn, a server that answers every request with nothing.
//! Four connections on the other core ask again as soon as they are answered, so a rate is what the core gives and a latency is
//! that of a busy one. A scored decision is durable before it is answered (one group commit, synced) and is what the log, the
//! detector, the record and the embedded database do about it on that one core.

#![expect(clippy::expect_used, reason = "a bench ends where its ground gives way, and says where")]

#[path = "support/prove.rs"]
mod prove;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::post;
use detector::Timestamp;

use self::prove::{Figure, is_bench, prove};

const AGENTS: u64 = 100_000;
const CONNECTIONS: usize = 4;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
/// The share of the empty handler's rate, and times its p99, that a decision must keep to.
const RATE_GOAL: f64 = 0.6;
const P99_GOAL: f64 = 2.0;
const TOKEN: &str = "the-gateway-of-a-bench-0123456789";
/// Lines in one request of the past.
const CHUNK: u64 = 10_000;
const START_LIMIT: Duration = Duration::from_mins(2);

/// A server on core 0; killed when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn on_core(core: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// This program again, as the server that does nothing.
fn empty() -> Server {
    let mut command = on_core(0, std::env::current_exe().expect("a program"));
    let mut child = command.arg("--empty").stdout(Stdio::piped()).spawn().expect("taskset of util-linux");
    let mut address = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut address).expect("its address");
    Server { child, address: address.trim().to_owned() }
}

fn serve_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        let router = Router::new().route("/access/v1/evaluation", post(async || ()));
        axum::serve(listener, router).await.expect("it serves");
    });
}

fn tocsin(folder: &Path) -> Server {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let config = format!(
        "data_dir = {:?}\nworkers = 1\n[http]\nlisten = \"{address}\"\nlines_per_second_max = 1000000\n[[http.credentials]]\n\
         name = \"gateway\"\ntoken = \"{TOKEN}\"\nroles = [\"ingest\", \"gateway\"]\nattestation_max = \"token\"\n",
        folder.join("data").display().to_string()
    );
    std::fs::write(folder.join("tocsin.toml"), config).expect("a file");
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join(".parts/engine/libchdb.so");
    let mut command = on_core(0, env!("CARGO_BIN_EXE_tocsin"));
    command.arg("serve").arg("--config").arg(folder.join("tocsin.toml"));
    command.env("TOCSIN_STORE__ENGINE", engine).env("TOCSIN_LOG", "error");
    let child = command.stdout(Stdio::null()).spawn().expect("taskset of util-linux");
    let server = Server { child, address };
    let began = Instant::now();
    while !is_ready(&server.address) {
        assert!(began.elapsed() < START_LIMIT, "the program is not ready");
        std::thread::sleep(Duration::from_millis(100));
    }
    server
}

fn is_ready(address: &str) -> bool {
    let Ok(stream) = TcpStream::connect(address) else { return false };
    let mut connection = Connection::new(stream);
    connection.ask("GET /readyz HTTP/1.1\r\nHost: bench\r\n\r\n") == 200
}

/// One that keeps its connection.
struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket");
        Self { stream, read: Vec::with_capacity(4_096) }
    }

    fn open(address: &str) -> Self {
        Self::new(TcpStream::connect(address).expect("a connection"))
    }

    /// Sends a request and reads its answer whole; gives the status.
    fn ask(&mut self, request: &str) -> u16 {
        self.stream.write_all(request.as_bytes()).expect("it takes a request");
        self.read.clear();
        let mut some = [0; 4_096];
        loop {
            let n = self.stream.read(&mut some).expect("an answer");
            assert!(n > 0, "the connection was closed");
            self.read.extend_from_slice(&some[..n]);
            let text = String::from_utf8_lossy(&self.read);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a number")) {
                return head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
            }
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp::from_millis(i64::try_from(since.as_millis()).expect("a time"))
}

/// Gives the program calls of every agent, a few minutes old.
fn known(server: &Server) {
    let mut connection = Connection::open(&server.address);
    let ts = now() - Duration::from_mins(5);
    for chunk in 0..AGENTS / CHUNK {
        let mut lines = String::new();
        for agent in chunk * CHUNK..(chunk + 1) * CHUNK {
            writeln!(lines, "{{\"event_id\":\"past-{agent}\",\"ts\":\"{ts}\",\"agent_id\":\"agent-{agent}\",\"endpoint\":\"read\",\"attestation\":\"token\"}}")
                .expect("a string takes all");
        }
        let head = format!(
            "POST /v1/calls HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
            lines.len()
        );
        assert_eq!(connection.ask(&(head + &lines)), 200);
    }
}

/// The next request of one connection.
fn evaluation(n: u64, scored: bool) -> String {
    let agent = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % AGENTS;
    let context = if scored {
        format!(",\"context\":{{\"event_id\":\"bench-{n}\",\"ts\":\"{}\"}}", now())
    } else {
        String::new()
    };
    let body = format!(
        "{{\"subject\":{{\"type\":\"agent\",\"id\":\"agent-{agent}\",\"properties\":{{\"attestation\":\"token\"}}}},\
         \"action\":{{\"name\":\"read\"}},\"resource\":{{\"type\":\"record\",\"id\":\"record-1\"}}{context}}}"
    );
    format!(
        "POST /access/v1/evaluation HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Decisions a second and the p99 of their latency in ms, of one round.
type Round = (f64, f64);

fn rate(round: &Round) -> f64 {
    round.0
}

fn p99(round: &Round) -> f64 {
    round.1
}

fn round(server: &Server, scored: bool, from: u64) -> Round {
    let began = Instant::now();
    let each = |first: u64| {
        let mut connection = Connection::open(&server.address);
        let mut took = Vec::new();
        let mut n = first;
        while began.elapsed() < ROUND {
            let request = evaluation(n, scored);
            let asked = Instant::now();
            assert_eq!(connection.ask(&request), 200);
            took.push(asked.elapsed().as_secs_f64() * 1e3);
            n += CONNECTIONS as u64;
        }
        took
    };
    let mut took: Vec<f64> = std::thread::scope(|scope| {
        let connections: Vec<_> =
            (0..CONNECTIONS as u64).map(|i| scope.spawn(move || each(from + i))).collect();
        connections.into_iter().flat_map(|connection| connection.join().expect("it asked")).collect()
    });
    took.sort_by(f64::total_cmp);
    (took.len() as f64 / began.elapsed().as_secs_f64(), took[took.len() * 99 / 100])
}

fn main() {
    if std::env::args().any(|arg| arg == "--empty") {
        return serve_nothing();
    }
    if !is_bench() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (empty, tocsin) = (empty(), tocsin(folder.path()));
    // The load is made on another core than the one that is measured.
    let own = std::process::id().to_string();
    Command::new("taskset").args(["-cp", "1", &own]).stdout(Stdio::null()).status().expect("taskset");
    known(&tocsin);
    round(&tocsin, true, 1 << 40);
    let [mut floors, mut memories, mut scores] = [Vec::new(), Vec::new(), Vec::new()];
    for i in 0..ROUNDS as u64 {
        floors.push(round(&empty, false, i << 32));
        memories.push(round(&tocsin, false, i << 32));
        scores.push(round(&tocsin, true, i << 32));
    }
    let of = |rounds: &[Round], pick: fn(&Round) -> f64| Figure::of(rounds.iter().map(pick).collect());
    let against = |rounds: &[Round], pick: fn(&Round) -> f64| {
        Figure::of(rounds.iter().zip(&floors).map(|(own, floor)| pick(own) / pick(floor)).collect())
    };
    for (what, rounds) in
        [("empty handler", &floors), ("AuthZEN from memory", &memories), ("AuthZEN scored", &scores)]
    {
        prove(&format!("{what}, one core, decisions/s"), of(rounds, rate), "", true);
        prove(&format!("{what}, one core, p99 ms"), of(rounds, p99), "", true);
    }
    for (what, rounds) in [("AuthZEN from memory", &memories), ("AuthZEN scored", &scores)] {
        let (share, times) = (against(rounds, rate), against(rounds, p99));
        let name = format!("{what}, share of the empty handler's rate");
        prove(&name, share, "at least 0.6", share.value >= RATE_GOAL);
        prove(&format!("{what}, p99 by the empty handler's"), times, "at most 2", times.value <= P99_GOAL);
    }
}
