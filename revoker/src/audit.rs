//! The audit: append-only, each entry sealed together with the one before it.
//!
//! The seal is a code under the installation's key, which is not in the database: whoever can only write the database
//! cannot change, insert or remove an entry unnoticed. That the newest entries were cut off, or the whole file put back to
//! an older copy, is shown by a signed [`Head`] that was kept elsewhere; heads go into a file, the log and the record.

mod config;
mod head;
pub(crate) mod heads;
mod keeper;
mod record;
mod tree;
mod verify;

use detector::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::config::AuditConfig;
pub use self::head::{Head, PublicKey};
pub use self::heads::HeadsFile;
pub use self::keeper::{Alarm, Keeper};
pub use self::record::{ExportError, Record, RecordError, Which};
use self::tree::{Hash, Range};
pub(crate) use self::verify::verify;
pub use self::verify::{AuditError, Verified};
use crate::agent::{AgentKey, Txn};
use crate::hex::{hex, unhex};
use crate::keys::{KeyError, Keys};
use crate::store::db::{self, Connection, OptionalExtension, Transaction, params};
use crate::store::{Page, StoreError, agent_of, from_json, issuer_column, settings};

const ANCHOR: &str = "audit_anchor";
const MIRRORED: &str = "audit_mirrored";

/// Something to write down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewEntry<'a> {
    pub(crate) at: Timestamp,
    pub(crate) txn: &'a Txn,
    pub(crate) agent: Option<&'a AgentKey>,
    pub(crate) kind: &'a str,
    pub(crate) body: &'a str,
}

/// One entry with its particulars in the bytes that were sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are Entry's")]
pub struct Written {
    pub seq: i64,
    pub at: Timestamp,
    pub txn: Txn,
    pub agent: Option<AgentKey>,
    pub kind: String,
    pub body: String,
    pub hash: String,
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

type Seal = [u8; 32];

/// Where the chain begins: the last entry that retention removed, and the tree over all of those; or nothing.
#[derive(Serialize, Deserialize)]
struct Anchor {
    seq: i64,
    hash: String,
    roots: Vec<String>,
    seal: String,
}

/// How far the chain has come.
#[derive(Clone, Debug, Default)]
struct Reached {
    seq: i64,
    seal: Seal,
    tree: Range,
}

fn anchor_seal(keys: &Keys, reached: &Reached) -> Seal {
    let roots = reached.tree.roots().concat();
    keys.mac("audit anchor", &[&reached.seq.to_be_bytes(), &reached.seal, &roots])
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
    let (last, before) = if let Some(newest) = newest {
        newest
    } else {
        let start = start(tx, keys).map_err(|e| StoreError::damaged(e.to_string()))?;
        (start.seq, start.seal)
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

/// What stands before the first entry that is kept.
fn start(db: &Connection, keys: &Keys) -> Result<Reached, AuditError> {
    let Some(text) = settings::get(db, ANCHOR)? else { return Ok(Reached::default()) };
    let anchor: Anchor = from_json("the audit's anchor", &text)?;
    let reached = || {
        let roots = anchor.roots.iter().map(|root| unhex(root)).collect::<Option<Vec<Hash>>>()?;
        let tree = Range::from_parts(anchor.seq.try_into().ok()?, roots)?;
        let reached = Reached { seq: anchor.seq, seal: unhex(&anchor.hash)?, tree };
        (unhex(&anchor.seal) == Some(anchor_seal(keys, &reached))).then_some(reached)
    };
    reached().ok_or(AuditError::Anchor)
}

/// Removes at most `limit` entries from before `until`, and leaves a sealed mark where they ended.
pub(crate) fn prune(
    tx: &Transaction<'_>,
    keys: &Keys,
    until: Timestamp,
    limit: u32,
) -> Result<usize, StoreError> {
    // The newest entry always stays: it carries the chain on.
    let last: Option<i64> = tx
        .prepare_cached(
            "SELECT max(seq) FROM (SELECT seq, at FROM audit ORDER BY seq LIMIT ?2) AS oldest
             WHERE at < ?1 AND seq < (SELECT max(seq) FROM audit)",
        )?
        .query_row(params![until.as_micros(), limit], |row| row.get(0))?;
    let Some(last) = last else { return Ok(0) };
    let reached = match until_entry(tx, keys, last) {
        Ok(reached) => reached,
        Err(AuditError::Store(e)) if e.may_pass() => return Err(e),
        Err(e) => {
            // Left for people to look at; what else is old goes all the same.
            tracing::error!(error = %e, "the audit is not what was written, and nothing of it is removed");
            return Ok(0);
        }
    };
    let anchor = Anchor {
        seq: reached.seq,
        hash: hex(&reached.seal),
        roots: reached.tree.roots().iter().map(|root| hex(root)).collect(),
        seal: hex(&anchor_seal(keys, &reached)),
    };
    settings::set(tx, ANCHOR, &crate::store::to_json(&anchor)?)?;
    Ok(tx.prepare_cached("DELETE FROM audit WHERE seq <= ?1")?.execute([last])?)
}

/// How far the chain has come with the entry `last`.
fn until_entry(db: &Connection, keys: &Keys, last: i64) -> Result<Reached, AuditError> {
    let mut reached = start(db, keys)?;
    each(db, (i64::MIN, last), |entry| reached.go_on(keys, &entry).map(drop))?;
    Ok(reached)
}

/// Entries read at once, so that a long audit need not be held whole.
const READ_AT_ONCE: u32 = 5_000;

/// Everything there is.
const ALL: (i64, i64) = (i64::MIN, i64::MAX);

/// Reads the entries after the first number and up to the last, in order.
fn each<E: From<StoreError>>(
    db: &Connection,
    (mut after, last): (i64, i64),
    mut f: impl FnMut(Raw) -> Result<(), E>,
) -> Result<(), E> {
    let sql = format!("SELECT {COLUMNS} FROM audit WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3");
    loop {
        let read = || -> db::Result<Vec<Raw>> {
            let mut statement = db.prepare_cached(&sql)?;
            statement.query_map(params![after, last, READ_AT_ONCE], raw)?.collect()
        };
        let entries = read().map_err(StoreError::from)?;
        let Some(newest) = entries.last() else { return Ok(()) };
        after = newest.seq;
        entries.into_iter().try_for_each(&mut f)?;
    }
}

impl Reached {
    /// Takes the next entry, if it is the next one and as it was written; gives its leaf.
    fn go_on(&mut self, keys: &Keys, r: &Raw) -> Result<Hash, AuditError> {
        if r.seq != self.seq + 1 {
            return Err(AuditError::Missing { seq: self.seq + 1 });
        }
        let entry = NewEntry { at: r.at, txn: &r.txn, agent: r.agent.as_ref(), kind: &r.kind, body: &r.body };
        if !r.is_whole || seal(keys, &self.seal, r.seq, &entry) != r.hash {
            return Err(AuditError::Broken { seq: r.seq });
        }
        let leaf = tree::leaf(leaf_text(r)?.as_bytes());
        self.tree.push(leaf);
        (self.seq, self.seal) = (r.seq, r.hash);
        Ok(leaf)
    }
}

/// What is hashed into the tree of an entry: its JSON, members in the order of [`Entry`], the body as it was written.
fn leaf_text(r: &Raw) -> Result<String, StoreError> {
    #[derive(Serialize)]
    struct Leaf<'a> {
        seq: i64,
        at: Timestamp,
        txn: &'a Txn,
        agent: Option<&'a AgentKey>,
        kind: &'a str,
        body: &'a RawValue,
        hash: String,
    }
    let Raw { seq, at, txn, agent, kind, body, hash, .. } = r;
    let body = serde_json::from_str(body).map_err(|e| StoreError::damaged(format!("an audit entry: {e}")))?;
    let agent = agent.as_ref();
    crate::store::to_json(&Leaf { seq: *seq, at: *at, txn, agent, kind, body, hash: hex(hash) })
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
    /// Whether the columns hold nothing that the fields above do not.
    is_whole: bool,
}

fn raw(row: &db::Row<'_>) -> db::Result<Raw> {
    let issuer: Option<String> = row.get(3)?;
    let agent_id: Option<String> = row.get(4)?;
    Ok(Raw {
        seq: row.get(0)?,
        at: Timestamp::from_micros(row.get(1)?),
        txn: Txn::from_stored(row.get(2)?),
        is_whole: issuer.is_some() == agent_id.is_some(),
        agent: agent_id.map(|id| agent_of(issuer.as_deref().unwrap_or_default(), &id)),
        kind: row.get(5)?,
        body: row.get(6)?,
        hash: row.get(7)?,
    })
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

/// At most `limit` entries after the one numbered `seq`, in order.
pub(crate) fn after(db: &Connection, seq: i64, limit: u32) -> Result<Vec<Written>, StoreError> {
    let mut statement =
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2"))?;
    let rows = statement.query_map(params![seq, limit], raw)?;
    rows.map(|row| row.map(Written::from)).collect::<Result<_, _>>().map_err(StoreError::from)
}

impl From<Raw> for Written {
    fn from(r: Raw) -> Self {
        let Raw { seq, at, txn, agent, kind, body, hash, .. } = r;
        Self { seq, at, txn, agent, kind, body, hash: hex(&hash) }
    }
}

/// The last entry that was passed on to the database.
/// The number of the newest entry, 0 before there is one.
pub(crate) fn newest(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.query_row("SELECT coalesce(max(seq), 0) FROM audit", [], |row| row.get(0))?)
}

pub(crate) fn mirrored(db: &Connection) -> Result<i64, StoreError> {
    let text = settings::get(db, MIRRORED)?;
    text.map_or(Ok(0), |text| from_json("how far the audit is mirrored", &text))
}

pub(crate) fn set_mirrored(tx: &Transaction<'_>, seq: i64) -> Result<(), StoreError> {
    settings::set(tx, MIRRORED, &seq.to_string())
}

/// What verifies heads of the installation with these keys.
pub(crate) fn public_key(keys: &Keys) -> Result<PublicKey, KeyError> {
    head::Signer::new(keys).map(|signer| signer.public_key())
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
