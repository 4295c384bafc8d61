//! The listener's TLS: 1.2 and 1.3, client certificates where they are wanted, and certificates that change while it runs.
//!
//! Handshakes are done beside accepting, so many at a time and within a time, so that who connects and says nothing holds up nobody.

mod config;

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use ingest::source::credentials::Credentials;
use ingest::source::http::{ClientCert, TlsConfig};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use self::config::{Files, TlsError};
use super::listener::Sockets;
use crate::exit::Result;

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Handshakes at once; more wait in the system's queue.
const HANDSHAKES_MAX: usize = 256;
/// Connections whose handshake is done and that wait to be served.
const READY_MAX: usize = 64;
/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Who connected, by the names in its certificate (URIs and DNS names); none where it showed none.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer(Arc<[String]>);

impl Peer {
    pub(super) fn names(&self) -> &[String] {
        &self.0
    }

    fn of(certificate: &CertificateDer<'_>) -> Self {
        // It was verified in the handshake, so that it reads.
        let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return Self::default() };
        Self(certificate.valid_uri_names().chain(certificate.valid_dns_names()).map(str::to_owned).collect())
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        let (_, connection) = stream.io().get_ref();
        connection.peer_certificates().and_then(<[_]>::first).map(Self::of).unwrap_or_default()
    }
}

/// Who is known by a certificate needs a listener that asks for one.
pub(super) fn check(config: Option<&TlsConfig>, credentials: &Credentials) -> Result<(), TlsError> {
    match credentials.by_certificate() {
        Some(credential) if config.is_none_or(|config| config.client_cert == ClientCert::Off) => {
            Err(TlsError::NobodyIsAsked { name: credential.name.clone() })
        }
        _ => Ok(()),
    }
}

/// The listener's certificates, as they are now.
pub(super) struct Tls {
    files: Files,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    pub(super) fn open(config: &TlsConfig) -> Result<Self, TlsError> {
        let files = Files::new(config.clone())?;
        let current = RwLock::new(files.read()?);
        Ok(Self { files, current })
    }

    fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)).into()
    }

    /// Reads the files again; who is connected stays so.
    fn reload(&self) {
        match self.files.read() {
            Ok(config) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
                tracing::info!("the certificates were read again");
            }
            Err(error) => {
                tracing::error!(%error, "the certificates cannot be read; those from before stay");
            }
        }
    }

    /// Takes connections of `listener` until `stop`.
    pub(super) fn listen(
        self,
        listener: Sockets,
        stop: &CancellationToken,
        tasks: &mut JoinSet<Result<()>>,
    ) -> Result<TlsListener> {
        let (tls, address) = (Arc::new(self), listener.local_addr()?);
        let (ready, handshaken) = mpsc::channel(READY_MAX);
        let (watched, until) = (Arc::clone(&tls), stop.clone());
        tasks.spawn(async move {
            until.run_until_cancelled(watched.watch()).await;
            Ok(())
        });
        let until = stop.clone();
        tasks.spawn(async move {
            until.run_until_cancelled(accept(listener, tls, ready)).await;
            Ok(())
        });
        Ok(TlsListener { handshaken, address })
    }

    /// Reads the files again when they change or SIGHUP says so.
    async fn watch(&self) {
        let mut seen = self.files.stamp();
        loop {
            tokio::select! {
                () = told() => self.reload(),
                () = tokio::time::sleep(LOOK_EVERY) => {
                    // Half of a pair that is being replaced does not fit and is read again with the other half.
                    let stamp = self.files.stamp();
                    if stamp != seen {
                        self.reload();
                        seen = stamp;
                    }
                }
            }
        }
    }
}

/// Resolves at SIGHUP.
#[cfg(unix)]
async fn told() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::hangup()) {
        Ok(mut hangup) => {
            hangup.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn told() {
    std::future::pending().await
}

async fn accept(
    mut listener: Sockets,
    tls: Arc<Tls>,
    ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, address) = listener.accept().await;
        let (acceptor, ready) = (tls.acceptor(), ready.clone());
        tokio::spawn(async move {
            let shaken = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await;
            drop(place);
            match shaken {
                // Nobody serves any more: the connection ends.
                Ok(Ok(stream)) => ready.send((stream, address)).await.unwrap_or_default(),
                Ok(Err(error)) => tracing::warn!(%address, %error, "a TLS handshake was refused"),
                Err(_) => tracing::warn!(%address, "a TLS handshake took too long"),
            }
        });
    }
}

/// Connections whose handshake is done.
pub(super) struct TlsListener {
    handshaken: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        match self.handshaken.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}
