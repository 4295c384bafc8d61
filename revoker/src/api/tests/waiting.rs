//! Waiting on an open connection: events and WebSockets say the same as the long poll.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::support::{Ask, Browser, World};

/// A challenged agent: the path of its question and the number.
async fn asked(world: &World) -> (String, String) {
    let challenged = world.gate("e1", "billing", 8.0).await.json();
    let status = challenged["status_url"].as_str().unwrap().replace("http://tocsin.test", "");
    (status, challenged["binding_code"].as_str().unwrap().to_owned())
}

async fn approve(world: &World, number: &str) {
    let dana = world.approver("Dana", &[]).await;
    let (page, _) = world.newest_page().await;
    let mut browser = Browser::open(world, &page).await;
    assert_eq!(browser.post("approve", (&dana.name, &dana.code(world)), number).await, 303);
}

/// Reads until `text` has come.
async fn until(stream: &mut TcpStream, text: &str) -> String {
    let (mut read, mut some) = (Vec::new(), [0; 1_024]);
    while !String::from_utf8_lossy(&read).contains(text) {
        let n = stream.read(&mut some).await.unwrap();
        assert!(n > 0, "no `{text}` in {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&some[..n]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// One frame that the server sent: its kind and its content.
async fn frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let [first, length] = [stream.read_u8().await.unwrap(), stream.read_u8().await.unwrap()];
    let length = match length {
        126 => usize::from(stream.read_u16().await.unwrap()),
        short => usize::from(short),
    };
    let mut content = vec![0; length];
    stream.read_exact(&mut content).await.unwrap();
    (first & 0x0f, content)
}

async fn message(stream: &mut TcpStream) -> Value {
    let (kind, content) = frame(stream).await;
    assert_eq!(kind, 1, "{}", String::from_utf8_lossy(&content));
    serde_json::from_slice(&content).unwrap()
}

/// The code and reason of the closing frame.
async fn closing(stream: &mut TcpStream) -> (u16, String) {
    let (kind, content) = frame(stream).await;
    assert_eq!(kind, 8);
    (u16::from_be_bytes([content[0], content[1]]), String::from_utf8_lossy(&content[2..]).into_owned())
}

fn handshake(path: &str) -> Ask {
    Ask::get(path)
        .bearer("gateway")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

async fn socket(world: &World, path: &str) -> TcpStream {
    let mut stream = world.begin(handshake(path)).await;
    // Byte by byte: the first frame may be there already.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream
}

#[tokio::test]
async fn events_tell_the_question_as_it_is_and_as_it_is_settled() {
    let world = World::new().await;
    let (path, number) = asked(&world).await;
    let listening = Ask::get(&path).bearer("gateway").header("Accept", "text/event-stream");
    let mut stream = world.begin(listening.clone()).await;
    let first = until(&mut stream, "\n\n").await;
    assert!(first.contains("event: status") && first.contains("\"status\":\"pending\""), "{first}");
    approve(&world, &number).await;
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("\"status\":\"approved\"") && rest.contains("\"token\":\"eyJ"), "{rest}");
    let settled = world.send(listening).await;
    assert_eq!(settled.body.matches("event: status").count(), 1, "{settled:?}");
}

#[tokio::test]
async fn a_socket_tells_the_same_and_closes() {
    let world = World::new().await;
    let (path, number) = asked(&world).await;
    let mut waiting = socket(&world, &path).await;
    assert_eq!(message(&mut waiting).await["status"], "pending");
    // What it says itself changes nothing: a masked text.
    waiting.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    approve(&world, &number).await;
    let settled = message(&mut waiting).await;
    assert_eq!(settled["status"], "approved");
    assert!(settled["grant"]["token"].as_str().unwrap().starts_with("eyJ"));
    assert_eq!(closing(&mut waiting).await, (1_000, "settled".to_owned()));
    let mut late = socket(&world, &path).await;
    assert_eq!(message(&mut late).await["status"], "approved");
    assert_eq!(closing(&mut late).await, (1_000, "settled".to_owned()));
}

#[tokio::test]
async fn a_confirmation_comes_over_a_socket_with_its_token() {
    let world = World::new().await;
    let dana = world.approver("Dana", &["dana@example.com"]).await;
    let operation = async |name: &str, body: Value| {
        world.send(Ask::post(&format!("/v1/mfa/{name}"), &body).bearer("gateway")).await.json()
    };
    let params = json!({ "agent": "billing", "action": "send_email" });
    let init = json!({ "username": "dana", "email": "dana@example.com", "params": params });
    let tid = operation("promptless_init_transaction", init).await["tid"].as_str().unwrap().to_owned();
    let path = format!("/v1/mfa/promptless_wait_for_confirmation?tid={tid}");
    let refused = async |path: &str| world.send(handshake(path).header("Connection", "Upgrade, close")).await;
    assert_eq!(refused(&path).await.status, 409, "nobody was asked yet");
    let sent = operation("promptless_send_method", json!({ "tid": tid })).await;
    for wrong in ["0", "-1", "1.5", "soon"] {
        let refused = refused(&format!("{path}&timeoutSeconds={wrong}")).await;
        assert_eq!(
            (refused.status, &refused.json()["type"]),
            (400, &"urn:tocsin:problem:bad_timeout".into())
        );
    }
    let mut waiting = socket(&world, &format!("{path}&timeoutSeconds=60")).await;
    assert_eq!(message(&mut waiting).await["status"], "pending");
    let open = world.send(Ask::get("/v1/approvals").bearer("analyst")).await.json();
    let page = open["rows"][0]["page_url"].as_str().unwrap().replace("http://tocsin.test", "");
    let mut browser = Browser::open(&world, &page).await;
    let number = sent["binding_code"].as_str().unwrap();
    assert_eq!(browser.post("approve", (&dana.name, &dana.code(&world)), number).await, 303);
    let confirmed = message(&mut waiting).await;
    assert_eq!((&confirmed["status"], &confirmed["tid"]), (&"confirmed".into(), &tid.as_str().into()));
    assert!(confirmed["token"].as_str().is_some_and(|token| token.starts_with("eyJ")), "{confirmed}");
    assert_eq!(closing(&mut waiting).await, (1_000, "settled".to_owned()));
}

#[tokio::test]
async fn a_wait_ends_after_whole_seconds_and_others_are_refused_by_name() {
    let world = World::new().await;
    let (path, _) = asked(&world).await;
    let mut waiting = socket(&world, &format!("{path}?timeout=1")).await;
    assert_eq!(message(&mut waiting).await["status"], "pending");
    assert_eq!(closing(&mut waiting).await, (1_000, "timeout".to_owned()));
    for wrong in ["0", "-1", "0.5", "soon"] {
        let refused = world.send(Ask::get(&format!("{path}?timeout={wrong}")).bearer("gateway")).await;
        assert_eq!(refused.status, 400);
        assert!(refused.json()["detail"].as_str().unwrap().contains("timeout"), "{refused:?}");
    }
    let unknown = Ask::get("/v1/approvals/apr_00000000000000000000000000000000").bearer("gateway");
    assert_eq!(world.send(unknown.header("Accept", "text/event-stream")).await.status, 404);
}
