mod hostile;
mod rebinding;

use super::*;
use crate::testing::at;
use crate::testing::receiver::{Receiver, Reply, SECRET};

fn message() -> Message {
    Message { id: "evt_1".to_owned(), kind: "agent.challenged".to_owned(), body: br#"{"a":1}"#.to_vec() }
}

#[tokio::test]
async fn while_rotating_either_secret_verifies() {
    let receiver = Receiver::start(&[]).await;
    let old = "whsec_b2xkIHNlY3JldCBvbGQgc2VjcmV0IG9sZA==";
    let secrets = Secrets::parse(&format!("{SECRET} {old}")).unwrap();
    let target = Target::new(&receiver.url(), true).unwrap();
    let webhook =
        Webhook::new(Route { name: "idp".to_owned(), ..Route::default() }, target, secrets).unwrap();
    let now = Timestamp::default() + std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    assert_eq!(webhook.deliver(&message(), now).await, Outcome::Acknowledged { status: 200 });
    let seen = receiver.seen();
    for secret in [SECRET, old] {
        let verifier = standardwebhooks::Webhook::new(secret).unwrap();
        verifier.verify(&seen[0].body, &seen[0].headers).unwrap();
        assert!(verifier.verify(b"{}", &seen[0].headers).is_err());
    }
}

#[tokio::test]
async fn each_answer_means_one_thing() {
    let replies = [
        Reply::Status(204),
        Reply::Status(410),
        Reply::Status(400),
        Reply::RetryAfter(503, "Mon, 02 Mar 2026 09:01:40 GMT"),
        Reply::Redirect,
    ];
    let receiver = Receiver::start(&replies).await;
    let webhook = receiver.webhook("idp");
    let mut outcomes = Vec::new();
    for _ in replies {
        outcomes.push(webhook.deliver(&message(), at(0)).await);
    }
    insta::assert_debug_snapshot!(outcomes, @r#"
    [
        Acknowledged {
            status: 204,
        },
        Gone {
            status: 410,
        },
        Failed {
            status: Some(
                400,
            ),
            detail: "refused",
            wait: None,
        },
        Failed {
            status: Some(
                503,
            ),
            detail: "refused",
            wait: Some(
                100s,
            ),
        },
        Failed {
            status: Some(
                307,
            ),
            detail: "a redirect, which is not followed",
            wait: None,
        },
    ]
    "#);
}

#[tokio::test]
async fn a_target_that_never_answers_fails_in_time() {
    let receiver = Receiver::start(&[Reply::Hang]).await;
    let webhook = Webhook { timeout: Duration::from_millis(50), ..receiver.webhook("idp") };
    let outcome = webhook.deliver(&message(), at(0)).await;
    assert!(
        matches!(&outcome, Outcome::Failed { status: None, detail, wait: None } if detail.starts_with("timed out")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn an_endless_answer_is_not_read() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sent = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 64];
        socket.read_exact(&mut request).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n").await.unwrap();
        let mut sent = 0_u64;
        while socket.write_all(&[b'x'; 8_192]).await.is_ok() {
            sent += 8_192;
        }
        sent
    });
    let target = Target::new(&format!("http://{address}/"), true).unwrap();
    let route = Route { name: "idp".to_owned(), ..Route::default() };
    let webhook = Webhook::new(route, target, Secrets::parse(SECRET).unwrap()).unwrap();
    assert_eq!(webhook.deliver(&message(), at(0)).await, Outcome::Acknowledged { status: 200 });
    // What the sockets between us buffered, and nothing near what was promised.
    assert!(sent.await.unwrap() < 64 << 20);
}

#[tokio::test]
async fn a_name_that_leads_to_this_host_is_refused_and_the_address_is_not_told() {
    let target = Target::new("https://localhost:9/s3cr3t-path", false).unwrap();
    let route = Route { name: "idp".to_owned(), ..Route::default() };
    let webhook = Webhook::new(route, target, Secrets::parse(SECRET).unwrap()).unwrap();
    let Outcome::Failed { status: None, detail, .. } = webhook.deliver(&message(), at(0)).await else {
        panic!()
    };
    assert!(detail.contains("no public address"), "{detail}");
    assert!(!detail.contains("s3cr3t"), "{detail}");
}

#[tokio::test]
async fn nothing_is_said_to_a_target_that_does_not_prove_itself() {
    let receiver = Receiver::start(&[]).await;
    let target = Target::new(&receiver.url().replace("http:", "https:"), true).unwrap();
    let route = Route { name: "idp".to_owned(), ..Route::default() };
    let webhook = Webhook::new(route, target, Secrets::parse(SECRET).unwrap()).unwrap();
    assert!(matches!(webhook.deliver(&message(), at(0)).await, Outcome::Failed { status: None, .. }));
    assert!(receiver.seen().is_empty());
}
