//! Who spawned whom, as attested calls say; and what happens once.

use detector::Timestamp;

use super::{StoreError, agent_of, issuer_column};
use crate::agent::AgentKey;
use crate::store::db::{self, Connection, Transaction, params};

/// Pairs that are kept; those seen first make room.
const PAIRS_MAX: i64 = 100_000;

/// An agent said that another of its issuer spawned it.
pub(crate) fn learn(
    tx: &Transaction<'_>,
    child: &AgentKey,
    parent: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let learned = tx
        .prepare_cached(
            "INSERT INTO kin (issuer, agent_id, parent, seen_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (issuer, agent_id, parent) DO NOTHING",
        )?
        .execute(params![issuer_column(child), child.agent_id, parent, now.as_micros()])?;
    if learned == 0 {
        return Ok(());
    }
    let pairs: i64 = tx.prepare_cached("SELECT count(*) FROM kin")?.query_row([], |row| row.get(0))?;
    if pairs > PAIRS_MAX {
        tx.prepare_cached(
            "DELETE FROM kin WHERE (issuer, agent_id, parent) IN
                 (SELECT issuer, agent_id, parent FROM kin ORDER BY seen_at LIMIT ?1)",
        )?
        .execute(params![PAIRS_MAX / 64])?;
    }
    Ok(())
}

/// Whom the agent spawned.
pub(crate) fn children(db: &Connection, parent: &AgentKey, limit: u32) -> Result<Vec<AgentKey>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT issuer, agent_id FROM kin WHERE issuer = ?1 AND parent = ?2 ORDER BY seen_at, agent_id LIMIT ?3",
    )?;
    let rows = statement.query_map(params![issuer_column(parent), parent.agent_id, limit], |row| {
        Ok(agent_of(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?))
    })?;
    Ok(rows.collect::<db::Result<_>>()?)
}

/// True the first time that this is asked of the agent.
pub(crate) fn is_first(
    tx: &Transaction<'_>,
    agent: &AgentKey,
    what: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let noted = tx
        .prepare_cached(
            "INSERT INTO once (issuer, agent_id, what, at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (issuer, agent_id, what) DO NOTHING",
        )?
        .execute(params![issuer_column(agent), agent.agent_id, what, now.as_micros()])?;
    Ok(noted == 1)
}
