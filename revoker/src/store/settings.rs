//! Settings that outlive a restart.

use detector::Timestamp;
use serde::{Deserialize, Serialize};

use super::{StoreError, from_json, to_json};
use crate::fleetwide::Proposal;
use crate::governor::Governor;
use crate::store::db::{Connection, OptionalExtension, Transaction, params};
use crate::whom::Scope;

const PAUSES: &str = "pauses";
/// The one pause there was of everything, as earlier versions kept it.
const PAUSE: &str = "pause";
const GOVERNOR: &str = "governor";
const PROPOSALS: &str = "proposals";
const EPOCH: &str = "epoch";

/// Automatic action is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// For whom.
    #[serde(flatten)]
    pub scope: Scope,
    /// Who paused it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself, if it does.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

impl Pause {
    /// Whether it has not ended by itself.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
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

/// How often the record was restored from a backup, as far as anybody noticed.
pub(crate) fn epoch(db: &Connection) -> Result<i64, StoreError> {
    Ok(get(db, EPOCH)?.map(|text| from_json("the epoch", &text)).transpose()?.unwrap_or_default())
}

pub(crate) fn set_epoch(tx: &Transaction<'_>, epoch: i64) -> Result<(), StoreError> {
    set(tx, EPOCH, &epoch.to_string())
}

pub(crate) fn proposals(db: &Connection) -> Result<Vec<Proposal>, StoreError> {
    Ok(get(db, PROPOSALS)?.map(|text| from_json("the proposals", &text)).transpose()?.unwrap_or_default())
}

pub(crate) fn set_proposals(tx: &Transaction<'_>, proposals: &[Proposal]) -> Result<(), StoreError> {
    set(tx, PROPOSALS, &to_json(proposals)?)
}

pub(crate) fn spent(db: &Connection) -> Result<Spent, StoreError> {
    Ok(get(db, GOVERNOR)?.map(|text| from_json("the governor", &text)).transpose()?.unwrap_or_default())
}

pub(crate) fn set_spent(tx: &Transaction<'_>, spent: &Spent) -> Result<(), StoreError> {
    set(tx, GOVERNOR, &to_json(spent)?)
}

pub(crate) fn pauses(db: &Connection) -> Result<Vec<Pause>, StoreError> {
    if let Some(text) = get(db, PAUSES)? {
        return from_json("the pauses", &text);
    }
    Ok(get(db, PAUSE)?.map(|text| from_json("the pause", &text)).transpose()?.into_iter().collect())
}

pub(crate) fn set_pauses(tx: &Transaction<'_>, pauses: &[Pause]) -> Result<(), StoreError> {
    set(tx, PAUSES, &to_json(pauses)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    #[test]
    fn a_pause_of_an_earlier_version_is_one_of_everything_without_an_end() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)").unwrap();
        assert_eq!(pauses(&db).unwrap(), []);
        let old = serde_json::json!({ "by": "ann", "reason": "because", "since": at(0) }).to_string();
        db.execute("INSERT INTO settings VALUES ('pause', ?1)", [old]).unwrap();
        let pause = pauses(&db).unwrap().pop().unwrap();
        assert!(pause.scope.is_all() && pause.holds(at(1_000_000)));
    }
}
