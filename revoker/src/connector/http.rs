//! What connectors share that speak HTTP.

use std::time::Duration;

use reqwest::{Client, redirect};
use rustls::{ClientConfig, RootCertStore};

use super::target::{PublicOnly, Target};
use crate::message::clip;

/// A target that cannot be reached is known sooner than one that does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// No detail in a receipt is longer.
const DETAIL_BYTES_MAX: usize = 300;

/// A client that follows no redirects and, unless the target is insecure, connects to public addresses by TLS only.
pub fn client(target: &Target) -> Result<Client, String> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect::<RootCertStore>();
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("tocsin/", env!("CARGO_PKG_VERSION")));
    let builder =
        if target.is_insecure() { builder } else { builder.dns_resolver(PublicOnly).https_only(true) };
    builder.build().map_err(|e| e.to_string())
}

/// The error and what is behind it, without the address: a path may hold a secret.
pub fn detail(error: reqwest::Error) -> String {
    let kind = if error.is_timeout() { "timed out: " } else { "" };
    let error = error.without_url();
    let mut text = format!("{kind}{error}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    clip(&text, DETAIL_BYTES_MAX)
}
