//! A name server that changes its mind: first a public address, so that the name passes, then one that only this host can reach.
//! The webhook's own client, real sockets; only what names lead to is made up.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::hostile::{Does, OK, listen, webhook};
use super::*;
use crate::connector::http::client_by;
use crate::connector::target::NothingPublic;
use crate::testing::prove;

/// Public, and of a block that IANA has given nobody (`3000::/4`): what is sent there reaches no one.
const PUBLIC: IpAddr = IpAddr::V6(Ipv6Addr::new(0x3000, 0, 0, 0, 0, 0, 0, 1));

/// Answers that lead to this very host, where something listens.
const HERE: [&str; 5] = ["127.0.0.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"];

/// Answers that lead to what this host can reach and others cannot: metadata services, private networks, and these in IPv6.
const INWARD: [&str; 13] = [
    "169.254.169.254",
    "100.100.100.200",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "fe80::1",
    "fd00:ec2::254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::1",
];

/// Answers in turn, and how often it was asked.
#[derive(Clone, Default)]
struct Fickle {
    answers: Arc<Mutex<VecDeque<Vec<IpAddr>>>>,
    asked: Arc<AtomicUsize>,
}

impl Fickle {
    fn new(answers: impl IntoIterator<Item = Vec<IpAddr>>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), asked: Arc::default() }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Acquire)
    }

    /// One whose address names `rebinds.example`, and asks here what that is.
    fn webhook(&self, scheme: &str, port: u16, insecure: bool) -> Webhook {
        let webhook = webhook(&format!("{scheme}://rebinds.example:{port}/"), insecure).unwrap();
        let client = client_by(&webhook.target, self.clone()).unwrap();
        // Long enough that a client which has two addresses tries both.
        Webhook { client, timeout: Duration::from_secs(1), ..webhook }
    }
}

impl Resolve for Fickle {
    fn resolve(&self, _: Name) -> Resolving {
        self.asked.fetch_add(1, Ordering::AcqRel);
        let answer = self.answers.lock().unwrap().pop_front().expect("asked no more often than is foreseen");
        let found = answer.into_iter().map(|ip| SocketAddr::new(ip, 0));
        Box::pin(async move { Ok(Box::new(found) as Addrs) })
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Why a delivery made no connection.
async fn refused(webhook: &Webhook) -> String {
    match webhook.deliver(&message(), at(0)).await {
        Outcome::Failed { status: None, detail, .. } => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_name_that_is_rebound_between_two_attempts_is_looked_at_anew_and_connected_to_no_more() {
    let (port, taken) = listen(Does::Answers(OK.to_owned())).await;
    let nothing = NothingPublic.to_string();
    let attempts = HERE.into_iter().chain(INWARD).map(|inward| {
        let nothing = &nothing;
        async move {
            let names = Fickle::new([vec![PUBLIC], vec![ip(inward)], vec![ip(inward), ip("127.0.0.1")]]);
            let webhook = names.webhook("https", port, false);
            // Goes out, and fails for want of somebody there.
            let first = refused(&webhook).await;
            assert!(!first.contains(nothing), "{inward}: {first}");
            for again in 2..=3 {
                let why = refused(&webhook).await;
                assert!(why.ends_with(nothing), "{inward}: {why}");
                assert_eq!(names.asked(), again, "{inward}: each attempt asks");
            }
        }
    });
    join_all(attempts).await;
    let connections = taken.load(Ordering::Acquire);
    assert_eq!(connections, 0, "connections that were made");
    // They would have been taken, were they allowed. Not every host speaks IPv6.
    for here in HERE.map(ip).into_iter().filter(IpAddr::is_ipv4) {
        let allowed = Fickle::new([vec![here]]).webhook("http", port, true);
        assert_eq!(allowed.deliver(&message(), at(0)).await, Outcome::Acknowledged { status: 200 }, "{here}");
    }
    prove::row(
        "outbound-safety corpus: connections by a name that is rebound inward after a public answer, to 18 addresses",
        connections,
        "0",
        "a_name_that_is_rebound",
    );
}

#[tokio::test]
async fn of_an_answer_that_is_partly_public_the_rest_is_never_connected_to() {
    let (port, taken) = listen(Does::Answers(OK.to_owned())).await;
    let mixed = |here: &str| [vec![PUBLIC, ip(here)], vec![ip(here), PUBLIC]];
    let attempts = HERE.into_iter().flat_map(mixed).map(|answer| async move {
        let why = refused(&Fickle::new([answer.clone()]).webhook("https", port, false)).await;
        assert!(!why.contains(&NothingPublic.to_string()), "{answer:?}: {why}");
    });
    join_all(attempts).await;
    let connections = taken.load(Ordering::Acquire);
    assert_eq!(connections, 0, "connections that were made");
    // Who may connect to all of it comes to the other address, where nobody is at the public one.
    for answer in mixed("127.0.0.1") {
        let allowed = Fickle::new([answer]).webhook("http", port, true);
        assert_eq!(allowed.deliver(&message(), at(0)).await, Outcome::Acknowledged { status: 200 });
    }
    prove::row(
        "outbound-safety corpus: connections inward by answers that hold a public address as well",
        connections,
        "0",
        "of_an_answer_that_is_partly_public",
    );
}

#[tokio::test]
async fn an_answer_is_good_for_one_connection_and_no_longer_than_that() {
    const LAST: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        for answer in [OK, LAST] {
            assert!(socket.read(&mut [0; 4_096]).await.unwrap() > 0);
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
        listener
    });
    // Nobody whom we could keep a connection with is public, so the target is an insecure one: what asks is the same client.
    let names = Fickle::new([vec![ip("127.0.0.1")], vec![PUBLIC]]);
    let webhook = names.webhook("http", port, true);
    for _ in 0..2 {
        assert_eq!(webhook.deliver(&message(), at(0)).await, Outcome::Acknowledged { status: 200 });
        assert_eq!(names.asked(), 1, "one connection, kept");
    }
    let _listens_on = served.await.unwrap();
    refused(&webhook).await;
    assert_eq!(names.asked(), 2);
}
