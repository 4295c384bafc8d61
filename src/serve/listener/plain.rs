//! Connections without TLS.

use std::convert::Infallible;
use std::pin::{Pin, pin};

use axum::Router;
use axum::serve::Listener as Accept;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Sockets;

/// What a connection of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Answers until `stop`, and then what was asked before.
///
/// Thousands may wait on a connection each, so it is made for them: `axum::serve` copies the table of routes for each (45 KiB), and
/// reads the first bytes to tell HTTP/2 apart, which has hyper hold twice the buffer (16 KiB) for the rest.
pub(super) async fn answer_all(mut listener: Sockets, router: Router, stop: CancellationToken) {
    let service = TowerToHyperService::new(router.with_state(()));
    let (open, mut ended) = mpsc::channel::<Infallible>(1);
    while let Some((stream, _)) = stop.run_until_cancelled(listener.accept()).await {
        let (service, stop, open) = (service.clone(), stop.clone(), open.clone());
        tokio::spawn(async move {
            connection(stream, service, stop).await;
            drop(open);
        });
    }
    drop((listener, open));
    ended.recv().await;
}

async fn connection(stream: TcpStream, service: TowerToHyperService<Router>, stop: CancellationToken) {
    let mut first = [0; PREFACE.len()];
    let Some(Ok(n)) = stop.run_until_cancelled(stream.peek(&mut first)).await else { return };
    let stream = TokioIo::new(stream);
    if PREFACE.starts_with(&first[..n]) {
        let builder = auto::Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection_with_upgrades(stream, service);
        Box::pin(answer(connection, auto::UpgradeableConnection::graceful_shutdown, stop)).await;
    } else {
        let connection = http1::Builder::new().serve_connection(stream, service).with_upgrades();
        answer(connection, http1::UpgradeableConnection::graceful_shutdown, stop).await;
    }
}

/// How a connection ends is its client's affair.
async fn answer<C: Future>(connection: C, end: impl FnOnce(Pin<&mut C>), stop: CancellationToken) {
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => end(connection.as_mut()),
    }
    connection.await;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// What is answered to `parts`, sent one by one, as far as `wanted` goes.
    async fn asked(address: SocketAddr, parts: [&[u8]; 2], wanted: usize) -> Vec<u8> {
        let mut stream = TcpStream::connect(address).await.unwrap();
        for part in parts {
            stream.write_all(part).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut answer = vec![0; wanted];
        stream.read_exact(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn both_versions_are_spoken_and_at_the_end_what_was_asked_is_answered() {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (first.local_addr().unwrap(), CancellationToken::new());
        let listener = Sockets { first, second: None };
        let slow = get(async || tokio::time::sleep(Duration::from_millis(200)).await);
        let router = Router::new().route("/post", get(async || "posted")).route("/slow", slow);
        let served = tokio::spawn(answer_all(listener, router, stop.clone()));

        // `P` begins both.
        let ok = b"HTTP/1.1 200 OK".as_slice();
        assert_eq!(asked(address, [b"G", b"ET /post HTTP/1.1\r\nHost: a\r\n\r\n"], ok.len()).await, ok);
        let unknown = b"HTTP/1.1 404 Not".as_slice();
        assert_eq!(
            asked(address, [b"P", b"UT /p HTTP/1.1\r\nHost: a\r\n\r\n"], unknown.len()).await,
            unknown
        );
        let empty_settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let (first, rest) = PREFACE.split_at(2);
        let frame = asked(address, [first, &[rest, &empty_settings].concat()], 9).await;
        assert_eq!(frame[3], 4, "the server's settings, {frame:?}");

        let _silent = TcpStream::connect(address).await.unwrap();
        let late = tokio::spawn(async move {
            asked(address, [b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", b""], ok.len()).await
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.cancel();
        assert_eq!(late.await.unwrap(), ok);
        tokio::time::timeout(Duration::from_secs(5), served).await.expect("nobody holds it up").unwrap();
    }
}
