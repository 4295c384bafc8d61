//! Standings and the list of revoked subjects.

use detector::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Page, StoreError, agent_of, from_json, issuer_column, to_json};
use crate::agent::{AgentKey, Txn};
use crate::standing::Standing;
use crate::store::db::{self, Connection, OptionalExtension, Transaction, params};

/// One agent that is not plainly trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandingRow {
    /// Which agent.
    pub agent: AgentKey,
    /// Where it stands.
    #[serde(flatten)]
    pub standing: Standing,
    /// The story it is in.
    pub txn: Txn,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// For the next page.
    pub cursor: i64,
}

/// Writes the standing; one that is plainly trusted is no row.
pub(crate) fn put(
    tx: &Transaction<'_>,
    agent: &AgentKey,
    standing: &Standing,
    txn: &Txn,
    (now, seq): (Timestamp, i64),
) -> Result<(), StoreError> {
    if *standing == Standing::Trusted {
        tx.prepare_cached("DELETE FROM agents WHERE issuer = ?1 AND agent_id = ?2")?
            .execute(params![issuer_column(agent), agent.agent_id])?;
        return Ok(());
    }
    tx.prepare_cached(
        "INSERT INTO agents (issuer, agent_id, standing, state, txn, due, changed_at, changed_seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (issuer, agent_id) DO UPDATE SET standing = excluded.standing, state = excluded.state,
             txn = excluded.txn, due = excluded.due, changed_at = excluded.changed_at,
             changed_seq = excluded.changed_seq",
    )?
    .execute(params![
        issuer_column(agent),
        agent.agent_id,
        standing.name(),
        to_json(standing)?,
        txn.as_str(),
        standing.due().map(Timestamp::as_micros),
        now.as_micros(),
        seq,
    ])?;
    Ok(())
}

/// Writes what a standing remembers, where the standing itself stays what it is.
pub(crate) fn note(tx: &Transaction<'_>, agent: &AgentKey, standing: &Standing) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE agents SET state = ?3 WHERE issuer = ?1 AND agent_id = ?2")?
        .execute(params![issuer_column(agent), agent.agent_id, to_json(standing)?])?;
    Ok(())
}

const COLUMNS: &str = "issuer, agent_id, state, txn, changed_at, changed_seq";

type Raw = (String, String, String, String, i64, i64);

fn raw(row: &db::Row<'_>) -> db::Result<Raw> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
}

fn read((issuer, agent_id, state, txn, at, cursor): Raw) -> Result<StandingRow, StoreError> {
    Ok(StandingRow {
        standing: from_json("a standing", &state)?,
        agent: agent_of(&issuer, &agent_id),
        txn: Txn::from_stored(txn),
        changed_at: Timestamp::from_micros(at),
        cursor,
    })
}

/// One agent's row.
pub(crate) fn of(db: &Connection, agent: &AgentKey) -> Result<Option<StandingRow>, StoreError> {
    let mut statement =
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM agents WHERE issuer = ?1 AND agent_id = ?2"))?;
    let row = statement.query_row(params![issuer_column(agent), agent.agent_id], raw).optional()?;
    row.map(read).transpose()
}

/// Every agent that has a row.
pub(crate) fn all(db: &Connection) -> Result<Vec<StandingRow>, StoreError> {
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM agents"))?;
    let rows = statement.query_map([], raw)?;
    rows.map(|row| read(row?)).collect()
}

/// A page of them, last changed first.
pub(crate) fn list(db: &Connection, page: Page) -> Result<Vec<StandingRow>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM agents WHERE changed_seq < ?1 ORDER BY changed_seq DESC LIMIT ?2"
    ))?;
    let rows = statement.query_map(params![page.before(), page.limit()], raw)?;
    rows.map(|row| read(row?)).collect()
}

/// A page of those about whom something was withheld that nobody has done since, last changed first.
pub(crate) fn held_back(db: &Connection, page: Page) -> Result<Vec<StandingRow>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM agents WHERE changed_seq < ?1 AND json_extract(state, '$.would') IS NOT NULL
         ORDER BY changed_seq DESC LIMIT ?2"
    ))?;
    let rows = statement.query_map(params![page.before(), page.limit()], raw)?;
    rows.map(|row| read(row?)).collect()
}

/// Agents whose standing changes by time alone at or before `now`, earliest first.
pub(crate) fn due(db: &Connection, now: Timestamp, limit: u32) -> Result<Vec<AgentKey>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT issuer, agent_id FROM agents WHERE due <= ?1 ORDER BY due LIMIT ?2")?;
    let rows = statement.query_map(params![now.as_micros(), limit], |row| {
        Ok(agent_of(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?))
    })?;
    Ok(rows.collect::<db::Result<_>>()?)
}

/// Forgets the `count` agents watched longest without a change; returns who.
pub(crate) fn drop_watched(tx: &Transaction<'_>, count: u32) -> Result<Vec<AgentKey>, StoreError> {
    let mut statement = tx.prepare_cached(
        "DELETE FROM agents WHERE (issuer, agent_id) IN
             (SELECT issuer, agent_id FROM agents WHERE standing = 'watched' ORDER BY changed_seq LIMIT ?1)
         RETURNING issuer, agent_id",
    )?;
    let rows = statement
        .query_map([count], |row| Ok(agent_of(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?)))?;
    Ok(rows.collect::<db::Result<_>>()?)
}
