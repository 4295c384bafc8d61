//! OAuth 2.0: ends tokens that are held (RFC 7009), and asks the issuer whether they have ended (RFC 7662).
//!
//! A token that was never seen to be active proves nothing by being inactive: some issuers answer `active: false` to
//! whoever is not in a token's audience. So tokens are asked about before they are ended, too.

mod config;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use detector::Timestamp;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;

pub use self::config::OauthConfig;
use super::http::{detail, read_json, refused, unanswered};
use super::subject::Subject;
use super::tokens::{Token, Tokens};
use super::{Attempt, Check, Connector, Outcome, Proof, Route};
use crate::agent::AgentKey;
use crate::message::Message;
use crate::part::Part;

/// From the first byte sent to the last byte read.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// No answer of introspection is longer: it holds what a token says, and tokens travel in headers.
const INTROSPECTION_BYTES_MAX: usize = 64 * 1024;

/// Messages whose tokens are remembered from before they were sent; the oldest make room.
const BEFORE_MAX: usize = 1_000;

/// One client of an authorization server, by name and secret (RFC 6749, section 2.3.1).
pub(super) struct Credentials {
    pub(super) id: String,
    pub(super) secret: String,
}

impl Credentials {
    /// Puts both into a form: every server of ours takes them there, and a header would have them encoded twice.
    pub(super) fn fields(&self) -> [(&'static str, &str); 2] {
        [("client_id", &self.id), ("client_secret", &self.secret)]
    }
}

/// Asks an issuer about tokens, before and after they are to end.
pub(super) struct Witness {
    pub(super) client: Client,
    pub(super) introspection: Option<Url>,
    pub(super) credentials: Credentials,
    pub(super) tokens: Tokens,
    /// By message, oldest first: those that were active before it was sent.
    before: Mutex<VecDeque<(String, Vec<Token>)>>,
}

#[derive(Deserialize)]
struct Introspection {
    active: bool,
}

impl Witness {
    pub(super) fn new(
        client: Client,
        introspection: Option<Url>,
        credentials: Credentials,
        tokens: Tokens,
    ) -> Self {
        Self { client, introspection, credentials, tokens, before: Mutex::default() }
    }

    /// RFC 7662, section 2.
    async fn is_active(&self, url: &Url, token: &Token) -> Result<bool, String> {
        let [id, secret] = self.credentials.fields();
        let form = [("token", token.reveal()), ("token_type_hint", "access_token"), id, secret];
        let request = self.client.post(url.clone()).form(&form).timeout(TIMEOUT);
        let answer = request.send().await.map_err(detail)?;
        if !answer.status().is_success() {
            return Err(format!("introspection answered {}", answer.status().as_u16()));
        }
        let told = read_json::<Introspection>(answer, INTROSPECTION_BYTES_MAX).await;
        told.map(|told| told.active).map_err(|e| format!("introspection: {e}"))
    }

    /// Remembers which tokens of the agent are active; where the issuer cannot be asked, none.
    pub(super) async fn look_before(&self, message: &Message, agent: &AgentKey, part: Option<&Part>) {
        let Some(url) = &self.introspection else { return };
        let mut active = Vec::new();
        for token in self.tokens.of(agent, part) {
            if self.is_active(url, &token).await == Ok(true) {
                active.push(token);
            }
        }
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        // Of an attempt that is made again, the first look counts.
        if active.is_empty() || before.iter().any(|(id, _)| *id == message.id) {
            return;
        }
        if before.len() >= BEFORE_MAX {
            before.pop_front();
        }
        before.push_back((message.id.clone(), active));
    }

    /// What has become of those tokens.
    pub(super) async fn look_after(&self, message: &Message) -> Proof {
        let before = {
            let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
            before.iter().find(|(id, _)| *id == message.id).map(|(_, tokens)| tokens.clone())
        };
        let (Some(url), Some(tokens)) = (&self.introspection, before) else {
            return Proof::Unprovable { detail: "no token is held that was seen to be active".to_owned() };
        };
        let (all, mut alive) = (tokens.len(), 0);
        for token in &tokens {
            match self.is_active(url, token).await {
                Ok(active) => alive += usize::from(active),
                Err(detail) => return Proof::Unreachable { detail },
            }
        }
        if alive > 0 {
            return Proof::Refuted { detail: format!("{alive} of {all} tokens still active") };
        }
        self.before.lock().unwrap_or_else(PoisonError::into_inner).retain(|(id, _)| *id != message.id);
        Proof::Verified { detail: format!("{all} of {all} tokens no longer active") }
    }
}

/// One authorization server whose tokens are ended one by one.
pub struct Oauth {
    route: Route,
    revocation: Url,
    witness: Witness,
}

impl Oauth {
    /// Which events it wants, of which issuer.
    pub fn route(&self) -> &Route {
        &self.route
    }

    async fn send(&self, message: &Message) -> Outcome {
        let (agent, part) = match Subject::of(message) {
            Ok(subject) => (subject.agent(), subject.part),
            Err(detail) => return Outcome::Hopeless { detail },
        };
        let tokens = self.witness.tokens.of(&agent, part.as_ref());
        if tokens.is_empty() {
            let whose =
                if part.is_some() { "that token is not held" } else { "no token of the agent is held" };
            return Outcome::Hopeless { detail: whose.to_owned() };
        }
        self.witness.look_before(message, &agent, part.as_ref()).await;
        for token in &tokens {
            match self.revoke(token).await {
                Ok(answer) if answer.status().is_success() => {}
                Ok(answer) => return refused(answer.status(), None),
                Err(e) => return unanswered(e),
            }
        }
        Outcome::Acknowledged { status: StatusCode::OK.as_u16() }
    }

    /// RFC 7009, section 2.1.
    async fn revoke(&self, token: &Token) -> reqwest::Result<Response> {
        let [id, secret] = self.witness.credentials.fields();
        let form = [("token", token.reveal()), ("token_type_hint", "access_token"), id, secret];
        self.witness.client.post(self.revocation.clone()).form(&form).timeout(TIMEOUT).send().await
    }
}

impl Connector for Oauth {
    fn name(&self) -> &str {
        &self.route.name
    }

    fn deliver<'a>(&'a self, message: &'a Message, _now: Timestamp) -> Attempt<'a> {
        Box::pin(self.send(message))
    }

    fn verify<'a>(&'a self, message: &'a Message) -> Option<Check<'a>> {
        self.witness.introspection.as_ref()?;
        Some(Box::pin(self.witness.look_after(message)))
    }
}
