//! Manifests that persons set: every version, the last one in force.

use detector::{Manifest, Timestamp};
use serde::Serialize;

use super::register::Signature;
use super::{StoreError, agent_of, from_json, issuer_column, to_json};
use crate::agent::AgentKey;
use crate::store::db::{self, Connection, OptionalExtension, Row, Transaction, params};

/// One version of an agent's manifest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetManifest {
    /// Which agent; without an issuer the name under any.
    pub agent: AgentKey,
    /// Counted from 1.
    pub version: i64,
    /// What it says.
    pub manifest: Manifest,
    /// Who set it, and when.
    pub set: Signature,
}

/// One more version.
pub(crate) fn put(tx: &Transaction<'_>, set: &SetManifest) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO manifests (issuer, agent_id, version, body, set_at, set_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        issuer_column(&set.agent),
        set.agent.agent_id,
        set.version,
        to_json(&set.manifest)?,
        set.set.at.as_micros(),
        set.set.by,
    ])?;
    Ok(())
}

const COLUMNS: &str = "issuer, agent_id, version, body, set_at, set_by";

fn read(row: &Row<'_>) -> db::Result<(AgentKey, i64, String, Signature)> {
    let agent = agent_of(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?);
    let set = Signature { at: Timestamp::from_micros(row.get(4)?), by: row.get(5)? };
    Ok((agent, row.get(2)?, row.get(3)?, set))
}

fn whole((agent, version, body, set): (AgentKey, i64, String, Signature)) -> Result<SetManifest, StoreError> {
    Ok(SetManifest { agent, version, manifest: from_json("a manifest", &body)?, set })
}

/// The one in force of one agent.
pub(crate) fn of(db: &Connection, agent: &AgentKey) -> Result<Option<SetManifest>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM manifests WHERE issuer = ?1 AND agent_id = ?2 ORDER BY version DESC LIMIT 1"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let row = statement.query_row(params![issuer_column(agent), agent.agent_id], read).optional()?;
    row.map(whole).transpose()
}

/// Those in force, by issuer and name.
pub(crate) fn all(db: &Connection) -> Result<Vec<SetManifest>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM manifests m WHERE version = (SELECT max(version) FROM manifests n
             WHERE n.issuer = m.issuer AND n.agent_id = m.agent_id)
         ORDER BY issuer, agent_id"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([], read)?;
    rows.map(|row| whole(row?)).collect()
}
