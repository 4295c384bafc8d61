use std::io::Write as _;

use serde_json::Value;

use super::*;
use crate::finding::{Findings, Recorded};
use crate::log::{Log, LogConfig};

const TOKEN: &str = "a-token-of-enough-bytes";

struct Served {
    data: tempfile::TempDir,
    url: String,
    client: reqwest::Client,
    log: Log,
    findings: Arc<Recorded>,
    stop: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(config: HttpConfig, bytes_max: i64) -> Served {
    let data = tempfile::tempdir().unwrap();
    let log_config = LogConfig { bytes_max, ..LogConfig::read_by(&["score"]) };
    let log = Log::open(&data.path().join("calls.db"), log_config).unwrap();
    let findings = Arc::new(Recorded::default());
    let intake = Intake::new(log.clone(), Findings::new(Arc::<Recorded>::clone(&findings)));
    let credentials = Arc::new(Credentials::resolve(&config.credentials, |_| None).unwrap());
    let stop = CancellationToken::new();
    let app = router(HttpState::new(&config, credentials, intake, stop.clone()));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    // The client wants to know how it would encrypt, though it does not here. Another test may have told it already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let url = format!("http://{}/v1/calls", listener.local_addr().unwrap());
    let stopped = stop.clone();
    tokio::spawn(async move {
        axum::serve(listener, app).with_graceful_shutdown(stopped.cancelled_owned()).await
    });
    Served { data, url, client: reqwest::Client::new(), log, findings, stop }
}

fn config() -> HttpConfig {
    let credential: CredentialConfig = serde_json::from_value(serde_json::json!({
        "name": "gateway", "token": TOKEN, "roles": ["ingest"], "attestation_max": "token",
    }))
    .unwrap();
    HttpConfig { credentials: vec![credential], ..HttpConfig::default() }
}

impl Served {
    fn post(&self, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.client.post(&self.url).bearer_auth(TOKEN).body(body)
    }

    async fn answer(&self, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let answer = self.post(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    fn stored(&self) -> usize {
        self.log.reader().unwrap().read(1, usize::MAX, usize::MAX).unwrap().len()
    }
}

fn call(id: &str, endpoint: &str) -> String {
    format!(r#"{{"event_id":"{id}","ts":"2026-03-01T00:00:00Z","agent_id":"a","endpoint":"{endpoint}"}}"#)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_settles_every_line_and_sending_it_again_changes_nothing() {
    let served = serve(config(), 1 << 30).await;
    let body = [
        call("1", "x"),
        call("1", "x"),
        "{\"event_id\":".to_owned(),
        String::new(),
        call("1", "y"),
        r#"{"event_id":"2","kind":"feedback","ts":"2026-03-01T00:00:00Z","agent_id":"a"}"#.to_owned(),
        r#"{"event_id":"h","kind":"heartbeat","ts":"2026-03-01T00:00:00Z","source":"s","new":1}"#.to_owned(),
    ]
    .join("\n");
    let (status, answer) = served.answer(body.clone()).await;
    insta::assert_snapshot!(format!("{status} {answer:#}"), @r#"
    200 {
      "bad": [
        {
          "field": "event_id",
          "line": 3,
          "reason": "EOF while parsing a value, at column 12"
        },
        {
          "field": "event_id",
          "line": 5,
          "reason": "conflict: `1` was told before with other content"
        },
        {
          "field": "kind",
          "line": 6,
          "reason": "feedback is for Tocsin itself to write"
        }
      ],
      "conflicts": 1,
      "duplicates": 1,
      "more": 0,
      "rejected": 2,
      "stored": 2,
      "unknown_fields": 1
    }
    "#);
    let stored = served.stored();
    assert_eq!(stored, 5, "two records and three rejects");
    let (status, again) = served.answer(body).await;
    assert_eq!((status, &again["stored"], &again["duplicates"]), (200, &0.into(), &3.into()));
    assert_eq!(again["bad"], answer["bad"]);
    assert_eq!(served.stored(), stored);
    insta::assert_debug_snapshot!(served.findings.texts(), @r#"
    [
        "http/gateway, line 5: event id `1` was told before with other content",
    ]
    "#);
    assert!(served.data.path().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gzip_and_cloudtrail_are_told_from_the_bytes() {
    let served = serve(config(), 1 << 30).await;
    let lines = (0..5_000).map(|i| call(&i.to_string(), "x") + "\n").collect::<String>();
    let body = gzip(lines.as_bytes());
    let request = served.post(body.clone()).header("content-encoding", "gzip");
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["stored"], 5_000);
    let (_, cut) = served.answer(body[..body.len() - 20].to_vec()).await;
    assert_eq!((&cut["stored"], &cut["rejected"]), (&0.into(), &1.into()), "{cut}");
    let trail = r#"{"Records":[{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"P","arn":"arn:aws:iam::123456789012:user/u","accountId":"123456789012"},"eventTime":"2026-03-01T00:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","eventID":"e-1"}]}"#;
    let (_, answer) = served.answer(trail).await;
    assert_eq!(answer["stored"], 1, "{answer}");
    assert_eq!(served.answer("").await.1["stored"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_taken_is_refused_with_a_reason() {
    let limited =
        HttpConfig { body_bytes_max: 4_096, line_bytes_max: 200, lines_per_second_max: 10, ..config() };
    let served = serve(limited, 1 << 30).await;
    let problem = |(status, body): (u16, Value)| format!("{status} {}", body["type"].as_str().unwrap());
    let send = |request: reqwest::RequestBuilder| async move {
        let answer = request.send().await.unwrap();
        let retry = answer.headers().get("retry-after").is_some();
        (answer.status().as_u16(), retry, answer.json::<Value>().await.unwrap())
    };
    assert_eq!(problem(served.answer(vec![b'x'; 4_097]).await), "413 urn:tocsin:problem:too_large");
    let (status, _, _) = send(served.post("x").header("content-encoding", "br")).await;
    assert_eq!(status, 415);
    let (status, _, _) = send(served.client.post(&served.url).body("x")).await;
    assert_eq!(status, 401);
    let (status, answer) = served.answer(call("1", &"x".repeat(200))).await;
    assert_eq!((status, &answer["rejected"]), (200, &1.into()), "a long line is that line's fault alone");
    let many = "7\n".repeat(30);
    assert_eq!(served.answer(many).await.0, 200);
    let (status, retry, body) = send(served.post(call("1", "x"))).await;
    assert_eq!((status, retry, &body["type"]), (429, true, &"urn:tocsin:problem:rate".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_nothing_acknowledged_is_lost() {
    let served = serve(config(), 256 << 10).await;
    let mut acknowledged = 0_u32;
    let (status, body) = loop {
        let (status, body) = served.answer(call(&acknowledged.to_string(), &"x".repeat(4_000))).await;
        if status != 200 {
            break (status, body);
        }
        acknowledged += 1;
    };
    assert_eq!((status, &body["type"]), (507, &"urn:tocsin:problem:full".into()));
    assert_eq!(served.stored(), acknowledged as usize);
    served.log.advance("score", 1 + i64::from(acknowledged)).await.unwrap();
    assert_eq!(served.answer(call("more", "x")).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_is_not_taken_at_all() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let served = serve(config(), 1 << 30).await;
    let address = served.url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let line = call("1", "x") + "\n";
    let head = format!(
        "POST /v1/calls HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n{line}",
        line.len() * 2
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(served.stored(), 0);
    assert_eq!(served.answer(line).await.1["stored"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_pressure_clients_are_told_to_come_back() {
    let served = serve(config(), 1 << 30).await;
    // A disk that does not answer: somebody else holds the write lock.
    let stall = rusqlite::Connection::open(served.data.path().join("calls.db")).unwrap();
    stall.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for i in 0..5 {
        let lines =
            (0..900).map(|n| call(&format!("{i}-{n}"), &"x".repeat(15_000)) + "\n").collect::<String>();
        let request = served.post(lines);
        waiting.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    // Five bodies of 13 MiB are more than are held at a time: one at least is turned away while the disk stands still.
    let first = waiting.join_next().await.unwrap().unwrap();
    assert_eq!(first, 429);
    stall.execute_batch("COMMIT").unwrap();
    let mut rest = waiting.join_all().await;
    rest.sort_unstable();
    assert_eq!(rest[0], 200, "{rest:?}");
    let taken = rest.iter().filter(|status| **status == 200).count();
    assert_eq!(served.stored(), taken * 900);
}

#[test]
fn the_section_has_defaults_and_refuses_what_it_does_not_know() {
    let config: HttpConfig = serde_json::from_str(r#"{"listen":"0.0.0.0:80"}"#).unwrap();
    assert_eq!((config.listen.port(), config.body_bytes_max), (80, 16 << 20));
    assert!(serde_json::from_str::<HttpConfig>(r#"{"lisen":"0.0.0.0:80"}"#).is_err());
}
