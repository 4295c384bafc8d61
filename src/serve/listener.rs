//! Where HTTP listens, with TLS or without.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};

use anyhow::Context;
use axum::Router;
use axum::serve::Listener as Accept;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::tls::{Peer, Tls};
use crate::config::Config;
use crate::exit::{Code, OrExit, Result};

/// An address that is taken, and nobody answers at yet.
pub(super) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

impl Listener {
    /// Takes the address; where the port is any, the public address is what came of it.
    pub(super) async fn bind(config: &mut Config) -> Result<Self> {
        let http = &mut config.http;
        let tls = http.tls.as_ref().map(Tls::open).transpose().or_exit(Code::Config)?;
        let listener = TcpListener::bind(http.listen).await;
        let listener =
            listener.with_context(|| format!("http.listen = {}", http.listen)).or_exit(Code::CantCreate)?;
        let address = listener.local_addr()?;
        if http.listen.port() == 0 {
            let scheme = if tls.is_some() { "https" } else { "http" };
            http.public_url = format!("{scheme}://{address}");
        }
        if tls.is_none() && !address.ip().is_loopback() {
            tracing::warn!(
                %address,
                "plain HTTP on an address that others reach: tokens and one-time codes can be read on the way; set [http.tls], or \
                 put a proxy with TLS before it"
            );
        }
        Ok(Self { socket: listener, address, tls })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`.
    pub(super) fn serve(
        self,
        router: Router,
        stop: &CancellationToken,
        tasks: &mut JoinSet<Result<()>>,
    ) -> Result<()> {
        let until = stop.clone().cancelled_owned();
        match self.tls {
            None => {
                let stop = stop.clone();
                tasks.spawn(async move {
                    plain(self.socket, router, stop).await;
                    Ok(())
                })
            }
            Some(tls) => {
                let listener = tls.listen(self.socket, stop, tasks)?;
                let service = router.into_make_service_with_connect_info::<Peer>();
                tasks.spawn(
                    async move { Ok(axum::serve(listener, service).with_graceful_shutdown(until).await?) },
                )
            }
        };
        Ok(())
    }
}

/// What a connection of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Answers until `stop`, and then what was asked before.
///
/// Thousands may wait on a connection each, so it is made for them: `axum::serve` copies the table of routes for each (45 KiB), and
/// reads the first bytes to tell HTTP/2 apart, which has hyper hold twice the buffer (16 KiB) for the rest.
async fn plain(mut listener: TcpListener, router: Router, stop: CancellationToken) {
    let service = TowerToHyperService::new(router.with_state(()));
    let (open, mut ended) = mpsc::channel::<Infallible>(1);
    // The listener's own accept waits out what is the system's fault.
    while let Some((stream, _)) = stop.run_until_cancelled(Accept::accept(&mut listener)).await {
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
    use std::time::Duration;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let slow = get(async || tokio::time::sleep(Duration::from_millis(200)).await);
        let router = Router::new().route("/post", get(async || "posted")).route("/slow", slow);
        let served = tokio::spawn(plain(listener, router, stop.clone()));

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
