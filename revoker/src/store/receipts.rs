//! What came of each attempt, and what that makes of the delivery.

use detector::Timestamp;
use serde::{Deserialize, Serialize};

use super::outbox::{self, DeliveryState, WAITS};
use super::{StoreError, agent_of};
use crate::agent::{AgentKey, Txn};
use crate::store::db::{self, Connection, OptionalExtension, Transaction, params};

/// One attempt, or one look at what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// From 1; looks are counted apart.
    pub attempt: u32,
    /// When it began.
    pub at: Timestamp,
    /// Of an attempt `acknowledged`, `failed`, `gone` or `hopeless`; of a look `verified`, `refuted`, `unreachable` or
    /// `unprovable`.
    pub outcome: String,
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// What went wrong or was seen, or nothing.
    pub detail: String,
}

/// What becomes of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It arrived, and is to be looked at from this time on, if ever.
    Done(Option<Timestamp>),
    /// Again at this time.
    Again(Timestamp),
    /// No more.
    Dead,
}

/// What becomes of a delivery after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It stays so.
    Settled(DeliveryState),
    /// Look again at this time.
    Again(Timestamp),
}

/// Whether nothing is written down yet of this attempt or a later one.
pub(crate) fn is_news(tx: &Transaction<'_>, delivery: i64, receipt: &Receipt) -> Result<bool, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT 1 FROM deliveries WHERE id = ?1 AND attempts < ?2 AND state IN ('pending', 'withdrawn')",
    )?;
    Ok(statement.query_row(params![delivery, receipt.attempt], |_| Ok(())).optional()?.is_some())
}

/// Writes the receipt, and what becomes of the delivery.
pub(crate) fn record(
    tx: &Transaction<'_>,
    delivery: i64,
    receipt: &Receipt,
    next: Next,
    now: Timestamp,
) -> Result<(), StoreError> {
    note(tx, delivery, receipt)?;
    let (state, next_at, settled_at, check_at) = match next {
        Next::Done(check) => (DeliveryState::Acknowledged, None, Some(now), check),
        Next::Again(at) => (DeliveryState::Pending, Some(at.as_micros()), None, None),
        Next::Dead => (DeliveryState::Dead, None, Some(now), None),
    };
    // What is said now of a subject's access is what is to be seen there from now on.
    tx.prepare_cached(
        "UPDATE deliveries SET check_at = NULL WHERE check_at IS NOT NULL AND (target, issuer, agent_id) =
             (SELECT d.target, d.issuer, d.agent_id FROM deliveries d JOIN events e ON e.seq = d.event_seq
              WHERE d.id = ?1 AND e.part = '' AND e.kind IN
                  ('agent.access.revoked', 'agent.access.suspended', 'agent.retired', 'agent.reinstated'))",
    )?
    .execute([delivery])?;
    // What was taken back while it was under way, and failed, is not tried again.
    tx.prepare_cached(
        "UPDATE deliveries SET state = CASE WHEN state = 'withdrawn' AND ?2 = 'pending' THEN state ELSE ?2 END,
             attempts = ?3,
             next_at = coalesce(?4, next_at), sent_at = coalesce(sent_at, ?5), settled_at = ?6, check_at = ?7, checks = 0 WHERE id = ?1",
    )?
    .execute(params![
        delivery,
        state.as_str(),
        receipt.attempt,
        next_at,
        receipt.at.as_micros(),
        settled_at.map(Timestamp::as_micros),
        check_at.map(Timestamp::as_micros)
    ])?;
    if settled_at.is_some() {
        outbox::advance(tx, delivery, now)?;
    }
    Ok(())
}

/// Writes down what a look showed. False where something else has been said of the delivery meanwhile.
pub(crate) fn seen(
    tx: &Transaction<'_>,
    delivery: i64,
    receipt: &Receipt,
    seen: Seen,
) -> Result<bool, StoreError> {
    let (state, check_at) = match seen {
        Seen::Settled(state) => (state, None),
        Seen::Again(at) => (DeliveryState::Acknowledged, Some(at.as_micros())),
    };
    let changed = tx
        .prepare_cached(
            "UPDATE deliveries SET state = ?2, check_at = ?3, checks = ?4 WHERE id = ?1 AND check_at IS NOT NULL",
        )?
        .execute(params![delivery, state.as_str(), check_at, receipt.attempt])?;
    if changed == 1 {
        note(tx, delivery, receipt)?;
    }
    Ok(changed == 1)
}

pub(super) fn note(tx: &Transaction<'_>, delivery: i64, receipt: &Receipt) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO receipts (delivery, attempt, at, outcome, status, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        delivery,
        receipt.attempt,
        receipt.at.as_micros(),
        receipt.outcome,
        receipt.status,
        receipt.detail
    ])?;
    Ok(())
}

/// The receipts of one delivery, oldest first.
pub(crate) fn of_delivery(db: &Connection, delivery: i64) -> Result<Vec<Receipt>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT attempt, at, outcome, status, detail FROM receipts WHERE delivery = ?1 ORDER BY seq LIMIT 1000",
    )?;
    let rows = statement.query_map([delivery], |row| {
        Ok(Receipt {
            attempt: row.get(0)?,
            at: Timestamp::from_micros(row.get(1)?),
            outcome: row.get(2)?,
            status: row.get(3)?,
            detail: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<db::Result<_>>()?)
}

/// Later news of the access of the subject that a delivery speaks of, which its target has or is to have.
pub(crate) struct Newer {
    pub(crate) agent: AgentKey,
    /// The story of the older news.
    pub(crate) txn: Txn,
    pub(crate) target: String,
    /// The type of the later event.
    pub(crate) kind: String,
}

/// The newest of them; none where the delivery speaks of nobody's access.
pub(crate) fn said_since(db: &Connection, delivery: i64) -> Result<Option<Newer>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT e.issuer, e.agent_id, e.txn, n.target, ne.kind FROM deliveries d JOIN events e ON e.seq = d.event_seq
             JOIN deliveries n INDEXED BY deliveries_subject ON n.agent_id = d.agent_id AND n.issuer = d.issuer
                 AND n.event_seq > d.event_seq AND n.target = d.target
             JOIN events ne ON ne.seq = n.event_seq AND (ne.part = e.part
                 OR ne.part = '' AND e.kind = 'agent.reinstated' AND ne.kind <> 'agent.reinstated')
         WHERE d.id = ?1 AND n.state <> 'withdrawn'
             AND e.kind IN ('agent.access.revoked', 'agent.access.suspended', 'agent.retired', 'agent.reinstated')
             AND ne.kind IN ('agent.access.revoked', 'agent.access.suspended', 'agent.retired', 'agent.reinstated')
         ORDER BY n.event_seq DESC LIMIT 1",
    )?;
    let newer = statement.query_row([delivery], |row| {
        let agent = agent_of(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?);
        Ok(Newer { agent, txn: Txn::from_stored(row.get(2)?), target: row.get(3)?, kind: row.get(4)? })
    });
    Ok(newer.optional()?)
}

/// What was given up is not needed any more.
pub(crate) fn withdraw_dead(tx: &Transaction<'_>, delivery: i64, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "UPDATE deliveries SET state = 'withdrawn', settled_at = ?2 WHERE id = ?1 AND state = 'dead'";
    Ok(tx.execute(sql, params![delivery, now.as_micros()])? == 1)
}

/// Puts a settled delivery on the way again, from the first retry on; whom it speaks of, and in which story. None if there is none of
/// this name.
pub(crate) fn redeliver(
    tx: &Transaction<'_>,
    delivery: i64,
    now: Timestamp,
) -> Result<Option<(AgentKey, Txn)>, StoreError> {
    let changed = tx.execute(
        "UPDATE deliveries SET state = 'pending', attempts = 0, settled_at = NULL, check_at = NULL WHERE id = ?1",
        [delivery],
    )?;
    if changed == 0 {
        return Ok(None);
    }
    outbox::line_up(tx, delivery, now)?;
    let mut statement = tx.prepare_cached(
        "SELECT e.issuer, e.agent_id, e.txn FROM deliveries d JOIN events e ON e.seq = d.event_seq WHERE d.id = ?1",
    )?;
    let about = statement.query_row([delivery], |row| {
        let agent = agent_of(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?);
        Ok((agent, Txn::from_stored(row.get(2)?)))
    });
    Ok(about.optional()?)
}

/// A target that said it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisabledTarget {
    /// Which.
    pub target: String,
    /// Since when.
    pub at: Timestamp,
    /// What it said.
    pub reason: String,
}

pub(crate) fn disable(tx: &Transaction<'_>, target: &DisabledTarget) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO disabled_targets (target, at, reason) VALUES (?1, ?2, ?3) ON CONFLICT (target) DO NOTHING",
        params![target.target, target.at.as_micros(), target.reason],
    )?;
    Ok(())
}

/// Uses a target again, and tries what waits for it at once. False if it was not disabled.
pub(crate) fn enable(tx: &Transaction<'_>, target: &str, now: Timestamp) -> Result<bool, StoreError> {
    let changed = tx.execute("DELETE FROM disabled_targets WHERE target = ?1", [target])?;
    tx.execute(
        "UPDATE deliveries SET next_at = ?2, attempts = 0 WHERE target = ?1 AND state = 'pending' AND next_at < ?3",
        params![target, now.as_micros(), WAITS],
    )?;
    Ok(changed == 1)
}

pub(crate) fn is_disabled(db: &Connection, target: &str) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached("SELECT 1 FROM disabled_targets WHERE target = ?1")?;
    Ok(statement.query_row([target], |_| Ok(())).optional()?.is_some())
}

pub(crate) fn disabled(db: &Connection) -> Result<Vec<DisabledTarget>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT target, at, reason FROM disabled_targets ORDER BY target LIMIT 1000")?;
    let rows = statement.query_map([], |row| {
        Ok(DisabledTarget {
            target: row.get(0)?,
            at: Timestamp::from_micros(row.get(1)?),
            reason: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<db::Result<_>>()?)
}
