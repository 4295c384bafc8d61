//! Requests to an identity provider (CIBA), each for the answer of one person to one question.

use std::time::Duration;

use detector::{MicroBits, Timestamp};
use subtle::ConstantTimeEq as _;

use crate::approval::{ApprovalId, Digest};
use crate::store::db::{self, Connection, OptionalExtension as _, Row, Transaction, params};

/// How long a request is kept after its end. The audit keeps what came of it.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// For whose answer.
    pub approval: ApprovalId,
    /// Who is to give it.
    pub approver: String,
    /// The level of evidence when they were to be asked: what a yes covers.
    pub(crate) seen: MicroBits,
    /// How the provider knows them.
    pub login_hint: String,
    /// When the provider was to be asked first.
    pub asked_at: Timestamp,
    /// No answer is waited for from then on.
    pub expires_at: Timestamp,
    /// What the provider calls the request, once it has taken it.
    pub auth_req_id: Option<String>,
    /// Between two questions to the provider, seconds.
    pub interval_s: u32,
    next_at: Option<Timestamp>,
    /// What came of it.
    pub(crate) outcome: Option<String>,
}

impl Push {
    /// Whether its answer is still waited for.
    pub(crate) fn is_open(&self) -> bool {
        self.next_at.is_some()
    }
}

/// Keeps a new one, due at once.
pub(crate) fn insert(
    tx: &Transaction<'_>,
    (approval, expires_at): (&ApprovalId, Timestamp),
    (approver, login_hint, seen): (&str, &str, MicroBits),
    interval_s: u32,
    now: Timestamp,
) -> db::Result<()> {
    tx.execute("DELETE FROM pushes WHERE expires_at < ?1", [(now - KEPT).as_micros()])?;
    tx.execute(
        "INSERT INTO pushes (approval_id, approver, login_hint, asked_at, expires_at, interval_s, next_at, seen) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?4, ?7)",
        params![
            approval.as_str(),
            approver,
            login_hint,
            now.as_micros(),
            expires_at.as_micros(),
            interval_s,
            seen.as_micros()
        ],
    )?;
    Ok(())
}

/// The one that asks this person this question.
pub(crate) fn of(db: &Connection, approval: &ApprovalId, approver: &str) -> db::Result<Option<Push>> {
    let sql = "SELECT * FROM pushes WHERE approval_id = ?1 AND approver = ?2";
    db.prepare_cached(sql)?.query_row([approval.as_str(), approver], read).optional()
}

/// Those about which the provider is to be asked now.
pub(crate) fn due(db: &Connection, now: Timestamp, limit: u32) -> db::Result<Vec<Push>> {
    let mut statement =
        db.prepare_cached("SELECT * FROM pushes WHERE next_at <= ?1 ORDER BY next_at LIMIT ?2")?;
    statement.query_map(params![now.as_micros(), limit], read)?.collect()
}

/// When the next one is due.
pub(crate) fn next(db: &Connection) -> db::Result<Option<Timestamp>> {
    let next = db.query_row("SELECT min(next_at) FROM pushes", [], |row| row.get::<_, Option<i64>>(0))?;
    Ok(next.map(Timestamp::from_micros))
}

/// The provider has taken it.
pub(crate) fn taken(
    tx: &Transaction<'_>,
    push: &Push,
    auth_req_id: &str,
    ping: Option<&Digest>,
    expires_at: Timestamp,
) -> db::Result<()> {
    let ping = ping.map(|ping| *ping.as_bytes());
    tx.execute(
        "UPDATE pushes SET auth_req_id = ?3, ping_digest = ?4, expires_at = ?5 WHERE approval_id = ?1 AND approver = ?2",
        params![push.approval.as_str(), push.approver, auth_req_id, ping, expires_at.as_micros()],
    )?;
    Ok(())
}

/// The provider is asked again at `at`, and from then on no more often than each `interval_s`; at once where it pinged since `push` was read.
pub(crate) fn again(tx: &Transaction<'_>, push: &Push, interval_s: u32, at: Timestamp) -> db::Result<()> {
    tx.execute(
        "UPDATE pushes SET interval_s = ?3, next_at = ?4 WHERE approval_id = ?1 AND approver = ?2 AND next_at = ?5",
        params![
            push.approval.as_str(),
            push.approver,
            interval_s,
            at.as_micros(),
            push.next_at.map(Timestamp::as_micros)
        ],
    )?;
    Ok(())
}

/// The provider says that there is an answer. False if it does not name a request that is open with the token of that request.
pub(crate) fn pinged(
    tx: &Transaction<'_>,
    auth_req_id: &str,
    token: &Digest,
    now: Timestamp,
) -> db::Result<bool> {
    let kept: Option<Option<[u8; 32]>> = tx
        .prepare_cached("SELECT ping_digest FROM pushes WHERE auth_req_id = ?1 AND next_at IS NOT NULL")?
        .query_row([auth_req_id], |row| row.get(0))
        .optional()?;
    let is_its = kept.flatten().is_some_and(|kept| kept.ct_eq(token.as_bytes()).into());
    if is_its {
        let sql = "UPDATE pushes SET next_at = ?2 WHERE auth_req_id = ?1";
        tx.execute(sql, params![auth_req_id, now.as_micros()])?;
    }
    Ok(is_its)
}

/// Nobody waits for it any more. False if that was so before.
pub(crate) fn end(tx: &Transaction<'_>, push: &Push, outcome: &str, now: Timestamp) -> db::Result<bool> {
    let ended = tx.execute(
        "UPDATE pushes SET next_at = NULL, outcome = ?3, expires_at = ?4 \
         WHERE approval_id = ?1 AND approver = ?2 AND next_at IS NOT NULL",
        params![push.approval.as_str(), push.approver, outcome, now.as_micros()],
    )?;
    Ok(ended == 1)
}

fn read(row: &Row<'_>) -> db::Result<Push> {
    let time = |column: &str| row.get::<_, i64>(column).map(Timestamp::from_micros);
    Ok(Push {
        approval: row.get::<_, String>("approval_id")?.parse().map_err(db::Error::value)?,
        approver: row.get("approver")?,
        login_hint: row.get("login_hint")?,
        seen: MicroBits::from_micros(row.get("seen")?),
        asked_at: time("asked_at")?,
        expires_at: time("expires_at")?,
        auth_req_id: row.get("auth_req_id")?,
        interval_s: row.get("interval_s")?,
        next_at: row.get::<_, Option<i64>>("next_at")?.map(Timestamp::from_micros),
        outcome: row.get("outcome")?,
    })
}
