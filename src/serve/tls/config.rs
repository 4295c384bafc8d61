//! The files of `[http.tls]`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ingest::source::http::{ClientCert, TlsConfig};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};

/// Why the listener has no TLS.
#[derive(Debug, thiserror::Error)]
pub(in crate::serve) enum TlsError {
    #[error("http.tls.{key} = {path:?}: {reason}")]
    File { key: &'static str, path: PathBuf, reason: String },
    #[error("http.tls: key_file {path:?} does not fit the certificate: {reason}")]
    Pair { path: PathBuf, reason: String },
    #[error("http.tls: client_cert is on, and client_ca_file says of nobody whose certificates count")]
    NoAuthority,
    #[error(
        "http.tls: client_ca_file is of no use while client_cert is \"off\"; set \"optional\" or \"required\""
    )]
    UselessAuthority,
    #[error(
        "http.credentials `{name}`: nobody is asked for a certificate; set http.tls.client_cert to \"optional\" or \"required\""
    )]
    NobodyIsAsked { name: String },
}

/// When each file was changed, and how long it is.
pub(super) type Stamp = Vec<Option<(SystemTime, u64)>>;

/// Where certificates are.
pub(super) struct Files(TlsConfig);

impl Files {
    pub(super) fn new(config: TlsConfig) -> Result<Self, TlsError> {
        match (config.client_cert, &config.client_ca_file) {
            (ClientCert::Off, Some(_)) => Err(TlsError::UselessAuthority),
            (ClientCert::Optional | ClientCert::Required, None) => Err(TlsError::NoAuthority),
            _ => Ok(Self(config)),
        }
    }

    /// Changes when a file does.
    pub(super) fn stamp(&self) -> Stamp {
        let files = [Some(&self.0.cert_file), Some(&self.0.key_file), self.0.client_ca_file.as_ref()];
        let stamp = |path: &PathBuf| {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.modified().ok()?, meta.len()))
        };
        files.into_iter().flatten().map(stamp).collect()
    }

    /// What they come to.
    pub(super) fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let TlsConfig { cert_file, key_file, .. } = &self.0;
        let chain = certificates("cert_file", cert_file)?;
        let key = PrivateKeyDer::from_pem_file(key_file).map_err(|e| wrong("key_file", key_file, &e))?;
        let pair = |e: rustls::Error| TlsError::Pair { path: key_file.clone(), reason: e.to_string() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(pair)?;
        let builder = match self.verifier()? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn verifier(&self) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let Some(path) = &self.0.client_ca_file else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for certificate in certificates("client_ca_file", path)? {
            roots.add(certificate).map_err(|e| wrong("client_ca_file", path, &e))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match self.0.client_cert {
            ClientCert::Optional => builder.allow_unauthenticated(),
            ClientCert::Off | ClientCert::Required => builder,
        };
        builder.build().map(Some).map_err(|e| wrong("client_ca_file", path, &e))
    }
}

fn wrong(key: &'static str, path: &Path, reason: &impl ToString) -> TlsError {
    TlsError::File { key, path: path.to_owned(), reason: reason.to_string() }
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(wrong(key, path, &"holds no certificate in PEM")),
        read => read.map_err(|e| wrong(key, path, &e)),
    }
}
