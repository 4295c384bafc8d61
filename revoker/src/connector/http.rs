//! What connectors share that speak HTTP.

mod retry_after;

use std::time::Duration;

use detector::Timestamp;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, StatusCode, redirect};
use rustls::{ClientConfig, RootCertStore};

use super::Outcome;
use super::target::{PublicOnly, Target};
use crate::message::clip;

/// A target that cannot be reached is known sooner than one that does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is read of an answer, so that the connection can be used again; the content means nothing to us.
const BODY_BYTES_MAX: usize = 4 * 1024;

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

/// An answer's status, and how long it asks everybody to wait.
pub(super) async fn heard(response: Response, now: Timestamp) -> (StatusCode, Option<Duration>) {
    let status = response.status();
    let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = wait.and_then(|value| retry_after::parse(value, now));
    drain(response).await;
    (status, wait)
}

/// What a refusal comes to that may pass.
pub(super) fn refused(status: StatusCode, wait: Option<Duration>) -> Outcome {
    let detail = if status.is_redirection() { "a redirect, which is not followed" } else { "refused" };
    Outcome::Failed { status: Some(status.as_u16()), detail: detail.to_owned(), wait }
}

/// What a request comes to that had no answer.
pub(super) fn unanswered(error: reqwest::Error) -> Outcome {
    Outcome::Failed { status: None, detail: detail(error), wait: None }
}

/// Reads a short answer to its end; a longer one costs the connection. The status has been said: no failure here
/// unsays it.
async fn drain(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > BODY_BYTES_MAX {
            return;
        }
    }
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
