//! Keycloak by its admin REST interface: an agent is a client with a service account, known by its client id or by the `sub`
//! of its tokens, which is the service account's id.
//!
//! What was seen to end a client-credentials token of Keycloak 26.7.5: the client's `notBefore`, and `enabled: false`, which alone
//! has the token alive again once it is enabled; so both are set. Logging the service account out answers 204 and ends tokens
//! of earlier seconds alone: one of the same second lives, and new ones are given out. Since `iat` has no fractions, a token that a
//! reinstated agent is given in the very second of its revocation stays dead; the next one lives.

mod admin;
mod config;
#[cfg(test)]
mod tests;

use detector::Timestamp;
use reqwest::StatusCode;

use self::admin::{Admin, AdminError, Change, ClientRow};
pub use self::config::{Action, KeycloakConfig};
use super::oauth::Witness;
use super::subject::Subject;
use super::{Attempt, Check, Connector, Outcome, Proof, Route};
use crate::effect::{ENDINGS, REINSTATED};
use crate::message::Message;
use crate::part::{Part, PartKind};

/// One realm.
pub struct Keycloak {
    route: Route,
    action: Action,
    admin: Admin,
    witness: Witness,
}

impl Keycloak {
    /// Which events it wants, of which issuer.
    pub fn route(&self) -> &Route {
        &self.route
    }

    async fn send(&self, message: &Message) -> Result<Outcome, AdminError> {
        let subject = Subject::of(message).map_err(AdminError::Hopeless)?;
        let agent = subject.agent();
        if message.kind == REINSTATED && subject.part.is_some() {
            // A session that was ended does not come back.
            return Ok(done());
        }
        if message.kind == REINSTATED {
            return self.reinstate(&subject).await;
        }
        if !ENDINGS.contains(&message.kind.as_str()) {
            return Ok(done());
        }
        if let Some(part) = &subject.part {
            return self.end_part(part).await;
        }
        // Tokens are looked at while the client is looked up, so that it costs no time.
        let (found, ()) =
            tokio::join!(self.admin.find(&subject.agent_id), self.witness.look_before(message, &agent, None));
        let client = found?;
        match self.action {
            Action::Logout => self.admin.log_out(&client).await?,
            Action::Disable => self.disable(&client, &subject).await?,
        }
        Ok(done())
    }

    /// One session. Whoever was told of a part that it cannot end alone says so, and the next of the escalation list takes its turn.
    async fn end_part(&self, part: &Part) -> Result<Outcome, AdminError> {
        if part.kind != PartKind::Session {
            let what = format!("a {} cannot be ended alone here", part.kind.as_str());
            return Err(AdminError::Hopeless(what));
        }
        self.admin.end_session(&part.id).await?;
        Ok(done())
    }

    async fn disable(&self, client: &ClientRow, subject: &Subject) -> Result<(), AdminError> {
        // Whoever disabled it before us may have reasons that outlast ours: what we did not do, we do not undo.
        let ours = client.enabled.then_some(subject.txn.as_str());
        let not_before = seconds_after(subject.not_before).max(client.not_before);
        let change = Change { not_before: Some(not_before), enabled: false, mark: ours };
        self.admin.change(client, &change).await
    }

    async fn reinstate(&self, subject: &Subject) -> Result<Outcome, AdminError> {
        let client = self.admin.find(&subject.agent_id).await?;
        if !client.enabled && client.mark().is_some() {
            let change = Change { not_before: None, enabled: true, mark: Some("") };
            self.admin.change(&client, &change).await?;
        } else if !client.enabled {
            tracing::warn!(client = client.client_id, "reinstated, and left disabled: not by us");
        }
        Ok(done())
    }

    async fn look(&self, message: &Message) -> Proof {
        let subject = match Subject::of(message) {
            Ok(subject) => subject,
            Err(detail) => return Proof::Unprovable { detail },
        };
        if let Some(part) = &subject.part {
            return match self.admin.has_session(&subject.agent_id, &part.id).await {
                Ok(true) => Proof::Refuted { detail: "the session is still there".to_owned() },
                Ok(false) => Proof::Verified { detail: "the session is gone".to_owned() },
                Err(e) => Proof::Unreachable { detail: e.to_string() },
            };
        }
        let read = match self.action {
            Action::Logout => None,
            Action::Disable => match self.admin.find(&subject.agent_id).await {
                Ok(client) => Some(client),
                Err(e) => return Proof::Unreachable { detail: e.to_string() },
            },
        };
        let wanted = seconds_after(subject.not_before);
        if let Some(client) = &read
            && (client.enabled || client.not_before < wanted)
        {
            let detail =
                format!("enabled: {}, notBefore: {}, wanted {wanted}", client.enabled, client.not_before);
            return Proof::Refuted { detail };
        }
        match (self.witness.look_after(message).await, read) {
            // Nothing to ask about; that the client reads back as it should is what there is.
            (Proof::Unprovable { .. }, Some(_)) => {
                Proof::Verified { detail: "the client reads back disabled; no token was held".to_owned() }
            }
            (proof, _) => proof,
        }
    }
}

/// The first second all of whose tokens are newer: `iat` has no fractions, and one of the same second must not live.
fn seconds_after(not_before: Option<Timestamp>) -> i64 {
    not_before.map_or(0, |at| at.as_micros().div_euclid(1_000_000) + 1)
}

fn done() -> Outcome {
    Outcome::Acknowledged { status: StatusCode::NO_CONTENT.as_u16() }
}

impl Connector for Keycloak {
    fn name(&self) -> &str {
        &self.route.name
    }

    fn deliver<'a>(&'a self, message: &'a Message, _now: Timestamp) -> Attempt<'a> {
        Box::pin(async move { self.send(message).await.unwrap_or_else(Outcome::from) })
    }

    fn verify<'a>(&'a self, message: &'a Message) -> Option<Check<'a>> {
        Some(Box::pin(self.look(message)))
    }
}
