//! The audit: append-only, each entry sealed together with the one before it.
//!
//! The seal is a code under the installation's key, which is not in the database: whoever can only write the database
//! cannot change, insert or remove an entry unnoticed. What it cannot show by itself is that the newest entries were cut
//! off; [`Verified::head`] is there to be compared with a copy kept elsewhere.

use detector::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::agent::{AgentKey, Txn};
use crate::hex::{hex, unhex};
use crate::keys::Keys;
use crate::store::{Page, StoreError, agent_of, from_json, issuer_column, settings};

const ANCHOR: &str = "audit_anchor";

/// Something to write down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewEntry<'a> {
    pub(crate) at: Timestamp,
    pub(crate) txn: &'a Txn,
    pub(crate) agent: Option<&'a AgentKey>,
    pub(crate) kind: &'a str,
    pub(crate) body: &'a str,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts up without a gap; also the cursor for the next page.
    pub seq: i64,
    /// When it was written.
    pub at: Timestamp,
    /// The story it belongs to.
    pub txn: Txn,
    /// Whom it speaks of, if of one agent.
    pub agent: Option<AgentKey>,
    /// What happened: `standing.changed`, `delivery.acknowledged`, …
    pub kind: String,
    /// The particulars.
    pub body: serde_json::Value,
    /// The seal, hexadecimal.
    pub hash: String,
}

/// An unbroken chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Entries checked.
    pub entries: u64,
    /// The oldest entry that is still kept.
    pub first: i64,
    /// The newest entry.
    pub last: i64,
    /// The newest seal, hexadecimal.
    pub head: String,
}

/// Why the chain is not what was written.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// An entry was changed, or one before it.
    #[error("audit entry {seq} is not what was written, or the one before it is not")]
    Broken {
        /// The first entry whose seal does not fit.
        seq: i64,
    },
    /// An entry is gone.
    #[error("audit entry {seq} is missing")]
    Missing {
        /// Which.
        seq: i64,
    },
    /// The mark left when old entries were removed is not what was written.
    #[error("the mark where old audit entries end is not what was written")]
    Anchor,
    /// The record cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for AuditError {
    fn from(e: rusqlite::Error) -> Self {
        Self::Store(e.into())
    }
}

type Seal = [u8; 32];

/// Where the chain begins: the last entry that retention removed, or nothing.
#[derive(Serialize, Deserialize)]
struct Anchor {
    seq: i64,
    hash: String,
    seal: String,
}

fn seal(keys: &Keys, before: &Seal, seq: i64, e: &NewEntry<'_>) -> Seal {
    let (issuer, agent_id) = e.agent.map_or(("", ""), |a| (issuer_column(a), a.agent_id.as_str()));
    keys.mac(
        "audit entry",
        &[
            before,
            &seq.to_be_bytes(),
            &e.at.as_micros().to_be_bytes(),
            e.txn.as_str().as_bytes(),
            &[u8::from(e.agent.is_some())],
            issuer.as_bytes(),
            agent_id.as_bytes(),
            e.kind.as_bytes(),
            e.body.as_bytes(),
        ],
    )
}

/// Writes an entry; returns its number.
pub(crate) fn append(tx: &Transaction<'_>, keys: &Keys, entry: &NewEntry<'_>) -> Result<i64, StoreError> {
    let newest = tx
        .prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Seal>(1)?)))
        .optional()?;
    let (last, before) = match newest {
        Some(newest) => newest,
        None => start(tx, keys).map_err(|e| StoreError::damaged(e.to_string()))?,
    };
    let seq = last + 1;
    tx.prepare_cached(
        "INSERT INTO audit (seq, at, txn, issuer, agent_id, kind, body, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        seq,
        entry.at.as_micros(),
        entry.txn.as_str(),
        entry.agent.map(issuer_column),
        entry.agent.map(|a| a.agent_id.as_str()),
        entry.kind,
        entry.body,
        seal(keys, &before, seq, entry),
    ])?;
    Ok(seq)
}

/// The number and seal before the first entry that is kept.
fn start(db: &Connection, keys: &Keys) -> Result<(i64, Seal), AuditError> {
    let Some(text) = settings::get(db, ANCHOR)? else { return Ok((0, [0; 32])) };
    let anchor: Anchor = from_json("the audit's anchor", &text)?;
    let hash: Seal = unhex(&anchor.hash).ok_or(AuditError::Anchor)?;
    let sealed = keys.mac("audit anchor", &[&anchor.seq.to_be_bytes(), &hash]);
    if unhex(&anchor.seal) == Some(sealed) { Ok((anchor.seq, hash)) } else { Err(AuditError::Anchor) }
}

/// Removes at most `limit` entries from before `until`, and leaves a sealed mark where they ended.
pub(crate) fn prune(
    tx: &Transaction<'_>,
    keys: &Keys,
    until: Timestamp,
    limit: u32,
) -> Result<usize, StoreError> {
    // The newest entry always stays: it carries the chain on.
    let last = tx
        .prepare_cached(
            "SELECT seq, hash FROM (SELECT seq, hash, at FROM audit ORDER BY seq LIMIT ?2)
             WHERE at < ?1 AND seq < (SELECT max(seq) FROM audit) ORDER BY seq DESC LIMIT 1",
        )?
        .query_row(params![until.as_micros(), limit], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Seal>(1)?))
        })
        .optional()?;
    let Some((seq, hash)) = last else { return Ok(0) };
    let sealed = keys.mac("audit anchor", &[&seq.to_be_bytes(), &hash]);
    let anchor = Anchor { seq, hash: hex(&hash), seal: hex(&sealed) };
    settings::set(tx, ANCHOR, &crate::store::to_json(&anchor)?)?;
    Ok(tx.prepare_cached("DELETE FROM audit WHERE seq <= ?1")?.execute([seq])?)
}

const COLUMNS: &str = "seq, at, txn, issuer, agent_id, kind, body, hash";

struct Raw {
    seq: i64,
    at: Timestamp,
    txn: Txn,
    agent: Option<AgentKey>,
    kind: String,
    body: String,
    hash: Seal,
}

fn raw(row: &rusqlite::Row<'_>) -> rusqlite::Result<Raw> {
    let issuer: Option<String> = row.get(3)?;
    let agent_id: Option<String> = row.get(4)?;
    Ok(Raw {
        seq: row.get(0)?,
        at: Timestamp::from_micros(row.get(1)?),
        txn: Txn::from_stored(row.get(2)?),
        agent: agent_id.map(|id| agent_of(issuer.as_deref().unwrap_or_default(), &id)),
        kind: row.get(5)?,
        body: row.get(6)?,
        hash: row.get(7)?,
    })
}

/// Reads the whole chain and checks every seal.
pub(crate) fn verify(db: &Connection, keys: &Keys) -> Result<Verified, AuditError> {
    let (start, mut before) = start(db, keys)?;
    let mut last = start;
    let mut statement = db.prepare(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq"))?;
    for row in statement.query_map([], raw)? {
        let r = row?;
        if r.seq != last + 1 {
            return Err(AuditError::Missing { seq: last + 1 });
        }
        let entry = NewEntry { at: r.at, txn: &r.txn, agent: r.agent.as_ref(), kind: &r.kind, body: &r.body };
        if seal(keys, &before, r.seq, &entry) != r.hash {
            return Err(AuditError::Broken { seq: r.seq });
        }
        (last, before) = (r.seq, r.hash);
    }
    Ok(Verified { entries: last.abs_diff(start), first: start + 1, last, head: hex(&before) })
}

/// A page of the entries on one agent, newest first.
pub(crate) fn of_agent(db: &Connection, agent: &AgentKey, page: Page) -> Result<Vec<Entry>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM audit WHERE agent_id = ?1 AND issuer = ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4"
    ))?;
    let rows = statement
        .query_map(params![agent.agent_id, issuer_column(agent), page.before(), page.limit()], raw)?;
    rows.map(|row| entry(row?)).collect()
}

/// A page of the entries of one story, newest first.
pub(crate) fn of_txn(db: &Connection, txn: &str, page: Page) -> Result<Vec<Entry>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM audit WHERE txn = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3"
    ))?;
    let rows = statement.query_map(params![txn, page.before(), page.limit()], raw)?;
    rows.map(|row| entry(row?)).collect()
}

fn entry(r: Raw) -> Result<Entry, StoreError> {
    Ok(Entry {
        seq: r.seq,
        at: r.at,
        txn: r.txn,
        agent: r.agent,
        body: from_json("an audit entry", &r.body)?,
        kind: r.kind,
        hash: hex(&r.hash),
    })
}

#[cfg(test)]
mod tests;
