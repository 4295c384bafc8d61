//! What operators look at.

use detector::Timestamp;

use super::Revoker;
use crate::agent::AgentKey;
use crate::audit;
use crate::store::agents::{RevokedRow, StandingRow};
use crate::store::alerts::AlertRow;
use crate::store::outbox::{DeliveryRow, DeliveryState, Which};
use crate::store::receipts::{DisabledTarget, Receipt};
use crate::store::{Page, StoreError, agents, alerts, outbox, receipts};

impl Revoker {
    /// Agents that are not plainly trusted, last changed first.
    pub async fn standings(&self, page: Page) -> Result<Vec<StandingRow>, StoreError> {
        self.read(move |db| agents::list(db, page)).await
    }

    /// What the list of revoked subjects says of one; none if it was never revoked, or is long reinstated.
    pub async fn revocation(&self, agent: AgentKey) -> Result<Option<RevokedRow>, StoreError> {
        self.read(move |db| agents::revoked(db, &agent)).await
    }

    /// Alerts, newest first.
    pub async fn alerts(&self, page: Page) -> Result<Vec<AlertRow>, StoreError> {
        self.read(move |db| alerts::list(db, page)).await
    }

    /// Deliveries, newest first, of one state or all. The dead ones are open items.
    pub async fn deliveries(
        &self,
        page: Page,
        only: Option<DeliveryState>,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        self.read(move |db| outbox::list(db, only.map_or(Which::All, Which::State), page)).await
    }

    /// Deliveries of one story, newest first.
    pub async fn deliveries_of(&self, txn: String, page: Page) -> Result<Vec<DeliveryRow>, StoreError> {
        self.read(move |db| outbox::list(db, Which::Txn(&txn), page)).await
    }

    /// Every attempt at one delivery, oldest first.
    pub async fn receipts(&self, delivery: i64) -> Result<Vec<Receipt>, StoreError> {
        self.read(move |db| receipts::of_delivery(db, delivery)).await
    }

    /// Targets that said they are gone: open items too.
    pub async fn disabled_targets(&self) -> Result<Vec<DisabledTarget>, StoreError> {
        self.read(receipts::disabled).await
    }

    /// The audit of one agent, newest first.
    pub async fn audit_of(&self, agent: AgentKey, page: Page) -> Result<Vec<audit::Entry>, StoreError> {
        self.read(move |db| audit::of_agent(db, &agent, page)).await
    }

    /// The audit of one story, newest first.
    pub async fn audit_of_txn(&self, txn: String, page: Page) -> Result<Vec<audit::Entry>, StoreError> {
        self.read(move |db| audit::of_txn(db, &txn, page)).await
    }

    /// Whether the record can be read and written: an empty transaction and a look-up.
    pub async fn ready(&self, now: Timestamp) -> Result<(), StoreError> {
        self.read(move |db| agents::due(db, now, 1).map(drop)).await?;
        self.write(|_| Ok(())).await
    }
}
