//! Where HTTP listens, with TLS or without.

use std::net::SocketAddr;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
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
            None => tasks.spawn(async move {
                Ok(axum::serve(self.socket, router).with_graceful_shutdown(until).await?)
            }),
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
