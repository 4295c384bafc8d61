//! Where HTTP listens, with TLS or without.

mod plain;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, anyhow};
use axum::Router;
use ingest::source::http::HttpConfig;
use reqwest::Url;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::tls::{Peer, Tls};
use crate::config::Config;
use crate::exit::{Code, OrExit, Result};

/// An address that is taken, and nobody answers at yet.
pub(super) struct Listener {
    sockets: Sockets,
    tls: Option<Tls>,
}

impl Listener {
    /// Takes the address; where the port is any, the configuration has the one that came of it from then on.
    pub(super) async fn bind(config: &mut Config) -> Result<Self> {
        let http = &mut config.http;
        let tls = http.tls.as_ref().map(Tls::open).transpose().or_exit(Code::Config)?;
        let first = TcpListener::bind(http.listen).await;
        let first =
            first.with_context(|| format!("http.listen = {}", http.listen)).or_exit(Code::CantCreate)?;
        http.listen = first.local_addr()?;
        let second = match twin(http) {
            Some(address) => bind_twin(address).await?,
            None => None,
        };
        if tls.is_none() && !http.listen.ip().is_loopback() {
            tracing::warn!(
                address = %http.listen,
                "plain HTTP on an address that others reach: tokens and one-time codes can be read on the way; set [http.tls], or \
                 put a proxy with TLS before it"
            );
        }
        Ok(Self { sockets: Sockets { first, second }, tls })
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
                    plain::answer_all(self.sockets, router, stop).await;
                    Ok(())
                })
            }
            Some(tls) => {
                let listener = tls.listen(self.sockets, stop, tasks)?;
                let service = router.into_make_service_with_connect_info::<Peer>();
                tasks.spawn(
                    async move { Ok(axum::serve(listener, service).with_graceful_shutdown(until).await?) },
                )
            }
        };
        Ok(())
    }
}

/// The other address that `localhost` may stand for, where people reach this server by that name.
fn twin(http: &HttpConfig) -> Option<SocketAddr> {
    let ip: IpAddr = match http.listen.ip() {
        IpAddr::V4(Ipv4Addr::LOCALHOST | Ipv4Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Ipv4Addr::LOCALHOST.into(),
        _ => return None,
    };
    let url = Url::parse(&http.public_url()).ok()?;
    (url.host_str() == Some("localhost")).then(|| (ip, http.listen.port()).into())
}

/// Listens there as well, so that no other program of this machine is asked in this one's stead; a machine without such an
/// address needs none.
async fn bind_twin(address: SocketAddr) -> Result<Option<TcpListener>> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(e) if e.kind() == ErrorKind::AddrInUse => {
            let why = anyhow!(
                "{address} is another program's, and `localhost` of `http.public_url` may lead there"
            );
            Err(why).or_exit(Code::CantCreate)
        }
        Err(error) => {
            tracing::info!(%address, %error, "localhost is the other address alone");
            Ok(None)
        }
    }
}

/// One listening socket, or the two of `localhost`.
pub(super) struct Sockets {
    first: TcpListener,
    second: Option<TcpListener>,
}

impl axum::serve::Listener for Sockets {
    type Io = TcpStream;
    type Addr = SocketAddr;

    /// Failures of the system are told and waited out.
    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let Self { first, second } = self;
        match second {
            None => axum::serve::Listener::accept(first).await,
            Some(second) => tokio::select! {
                accepted = axum::serve::Listener::accept(first) => accepted,
                accepted = axum::serve::Listener::accept(second) => accepted,
            },
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.first.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;

    fn config(http: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tocsin.toml");
        std::fs::write(&file, format!("[http]\n{http}\n")).unwrap();
        Config::load(Some(&file)).unwrap()
    }

    #[tokio::test]
    async fn this_machine_is_reached_by_its_name_wherever_that_leads() {
        crate::serve::install_tls();
        let mut config = config("listen = \"127.0.0.1:0\"");
        let listener = Listener::bind(&mut config).await.unwrap();
        let port = config.http.listen.port();
        assert_eq!(config.http.public_url(), format!("http://localhost:{port}"));
        let mut hosts = vec!["127.0.0.1", "localhost"];
        // A machine may have no other address.
        hosts.extend(listener.sockets.second.as_ref().map(|_| "[::1]"));
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        listener.serve(Router::new().route("/", get(async || "here")), &stop, &mut tasks).unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for host in hosts {
            let answer = client.get(format!("http://{host}:{port}/")).send().await.unwrap();
            assert_eq!(answer.text().await.unwrap(), "here", "{host}");
        }
    }

    #[tokio::test]
    async fn nobody_else_may_be_taken_for_it() {
        let Ok(other) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await else { return };
        let listen = format!("listen = \"127.0.0.1:{}\"", other.local_addr().unwrap().port());
        let refused = Listener::bind(&mut config(&listen)).await.map(drop).unwrap_err();
        assert!(format!("{refused:?}").contains("another program's"), "{refused:?}");
        let elsewhere = format!("{listen}\npublic_url = \"https://tocsin.example\"");
        assert!(Listener::bind(&mut config(&elsewhere)).await.is_ok(), "what `localhost` is does not matter");
    }
}
