//! How far agents' calls count.

use detector::Timestamp;

use super::{StoreError, agent_of, from_json, issuer_column, to_json};
use crate::agent::AgentKey;
use crate::reach::Reach;
use crate::store::db::{self, Connection, OptionalExtension, Transaction, params};

pub(crate) fn put(
    tx: &Transaction<'_>,
    agent: &AgentKey,
    reach: &Reach,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO reach (issuer, agent_id, marks, at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (issuer, agent_id) DO UPDATE SET marks = excluded.marks, at = excluded.at",
    )?
    .execute(params![issuer_column(agent), agent.agent_id, to_json(reach)?, now.as_micros()])?;
    Ok(())
}

pub(crate) fn of(db: &Connection, agent: &AgentKey) -> Result<Option<Reach>, StoreError> {
    let mut statement = db.prepare_cached("SELECT marks FROM reach WHERE issuer = ?1 AND agent_id = ?2")?;
    let whose = params![issuer_column(agent), agent.agent_id];
    let marks: Option<String> = statement.query_row(whose, |row| row.get(0)).optional()?;
    marks.map(|marks| from_json("a reach", &marks)).transpose()
}

/// The `limit` that were written last.
pub(crate) fn newest(db: &Connection, limit: u32) -> Result<Vec<(AgentKey, Reach)>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT issuer, agent_id, marks FROM reach ORDER BY at DESC LIMIT ?1")?;
    let rows = statement.query_map([limit], |row| {
        let agent = agent_of(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?);
        Ok((agent, row.get::<_, String>(2)?))
    })?;
    let read = |(agent, marks): (AgentKey, String)| Ok((agent, from_json("a reach", &marks)?));
    rows.collect::<db::Result<Vec<_>>>()?.into_iter().map(read).collect()
}
