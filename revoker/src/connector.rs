//! Connectors: how a message reaches an enforcement point. One file each; each knows one protocol and decides nothing.

pub mod target;
pub mod webhook;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use detector::Timestamp;

use crate::effect::EVENT_KINDS;
use crate::message::Message;

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
}

/// An attempt under way.
pub type Attempt<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// A way to one target. Narrow on purpose: retries, order, receipts and giving up are the executor's.
pub trait Connector: Send + Sync + 'static {
    /// The target's name, unique and the same over restarts: receipts and the outbox know the target by it.
    fn name(&self) -> &str;

    /// Sends the message once, within a time limit of its own, at `now`.
    fn deliver<'a>(&'a self, message: &'a Message, now: Timestamp) -> Attempt<'a>;
}

/// Which events go to which target; known to the transaction that decides, which needs no connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The target's name.
    pub name: String,
    /// The types it wants; empty means all of [`EVENT_KINDS`].
    pub events: Vec<String>,
}

impl Route {
    /// Whether the target wants events of this type.
    pub fn wants(&self, kind: &str) -> bool {
        (self.events.is_empty() && EVENT_KINDS.contains(&kind))
            || self.events.iter().any(|event| event == kind)
    }
}
