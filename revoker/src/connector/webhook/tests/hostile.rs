//! Receivers that mean harm, and names of this very host: real sockets, on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

/// What a receiver does with a request that it has read.
#[derive(Clone)]
pub(super) enum Does {
    Answers(String),
    /// A byte now and then, for ever.
    Trickles,
    /// Ends its side before the answer is whole.
    HalfCloses,
    /// Ends the connection without a word.
    HangsUp,
}

impl Does {
    async fn with(self, mut socket: TcpStream) -> std::io::Result<()> {
        let mut request = [0; 4_096];
        if socket.read(&mut request).await? == 0 {
            return Ok(());
        }
        match self {
            Self::Answers(text) => socket.write_all(text.as_bytes()).await,
            Self::Trickles => loop {
                socket.write_all(b"H").await?;
                tokio::time::sleep(Duration::from_millis(10)).await;
            },
            Self::HalfCloses => {
                socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-len").await?;
                socket.shutdown().await?;
                while socket.read(&mut request).await? > 0 {}
                Ok(())
            }
            Self::HangsUp => Ok(()),
        }
    }
}

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A port of this host, by either protocol, and how many connections it took.
pub(super) async fn listen(does: Does) -> (u16, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let v4 = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = v4.local_addr().unwrap().port();
    // Not every host speaks IPv6.
    let v6 = TcpListener::bind(("::1", port)).await.ok();
    for listener in [Some(v4), v6].into_iter().flatten() {
        let (taken, does) = (Arc::clone(&taken), does.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                taken.fetch_add(1, Ordering::AcqRel);
                tokio::spawn(does.clone().with(socket));
            }
        });
    }
    (port, taken)
}

/// One at an address that the configuration would or would not take.
pub(super) fn webhook(url: &str, insecure: bool) -> Option<Webhook> {
    let route = Route { name: "idp".to_owned(), ..Route::default() };
    let target = Target::new(url, insecure).ok()?;
    Some(Webhook::new(route, target, Secrets::parse(SECRET).unwrap()).unwrap())
}

#[tokio::test]
async fn who_trickles_or_leaves_in_the_middle_fails_in_time() {
    for (does, why) in [(Does::Trickles, "timed out"), (Does::HalfCloses, ""), (Does::HangsUp, "")] {
        let (port, taken) = listen(does).await;
        let webhook = webhook(&format!("http://127.0.0.1:{port}/"), true).unwrap();
        let webhook = Webhook { timeout: Duration::from_millis(200), ..webhook };
        let outcome = webhook.deliver(&message(), at(0)).await;
        assert!(
            matches!(&outcome, Outcome::Failed { status: None, detail, .. } if detail.starts_with(why)),
            "{outcome:?}"
        );
        assert_eq!(taken.load(Ordering::Acquire), 1);
    }
}

#[tokio::test]
async fn nothing_is_said_to_one_with_a_certificate_of_no_authority() {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let shaken =
        tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await.is_ok() });
    let webhook = webhook(&format!("https://localhost:{port}/"), true).unwrap();
    let outcome = webhook.deliver(&message(), at(0)).await;
    assert!(
        matches!(&outcome, Outcome::Failed { status: None, detail, .. } if detail.contains("certificate")),
        "{outcome:?}"
    );
    assert!(!shaken.await.unwrap(), "the handshake was completed");
}

#[tokio::test]
async fn nothing_on_this_host_is_connected_to_by_any_of_its_names_nor_by_a_redirect() {
    const HOSTS: [&str; 13] = [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "017700000001",
        "0.0.0.0",
        "localhost",
        "localhost.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
    ];
    let (port, taken) = listen(Does::Answers(OK.to_owned())).await;
    for host in HOSTS {
        for scheme in ["http", "https"] {
            if let Some(webhook) = webhook(&format!("{scheme}://{host}:{port}/"), false) {
                let outcome = webhook.deliver(&message(), at(0)).await;
                assert!(matches!(outcome, Outcome::Failed { status: None, .. }), "{host}: {outcome:?}");
            }
        }
    }
    let inward =
        format!("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{port}/\r\ncontent-length: 0\r\n\r\n");
    let (leads, asked) = listen(Does::Answers(inward)).await;
    let led = webhook(&format!("http://127.0.0.1:{leads}/"), true).unwrap();
    let outcome = led.deliver(&message(), at(0)).await;
    assert!(matches!(outcome, Outcome::Failed { status: Some(302), .. }), "{outcome:?}");
    assert_eq!(asked.load(Ordering::Acquire), 1);
    let connections = taken.load(Ordering::Acquire);
    assert_eq!(connections, 0, "connections that were made");
    // They would have been taken, were they allowed.
    for host in HOSTS.into_iter().filter(|host| !host.starts_with('[') && !host.ends_with('.')) {
        let allowed = webhook(&format!("http://{host}:{port}/"), true).unwrap();
        assert_eq!(allowed.deliver(&message(), at(0)).await, Outcome::Acknowledged { status: 200 }, "{host}");
    }
    crate::testing::prove::row(
        "connections to this host by 13 of its names and literals, and by a redirect inward",
        connections,
        "0",
        "nothing_on_this_host_is_connected_to",
    );
}
