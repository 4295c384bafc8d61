//! Settings that outlive a restart.

use detector::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use super::{StoreError, from_json, to_json};
use crate::governor::Governor;

const PAUSE: &str = "pause";
const GOVERNOR: &str = "governor";

/// Automatic action is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who paused it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// What was done automatically of late, and how many agents there were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spent {
    pub(crate) governor: Governor,
    /// Attested agents that called lately, as of `at`: a restart has to count them anew.
    pub(crate) agents: u32,
    pub(crate) at: Timestamp,
}

pub(crate) fn get(db: &Connection, name: &str) -> Result<Option<String>, StoreError> {
    let mut statement = db.prepare_cached("SELECT value FROM settings WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

pub(crate) fn set(tx: &Transaction<'_>, name: &str, value: &str) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )?
    .execute(params![name, value])?;
    Ok(())
}

pub(crate) fn spent(db: &Connection) -> Result<Spent, StoreError> {
    Ok(get(db, GOVERNOR)?.map(|text| from_json("the governor", &text)).transpose()?.unwrap_or_default())
}

pub(crate) fn set_spent(tx: &Transaction<'_>, spent: &Spent) -> Result<(), StoreError> {
    set(tx, GOVERNOR, &to_json(spent)?)
}

pub(crate) fn pause(db: &Connection) -> Result<Option<Pause>, StoreError> {
    get(db, PAUSE)?.map(|text| from_json("the pause", &text)).transpose()
}

pub(crate) fn set_pause(tx: &Transaction<'_>, pause: &Pause) -> Result<(), StoreError> {
    set(tx, PAUSE, &to_json(pause)?)
}

pub(crate) fn end_pause(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM settings WHERE name = ?1", [PAUSE])?;
    Ok(())
}
