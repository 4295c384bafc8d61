//! What persons have put on record of agents.

use detector::Timestamp;
use serde::{Deserialize, Serialize};

use super::{StoreError, agent_of, from_json, issuer_column, to_json};
use crate::agent::AgentKey;
use crate::store::db::{self, Connection, OptionalExtension, Row, Transaction, params};

/// The most entries that are read at once.
const ENTRIES_MAX: u32 = 100_000;

/// Who answers for an agent, as far as a person said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Accountable {
    /// The person or team accountable for it.
    pub owner: Option<String>,
    /// Who asked for it and pays for it.
    pub sponsor: Option<String>,
    /// The people who answer for what it does when it is challenged.
    pub approvers: Vec<String>,
}

impl Accountable {
    /// Owner and sponsor, each once.
    pub fn accountable(&self) -> impl Iterator<Item = &String> {
        let sponsor = self.sponsor.iter().filter(|sponsor| self.owner.as_ref() != Some(sponsor));
        self.owner.iter().chain(sponsor)
    }
}

/// That somebody did something, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
}

/// An agent's entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Which agent.
    pub agent: AgentKey,
    /// Who answers for it.
    #[serde(flatten)]
    pub accountable: Accountable,
    /// Who registered it last.
    pub registered: Option<Signature>,
    /// Who reviewed it last.
    pub reviewed: Option<Signature>,
    /// Which edition of its manifest they looked at.
    pub reviewed_manifest: Option<String>,
}

/// Puts the agent on record; what was said of it before is replaced, and its review stays.
pub(crate) fn register(
    tx: &Transaction<'_>,
    agent: &AgentKey,
    said: &Accountable,
    by: &Signature,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO register (issuer, agent_id, owner, sponsor, approvers, registered_at, registered_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (issuer, agent_id) DO UPDATE SET owner = excluded.owner, sponsor = excluded.sponsor,
             approvers = excluded.approvers, registered_at = excluded.registered_at,
             registered_by = excluded.registered_by",
    )?
    .execute(params![
        issuer_column(agent),
        agent.agent_id,
        said.owner,
        said.sponsor,
        to_json(&said.approvers)?,
        by.at.as_micros(),
        by.by,
    ])?;
    Ok(())
}

/// Puts on record that somebody looked at the agent and at this edition of its manifest.
pub(crate) fn review(
    tx: &Transaction<'_>,
    agent: &AgentKey,
    manifest: Option<&str>,
    by: &Signature,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO register (issuer, agent_id, reviewed_at, reviewed_by, reviewed_manifest)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (issuer, agent_id) DO UPDATE SET reviewed_at = excluded.reviewed_at,
             reviewed_by = excluded.reviewed_by, reviewed_manifest = excluded.reviewed_manifest",
    )?
    .execute(params![issuer_column(agent), agent.agent_id, by.at.as_micros(), by.by, manifest])?;
    Ok(())
}

const COLUMNS: &str = "issuer, agent_id, owner, sponsor, approvers, registered_at, registered_by, reviewed_at, \
     reviewed_by, reviewed_manifest";

fn read(row: &Row<'_>) -> db::Result<(Registration, String)> {
    let signature = |at: usize| -> db::Result<Option<Signature>> {
        let (at, by): (Option<i64>, Option<String>) = (row.get(at)?, row.get(at + 1)?);
        Ok(at.zip(by).map(|(at, by)| Signature { at: Timestamp::from_micros(at), by }))
    };
    let accountable = Accountable { owner: row.get(2)?, sponsor: row.get(3)?, approvers: Vec::new() };
    let registration = Registration {
        agent: agent_of(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?),
        accountable,
        registered: signature(5)?,
        reviewed: signature(7)?,
        reviewed_manifest: row.get(9)?,
    };
    Ok((registration, row.get(4)?))
}

fn whole((mut registration, approvers): (Registration, String)) -> Result<Registration, StoreError> {
    registration.accountable.approvers = from_json("the approvers of an agent", &approvers)?;
    Ok(registration)
}

/// One agent's entry.
pub(crate) fn of(db: &Connection, agent: &AgentKey) -> Result<Option<Registration>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM register WHERE issuer = ?1 AND agent_id = ?2");
    let mut statement = db.prepare_cached(&sql)?;
    let row = statement.query_row(params![issuer_column(agent), agent.agent_id], read).optional()?;
    row.map(whole).transpose()
}

/// All entries, by issuer and name.
pub(crate) fn all(db: &Connection) -> Result<Vec<Registration>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM register ORDER BY issuer, agent_id LIMIT {ENTRIES_MAX}");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([], read)?;
    rows.map(|row| whole(row?)).collect()
}
