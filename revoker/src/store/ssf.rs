//! Streams of Shared Signals: targets of the outbox that are made at run time.

use detector::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{StoreError, from_json, to_json};
use crate::agent::AgentKey;
use crate::connector::Route;
use crate::connector::ssf;
use crate::part::PartKind;
use crate::store::db::{self, Connection, OptionalExtension, Row, Transaction, params};

/// What names of these targets begin with. No configured name holds a slash.
const PREFIX: &str = "ssf/";

/// How tokens get to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Method {
    /// RFC 8935.
    Push,
    /// RFC 8936.
    Poll,
}

/// Whether tokens flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StreamStatus {
    /// They do.
    Enabled,
    /// They are held.
    Paused,
    /// None is made.
    Disabled,
}

impl StreamStatus {
    /// The name on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

/// What a receiver asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) events_requested: Vec<String>,
    /// Of a push stream.
    pub(crate) endpoint_url: Option<String>,
    pub(crate) description: Option<String>,
}

/// One stream.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) id: String,
    pub(crate) receiver: String,
    pub(crate) method: Method,
    pub(crate) status: StreamStatus,
    pub(crate) reason: Option<String>,
    /// Whether an operator of ours set the status.
    pub(crate) ours: bool,
    pub(crate) wanted: Wanted,
    /// The types of events that it gets; empty is none.
    pub(crate) kinds: Vec<String>,
    /// Sealed.
    pub(crate) authorization: Option<Vec<u8>>,
    pub(crate) verified_at: Option<Timestamp>,
    /// Whether it gets those subjects alone that its receiver added.
    pub(crate) added_only: bool,
    /// When its receiver last gave a sign, not to the second.
    pub(crate) active_at: Timestamp,
}

impl Stream {
    /// The name that the outbox knows it by.
    pub(crate) fn target(&self) -> String {
        format!("{PREFIX}{}/{}", self.receiver, self.id)
    }
}

const COLUMNS: &str = "stream_id, receiver, method, status, reason, ours, wanted, kinds, \"authorization\", verified_at, added_only, active_at";

fn stream(row: &Row<'_>) -> Result<Stream, StoreError> {
    let word = |i| -> db::Result<Value> { Ok(Value::String(row.get(i)?)) };
    let damaged = |e: serde_json::Error| StoreError::damaged(format!("a stream: {e}"));
    Ok(Stream {
        id: row.get(0)?,
        receiver: row.get(1)?,
        method: serde_json::from_value(word(2)?).map_err(damaged)?,
        status: serde_json::from_value(word(3)?).map_err(damaged)?,
        reason: row.get(4)?,
        ours: row.get(5)?,
        wanted: from_json("a stream", &row.get::<_, String>(6)?)?,
        kinds: from_json("a stream", &row.get::<_, String>(7)?)?,
        authorization: row.get(8)?,
        verified_at: row.get::<_, Option<i64>>(9)?.map(Timestamp::from_micros),
        added_only: row.get(10)?,
        active_at: Timestamp::from_micros(row.get(11)?),
    })
}

fn streams(db: &Connection, filter: &str, value: &str) -> Result<Vec<Stream>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM ssf_streams WHERE {filter} ORDER BY created_at, stream_id"
    ))?;
    let mut rows = statement.query([value])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        list.push(stream(&row)?);
    }
    Ok(list)
}

/// All streams there are: at most a few of each receiver.
pub(crate) fn all(db: &Connection) -> Result<Vec<Stream>, StoreError> {
    streams(db, "?1 = ''", "")
}

/// The streams of a receiver, oldest first.
pub(crate) fn of_receiver(db: &Connection, receiver: &str) -> Result<Vec<Stream>, StoreError> {
    streams(db, "receiver = ?1", receiver)
}

/// The stream of this id.
pub(crate) fn by_id(db: &Connection, stream_id: &str) -> Result<Option<Stream>, StoreError> {
    Ok(streams(db, "stream_id = ?1", stream_id)?.pop())
}

/// Writes a stream whole; a new one was made at `now`.
pub(crate) fn put(tx: &Transaction<'_>, stream: &Stream, now: Timestamp) -> Result<(), StoreError> {
    let method = if stream.method == Method::Push { "push" } else { "poll" };
    tx.prepare_cached(
        "INSERT INTO ssf_streams (stream_id, receiver, target, method, status, reason, ours, wanted, kinds, \"authorization\",
             verified_at, created_at, added_only, active_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (stream_id) DO UPDATE SET method = ?4, status = ?5, reason = ?6, ours = ?7, wanted = ?8, kinds = ?9,
             \"authorization\" = ?10, verified_at = ?11, active_at = ?14",
    )?
    .execute(params![
        stream.id,
        stream.receiver,
        stream.target(),
        method,
        stream.status.as_str(),
        stream.reason,
        stream.ours,
        to_json(&stream.wanted)?,
        to_json(&stream.kinds)?,
        stream.authorization,
        stream.verified_at.map(Timestamp::as_micros),
        now.as_micros(),
        stream.added_only,
        stream.active_at.as_micros()
    ])?;
    Ok(())
}

/// Removes a stream with all that waits for it.
pub(crate) fn delete(tx: &Transaction<'_>, stream: &Stream, now: Timestamp) -> Result<(), StoreError> {
    withdraw(tx, stream, false, now)?;
    for sql in
        ["DELETE FROM ssf_subjects WHERE stream_id = ?1", "DELETE FROM ssf_streams WHERE stream_id = ?1"]
    {
        tx.execute(sql, [&stream.id])?;
    }
    Ok(())
}

/// Takes back what waits for a stream; what it is told of itself may stay.
pub(crate) fn withdraw(
    tx: &Transaction<'_>,
    stream: &Stream,
    but_notices: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    let target = stream.target();
    tx.execute(
        "UPDATE deliveries SET state = 'withdrawn', settled_at = ?2
         WHERE target = ?1 AND state = 'pending' AND NOT (?3 AND agent_id = ?1)",
        params![target, now.as_micros(), but_notices],
    )?;
    tx.execute("DELETE FROM ssf_answers WHERE target = ?1", [target])?;
    Ok(())
}

/// Notes the receiver's sign.
pub(crate) fn touch(tx: &Transaction<'_>, stream_id: &str, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE ssf_streams SET active_at = ?2 WHERE stream_id = ?1",
        params![stream_id, now.as_micros()],
    )?;
    Ok(())
}

/// Takes a subject out of a stream, or puts it in. Kept are those that are not as all others of the stream. False where there is no
/// room for more of them.
pub(crate) fn set_removed(
    tx: &Transaction<'_>,
    stream: &Stream,
    subject: &Value,
    removed: bool,
    most: u32,
) -> Result<bool, StoreError> {
    let (stream_id, subject) = (&stream.id, to_json(subject)?);
    if removed == stream.added_only {
        tx.execute("DELETE FROM ssf_subjects WHERE stream_id = ?1 AND subject = ?2", [stream_id, &subject])?;
        return Ok(true);
    }
    let held: u32 =
        tx.query_row("SELECT count(*) FROM ssf_subjects WHERE stream_id = ?1", [stream_id], |row| {
            row.get(0)
        })?;
    if held >= most {
        return Ok(false);
    }
    tx.execute(
        "INSERT INTO ssf_subjects (stream_id, subject) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        [stream_id, &subject],
    )?;
    Ok(true)
}

/// Whether a stream is told about this agent.
fn has_subject(db: &Connection, stream: &Stream, agent: &AgentKey) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached("SELECT subject FROM ssf_subjects WHERE stream_id = ?1")?;
    let mut rows = statement.query([&stream.id])?;
    while let Some(row) = rows.next()? {
        let subject: Value = from_json("a subject", &row.get::<_, String>(0)?)?;
        if ssf::names(&subject, agent) {
            return Ok(stream.added_only);
        }
    }
    Ok(!stream.added_only)
}

/// The streams that are told about this agent, as this transaction sees them.
pub(crate) fn routes(db: &Connection, agent: &AgentKey) -> Result<Vec<Route>, StoreError> {
    let mut routes = Vec::new();
    for stream in streams(db, "status <> 'disabled' AND kinds <> '[]' AND ?1 = ''", "")? {
        if has_subject(db, &stream, agent)? {
            let (name, events) = (stream.target(), stream.kinds);
            let parts = vec![PartKind::Token, PartKind::Session];
            routes.push(Route { name, events, enforces: true, parts, ..Route::default() });
        }
    }
    Ok(routes)
}

/// What of a target's deliveries must not leave now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Nothing,
    /// All but what a stream is told of itself.
    ButNotices,
    /// All: they are fetched.
    All,
}

/// What the executor holds back.
pub(crate) fn hold(db: &Connection, target: &str) -> Result<Hold, StoreError> {
    if !target.starts_with(PREFIX) {
        return Ok(Hold::Nothing);
    }
    match streams(db, "target = ?1", target)?.pop() {
        Some(stream) if stream.method == Method::Push => {
            Ok(if is_held(db, &stream)? { Hold::ButNotices } else { Hold::Nothing })
        }
        _ => Ok(Hold::All),
    }
}

/// Whether a stream may be told of itself alone: it is not enabled, or has not heard yet that it is again.
pub(crate) fn is_held(db: &Connection, stream: &Stream) -> Result<bool, StoreError> {
    if stream.status != StreamStatus::Enabled {
        return Ok(true);
    }
    let mut statement = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_head
             WHERE target = ?1 AND issuer = '' AND agent_id = ?1 AND state = 'pending')",
    )?;
    Ok(statement.query_row([stream.target()], |row| row.get(0))?)
}

/// What was said of single tokens of a target.
pub(crate) fn answers(db: &Connection, target: &str) -> Result<Vec<(String, Option<String>)>, StoreError> {
    let mut statement = db.prepare_cached("SELECT jti, err FROM ssf_answers WHERE target = ?1")?;
    let rows = statement.query_map([target], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<db::Result<_>>()?)
}

/// Notes what was said of one token.
pub(crate) fn answer(
    tx: &Transaction<'_>,
    target: &str,
    jti: &str,
    err: Option<&str>,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO ssf_answers (jti, target, err) VALUES (?1, ?2, ?3)
         ON CONFLICT (jti) DO UPDATE SET target = excluded.target, err = excluded.err",
    )?
    .execute(params![jti, target, err])?;
    Ok(())
}

/// Forgets what was said of the tokens of an event, once its delivery is settled.
pub(crate) fn forget(tx: &Transaction<'_>, target: &str, event_id: &str) -> Result<(), StoreError> {
    tx.prepare_cached(
        "DELETE FROM ssf_answers WHERE target = ?1 AND substr(jti, 1, length(?2) + 1) = ?2 || '.'",
    )?
    .execute([target, event_id])?;
    Ok(())
}

/// A delivery that a receiver answers for.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) delivery: i64,
    pub(crate) attempts: u32,
    pub(crate) agent: AgentKey,
    pub(crate) txn: crate::agent::Txn,
    pub(crate) message: crate::message::Message,
}

/// The pending delivery of an event to a target.
pub(crate) fn open_delivery(
    db: &Connection,
    target: &str,
    event_id: &str,
) -> Result<Option<Open>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT d.id, d.attempts, d.issuer, d.agent_id, e.txn, e.event_id, e.kind, e.body
         FROM events e JOIN deliveries d ON d.event_seq = e.seq
         WHERE e.event_id = ?1 AND d.target = ?2 AND d.state = 'pending'",
    )?;
    let open = statement.query_row([event_id, target], |row| {
        Ok(Open {
            delivery: row.get(0)?,
            attempts: row.get(1)?,
            agent: super::agent_of(&row.get::<_, String>(2)?, &row.get::<_, String>(3)?),
            txn: crate::agent::Txn::from_stored(row.get(4)?),
            message: crate::message::Message { id: row.get(5)?, kind: row.get(6)?, body: row.get(7)? },
        })
    });
    Ok(open.optional()?)
}

/// Notes that deliveries were handed out for the first time.
pub(crate) fn sent(tx: &Transaction<'_>, deliveries: &[i64], now: Timestamp) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached(
        "UPDATE deliveries SET attempts = 1, sent_at = ?2 WHERE id = ?1 AND attempts = 0 AND state = 'pending'",
    )?;
    deliveries.iter().try_for_each(|id| statement.execute(params![id, now.as_micros()]).map(drop))?;
    Ok(())
}

/// Whether more than `count` deliveries wait for the target (those about itself alone, if `only` names it).
pub(crate) fn more_than(
    db: &Connection,
    target: &str,
    count: usize,
    only: Option<&str>,
) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE target = ?1 AND state = 'pending'
             AND (agent_id = ?3 OR ?3 IS NULL) LIMIT ?2) AS waiting",
    )?;
    let most = u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1);
    let found: u32 = statement.query_row(params![target, most, only], |row| row.get(0))?;
    Ok(found >= most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Page;
    use crate::store::outbox::DeliveryState;
    use crate::store::receipts::{self, Next, Receipt};
    use crate::testing::{at, damning, open};

    #[tokio::test]
    async fn what_is_taken_back_while_it_is_under_way_does_not_come_back_when_it_fails() {
        let folder = tempfile::tempdir().unwrap();
        let revoker = open(folder.path());
        let stream = Stream {
            id: "5f".to_owned(),
            receiver: "soc".to_owned(),
            method: Method::Push,
            status: StreamStatus::Enabled,
            reason: None,
            ours: false,
            wanted: Wanted::default(),
            kinds: vec!["agent.access.revoked".to_owned()],
            authorization: None,
            verified_at: None,
            added_only: false,
            active_at: at(0),
        };
        let kept = stream.clone();
        revoker.write(move |w| put(w.tx(), &kept, at(0))).await.unwrap();
        revoker.handle(&damning(1, at(1), "mailer"), at(1)).unwrap();
        let of_stream = async || {
            let rows = revoker.deliveries(Page::new(10, None), None).await.unwrap();
            rows.into_iter().find(|row| row.target == "ssf/soc/5f").unwrap()
        };
        let id = of_stream().await.cursor;
        revoker
            .write(move |w| {
                delete(w.tx(), &stream, at(2))?;
                let (outcome, detail) = ("failed".to_owned(), String::new());
                let receipt = Receipt { attempt: 1, at: at(1), outcome, status: None, detail };
                receipts::record(w.tx(), id, &receipt, Next::Again(at(3)), at(3))
            })
            .await
            .unwrap();
        let row = of_stream().await;
        assert_eq!((row.state, row.attempts), (DeliveryState::Withdrawn, 1));
    }
}
