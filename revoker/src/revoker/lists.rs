//! What operators look at.

use detector::Timestamp;

use super::Revoker;
use crate::agent::AgentKey;
use crate::audit;
use crate::part::Part;
use crate::store::agents::StandingRow;
use crate::store::alerts::AlertRow;
use crate::store::cases::Exposure;
use crate::store::outbox::{DeliveryRow, DeliveryState, Which};
use crate::store::receipts::{DisabledTarget, Receipt};
use crate::store::revocations::RevokedRow;
use crate::store::{Page, StoreError, agents, alerts, cases, outbox, receipts, revocations};

/// Entries and messages shown with one story.
const STORY_MAX: u32 = 1_000;

/// One story, from its first evidence to its last receipt.
#[derive(Clone, Debug)]
pub struct Story {
    /// Its id.
    pub txn: String,
    /// Whom it is about.
    pub agent: Option<AgentKey>,
    /// What the agent did after its access had ended.
    pub exposure: Option<Exposure>,
    /// What each target was told, oldest first, with every attempt and look.
    pub points: Vec<(DeliveryRow, Vec<Receipt>)>,
    /// The audit's entries, oldest first.
    pub entries: Vec<audit::Entry>,
}

impl Revoker {
    /// The story that an id names: its own, an alert's or an approval's.
    pub async fn story(&self, id: String) -> Result<Option<Story>, StoreError> {
        self.read(move |db| {
            let Some(txn) = cases::txn_of(db, &id)? else { return Ok(None) };
            let page = Page::new(STORY_MAX, None);
            let mut entries = audit::of_txn(db, &txn, page)?;
            entries.reverse();
            let mut points = Vec::new();
            for row in outbox::list(db, Which::Txn(&txn), page)?.into_iter().rev() {
                let receipts = receipts::of_delivery(db, row.cursor)?;
                points.push((row, receipts));
            }
            let agent = entries.iter().find_map(|entry| entry.agent.clone());
            let exposure = cases::exposure(db, &txn)?;
            Ok(Some(Story { txn, agent, exposure, points, entries }))
        })
        .await
    }

    /// Agents that are not plainly trusted, last changed first.
    pub async fn standings(&self, page: Page) -> Result<Vec<StandingRow>, StoreError> {
        self.read(move |db| agents::list(db, page)).await
    }

    /// What the list of revoked subjects says of one; none if it was never revoked, or is long reinstated.
    pub async fn revocation(
        &self,
        agent: AgentKey,
        part: Option<Part>,
    ) -> Result<Option<RevokedRow>, StoreError> {
        self.read(move |db| revocations::of(db, &agent, part.as_ref())).await
    }

    /// The version of the list of revoked subjects, and its entries that are newer than `after`, at most `limit`.
    pub async fn revocations(&self, after: i64, limit: u32) -> Result<(i64, Vec<RevokedRow>), StoreError> {
        self.read(move |db| {
            // In one transaction, so that no entry is newer than the version that stands with it.
            let db = db.snapshot()?;
            Ok((revocations::version(&db)?, revocations::after(&db, after, limit)?))
        })
        .await
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
