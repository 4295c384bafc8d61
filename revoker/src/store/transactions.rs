//! Transactions of the promptless and prompted flows. Everything here runs inside a caller's transaction.

use detector::Timestamp;
use serde::{Deserialize, Serialize};

use super::db::{self, Connection, OptionalExtension as _, Row, Transaction, params};
use super::{StoreError, to_json};
use crate::approval::{ApprovalId, Asked, Digest};

/// What somebody is asked to confirm, from its beginning on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TransactionRow {
    pub(crate) tid: String,
    pub(crate) caller: String,
    pub(crate) username: String,
    pub(crate) email: String,
    pub(crate) asked: Asked,
    pub(crate) expires_at: Timestamp,
    pub(crate) approval: Option<ApprovalId>,
    /// The secret part of its page's address, and where that goes on.
    pub(crate) prompt: Option<(String, Prompt)>,
}

/// Where a browser goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Prompt {
    pub(crate) callback_url: String,
    pub(crate) logout_url: String,
    pub(crate) state: Option<String>,
    /// `S256` of RFC 7636.
    pub(crate) code_challenge: Option<String>,
}

const COLUMNS: &str = "tid, caller, username, email, asked, expires_at, approval_id, page, prompt";

/// Keeps a new one, and forgets those that are over.
pub(crate) fn insert(tx: &Transaction<'_>, row: &TransactionRow, now: Timestamp) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM transactions WHERE expires_at < ?1")?.execute([now.as_micros()])?;
    let (page, prompt) = match &row.prompt {
        Some((page, prompt)) => (Some(page.as_str()), Some(to_json(prompt)?)),
        None => (None, None),
    };
    tx.prepare_cached(
        "INSERT INTO transactions (tid, caller, username, email, asked, expires_at, page, prompt) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        row.tid,
        row.caller,
        row.username,
        row.email,
        to_json(&row.asked)?,
        row.expires_at.as_micros(),
        page,
        prompt,
    ])?;
    Ok(())
}

/// How many of this caller's are not over.
pub(crate) fn open(db: &Connection, caller: &str, now: Timestamp) -> Result<u32, StoreError> {
    let count = "SELECT count(*) FROM transactions WHERE caller = ?1 AND expires_at >= ?2";
    Ok(db.query_row(count, params![caller, now.as_micros()], |row| row.get(0))?)
}

/// By its name, if this caller began it.
pub(crate) fn by_tid(db: &Connection, tid: &str, caller: &str) -> Result<Option<TransactionRow>, StoreError> {
    one(db, "tid = ?1 AND caller = ?2", params![tid, caller])
}

/// By the address of its page.
pub(crate) fn by_page(db: &Connection, page: &str) -> Result<Option<TransactionRow>, StoreError> {
    one(db, "page = ?1", [page])
}

/// By the token that a browser brought back, if this caller began it.
pub(crate) fn by_token(
    db: &Connection,
    token: &Digest,
    caller: &str,
) -> Result<Option<TransactionRow>, StoreError> {
    one(db, "token_digest = ?1 AND caller = ?2", params![*token.as_bytes(), caller])
}

/// Which approval it is.
pub(crate) fn set_approval(tx: &Transaction<'_>, tid: &str, approval: &ApprovalId) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE transactions SET approval_id = ?2 WHERE tid = ?1")?
        .execute(params![tid, approval.as_str()])?;
    Ok(())
}

/// The token that a browser takes along now; none once it was exchanged.
pub(crate) fn set_token(tx: &Transaction<'_>, tid: &str, token: Option<&Digest>) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE transactions SET token_digest = ?2 WHERE tid = ?1")?
        .execute(params![tid, token.map(|token| *token.as_bytes())])?;
    Ok(())
}

fn one(db: &Connection, by: &str, key: impl db::Params) -> Result<Option<TransactionRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM transactions WHERE {by}");
    Ok(db.prepare_cached(&sql)?.query_row(key, read).optional()?)
}

fn read(row: &Row<'_>) -> db::Result<TransactionRow> {
    let json = |text: String| serde_json::from_str(&text).map_err(db::Error::value);
    let page: Option<String> = row.get("page")?;
    let prompt: Option<String> = row.get("prompt")?;
    let prompt = prompt.map(|text| serde_json::from_str(&text).map_err(db::Error::value)).transpose()?;
    let approval: Option<String> = row.get("approval_id")?;
    Ok(TransactionRow {
        tid: row.get("tid")?,
        caller: row.get("caller")?,
        username: row.get("username")?,
        email: row.get("email")?,
        asked: json(row.get("asked")?)?,
        expires_at: Timestamp::from_micros(row.get("expires_at")?),
        approval: approval.map(|id| id.parse().map_err(db::Error::value)).transpose()?,
        prompt: page.zip(prompt),
    })
}
