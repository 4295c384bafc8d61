//! Whom was told of what and when; which questions have a next turn.

use detector::Timestamp;

use crate::approval::{Approval, ApprovalId};
use crate::store::db::{self, Connection, Transaction, params};

/// Questions whose turn has come, with how many were told so far.
pub(crate) fn due(db: &Connection, now: Timestamp, limit: u32) -> db::Result<Vec<(Approval, usize)>> {
    let mut statement = db.prepare_cached(
        "SELECT * FROM approvals WHERE tell_at <= ?1 AND state = 'pending' ORDER BY tell_at LIMIT ?2",
    )?;
    let rows = statement.query_map(params![now.as_micros(), limit], |row| {
        let told: i64 = row.get("told")?;
        Ok((super::approvals::read(row)?, usize::try_from(told).unwrap_or_default()))
    })?;
    rows.collect()
}

/// So many have been told, and this is when the next are.
pub(crate) fn told(
    tx: &Transaction<'_>,
    approval: &ApprovalId,
    told: usize,
    next: Option<Timestamp>,
) -> db::Result<()> {
    tx.execute(
        "UPDATE approvals SET told = ?2, tell_at = ?3 WHERE id = ?1",
        params![approval.as_str(), i64::try_from(told).unwrap_or(i64::MAX), next.map(Timestamp::as_micros)],
    )?;
    Ok(())
}

/// How many notices a person was sent since.
pub(crate) fn sent(tx: &Transaction<'_>, person: &str, since: Timestamp) -> db::Result<u32> {
    let values = params![person, since.as_micros()];
    tx.query_row("SELECT count(*) FROM notices WHERE person = ?1 AND at >= ?2", values, |row| row.get(0))
}

/// Counts a notice to a person, and says how many they were sent since, with this one.
pub(crate) fn count(tx: &Transaction<'_>, person: &str, since: Timestamp, now: Timestamp) -> db::Result<u32> {
    tx.execute("DELETE FROM notices WHERE at < ?1", [since.as_micros()])?;
    tx.execute("INSERT INTO notices (person, at) VALUES (?1, ?2)", params![person, now.as_micros()])?;
    tx.query_row("SELECT count(*) FROM notices WHERE person = ?1", [person], |row| row.get(0))
}
