//! Connectors: how a message reaches an enforcement point. One file each; each knows one protocol and decides nothing.

pub mod email;
pub mod entry;
pub mod global_revocation;
pub mod http;
pub mod keycloak;
pub mod logout;
pub mod oauth;
pub mod secret;
pub mod signing;
pub mod ssf;
pub mod subject;
pub mod target;
pub mod tokens;
pub mod webhook;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use detector::Timestamp;

use crate::agent::AgentKey;
use crate::effect::{ENDINGS, EVENT_KINDS};
use crate::message::Message;
use crate::part::PartKind;

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target has it.
    Acknowledged {
        /// What it answered.
        status: u16,
    },
    /// It may not have it: try again.
    Failed {
        /// What it answered, where it did.
        status: Option<u16>,
        /// In words, without secrets and without the target's body.
        detail: String,
        /// The target asks everybody to wait this long.
        wait: Option<Duration>,
    },
    /// The target wants no more messages, ever.
    Gone {
        /// What it answered.
        status: u16,
    },
    /// No repetition will help: an open item for a person.
    Hopeless {
        /// In words, without secrets.
        detail: String,
    },
}

/// What a look at the target showed of a message that it acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Access has ended there.
    Verified {
        /// What was seen.
        detail: String,
    },
    /// It said so, and it is not so.
    Refuted {
        /// What was seen.
        detail: String,
    },
    /// It could not be asked: look again.
    Unreachable {
        /// Why.
        detail: String,
    },
    /// Nothing that can be looked at would show it. The calls of the agent are left as the proof.
    Unprovable {
        /// Why.
        detail: String,
    },
}

/// An attempt under way.
pub type Attempt<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// A look under way.
pub type Check<'a> = Pin<Box<dyn Future<Output = Proof> + Send + 'a>>;

/// A way to one target. Narrow on purpose: retries, order, receipts and giving up are the executor's.
pub trait Connector: Send + Sync + 'static {
    /// The target's name, unique and the same over restarts: receipts and the outbox know the target by it.
    fn name(&self) -> &str;

    /// Sends the message once, within a time limit of its own, at `now`.
    fn deliver<'a>(&'a self, message: &'a Message, now: Timestamp) -> Attempt<'a>;

    /// Looks whether what was acknowledged is so, within a time limit of its own. None where the target cannot be asked.
    fn verify<'a>(&'a self, _message: &'a Message) -> Option<Check<'a>> {
        None
    }
}

/// Which events go to which target; known to the transaction that decides, which needs no connector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The target's name.
    pub name: String,
    /// The types it wants; empty means all of [`EVENT_KINDS`].
    pub events: Vec<String>,
    /// The one issuer whose subjects it knows; none: all of them.
    pub issuer: Option<String>,
    /// Whether access ends there, so that calls made after it acknowledged that disprove it.
    pub enforces: bool,
    /// Of which kinds of part it can end access alone.
    pub parts: Vec<PartKind>,
    /// Its place in the escalation list, from 0. All but the first stand by until one before them fails.
    pub rank: Option<usize>,
}

impl Route {
    /// Whether the target can end access of parts of this kind alone.
    pub fn ends(&self, kind: PartKind) -> bool {
        self.parts.contains(&kind)
    }

    /// The way to a target where access of this issuer's agents ends, and which is told nothing else.
    pub(crate) fn enforcing(name: &str, issuer: &str, parts: &[PartKind]) -> Self {
        Self {
            name: name.to_owned(),
            events: ENDINGS.map(str::to_owned).into(),
            issuer: Some(issuer.to_owned()),
            enforces: true,
            parts: parts.to_owned(),
            rank: None,
        }
    }

    /// Whether the target wants events of this type about this agent.
    pub fn wants(&self, kind: &str, agent: &AgentKey) -> bool {
        let named = if self.events.is_empty() {
            EVENT_KINDS.contains(&kind)
        } else {
            self.events.iter().any(|event| event == kind)
        };
        named && (self.issuer.is_none() || self.issuer == agent.issuer)
    }

    /// Whether it is told that access ended only once others have failed.
    pub fn stands_by(&self) -> bool {
        self.rank.is_some_and(|rank| rank > 0)
    }
}
