//! Verdicts that changed something, and the answers they were given.

use detector::{Timestamp, VerdictId};

use super::{StoreError, from_json, to_json};
use crate::revoker::Decision;
use crate::store::db::{self, Connection, OptionalExtension, Transaction, params};

pub(crate) fn get(db: &Connection, verdict: VerdictId) -> Result<Option<Decision>, StoreError> {
    let mut statement = db.prepare_cached("SELECT decision FROM handled WHERE verdict = ?1")?;
    let text: Option<String> = statement.query_row([verdict.0.to_be_bytes()], |row| row.get(0)).optional()?;
    text.map(|text| from_json("a decision", &text)).transpose()
}

pub(crate) fn put(tx: &Transaction<'_>, decision: &Decision, now: Timestamp) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO handled (verdict, at, decision) VALUES (?1, ?2, ?3)")?
        .execute(params![decision.verdict.0.to_be_bytes(), now.as_micros(), to_json(decision)?])?;
    Ok(())
}

/// The newest `limit` of them, oldest first.
pub(crate) fn newest(db: &Connection, limit: u32) -> Result<Vec<VerdictId>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT verdict FROM (SELECT verdict, at FROM handled ORDER BY at DESC LIMIT ?1) AS newest ORDER BY at",
    )?;
    let rows =
        statement.query_map([limit], |row| Ok(VerdictId(u128::from_be_bytes(row.get::<_, [u8; 16]>(0)?))))?;
    Ok(rows.collect::<db::Result<_>>()?)
}
