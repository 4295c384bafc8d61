//! What each commit changed of what processes hold in memory, where several share a record: the others read just that again.

use detector::VerdictId;

use super::db::{Connection, Row, Transaction, params};
use super::{StoreError, agent_of, db, issuer_column};
use crate::agent::AgentKey;

/// Changes that are kept. Who has missed more reads everything again.
const KEPT_MAX: i64 = 100_000;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// An agent's standing.
    Agent(AgentKey),
    /// Whom automatic action is paused for.
    Pauses,
    /// What was done automatically of late.
    Spent,
    /// A verdict that was handled.
    Handled(VerdictId),
    /// Which parts of agents have ended.
    Parts,
    /// What persons declare of agents.
    Manifests,
    /// Something that nobody holds in memory.
    Record,
}

impl Change {
    fn name(&self) -> &'static str {
        match self {
            Self::Agent(_) => "agent",
            Self::Pauses => "pauses",
            Self::Spent => "spent",
            Self::Handled(_) => "handled",
            Self::Parts => "parts",
            Self::Manifests => "manifests",
            Self::Record => "record",
        }
    }
}

/// Writes changes down and wakes the other processes once they are durable; returns the number of the last.
pub(crate) fn tell(tx: &Transaction<'_>, changes: &[Change]) -> Result<i64, StoreError> {
    let mut last = 0;
    for change in changes {
        let (agent, verdict) = match change {
            Change::Agent(agent) => (Some(agent), None),
            Change::Handled(verdict) => (None, Some(verdict.0.to_be_bytes())),
            _ => (None, None),
        };
        let agent_id = agent.map(|agent| agent.agent_id.as_str());
        last = tx.query_row(
            "INSERT INTO changes (what, issuer, agent_id, verdict) VALUES (?1, ?2, ?3, ?4) RETURNING seq",
            params![change.name(), agent.map(issuer_column), agent_id, verdict],
            |row| row.get(0),
        )?;
    }
    tx.execute("DELETE FROM changes WHERE seq <= ?1", [last - KEPT_MAX])?;
    tx.notify()?;
    Ok(last)
}

/// At most `limit` changes after the one numbered `seq`, in the order of their commits; none where some are no longer kept.
pub(crate) fn after(db: &Connection, seq: i64, limit: u32) -> Result<Option<Vec<(i64, Change)>>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT seq, what, issuer, agent_id, verdict FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let found = statement.query_map(params![seq, limit], change)?.collect::<db::Result<Vec<_>>>()?;
    // Numbers have gaps by themselves; only a long one says that something was missed.
    let is_gap = found.first().is_some_and(|(first, _)| *first > seq + 1);
    if is_gap && newest(db)? > KEPT_MAX + seq {
        return Ok(None);
    }
    Ok(Some(found))
}

/// The number of the newest.
pub(crate) fn newest(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.query_row("SELECT coalesce(max(seq), 0) FROM changes", [], |row| row.get(0))?)
}

fn change(row: &Row<'_>) -> db::Result<(i64, Change)> {
    let what: String = row.get(1)?;
    let change = match what.as_str() {
        "agent" => Change::Agent(agent_of(&row.get::<_, String>(2)?, &row.get::<_, String>(3)?)),
        "pauses" => Change::Pauses,
        "spent" => Change::Spent,
        "parts" => Change::Parts,
        "manifests" => Change::Manifests,
        "handled" => Change::Handled(VerdictId(u128::from_be_bytes(row.get(4)?))),
        _ => Change::Record,
    };
    Ok((row.get(0)?, change))
}
