//! How long rows stay: the tables' TTL, as configured.

use clickhouse::{Client, Row};
use serde::Deserialize;

use super::config::KeepConfig;
use super::error::StoreError;
use super::migrate::run;

#[derive(Debug, Row, Deserialize)]
struct Table {
    name: String,
    engine_full: String,
}

/// Changes the retention of those tables that have another one; what is stored already follows in the background.
pub(super) async fn keep(client: &Client, config: KeepConfig) -> Result<(), StoreError> {
    let what = "read the tables' retention";
    let tables = client
        .query("SELECT ?fields FROM system.tables WHERE database = currentDatabase() AND engine_full != ''")
        .fetch_all::<Table>()
        .await
        .map_err(|e| StoreError::new(what, e))?;
    for (name, since, days) in [
        ("calls", "toDateTime(received_at)", config.calls_days),
        ("verdicts", "toDateTime(stored_at)", config.calls_days),
        ("alerts", "toDateTime(stored_at)", config.alerts_days),
        ("audit", "toDateTime(stored_at)", config.audit_days),
        ("rejects", "toDateTime(received_at)", config.rejects_days),
        ("calls_per_minute_states", "received_week", config.alerts_days),
    ] {
        let as_is = format!("TTL {since} + toIntervalDay({days}) ");
        if tables.iter().any(|t| t.name == name && !t.engine_full.contains(&as_is)) {
            let sql = format!("ALTER TABLE {name} MODIFY TTL {since} + toIntervalDay({days})");
            run(client, &format!("keep {name} for {days} days"), &sql).await?;
            tracing::info!(table = name, days, "changed how long rows stay");
        }
    }
    Ok(())
}
