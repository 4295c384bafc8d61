//! What bounds automatic action, as of now.

use std::time::Duration;

use detector::Timestamp;

use super::memory::Memory;
use super::{Inner, Revoker};
use crate::governor::Cap;
use crate::store::agents::StandingRow;
use crate::store::settings::Spent;
use crate::store::{Page, StoreError, agents};

/// How long the number of agents from before a restart stands, while they are counted anew.
const AGENTS_KEPT: Duration = Duration::from_hours(24);

impl Inner {
    /// Attested agents that called lately.
    pub(super) fn agents(&self, spent: &Spent, now: Timestamp) -> u32 {
        let kept = if now.since(spent.at) < AGENTS_KEPT { spent.agents } else { 0 };
        self.crowd.agents(now).max(kept)
    }

    pub(super) fn usage(&self, memory: &Memory, now: Timestamp) -> [(Cap, u32, u32); 3] {
        let spent = memory.spent();
        let agents = self.agents(spent, now);
        spent.governor.usage(&memory.policy().config().governor, agents, now)
    }
}

impl Revoker {
    /// How much was done automatically of late, against each cap that is the whole house's: how many, and how many it allows.
    pub fn usage(&self, now: Timestamp) -> [(Cap, u32, u32); 3] {
        self.inner.usage(&self.inner.memory(), now)
    }

    /// Agents about whom less was done than the evidence asks for, last changed first.
    pub async fn held_back(&self, page: Page) -> Result<Vec<StandingRow>, StoreError> {
        self.read(move |db| agents::held_back(db, page)).await
    }
}
