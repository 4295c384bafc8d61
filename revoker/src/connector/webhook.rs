//! Webhooks to Standard Webhooks 1.0 (<https://www.standardwebhooks.com>).
//!
//! Only 2xx is success; a redirect is a failure and never followed; 410 means never again.

mod config;
mod envelope;
mod signature;

use std::time::Duration;

use detector::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, StatusCode};

pub(super) use self::config::is_name;
pub use self::config::{SecretText, WebhookConfig, WebhookError};
pub use self::envelope::Envelope;
pub use self::signature::{Secrets, SecretsError, new_signing_key};
use super::http::{client, heard, refused, unanswered};
use super::target::Target;
use super::{Attempt, Connector, Outcome, Route};
use crate::message::Message;

/// From the first byte sent to the last byte read (Standard Webhooks: 15 to 30 s).
const TIMEOUT: Duration = Duration::from_secs(15);

/// One webhook target.
pub struct Webhook {
    route: Route,
    target: Target,
    secrets: Secrets,
    envelope: Envelope,
    source: String,
    client: Client,
    timeout: Duration,
}

impl Webhook {
    /// A target with its own connections.
    pub fn new(route: Route, target: Target, secrets: Secrets) -> Result<Self, WebhookError> {
        let client = client(&target).map_err(WebhookError::Client)?;
        let (envelope, source) = (Envelope::Standard, String::new());
        Ok(Self { route, target, secrets, envelope, source, client, timeout: TIMEOUT })
    }

    /// The same with another envelope; `source` names this installation in it, a URI.
    #[must_use]
    pub fn with_envelope(self, envelope: Envelope, source: &str) -> Self {
        Self { envelope, source: source.trim_end_matches('/').to_owned(), ..self }
    }

    /// What its receiver verifies `v1a` with.
    pub fn public_keys(&self) -> Vec<String> {
        self.secrets.public_keys()
    }

    /// Which events it wants.
    pub fn route(&self) -> &Route {
        &self.route
    }

    async fn send(&self, message: &Message, now: Timestamp) -> Outcome {
        let seconds = now.as_micros().div_euclid(1_000_000);
        let body = match self.envelope.around(message, &self.source) {
            Ok(body) => body.into_owned(),
            Err(e) => return Outcome::Failed { status: None, detail: format!("no event: {e}"), wait: None },
        };
        let signature = self.secrets.sign(&message.id, seconds, &body);
        let headers = headers(&message.id, seconds, &signature, self.envelope.content_type());
        let request = self.client.post(self.target.url().clone()).headers(headers).timeout(self.timeout);
        match request.body(body).send().await {
            Ok(response) => answered(response, now).await,
            Err(e) => unanswered(e),
        }
    }
}

impl Connector for Webhook {
    fn name(&self) -> &str {
        &self.route.name
    }

    fn deliver<'a>(&'a self, message: &'a Message, now: Timestamp) -> Attempt<'a> {
        Box::pin(self.send(message, now))
    }
}

fn headers(id: &str, seconds: i64, signature: &str, content_type: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert("webhook-timestamp", HeaderValue::from(seconds));
    // Ids and signatures are ASCII that we made; one that were not would be refused by every receiver anyway.
    for (name, value) in [("webhook-id", id), ("webhook-signature", signature)] {
        // A chat without a secret gets no signature.
        if !value.is_empty()
            && let Ok(value) = HeaderValue::from_str(value)
        {
            headers.insert(name, value);
        }
    }
    headers
}

async fn answered(response: Response, now: Timestamp) -> Outcome {
    let (status, wait) = heard(response, now).await;
    if status.is_success() {
        return Outcome::Acknowledged { status: status.as_u16() };
    }
    if status == StatusCode::GONE {
        return Outcome::Gone { status: status.as_u16() };
    }
    refused(status, wait)
}

#[cfg(test)]
mod tests;
