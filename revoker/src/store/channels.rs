//! Questions of an identity provider that waits for the answer.

use std::time::Duration;

use detector::Timestamp;

use crate::approval::{Approval, ApprovalId};
use crate::store::db::{self, Connection, OptionalExtension as _, Transaction, params};

/// How long the token is kept after what came of it went to the outbox: longer than it is tried to bring it there.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// What the token is sealed for.
pub(crate) fn purpose(approval: &str) -> String {
    format!("channel/{approval}")
}

/// Keeps a new one, and forgets those that are over.
pub(crate) fn insert(
    tx: &Transaction<'_>,
    approval: &ApprovalId,
    sealed: &[u8],
    now: Timestamp,
) -> db::Result<()> {
    tx.execute("DELETE FROM channels WHERE told_at < ?1", [(now - KEPT).as_micros()])?;
    tx.execute(
        "INSERT INTO channels (approval_id, bearer) VALUES (?1, ?2)",
        params![approval.as_str(), sealed],
    )?;
    Ok(())
}

/// Those that are settled or over and of which nobody was told.
pub(crate) fn due(db: &Connection, now: Timestamp, limit: u32) -> db::Result<Vec<Approval>> {
    let mut statement = db.prepare_cached(
        "SELECT a.* FROM channels c JOIN approvals a ON a.id = c.approval_id \
         WHERE c.told_at IS NULL AND (a.state <> 'pending' OR a.expires_at <= ?1) LIMIT ?2",
    )?;
    statement.query_map(params![now.as_micros(), limit], super::approvals::read)?.collect()
}

/// What came of it is in the outbox. False if it was before.
pub(crate) fn told(tx: &Transaction<'_>, approval: &ApprovalId, now: Timestamp) -> db::Result<bool> {
    let told = tx.execute(
        "UPDATE channels SET told_at = ?2 WHERE approval_id = ?1 AND told_at IS NULL",
        params![approval.as_str(), now.as_micros()],
    )?;
    Ok(told == 1)
}

/// The token, sealed.
pub(crate) fn bearer(db: &Connection, approval: &str) -> db::Result<Option<Vec<u8>>> {
    let sql = "SELECT bearer FROM channels WHERE approval_id = ?1";
    db.prepare_cached(sql)?.query_row([approval], |row| row.get(0)).optional()
}
