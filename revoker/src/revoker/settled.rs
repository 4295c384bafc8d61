//! Which questions have ended, for those who wait for them.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::{Inner, Revoker};
use crate::approval::ApprovalId;

/// Commits that one who listens may be behind; who is further has to look himself.
pub(super) const KEPT: usize = 64;

/// What a commit ended.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    /// These questions.
    These(Arc<[ApprovalId]>),
    /// Another process committed something, and which questions that ended is not told.
    Unknown,
}

impl Inner {
    pub(super) fn tell_settled(&self, what: Settled) {
        // Mostly nobody listens.
        self.settled.send(what).ok();
    }
}

impl Revoker {
    /// Hears after each commit that ended questions. One that lapses ends without a commit.
    pub(crate) fn settled(&self) -> broadcast::Receiver<Settled> {
        self.inner.settled.subscribe()
    }
}
