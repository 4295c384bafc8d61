//! The list of revoked subjects: what a gateway must know to check tokens by itself.
//!
//! Each change of an entry gives it the next version, so that who knows the list up to a version asks for what came after.

use std::time::Duration;

use detector::Timestamp;
use serde::{Deserialize, Serialize};

use super::{StoreError, agent_of, issuer_column, settings};
use crate::agent::{AgentKey, Txn};
use crate::part::Part;
use crate::store::db::{self, Connection, OptionalExtension, Transaction, params};

/// The setting that counts versions. Not the newest entry's, which goes once it has expired.
const VERSION: &str = "revocations_version";

/// A subject whose older tokens are void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedRow {
    /// Which agent.
    pub agent: AgentKey,
    /// Which part of it alone; none is all of it.
    pub part: Option<Part>,
    /// Tokens issued before are void.
    pub not_before: Timestamp,
    /// None while every token is void, also newer ones; else when the entry may be forgotten.
    pub until: Option<Timestamp>,
    /// When it was given its access back; none while every token is void.
    pub lifted: Option<Timestamp>,
    /// The story it is in.
    pub txn: Txn,
    /// The version of the list that this entry came with.
    pub version: i64,
}

/// The same as gateways are told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Under which issuer `subject` is a name.
    pub issuer: Option<String>,
    /// Which agent.
    pub subject: String,
    /// The one token, session, instance or key of it that the entry is about; none is all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Tokens issued before are void.
    pub not_before: Timestamp,
    /// Whether newer tokens are void too.
    pub blocked: bool,
    /// When the entry may be forgotten; none while it is blocked.
    pub until: Option<Timestamp>,
    /// The story it is in.
    pub txn: Txn,
    /// The version of the list that this entry came with.
    pub version: i64,
}

impl From<RevokedRow> for Listed {
    fn from(row: RevokedRow) -> Self {
        Self {
            issuer: row.agent.issuer,
            subject: row.agent.agent_id,
            part: row.part,
            not_before: row.not_before,
            blocked: row.until.is_none(),
            until: row.until,
            txn: row.txn,
            version: row.version,
        }
    }
}

/// An agent that was given its access back, and whose older tokens are void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifted {
    /// Tokens issued before are void.
    pub not_before: Timestamp,
    /// When it was given its access back.
    pub at: Timestamp,
}

impl RevokedRow {
    /// None while every token is void.
    pub(crate) fn lifted(&self) -> Option<Lifted> {
        Some(Lifted { not_before: self.not_before, at: self.lifted? })
    }
}

const COLUMNS: &str = "issuer, agent_id, not_before, until, txn, version, part, lifted";

fn row(row: &db::Row<'_>) -> db::Result<RevokedRow> {
    Ok(RevokedRow {
        agent: agent_of(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?),
        not_before: Timestamp::from_micros(row.get(2)?),
        until: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_micros),
        txn: Txn::from_stored(row.get(4)?),
        version: row.get(5)?,
        part: Part::of_column(&row.get::<_, String>(6)?),
        lifted: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_micros),
    })
}

/// The list's version: grows with every change.
pub(crate) fn version(db: &Connection) -> Result<i64, StoreError> {
    let Some(text) = settings::get(db, VERSION)? else { return Ok(0) };
    text.parse().map_err(|_| StoreError::damaged(format!("`{text}` is no version of the revocation list")))
}

fn next_version(tx: &Transaction<'_>) -> Result<i64, StoreError> {
    let next = version(tx)? + 1;
    settings::set(tx, VERSION, &next.to_string())?;
    Ok(next)
}

/// Lists the subject as revoked. A later revocation moves `not_before` on, never back.
pub(crate) fn revoke(
    tx: &Transaction<'_>,
    (agent, part): (&AgentKey, Option<&Part>),
    not_before: Timestamp,
    txn: &Txn,
) -> Result<(), StoreError> {
    let version = next_version(tx)?;
    tx.prepare_cached(
        "INSERT INTO revocations (issuer, agent_id, part, not_before, until, txn, version)
         VALUES (?1, ?2, ?6, ?3, NULL, ?4, ?5)
         ON CONFLICT (issuer, agent_id, part) DO UPDATE SET not_before = CASE
                 WHEN revocations.not_before > excluded.not_before THEN revocations.not_before
                 ELSE excluded.not_before END,
             until = NULL, lifted = NULL, txn = excluded.txn, version = excluded.version",
    )?
    .execute(params![
        issuer_column(agent),
        agent.agent_id,
        not_before.as_micros(),
        txn.as_str(),
        version,
        Part::column(part)
    ])?;
    Ok(())
}

/// The subject may act again; its entry stays until tokens from before, which live so long at most, have expired.
pub(crate) fn unrevoke(
    tx: &Transaction<'_>,
    (agent, part): (&AgentKey, Option<&Part>),
    now: Timestamp,
    token_lifetime_max: Duration,
) -> Result<(), StoreError> {
    let until = now + token_lifetime_max;
    let version = next_version(tx)?;
    tx.prepare_cached(
        "UPDATE revocations SET until = ?3, lifted = ?6, version = ?4
         WHERE issuer = ?1 AND agent_id = ?2 AND part = ?5",
    )?
    .execute(params![
        issuer_column(agent),
        agent.agent_id,
        until.as_micros(),
        version,
        Part::column(part),
        now.as_micros()
    ])?;
    Ok(())
}

/// Every part of an agent whose access has ended alone, and when.
pub(crate) fn ended_parts(db: &Connection) -> Result<Vec<(AgentKey, Part, Timestamp)>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM revocations WHERE part <> '' AND until IS NULL");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([], row)?.collect::<db::Result<Vec<_>>>()?;
    Ok(rows.into_iter().filter_map(|row| Some((row.agent, row.part?, row.not_before))).collect())
}

/// Every agent whose access was given back, while older tokens of it may live.
pub(crate) fn lifted(db: &Connection) -> Result<Vec<(AgentKey, Lifted)>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM revocations WHERE part = '' AND until IS NOT NULL");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([], row)?.collect::<db::Result<Vec<_>>>()?;
    Ok(rows.into_iter().filter_map(|row| row.lifted().map(|lifted| (row.agent, lifted))).collect())
}

/// What the list says of one subject.
pub(crate) fn of(
    db: &Connection,
    agent: &AgentKey,
    part: Option<&Part>,
) -> Result<Option<RevokedRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM revocations WHERE issuer = ?1 AND agent_id = ?2 AND part = ?3");
    let mut statement = db.prepare_cached(&sql)?;
    let subject = params![issuer_column(agent), agent.agent_id, Part::column(part)];
    Ok(statement.query_row(subject, row).optional()?)
}

/// Entries that are newer than `version`, in the order of their versions.
pub(crate) fn after(db: &Connection, version: i64, limit: u32) -> Result<Vec<RevokedRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM revocations WHERE version > ?1 ORDER BY version LIMIT ?2");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![version, limit], row)?;
    Ok(rows.collect::<db::Result<_>>()?)
}
