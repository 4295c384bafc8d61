//! Global Token Revocation (draft-parecki-oauth-global-token-revocation-05): an authorization server is told to end all tokens
//! of a subject, and does so by itself.
//!
//! A success answer says that it is under way, and some servers end refresh tokens alone: where the server can be asked about
//! tokens that are held, it is.

mod config;

use detector::Timestamp;
use reqwest::header::HeaderValue;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use serde_json::json;

pub use self::config::GlobalRevocationConfig;
use super::http::{heard, refused, unanswered};
use super::oauth::{TIMEOUT, Witness};
use super::signing::Signing;
use super::ssf::{SubjectFormat, sub_id};
use super::subject::Subject;
use super::{Attempt, Check, Connector, Outcome, Route};
use crate::message::Message;

/// The `typ` of the tokens that servers of Okta's Universal Logout take; the draft leaves authentication open.
const TYPE: &str = "global-token-revocation+jwt";

/// How long such a token may be used, seconds.
const LIFETIME_S: i64 = 300;

/// Under which name the subject stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKey {
    /// As the draft has it since its fourth version.
    #[default]
    SubId,
    /// As it was before.
    Subject,
}

impl SubjectKey {
    fn as_str(self) -> &'static str {
        match self {
            Self::SubId => "sub_id",
            Self::Subject => "subject",
        }
    }
}

/// How the server knows us.
enum Authentication {
    /// By a secret.
    Bearer(HeaderValue),
    /// By a token of ours, verified with the keys that are published.
    Signed(Signing),
}

/// One authorization server.
pub struct GlobalRevocation {
    route: Route,
    url: Url,
    key: SubjectKey,
    format: SubjectFormat,
    authentication: Authentication,
    client: Client,
    /// Where it can be asked about tokens.
    witness: Option<Witness>,
}

impl GlobalRevocation {
    /// Which events it wants, of which issuer.
    pub fn route(&self) -> &Route {
        &self.route
    }

    fn authorization(&self, message: &Message, now: Timestamp) -> Result<HeaderValue, String> {
        let signing = match &self.authentication {
            Authentication::Bearer(value) => return Ok(value.clone()),
            Authentication::Signed(signing) => signing,
        };
        let seconds = now.as_micros().div_euclid(1_000_000);
        let claims = json!({
            "iss": signing.issuer,
            "sub": signing.issuer,
            "aud": self.url.as_str(),
            "iat": seconds,
            "exp": seconds + LIFETIME_S,
            "jti": format!("{}.{}.{}", message.id, self.route.name, now.as_micros()),
        });
        let token = signing.signer.sign(TYPE, &claims)?;
        bearer(&token).ok_or_else(|| "the token is no header".to_owned())
    }

    async fn send(&self, message: &Message, now: Timestamp) -> Outcome {
        let made =
            Subject::of(message).and_then(|subject| Ok((subject.agent(), self.authorization(message, now)?)));
        let (agent, authorization) = match made {
            Ok(made) => made,
            Err(detail) => return Outcome::Hopeless { detail },
        };
        if let Some(witness) = &self.witness {
            witness.look_before(message, &agent, None).await;
        }
        let body = json!({ self.key.as_str(): sub_id(self.format, &agent) });
        let request = self.client.post(self.url.clone()).header("authorization", authorization);
        let (status, wait) = match request.json(&body).timeout(TIMEOUT).send().await {
            Ok(answer) => heard(answer, now).await,
            Err(e) => return unanswered(e),
        };
        match status {
            status if status.is_success() => Outcome::Acknowledged { status: status.as_u16() },
            StatusCode::BAD_REQUEST => hopeless("400: the server cannot read the request"),
            StatusCode::NOT_FOUND => hopeless("404: the server knows no such subject, or it is not there"),
            _ => refused(status, wait),
        }
    }
}

fn hopeless(detail: &str) -> Outcome {
    Outcome::Hopeless { detail: detail.to_owned() }
}

/// A header that is shown nowhere.
fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Connector for GlobalRevocation {
    fn name(&self) -> &str {
        &self.route.name
    }

    fn deliver<'a>(&'a self, message: &'a Message, now: Timestamp) -> Attempt<'a> {
        Box::pin(self.send(message, now))
    }

    fn verify<'a>(&'a self, message: &'a Message) -> Option<Check<'a>> {
        Some(Box::pin(self.witness.as_ref()?.look_after(message)))
    }
}

#[cfg(test)]
mod tests;
