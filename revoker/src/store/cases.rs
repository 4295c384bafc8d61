//! One story as operators ask for it: by its own id, by an alert's, or by a question's.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::outbox::{DeliveryRow, DeliveryState};

/// The story that an id names: a `txn`, an alert's id or an approval's. None where there is none.
pub(crate) fn txn_of(db: &Connection, id: &str) -> Result<Option<String>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT txn FROM audit WHERE txn = ?1
         UNION ALL SELECT json_extract(body, '$.txn') FROM alerts WHERE alert_id = ?1
         UNION ALL SELECT e.txn FROM approvals a JOIN alerts l ON l.alert_id = a.alert_id
             JOIN events e ON e.txn = json_extract(l.body, '$.txn') WHERE a.id = ?1
         LIMIT 1",
    )?;
    Ok(statement.query_row([id], |row| row.get(0)).optional()?)
}

/// What an agent did after its access had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// Calls that were accepted.
    pub calls: u64,
    /// From the end of access to the last of them that was told, seconds.
    pub exposure_s: u64,
}

/// As it was told last in this story.
pub(crate) fn exposure(db: &Connection, txn: &str) -> Result<Option<Exposure>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT json_extract(CAST(body AS TEXT), '$.data.calls'),
                json_extract(CAST(body AS TEXT), '$.data.exposure_s')
         FROM events WHERE txn = ?1 AND kind = 'agent.still_acting' ORDER BY seq DESC LIMIT 1",
    )?;
    let exposure = statement
        .query_row(params![txn], |row| {
            let (calls, exposure_s): (i64, i64) = (row.get(0)?, row.get(1)?);
            Ok(Exposure { calls: calls.unsigned_abs(), exposure_s: exposure_s.unsigned_abs() })
        })
        .optional()?;
    Ok(exposure)
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
