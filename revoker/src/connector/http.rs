//! What connectors share that speak HTTP.

mod retry_after;

use std::time::Duration;

use detector::Timestamp;
use reqwest::dns::Resolve;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, StatusCode, redirect};
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;

use super::Outcome;
use super::target::{PublicOnly, System, Target};
use crate::message::clip;

/// A target that cannot be reached is known sooner than one that does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is read of an answer that is not needed whole, so that the connection can be used again.
const BEGINNING_BYTES_MAX: usize = 4 * 1024;

/// No detail in a receipt is longer.
const DETAIL_BYTES_MAX: usize = 300;

/// A client that follows no redirects and, unless the target is insecure, connects to public addresses by TLS only.
pub fn client(target: &Target) -> Result<Client, String> {
    client_by(target, System)
}

/// The same, whose names lead where `names` says: asked anew for every connection.
pub(super) fn client_by(target: &Target, names: impl Resolve + 'static) -> Result<Client, String> {
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
    let builder = if target.is_insecure() {
        builder.dns_resolver(names)
    } else {
        builder.dns_resolver(PublicOnly(names)).https_only(true)
    };
    builder.build().map_err(|e| e.to_string())
}

/// An answer's status, and how long it asks everybody to wait.
pub(super) async fn heard(response: Response, now: Timestamp) -> (StatusCode, Option<Duration>) {
    let status = response.status();
    let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = wait.and_then(|value| retry_after::parse(value, now));
    beginning(response).await;
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

/// What an answer begins with; a longer one costs the connection. The status has been said: no failure here unsays it.
pub(super) async fn beginning(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(BEGINNING_BYTES_MAX - body.len())]);
        if body.len() >= BEGINNING_BYTES_MAX {
            break;
        }
    }
    body
}

/// A whole answer of at most so many bytes: no server decides how much of our memory it takes.
pub async fn read_whole(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(detail)? {
        if chunk.len() > bytes_max - body.len() {
            return Err(format!("an answer of more than {bytes_max} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The same, read as JSON.
pub async fn read_json<T: DeserializeOwned>(response: Response, bytes_max: usize) -> Result<T, String> {
    let body = read_whole(response, bytes_max).await?;
    serde_json::from_slice(&body)
        .map_err(|e| clip(&format!("an answer that cannot be read: {e}"), DETAIL_BYTES_MAX))
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
