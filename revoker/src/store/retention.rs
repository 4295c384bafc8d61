//! Nothing is kept for ever. What is still in force is never removed; what can still be done is given up before it goes.

use std::time::Duration;

use detector::Timestamp;

use super::StoreError;
use crate::audit;
use crate::keys::Keys;
use crate::store::db::{Transaction, params};

const DAY: Duration = Duration::from_hours(24);

/// A verdict is said again from what a pipeline had not yet marked as done when it stopped, or where a topic is wound back.
const HANDLED: Duration = DAY.saturating_mul(90);
/// They are in ClickHouse too, where they stay longer.
const ALERTS: Duration = DAY.saturating_mul(90);
/// Settled deliveries with their receipts; the audit keeps what came of them.
const DELIVERIES: Duration = DAY.saturating_mul(90);
/// More than a year, for a yearly review.
const AUDIT: Duration = DAY.saturating_mul(400);

/// Rows removed from a table at once, so that a sweep never holds the writer for long.
const BATCH: u32 = 5_000;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Deliveries that were still pending.
    pub(crate) given_up: usize,
    /// Whether there may be more to remove.
    pub(crate) more: bool,
}

/// Removes a batch of what is too old from every table.
pub(crate) fn sweep(tx: &Transaction<'_>, keys: &Keys, now: Timestamp) -> Result<Swept, StoreError> {
    let mut more = false;
    let mut remove = |sql: &str, before: Timestamp| -> Result<usize, StoreError> {
        let removed = tx.prepare_cached(sql)?.execute(params![before.as_micros(), BATCH])?;
        more |= removed >= BATCH as usize;
        Ok(removed)
    };
    remove(
        "DELETE FROM handled WHERE verdict IN (SELECT verdict FROM handled WHERE at < ?1 LIMIT ?2)",
        now - HANDLED,
    )?;
    remove(
        "DELETE FROM reach WHERE (issuer, agent_id) IN (SELECT r.issuer, r.agent_id FROM reach r WHERE r.at < ?1
             AND NOT EXISTS (SELECT 1 FROM agents a WHERE a.issuer = r.issuer AND a.agent_id = r.agent_id) LIMIT ?2)",
        now - HANDLED,
    )?;
    remove("DELETE FROM alerts WHERE seq IN (SELECT seq FROM alerts WHERE at < ?1 LIMIT ?2)", now - ALERTS)?;
    remove(
        "DELETE FROM revocations WHERE (issuer, agent_id, part) IN
             (SELECT issuer, agent_id, part FROM revocations WHERE until < ?1 LIMIT ?2)",
        now,
    )?;
    // Declared ends stay: there is one for each manifest, and done again they would end whom a person reinstated.
    remove(
        "DELETE FROM once WHERE (issuer, agent_id, what) IN
             (SELECT issuer, agent_id, what FROM once WHERE at < ?1 AND what NOT LIKE 'until %' LIMIT ?2)",
        now - HANDLED,
    )?;
    // Only what waits for a target that is disabled or no longer configured gets this old.
    let given_up = remove(
        "UPDATE deliveries SET state = 'dead', settled_at = ?1 WHERE id IN (SELECT d.id FROM deliveries d
             JOIN events e ON e.seq = d.event_seq WHERE d.state IN ('pending', 'standby') AND e.at < ?1 ORDER BY d.id LIMIT ?2)",
        now - DELIVERIES,
    )?;
    remove(
        "DELETE FROM receipts WHERE delivery IN (SELECT d.id FROM deliveries d JOIN events e ON e.seq = d.event_seq
             WHERE d.state NOT IN ('pending', 'standby') AND e.at < ?1 ORDER BY d.id LIMIT ?2)",
        now - DELIVERIES,
    )?;
    remove(
        "DELETE FROM deliveries WHERE id IN (SELECT d.id FROM deliveries d JOIN events e ON e.seq = d.event_seq
             WHERE d.state NOT IN ('pending', 'standby') AND e.at < ?1 ORDER BY d.id LIMIT ?2)",
        now - DELIVERIES,
    )?;
    remove(
        "DELETE FROM events WHERE seq IN (SELECT seq FROM events e WHERE e.at < ?1
             AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_seq = e.seq) ORDER BY seq LIMIT ?2)",
        now - DELIVERIES,
    )?;
    more |= audit::prune(tx, keys, now - AUDIT, BATCH)? >= BATCH as usize;
    Ok(Swept { given_up, more })
}
