//! The outbox: events, and their deliveries to each target. Written in the transaction that decides; read by the executor.

use detector::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Page, StoreError, agent_of, escalation, issuer_column};
use crate::agent::{AgentKey, Txn};
use crate::connector::Route;
use crate::effect::REINSTATED;
use crate::message::{Facts, Message};
use crate::part::Part;
use crate::store::db::{self, Connection, Transaction, params};

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// To be sent once a target before it in the escalation list has failed.
    Standby,
    /// To be sent, or sent without an answer that counts.
    Pending,
    /// The target says that it has it.
    Acknowledged,
    /// And it was seen to be so.
    Verified,
    /// And it was seen not to be so: an open item.
    Refuted,
    /// Every retry was used up: an open item for a person.
    Dead,
    /// It stood by, and was not needed.
    Withdrawn,
}

impl DeliveryState {
    /// The name in lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Pending => "pending",
            Self::Acknowledged => "acknowledged",
            Self::Verified => "verified",
            Self::Refuted => "refuted",
            Self::Dead => "dead",
            Self::Withdrawn => "withdrawn",
        }
    }

    pub(crate) fn from_stored(text: &str) -> Result<Self, StoreError> {
        use DeliveryState::{Acknowledged, Dead, Pending, Refuted, Standby, Verified, Withdrawn};
        [Standby, Pending, Acknowledged, Verified, Refuted, Dead, Withdrawn]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| StoreError::damaged(format!("`{text}` is no state of a delivery")))
    }
}

/// `next_at` of a delivery that waits behind an older one of its subject.
pub(crate) const WAITS: i64 = i64::MAX;

/// What is to be done about a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Send,
    /// Look whether it is so.
    Check,
}

/// A delivery whose turn it is.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) turn: Turn,
    pub(crate) delivery: i64,
    pub(crate) event_seq: i64,
    pub(crate) agent: AgentKey,
    pub(crate) txn: Txn,
    /// Attempts made, or looks taken, so far.
    pub(crate) attempts: u32,
    pub(crate) message: Message,
}

/// A name for an event.
pub(crate) fn fresh_id() -> String {
    format!("evt_{:032x}", rand::random::<u128>())
}

/// Writes an event and one delivery for each route that wants it.
pub(crate) fn publish(
    tx: &Transaction<'_>,
    routes: &[Route],
    event_id: &str,
    facts: &Facts<'_>,
) -> Result<(), StoreError> {
    let (agent, kind, at) = (facts.agent, facts.event.kind(), facts.at.as_micros());
    let seq = event(tx, (event_id, kind), (agent, facts.part), facts.txn, facts.at)?;
    // The body names the event's own number, which exists only now.
    tx.prepare_cached("UPDATE events SET body = ?2 WHERE seq = ?1")?
        .execute(params![seq, facts.body(seq)?])?;
    for route in routes.iter().filter(|route| route.wants(kind, agent)) {
        let whose = (agent, facts.part);
        if route.stands_by() && kind == REINSTATED && !escalation::was_told(tx, &route.name, whose, facts.at)?
        {
            continue;
        }
        let stands_by = route.stands_by() && facts.event.ends_access();
        let state = if stands_by { DeliveryState::Standby } else { DeliveryState::Pending };
        deliver(tx, seq, &route.name, agent, state, at)?;
    }
    Ok(())
}

/// Tells one target what concerns no agent but the target itself, under a subject of its own.
pub(crate) fn notify(
    tx: &Transaction<'_>,
    target: &str,
    kind: &str,
    subject: &AgentKey,
    (txn, body): (&Txn, &[u8]),
    now: Timestamp,
) -> Result<(), StoreError> {
    let seq = event(tx, (&fresh_id(), kind), (subject, None), txn, now)?;
    tx.prepare_cached("UPDATE events SET body = ?2 WHERE seq = ?1")?.execute(params![seq, body])?;
    deliver(tx, seq, target, subject, DeliveryState::Pending, now.as_micros())
}

fn event(
    tx: &Transaction<'_>,
    (event_id, kind): (&str, &str),
    (agent, part): (&AgentKey, Option<&Part>),
    txn: &Txn,
    at: Timestamp,
) -> Result<i64, StoreError> {
    let (issuer, at, empty) = (issuer_column(agent), at.as_micros(), b"".as_slice());
    let (part, txn) = (Part::column(part), txn.as_str());
    let seq = tx
        .prepare_cached(
            "INSERT INTO events (event_id, kind, issuer, agent_id, part, txn, at, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING seq",
        )?
        .query_row(params![event_id, kind, issuer, agent.agent_id, part, txn, at, empty], |row| row.get(0))?;
    Ok(seq)
}

fn deliver(
    tx: &Transaction<'_>,
    seq: i64,
    target: &str,
    agent: &AgentKey,
    state: DeliveryState,
    at: i64,
) -> Result<(), StoreError> {
    // What stands by is older news and would come too late behind newer.
    tx.prepare_cached(
        "INSERT INTO deliveries (event_seq, target, issuer, agent_id, state, next_at) VALUES (?1, ?2, ?3, ?4, ?7,
             CASE WHEN EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_head WHERE target = ?2
                 AND issuer = ?3 AND agent_id = ?4 AND state = 'pending')
             OR EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_standby WHERE target = ?2
                 AND issuer = ?3 AND agent_id = ?4 AND state = 'standby') THEN CAST(?6 AS BIGINT) ELSE CAST(?5 AS BIGINT) END)",
    )?
    .execute(params![seq, target, issuer_column(agent), agent.agent_id, at, WAITS, state.as_str()])?;
    Ok(())
}

/// A settled delivery, or one that stood by, is on the way again: what was said of its subject before goes first, what was said since
/// comes after it. The first may have waited behind what stands by.
pub(crate) fn line_up(tx: &Transaction<'_>, delivery: i64, now: Timestamp) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE deliveries SET next_at = CASE
             WHEN EXISTS (SELECT 1 FROM deliveries o INDEXED BY deliveries_head WHERE o.target = deliveries.target
                 AND o.issuer = deliveries.issuer AND o.agent_id = deliveries.agent_id AND o.state = 'pending'
                 AND o.event_seq < deliveries.event_seq) THEN CAST(?3 AS BIGINT)
             WHEN id = ?1 OR next_at = ?3 THEN CAST(?2 AS BIGINT) ELSE next_at END
         WHERE state = 'pending' AND (target, issuer, agent_id) = (SELECT target, issuer, agent_id FROM deliveries WHERE id = ?1)",
    )?
    .execute(params![delivery, now.as_micros(), WAITS])?;
    Ok(())
}

/// After a delivery was settled: the turn of the next event of the same subject.
pub(crate) fn advance(tx: &Transaction<'_>, delivery: i64, now: Timestamp) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE deliveries SET next_at = ?2 WHERE next_at = ?3 AND id = (
             SELECT n.id FROM deliveries n INDEXED BY deliveries_head, deliveries s WHERE s.id = ?1
                 AND n.target = s.target AND n.issuer = s.issuer AND n.agent_id = s.agent_id
                 AND n.state = 'pending' ORDER BY n.event_seq LIMIT 1)",
    )?
    .execute(params![delivery, now.as_micros(), WAITS])?;
    Ok(())
}

/// Deliveries to `target` whose turn it is: those to be sent first, earliest first. Those behind an older one of their
/// subject wait without a time, so that the events of a subject arrive in order and a long queue costs nothing to look at.
/// `only` is the one subject that may be spoken of while a stream holds back all others.
pub(crate) fn due(
    db: &Connection,
    target: &str,
    now: Timestamp,
    limit: u32,
    only: Option<&str>,
) -> Result<Vec<Due>, StoreError> {
    let mut due = turns(
        db,
        Turn::Send,
        "SELECT d.id, d.event_seq, d.issuer, d.agent_id, d.attempts, e.txn, e.event_id, e.kind, e.body
         FROM deliveries d INDEXED BY deliveries_due JOIN events e ON e.seq = d.event_seq
         WHERE d.target = ?1 AND d.state = 'pending' AND d.next_at <= ?2
             AND (d.agent_id = ?4 OR ?4 IS NULL) ORDER BY d.next_at, d.id LIMIT ?3",
        (target, now, limit, only),
    )?;
    // What was said later about the same subject decides what is to be seen there.
    due.extend(turns(
        db,
        Turn::Check,
        "SELECT d.id, d.event_seq, d.issuer, d.agent_id, d.checks, e.txn, e.event_id, e.kind, e.body
         FROM deliveries d INDEXED BY deliveries_check JOIN events e ON e.seq = d.event_seq
         WHERE d.target = ?1 AND d.check_at <= ?2
             AND (d.agent_id = ?4 OR ?4 IS NULL) ORDER BY d.check_at, d.id LIMIT ?3",
        (target, now, limit, only),
    )?);
    Ok(due)
}

fn turns(
    db: &Connection,
    turn: Turn,
    sql: &str,
    (target, now, limit, only): (&str, Timestamp, u32, Option<&str>),
) -> Result<Vec<Due>, StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    let rows =
        statement.query_map(params![target, now.as_micros(), limit, only], |row| read_due(turn, row))?;
    Ok(rows.collect::<db::Result<_>>()?)
}

fn read_due(turn: Turn, row: &db::Row<'_>) -> db::Result<Due> {
    Ok(Due {
        turn,
        delivery: row.get(0)?,
        event_seq: row.get(1)?,
        agent: agent_of(&row.get::<_, String>(2)?, &row.get::<_, String>(3)?),
        attempts: row.get(4)?,
        txn: Txn::from_stored(row.get(5)?),
        message: Message { id: row.get(6)?, kind: row.get(7)?, body: row.get(8)? },
    })
}

/// What waits behind a delivery, as [`advance`] will have it once those of `settled` are; none where another comes first.
pub(crate) fn next(db: &Connection, delivery: i64, settled: &[i64]) -> Result<Option<Due>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT n.id, n.event_seq, n.issuer, n.agent_id, n.attempts, e.txn, e.event_id, e.kind, e.body, n.next_at
         FROM deliveries s JOIN deliveries n INDEXED BY deliveries_head ON n.target = s.target AND n.issuer = s.issuer
             AND n.agent_id = s.agent_id JOIN events e ON e.seq = n.event_seq
         WHERE s.id = ?1 AND n.state = 'pending' ORDER BY n.event_seq LIMIT ?2",
    )?;
    let rows_max = u32::try_from(settled.len() + 1).unwrap_or(u32::MAX);
    let mut rows = statement.query(params![delivery, rows_max])?;
    while let Some(row) = rows.next()? {
        let due = read_due(Turn::Send, &row)?;
        if !settled.contains(&due.delivery) {
            return Ok((row.get::<_, i64>(9)? == WAITS).then_some(due));
        }
    }
    Ok(None)
}

/// When the next delivery to `target` after `now` is due, to be sent or looked at.
pub(crate) fn next_due(
    db: &Connection,
    target: &str,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let next: Option<i64> = db
        .prepare_cached(
            "SELECT min(at) FROM (
                 SELECT min(next_at) AS at FROM deliveries INDEXED BY deliveries_due
                 WHERE target = ?1 AND state = 'pending' AND next_at > ?2 AND next_at < ?3
                 UNION ALL SELECT min(check_at) FROM deliveries INDEXED BY deliveries_check
                 WHERE target = ?1 AND check_at > ?2) AS turns",
        )?
        .query_row(params![target, now.as_micros(), WAITS], |row| row.get(0))?;
    Ok(next.map(Timestamp::from_micros))
}

/// How many deliveries are pending, dead and refuted: what waits, and what is open.
pub(crate) fn backlog(db: &Connection) -> Result<[(&'static str, u64); 3], StoreError> {
    let count = |state| -> db::Result<i64> {
        db.prepare_cached("SELECT count(*) FROM deliveries WHERE state = ?1")?
            .query_row([state], |row| row.get(0))
    };
    let counted = |state: &'static str| Ok::<_, StoreError>((state, count(state)? as u64));
    Ok([counted("pending")?, counted("dead")?, counted("refuted")?])
}

/// One delivery in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRow {
    /// The `webhook-id`.
    pub event_id: String,
    /// The event's type.
    pub kind: String,
    /// Whom it speaks of.
    pub agent: AgentKey,
    /// The story it belongs to.
    pub txn: Txn,
    /// Which target.
    pub target: String,
    /// How far it has come.
    pub state: DeliveryState,
    /// Attempts made.
    pub attempts: u32,
    /// When it was decided.
    pub at: Timestamp,
    /// When it first left.
    pub sent_at: Option<Timestamp>,
    /// When it was acknowledged, or given up.
    pub settled_at: Option<Timestamp>,
    /// When it is tried next; none once it is settled, or while it waits behind an older one of its subject.
    pub next_at: Option<Timestamp>,
    /// What came of the last attempt.
    pub last: Option<String>,
    /// For the next page, and the name to redeliver it by.
    pub cursor: i64,
}

/// Which deliveries to list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    All,
    State(DeliveryState),
    Txn(&'a str),
}

/// A page of deliveries, newest first.
pub(crate) fn list(db: &Connection, which: Which<'_>, page: Page) -> Result<Vec<DeliveryRow>, StoreError> {
    let (filter, value) = match which {
        Which::All => ("?3 = ''", ""),
        Which::State(state) => ("d.state = ?3", state.as_str()),
        Which::Txn(txn) => ("e.txn = ?3", txn),
    };
    let mut statement = db.prepare_cached(&format!(
        "SELECT e.event_id, e.kind, d.issuer, d.agent_id, e.txn, d.target, d.state, d.attempts, e.at, d.sent_at,
                d.settled_at, d.next_at, d.id,
                (SELECT r.outcome || coalesce(' ' || r.status, '') || ': ' || r.detail FROM receipts r
                 WHERE r.delivery = d.id ORDER BY r.seq DESC LIMIT 1)
         FROM deliveries d JOIN events e ON e.seq = d.event_seq
         WHERE {filter} AND d.id < ?1 ORDER BY d.id DESC LIMIT ?2"
    ))?;
    let mut rows = statement.query(params![page.before(), page.limit(), value])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        list.push(delivery(&row)?);
    }
    Ok(list)
}

fn delivery(row: &db::Row<'_>) -> Result<DeliveryRow, StoreError> {
    let time = |i| -> db::Result<Option<Timestamp>> {
        Ok(row.get::<_, Option<i64>>(i)?.map(Timestamp::from_micros))
    };
    let state = DeliveryState::from_stored(&row.get::<_, String>(6)?)?;
    Ok(DeliveryRow {
        event_id: row.get(0)?,
        kind: row.get(1)?,
        agent: agent_of(&row.get::<_, String>(2)?, &row.get::<_, String>(3)?),
        txn: Txn::from_stored(row.get(4)?),
        target: row.get(5)?,
        state,
        attempts: row.get(7)?,
        at: Timestamp::from_micros(row.get(8)?),
        sent_at: time(9)?,
        settled_at: time(10)?,
        next_at: time(11)?.filter(|at| state == DeliveryState::Pending && at.as_micros() != WAITS),
        cursor: row.get(12)?,
        last: row.get(13)?,
    })
}
