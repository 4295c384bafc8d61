//! Targets that stand by: each is told that access ended once one before it in the escalation list has failed.

use std::time::Duration;

use detector::Timestamp;

use super::outbox::{self, DeliveryState};
use super::receipts::{self, Receipt};
use super::{StoreError, issuer_column};
use crate::agent::AgentKey;
use crate::connector::Route;
use crate::part::Part;
use crate::store::db::{self, OptionalExtension, Transaction, params};

/// Lets the next target of the list take its turn; none where nobody stands by for this event.
pub(crate) fn escalate(
    tx: &Transaction<'_>,
    event_seq: i64,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let mut statement = tx.prepare_cached(
        "UPDATE deliveries SET state = 'pending' WHERE id = (
             SELECT id FROM deliveries WHERE event_seq = ?1 AND state = 'standby' ORDER BY id LIMIT 1)
         RETURNING id, target",
    )?;
    let next = statement.query_row([event_seq], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((delivery, target)) = next else { return Ok(None) };
    // An older reinstatement may be under way there, and must not arrive behind this.
    outbox::line_up(tx, delivery, now)?;
    Ok(Some(target))
}

/// Whether a target that stands by knows that access of the agent has ended and not that it was given back. Where it does
/// not, what it was to be told is withdrawn.
pub(crate) fn was_told(
    tx: &Transaction<'_>,
    target: &str,
    (agent, part): (&AgentKey, Option<&Part>),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let part = Part::column(part);
    let whose = params![target, issuer_column(agent), agent.agent_id, now.as_micros(), part];
    let mut withdraw = tx.prepare_cached(
        "UPDATE deliveries SET state = 'withdrawn', settled_at = ?4
         WHERE target = ?1 AND issuer = ?2 AND agent_id = ?3 AND state = 'standby'
             AND event_seq IN (SELECT seq FROM events e WHERE e.seq = event_seq AND e.part = ?5) RETURNING id",
    )?;
    let withdrawn: Vec<i64> = withdraw.query_map(whose, |row| row.get(0))?.collect::<db::Result<_>>()?;
    for delivery in withdrawn {
        outbox::advance(tx, delivery, now)?;
    }
    let mut statement = tx.prepare_cached(
        "SELECT e.kind <> 'agent.reinstated' FROM deliveries d INDEXED BY deliveries_subject
             JOIN events e ON e.seq = d.event_seq
         WHERE d.target = ?1 AND d.issuer = ?2 AND d.agent_id = ?3 AND d.state <> 'withdrawn' AND e.part = ?4
             AND e.kind IN ('agent.access.revoked', 'agent.access.suspended', 'agent.retired', 'agent.reinstated')
         ORDER BY d.event_seq DESC LIMIT 1",
    )?;
    let whose = params![target, issuer_column(agent), agent.agent_id, part];
    let told = statement.query_row(whose, |row| row.get(0)).optional()?;
    Ok(told.unwrap_or(false))
}

/// What a call that was made at `ts` after access had ended says of the targets that had told us by then, less `tolerance`,
/// that it has: they are refuted, and the next of the list takes its turn. Returns who was refuted and who is next.
pub(crate) fn disprove(
    tx: &Transaction<'_>,
    routes: &[Route],
    (agent, part): (&AgentKey, Option<&Part>),
    (ts, tolerance): (Timestamp, Duration),
    now: Timestamp,
) -> Result<(Vec<String>, Option<String>), StoreError> {
    let Some(ended) = ending(tx, agent, part)? else { return Ok((Vec::new(), None)) };
    let (mut refuted, mut of_the_list) = (Vec::new(), false);
    for route in routes.iter().filter(|route| route.enforces) {
        let id: Option<i64> = tx
            .prepare_cached(
                "UPDATE deliveries SET state = ?4, check_at = NULL WHERE event_seq = ?1 AND target = ?2
                     AND state IN ('acknowledged', 'verified') AND settled_at < ?3 RETURNING id",
            )?
            .query_row(
                params![ended, route.name, (ts - tolerance).as_micros(), DeliveryState::Refuted.as_str()],
                |row| row.get(0),
            )
            .optional()?;
        if let Some(id) = id {
            let detail = format!("a call was accepted at {ts}");
            let outcome = DeliveryState::Refuted.as_str().to_owned();
            receipts::note(tx, id, &Receipt { attempt: 0, at: now, outcome, status: None, detail })?;
            refuted.push(route.name.clone());
            of_the_list |= route.rank.is_some();
        }
    }
    // Who of the list has not answered yet is not disproved by that: its own retries decide.
    let next = if of_the_list { escalate(tx, ended, now)? } else { None };
    Ok((refuted, next))
}

/// The newest event that ended access of the agent, or of a part of it.
fn ending(tx: &Transaction<'_>, agent: &AgentKey, part: Option<&Part>) -> Result<Option<i64>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT d.event_seq FROM deliveries d INDEXED BY deliveries_subject JOIN events e ON e.seq = d.event_seq
         WHERE d.issuer = ?1 AND d.agent_id = ?2 AND e.part = ?3
             AND e.kind IN ('agent.access.revoked', 'agent.access.suspended', 'agent.retired')
         ORDER BY d.event_seq DESC LIMIT 1",
    )?;
    let whose = params![issuer_column(agent), agent.agent_id, Part::column(part)];
    let seq = statement.query_row(whose, |row| row.get(0)).optional()?;
    Ok(seq)
}
