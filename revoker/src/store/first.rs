//! The first yes where it takes two.

use detector::{MicroBits, Timestamp};

use crate::approval::{ApprovalId, First};
use crate::store::db::{self, Row, Transaction, params};

/// Writes it down.
pub(crate) fn set(tx: &Transaction<'_>, approval: &ApprovalId, first: &First) -> db::Result<()> {
    tx.prepare_cached("UPDATE approvals SET first_by = ?2, first_at = ?3, first_seen = ?4 WHERE id = ?1")?
        .execute(params![approval.as_str(), first.by, first.at.as_micros(), first.seen.as_micros()])?;
    Ok(())
}

/// It counts no more.
pub(crate) fn take_back(tx: &Transaction<'_>, approval: &ApprovalId) -> db::Result<()> {
    let sql = "UPDATE approvals SET first_by = NULL, first_at = NULL, first_seen = 0 WHERE id = ?1";
    tx.prepare_cached(sql)?.execute([approval.as_str()])?;
    Ok(())
}

/// That of a row of approvals.
pub(super) fn read(row: &Row<'_>) -> db::Result<Option<First>> {
    let Some(by) = row.get::<_, Option<String>>("first_by")? else { return Ok(None) };
    let (at, seen): (Option<i64>, i64) = (row.get("first_at")?, row.get("first_seen")?);
    let at = Timestamp::from_micros(at.unwrap_or_default());
    Ok(Some(First { by, at, seen: MicroBits::from_micros(seen) }))
}
