//! Alerts, for the operators' list.

use serde::{Deserialize, Serialize};

use super::{Page, StoreError, agent_of, from_json, issuer_column, to_json};
use crate::agent::AgentKey;
use crate::alert::Alert;
use crate::store::db::{Connection, OptionalExtension as _, Transaction, params};

/// One alert in the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRow {
    /// The alert.
    #[serde(flatten)]
    pub alert: Alert,
    /// For the next page.
    pub cursor: i64,
}

/// A verdict said again after its answer was forgotten makes an alert that is already there.
pub(crate) fn put(tx: &Transaction<'_>, alert: &Alert) -> Result<(), StoreError> {
    let agent = alert.agent();
    tx.prepare_cached(
        "INSERT INTO alerts (alert_id, issuer, agent_id, at, body) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (alert_id) DO NOTHING",
    )?
    .execute(params![
        alert.alert_id,
        issuer_column(&agent),
        agent.agent_id,
        alert.at.as_micros(),
        to_json(alert)?
    ])?;
    Ok(())
}

/// Whom an alert speaks of.
pub(crate) fn agent(db: &Connection, alert_id: &str) -> Result<Option<AgentKey>, StoreError> {
    let found = db
        .prepare_cached("SELECT issuer, agent_id FROM alerts WHERE alert_id = ?1")?
        .query_row([alert_id], |row| Ok(agent_of(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?)))
        .optional()?;
    Ok(found)
}

pub(crate) fn list(db: &Connection, page: Page) -> Result<Vec<AlertRow>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT seq, body FROM alerts WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2")?;
    let rows = statement.query_map(params![page.before(), page.limit()], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    })?;
    rows.map(|row| {
        let (cursor, body) = row?;
        Ok(AlertRow { alert: from_json("an alert", &body)?, cursor })
    })
    .collect()
}
