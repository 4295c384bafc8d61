//! One story as operators ask for it: by its own id, by an alert's, or by a question's.

use serde::{Deserialize, Serialize};

use super::outbox::{DeliveryRow, DeliveryState};
use super::{StoreError, from_json};
use crate::alert::Alert;
use crate::store::db::{Connection, OptionalExtension};

/// The story that an id names: a `txn`, an alert's id or an approval's. None where there is none.
pub(crate) fn txn_of(db: &Connection, id: &str) -> Result<Option<String>, StoreError> {
    let mut statement = db.prepare_cached("SELECT txn FROM audit WHERE txn = ?1 LIMIT 1")?;
    if let Some(txn) = statement.query_row([id], |row| row.get(0)).optional()? {
        return Ok(Some(txn));
    }
    let mut statement = db.prepare_cached(
        "SELECT body FROM alerts
         WHERE alert_id = ?1 OR alert_id IN (SELECT alert_id FROM approvals WHERE id = ?1)",
    )?;
    let alert: Option<String> = statement.query_row([id], |row| row.get(0)).optional()?;
    let alert = alert.map(|body| from_json::<Alert>("an alert", &body)).transpose()?;
    Ok(alert.map(|alert| alert.txn.as_str().to_owned()))
}

/// What an agent did after its access had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// Calls that were accepted.
    pub calls: u64,
    /// From the end of access to the last of them that was told, seconds.
    pub exposure_s: u64,
}

/// A message, as far as it says that.
#[derive(Deserialize)]
struct Told {
    data: Exposure,
}

/// As it was told last in this story.
pub(crate) fn exposure(db: &Connection, txn: &str) -> Result<Option<Exposure>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT body FROM events WHERE txn = ?1 AND kind = 'agent.still_acting' ORDER BY seq DESC LIMIT 1",
    )?;
    let body: Option<Vec<u8>> = statement.query_row([txn], |row| row.get(0)).optional()?;
    let told = body.map(|body| serde_json::from_slice::<Told>(&body)).transpose();
    Ok(told.map_err(|e| StoreError::damaged(format!("an event: {e}")))?.map(|told| told.data))
}

/// How far an enforcement point has come with what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It stands by: told once others have failed.
    Standby,
    /// Not sent yet.
    Planned,
    /// Sent, without an answer that counts.
    Sent,
    /// It says that it is done.
    Acknowledged,
    /// It was seen to be so.
    Verified,
    /// It never answered, or it is not so.
    Failed,
    /// It was not needed.
    Withdrawn,
}

impl Progress {
    /// Of one delivery.
    pub fn of(row: &DeliveryRow) -> Self {
        match row.state {
            DeliveryState::Standby => Self::Standby,
            DeliveryState::Pending if row.attempts == 0 => Self::Planned,
            DeliveryState::Pending => Self::Sent,
            DeliveryState::Acknowledged => Self::Acknowledged,
            DeliveryState::Verified => Self::Verified,
            DeliveryState::Refuted | DeliveryState::Dead => Self::Failed,
            DeliveryState::Withdrawn => Self::Withdrawn,
        }
    }
}
