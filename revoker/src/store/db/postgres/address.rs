//! Where the server is, and how it is reached.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, Connection, Socket};

use super::tls::{Connector, Stream};
use crate::store::db::Result;

/// A server that cannot be reached is known soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that is silent is looked at after so long, and one on which nothing is acknowledged for `UNSENT_MAX` is over.
const KEEPALIVE: Duration = Duration::from_secs(5);
const UNSENT_MAX: Duration = Duration::from_secs(15);

/// Where a record on PostgreSQL is.
#[derive(Clone)]
pub struct Address {
    config: Config,
    tls: Connector,
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Not as PostgreSQL's own addresses are.
    #[error("not an address of PostgreSQL (postgres://user@host/database): {0}")]
    Unreadable(String),
    /// No user, host or database is named.
    #[error("the address names no {0}")]
    Lacks(&'static str),
    /// The certificates that are trusted cannot be read.
    #[error("{path}: {why}")]
    Certificates {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Address {
    /// Reads `postgres://user:password@host:port/database?…`, with the parameters that PostgreSQL's own programs know.
    ///
    /// A server on another machine is reached by TLS alone unless `sslmode=disable` says otherwise; its certificate must
    /// be one of `ca_file`'s, or without that of an authority that is known publicly.
    pub fn new(url: &str, ca_file: Option<&PathBuf>) -> std::result::Result<Self, AddressError> {
        // The parser's own words may hold part of a password.
        let mut config: Config = url.parse().map_err(|e: tokio_postgres::Error| {
            let source = std::error::Error::source(&e).map(ToString::to_string);
            AddressError::Unreadable(source.unwrap_or_else(|| e.to_string()))
        })?;
        let lacks = [
            ("host", config.get_hosts().is_empty()),
            ("user", config.get_user().is_none()),
            ("database", config.get_dbname().is_none()),
        ];
        if let Some((what, _)) = lacks.into_iter().find(|(_, lacks)| *lacks) {
            return Err(AddressError::Lacks(what));
        }
        if config.get_ssl_mode() == SslMode::Prefer && !config.get_hosts().iter().all(is_here) {
            config.ssl_mode(SslMode::Require);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config.keepalives_idle(KEEPALIVE).tcp_user_timeout(UNSENT_MAX);
        if config.get_application_name().is_none() {
            config.application_name("tocsin");
        }
        Ok(Self { config, tls: Connector::new(Arc::new(tls(ca_file)?)) })
    }

    pub(super) async fn connect(&self) -> Result<(Client, Connection<Socket, Stream<Socket>>)> {
        Ok(self.config.connect(self.tls.clone()).await?)
    }
}

/// Without the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.config.get_hosts().first().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        });
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let database = self.config.get_dbname().unwrap_or_default();
        write!(f, "PostgreSQL at {}:{port}/{database}", host.unwrap_or_default())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether it is on this machine.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn tls(ca_file: Option<&PathBuf>) -> std::result::Result<ClientConfig, AddressError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let failed = |why: String| AddressError::Certificates { path: path.clone(), why };
            let found = CertificateDer::pem_file_iter(path).map_err(|e| failed(e.to_string()))?;
            for certificate in found {
                roots.add(certificate.map_err(|e| failed(e.to_string()))?)?;
            }
            if roots.is_empty() {
                return Err(failed("no certificate is in it".to_owned()));
            }
        }
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_it_lacks_and_never_its_password() {
        let new = |url: &str| Address::new(url, None);
        let shown = |url: &str| new(url).map(|address| address.to_string()).map_err(|e| e.to_string());
        assert_eq!(
            shown("postgres://ann:hunter2@db.example:6000/tocsin").unwrap(),
            "PostgreSQL at db.example:6000/tocsin"
        );
        for (url, says) in [
            ("postgres://ann:hunter2@db.example", "the address names no database"),
            ("postgres://db.example/tocsin", "the address names no user"),
            ("hunter2", "not an address of PostgreSQL"),
            ("postgres://ann:hunter2@db.example/tocsin?colour=red", "not an address of PostgreSQL"),
        ] {
            let said = shown(url).unwrap_err();
            assert!(said.starts_with(says) && !said.contains("hunter2"), "{url}: {said}");
        }
    }

    #[test]
    fn another_machine_is_reached_by_tls_unless_told_otherwise() {
        let mode = |url: &str| Address::new(url, None).unwrap().config.get_ssl_mode();
        assert_eq!(mode("postgres://ann@db.example/tocsin"), SslMode::Require);
        assert_eq!(mode("postgres://ann@127.0.0.1/tocsin"), SslMode::Prefer);
        assert_eq!(mode("postgres://ann@db.example/tocsin?sslmode=disable"), SslMode::Disable);
        let missing = Address::new("postgres://ann@db.example/tocsin", Some(&"/nowhere/ca.pem".into()));
        assert!(missing.unwrap_err().to_string().starts_with("/nowhere/ca.pem: "));
    }
}
