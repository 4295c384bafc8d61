//! `OpenID Connect Back-Channel Logout 1.0`: a relying party that trusts this server as an issuer is told by a signed logout
//! token that the agent's sessions are over there.
//!
//! A relying party cannot be asked what it did; the agent's calls are the proof.

mod config;

use detector::Timestamp;
use reqwest::{Client, StatusCode, Url};
use serde_json::{Value, json};

pub use self::config::LogoutConfig;
use super::http::{heard, refused, unanswered};
use super::oauth::TIMEOUT;
use super::signing::Signing;
use super::subject::Subject;
use super::{Attempt, Connector, Outcome, Route};
use crate::message::Message;
use crate::part::PartKind;

/// The `typ` of a logout token (section 2.4: what keeps it from being taken for another kind of token).
const TYPE: &str = "logout+jwt";

/// What the one member of `events` is called.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// How long a token may be used, seconds: section 2.4 recommends two minutes at most.
const LIFETIME_S: i64 = 120;

/// One relying party.
pub struct Logout {
    route: Route,
    url: Url,
    /// The relying party as its issuer knows it: `aud`.
    client_id: String,
    signing: Signing,
    client: Client,
}

impl Logout {
    /// Which events it wants, of which issuer.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Each attempt is a token of its own: a relying party that did its work and whose answer was lost refuses the same `jti`.
    fn claims(&self, message: &Message, subject: &Subject, now: Timestamp) -> Value {
        let seconds = now.as_micros().div_euclid(1_000_000);
        let mut claims = json!({
            "iss": self.signing.issuer,
            "aud": self.client_id,
            "sub": subject.agent_id,
            "iat": seconds,
            "exp": seconds + LIFETIME_S,
            "jti": format!("{}.{}.{}", message.id, self.route.name, now.as_micros()),
            "events": { EVENT: {} },
        });
        // Section 2.4: without it all sessions of `sub` are over.
        if let Some(session) = subject.part.as_ref().filter(|part| part.kind == PartKind::Session) {
            claims["sid"] = session.id.as_str().into();
        }
        claims
    }

    async fn send(&self, message: &Message, now: Timestamp) -> Outcome {
        let token = Subject::of(message).and_then(|subject| {
            let claims = self.claims(message, &subject, now);
            self.signing.signer.sign(TYPE, &claims).map_err(str::to_owned)
        });
        let token = match token {
            Ok(token) => token,
            Err(detail) => return Outcome::Hopeless { detail },
        };
        let request = self.client.post(self.url.clone()).form(&[("logout_token", token)]).timeout(TIMEOUT);
        let (status, wait) = match request.send().await {
            Ok(answer) => heard(answer, now).await,
            Err(e) => return unanswered(e),
        };
        match status {
            // Section 2.8: some frameworks put 204 in the place of an empty 200.
            StatusCode::OK | StatusCode::NO_CONTENT => Outcome::Acknowledged { status: status.as_u16() },
            StatusCode::BAD_REQUEST => Outcome::Hopeless {
                detail: "400: the relying party finds the token invalid, or its logout failed".to_owned(),
            },
            _ => refused(status, wait),
        }
    }
}

impl Connector for Logout {
    fn name(&self) -> &str {
        &self.route.name
    }

    fn deliver<'a>(&'a self, message: &'a Message, now: Timestamp) -> Attempt<'a> {
        Box::pin(self.send(message, now))
    }
}

#[cfg(test)]
mod tests;
