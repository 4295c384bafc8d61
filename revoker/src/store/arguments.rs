//! What a human reads of the arguments of an act that there is evidence about. Kept as JSON beside the question, never searched.

use super::db::{self, Row, Transaction, params};
use super::{StoreError, to_json};
use crate::approval::{ApprovalId, Arguments};

/// Shows them to whoever is asked, while somebody is.
pub(crate) fn show(tx: &Transaction<'_>, id: &ApprovalId, arguments: &Arguments) -> Result<(), StoreError> {
    let values = params![id.as_str(), to_json(arguments)?];
    tx.execute("UPDATE approvals SET arguments = ?2 WHERE id = ?1 AND state = 'pending'", values)?;
    Ok(())
}

pub(super) fn read(row: &Row<'_>) -> db::Result<Option<Arguments>> {
    let kept: Option<String> = row.get("arguments")?;
    let wrong = |e| db::Error::value(format!("approvals.arguments: {e}"));
    kept.map(|kept| serde_json::from_str(&kept).map_err(wrong)).transpose()
}
