//! Approvals in the system of record. Everything here runs inside a caller's transaction.
//!
//! Times are microseconds since the epoch. The evidence is kept as the JSON that travelled on the bus: it is shown and
//! hashed, never searched.

use std::collections::HashSet;
use std::time::Duration;

use detector::{Timestamp, VerdictRecord};
use serde_json::Value;

use super::register::Accountable;
use super::{Page, StoreError, issuer_column, to_json};
use crate::agent::AgentKey;
use crate::approval::lockout::Attempts;
use crate::approval::page::Past;
use crate::approval::{
    Approval, ApprovalId, Arguments, Asked, BindingCode, Cause, Choice, Digest, Factor, GrantState, Needs,
    PageKey, ResumeId, State,
};
pub use crate::effect::Closing;
use crate::store::db::{self, Connection, OptionalExtension, Row, Transaction, params};

/// Tables of approvals, approvers and admissions. Made where they are missing.
pub const SCHEMA: &str = include_str!("approvals.sql");

/// How long a question is kept after its end. The audit keeps what was decided for ever.
const KEPT: Duration = Duration::from_hours(400 * 24);

/// Resumed events that one approval may admit: retries of the same resumption, each with an event of its own.
pub const ADMISSIONS_MAX: u32 = 16;

/// A question to put to a human.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The case in the agent's standing, or a name of its own where it is in none; one approval each.
    pub case: &'a str,
    /// The alert that goes with it; empty where there is none.
    pub alert_id: &'a str,
    /// The act, and why a human is asked.
    pub cause: Cause,
    /// The act's arguments for the human, where the evidence comes with them.
    pub arguments: Option<Arguments>,
    /// What an answer takes.
    pub needs: Needs,
    /// Who answers for the agent.
    pub people: Accountable,
    /// No answer counts from this instant on.
    pub expires_at: Timestamp,
    /// Version of the policy in force.
    pub policy: &'a str,
}

/// Puts a question, in the transaction in which the agent becomes challenged or in which it is asked.
pub(crate) fn open(tx: &Transaction<'_>, ask: Ask<'_>, now: Timestamp) -> Result<Approval, StoreError> {
    let approval = Approval {
        id: ApprovalId::random(),
        page: PageKey::random(),
        case: ask.case.to_owned(),
        alert_id: ask.alert_id.to_owned(),
        cause: ask.cause,
        arguments: ask.arguments,
        needs: ask.needs,
        people: ask.people,
        first: None,
        binding_code: BindingCode::random(),
        policy: ask.policy.to_owned(),
        opened_at: now,
        expires_at: ask.expires_at,
        state: State::Pending,
        attempts: Attempts::default(),
        grant: None,
    };
    prune(tx, now - KEPT)?;
    insert(tx, &approval)?;
    Ok(approval)
}

/// Forgets questions that ended before `end`, so that the table has a limit: what is asked in [`KEPT`].
fn prune(tx: &Transaction<'_>, end: Timestamp) -> db::Result<()> {
    tx.prepare_cached(
        "DELETE FROM admissions WHERE approval_id IN (SELECT id FROM approvals WHERE expires_at < ?1)",
    )?
    .execute([end.as_micros()])?;
    tx.prepare_cached("DELETE FROM approvals WHERE expires_at < ?1")?.execute([end.as_micros()])?;
    Ok(())
}

fn insert(tx: &Transaction<'_>, a: &Approval) -> Result<(), StoreError> {
    let (cause, record, event) = match &a.cause {
        Cause::Evidence(record) => (EVIDENCE, to_json(record)?, record.event_id.as_str()),
        Cause::Asked(asked) => (ASKED, to_json(asked)?, ""),
    };
    let agent = a.agent();
    tx.prepare_cached(
        "INSERT INTO approvals (id, page, case_id, alert_id, issuer, agent_id, event_id, record, action_digest, binding_code, \
         policy, opened_at, expires_at, cause, approvers_min, factor_min, people, arguments) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?
    .execute(params![
        a.id.as_str(),
        a.page.as_str(),
        a.case,
        a.alert_id,
        agent.issuer,
        agent.agent_id,
        event,
        record,
        a.action().digest().as_bytes(),
        a.binding_code.as_str(),
        a.policy,
        a.opened_at.as_micros(),
        a.expires_at.as_micros(),
        cause,
        i64::from(a.needs.approvers),
        a.needs.factor.as_str(),
        to_json(&a.people)?,
        a.arguments.as_ref().map(to_json).transpose()?,
    ])?;
    Ok(())
}

/// Ends the question of `case`, if it is still pending, without an answer; returns which that was.
pub fn close(tx: &Transaction<'_>, case: &str, how: Closing, now: Timestamp) -> db::Result<Vec<ApprovalId>> {
    let state = match how {
        Closing::Expired => EXPIRED,
        Closing::Superseded => SUPERSEDED,
    };
    tx.prepare_cached(
        "UPDATE approvals SET state = ?2, settled_at = ?3 WHERE case_id = ?1 AND state = 'pending' RETURNING id",
    )?
    .query_map(params![case, state, now.as_micros()], |row| parsed(row, "id"))?
    .collect()
}

/// An answer to write down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) choice: Choice,
    pub(crate) by: &'a str,
    pub(crate) with: Factor,
    /// With a yes: what it covers, until when the grant is good, and the record's epoch.
    pub(crate) grant: Option<(Digest, Timestamp, i64)>,
}

/// Writes down a human's answer. False if the question is settled already.
///
/// "This is an attack" may also be said when nobody answered in time or somebody merely said no.
pub(crate) fn settle(
    tx: &Transaction<'_>,
    approval: &ApprovalId,
    answer: &Answer<'_>,
    now: Timestamp,
) -> db::Result<bool> {
    let (covers, until, epoch) = match answer.grant {
        Some((covers, until, epoch)) => (Some(*covers.as_bytes()), Some(until.as_micros()), Some(epoch)),
        None => (None, None, None),
    };
    let changed = tx
        .prepare_cached(
            "UPDATE approvals SET state = ?2, settled_by = ?3, settled_at = ?4, grant_digest = ?5, \
             grant_expires_at = ?6, settled_with = ?7, grant_epoch = ?8 \
             WHERE id = ?1 AND (state = 'pending' OR (?2 = 'attack' AND state IN ('expired', 'deny')))",
        )?
        .execute(params![
            approval.as_str(),
            answer.choice.as_str(),
            answer.by,
            now.as_micros(),
            covers,
            until,
            answer.with.as_str(),
            epoch,
        ])?;
    Ok(changed == 1)
}

/// The number is one that the agent's side shows already.
pub(crate) fn set_number(tx: &Transaction<'_>, approval: &Approval) -> db::Result<()> {
    let values = params![approval.id.as_str(), approval.binding_code.as_str()];
    tx.execute("UPDATE approvals SET binding_code = ?2 WHERE id = ?1", values)?;
    Ok(())
}

/// Whether a newer question on evidence was put about the agent since this one was answered.
pub(crate) fn is_stale(tx: &Connection, approval: &Approval) -> db::Result<bool> {
    let State::Answered { at, .. } = approval.state else { return Ok(true) };
    let agent = approval.agent();
    tx.prepare_cached(
        "SELECT count(*) FROM approvals WHERE agent_id = ?1 AND coalesce(issuer, '') = ?2 AND opened_at > ?3 \
         AND cause = 'evidence' AND id <> ?4",
    )?
    .query_row(params![agent.agent_id, issuer_column(&agent), at.as_micros(), approval.id.as_str()], |row| {
        row.get::<_, i64>(0)
    })
    .map(|newer| newer > 0)
}

/// Questions that were asked about the agent's acts and are open at `now`, oldest first.
pub(crate) fn asked_of(db: &Connection, agent: &AgentKey, now: Timestamp) -> db::Result<Vec<Approval>> {
    let mut statement = db.prepare_cached(
        "SELECT * FROM approvals WHERE agent_id = ?1 AND coalesce(issuer, '') = ?2 AND cause = 'asked' \
         AND state = 'pending' AND expires_at > ?3 ORDER BY opened_at",
    )?;
    let key = params![agent.agent_id, issuer_column(agent), now.as_micros()];
    statement.query_map(key, read)?.collect()
}

/// Questions that are open at `now`, newest first; a page's cursor is when it was put, in microseconds.
pub(crate) fn open_at(db: &Connection, now: Timestamp, page: Page) -> db::Result<Vec<Approval>> {
    let mut statement = db.prepare_cached(
        "SELECT * FROM approvals WHERE state = 'pending' AND expires_at > ?1 AND opened_at < ?2 \
         ORDER BY opened_at DESC LIMIT ?3",
    )?;
    statement.query_map(params![now.as_micros(), page.before(), page.limit()], read)?.collect()
}

/// When this very act was last refused by a human, at or after `since`.
pub(crate) fn refused_at(
    db: &Connection,
    agent: &AgentKey,
    action: &Digest,
    since: Timestamp,
) -> db::Result<Option<Timestamp>> {
    db.prepare_cached(
        "SELECT max(settled_at) FROM approvals WHERE agent_id = ?1 AND coalesce(issuer, '') = ?2 \
         AND action_digest = ?3 AND opened_at >= ?4 AND cause = 'asked' AND state IN ('deny', 'attack')",
    )?
    .query_row(params![agent.agent_id, issuer_column(agent), action.as_bytes(), since.as_micros()], |row| {
        row.get::<_, Option<i64>>(0)
    })
    .map(|at| at.map(Timestamp::from_micros))
}

/// How many questions about the agent were put since.
pub(crate) fn count_since(db: &Connection, agent: &AgentKey, since: Timestamp) -> db::Result<u32> {
    db.prepare_cached(
        "SELECT count(*) FROM approvals WHERE agent_id = ?1 AND coalesce(issuer, '') = ?2 AND opened_at >= ?3",
    )?
    .query_row(params![agent.agent_id, issuer_column(agent), since.as_micros()], |row| row.get(0))
}

/// Takes back what was asked about the agent's acts and is open; returns which that was.
pub(crate) fn supersede_asked(
    tx: &Transaction<'_>,
    agent: &AgentKey,
    now: Timestamp,
) -> db::Result<Vec<ApprovalId>> {
    tx.prepare_cached(
        "UPDATE approvals SET state = 'superseded', settled_at = ?3 WHERE agent_id = ?1 \
         AND coalesce(issuer, '') = ?2 AND cause = 'asked' AND state = 'pending' RETURNING id",
    )?
    .query_map(params![agent.agent_id, issuer_column(agent), now.as_micros()], |row| parsed(row, "id"))?
    .collect()
}

/// Keeps the count of wrong answers.
pub(crate) fn set_attempts(
    tx: &Transaction<'_>,
    approval: &ApprovalId,
    attempts: Attempts,
) -> db::Result<()> {
    tx.prepare_cached("UPDATE approvals SET failures = ?2, locked_until = ?3 WHERE id = ?1")?.execute(
        params![approval.as_str(), attempts.failures, attempts.locked_until.map(Timestamp::as_micros)],
    )?;
    Ok(())
}

/// Gives the grant to one resumption, for good.
pub(crate) fn set_resumed(
    tx: &Transaction<'_>,
    approval: &ApprovalId,
    resume: &ResumeId,
    now: Timestamp,
) -> db::Result<()> {
    tx.prepare_cached(
        "UPDATE approvals SET resume_id = ?2, resumed_at = ?3 WHERE id = ?1 AND resume_id IS NULL",
    )?
    .execute(params![approval.as_str(), resume.as_str(), now.as_micros()])?;
    Ok(())
}

/// Marks an event as the resumed act of an approval. False if the approval has admitted as many as it may, or if the
/// event is another approval's.
pub(crate) fn add_admission(
    tx: &Transaction<'_>,
    approval: &ApprovalId,
    event_id: &str,
    now: Timestamp,
) -> db::Result<bool> {
    if let Some(holder) = admitted(tx, event_id)? {
        return Ok(holder == approval.as_str());
    }
    let count: u32 = tx
        .prepare_cached("SELECT count(*) FROM admissions WHERE approval_id = ?1")?
        .query_row([approval.as_str()], |row| row.get(0))?;
    if count >= ADMISSIONS_MAX {
        return Ok(false);
    }
    tx.prepare_cached("INSERT INTO admissions (event_id, approval_id, admitted_at) VALUES (?1, ?2, ?3)")?
        .execute(params![event_id, approval.as_str(), now.as_micros()])?;
    Ok(true)
}

/// The approval under which this event resumes, if a human let it: its own evidence is answered already.
pub fn admitted(tx: &Connection, event_id: &str) -> db::Result<Option<String>> {
    tx.prepare_cached("SELECT approval_id FROM admissions WHERE event_id = ?1")?
        .query_row([event_id], |row| row.get(0))
        .optional()
}

/// By the agent's name for it.
pub fn by_id(db: &Connection, id: &ApprovalId) -> db::Result<Option<Approval>> {
    one(db, "id = ?1", id.as_str())
}

/// By the human's address.
pub fn by_page(db: &Connection, page: &PageKey) -> db::Result<Option<Approval>> {
    one(db, "page = ?1", page.as_str())
}

/// By the case in the agent's standing.
pub fn by_case(db: &Connection, case: &str) -> db::Result<Option<Approval>> {
    one(db, "case_id = ?1", case)
}

/// The newest question that this event put.
pub(crate) fn by_event(db: &Connection, event_id: &str) -> db::Result<Option<Approval>> {
    one(db, "event_id = ?1 ORDER BY opened_at DESC LIMIT 1", event_id)
}

/// How other questions about the same agent ended, put at or after `since`.
pub(crate) fn past(db: &Connection, approval: &Approval, since: Timestamp) -> db::Result<Past> {
    let mut statement = db.prepare_cached(
        "SELECT state, count(*) FROM approvals WHERE agent_id = ?1 AND issuer IS NOT DISTINCT FROM ?2 AND opened_at >= ?3 AND id <> ?4 \
         GROUP BY state",
    )?;
    let agent = approval.agent();
    let key = params![agent.agent_id, agent.issuer, since.as_micros(), approval.id.as_str()];
    let mut past = Past::default();
    for row in statement.query_map(key, |row| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?)))? {
        let (state, n) = row?;
        match (Choice::from_stored(&state), state.as_str()) {
            (Some(Choice::Approve), _) => past.approved = n,
            (Some(Choice::Deny), _) => past.denied = n,
            (Some(Choice::Attack), _) => past.attacks = n,
            (None, EXPIRED) => past.expired = n,
            (None, _) => {}
        }
    }
    Ok(past)
}

/// Those that somebody may still answer at `now`, by id: at most as many as agents may be challenged.
pub(crate) fn pending(db: &Connection, now: Timestamp) -> db::Result<HashSet<String>> {
    let mut statement =
        db.prepare_cached("SELECT id FROM approvals WHERE state = 'pending' AND expires_at > ?1")?;
    let ids = statement.query_map([now.as_micros()], |row| row.get(0))?;
    ids.collect()
}

fn one(db: &Connection, by: &str, key: impl db::ToSql) -> db::Result<Option<Approval>> {
    db.prepare_cached(&format!("SELECT * FROM approvals WHERE {by}"))?.query_row([key], read).optional()
}

const EVIDENCE: &str = "evidence";
const ASKED: &str = "asked";
const EXPIRED: &str = "expired";
const SUPERSEDED: &str = "superseded";

pub(super) fn read(row: &Row<'_>) -> db::Result<Approval> {
    let people: String = row.get("people")?;
    let approval = Approval {
        id: parsed(row, "id")?,
        page: parsed(row, "page")?,
        case: row.get("case_id")?,
        alert_id: row.get("alert_id")?,
        cause: cause(row)?,
        arguments: super::arguments::read(row)?,
        needs: needs(row)?,
        people: serde_json::from_str(&people).map_err(|e| unreadable("people", e))?,
        first: super::first::read(row)?,
        binding_code: parsed(row, "binding_code")?,
        policy: row.get("policy")?,
        opened_at: Timestamp::from_micros(row.get("opened_at")?),
        expires_at: Timestamp::from_micros(row.get("expires_at")?),
        state: state(row)?,
        attempts: Attempts { failures: row.get("failures")?, locked_until: time(row, "locked_until")? },
        grant: grant(row)?,
    };
    let kept: [u8; 32] = row.get("action_digest")?;
    if Digest::from(kept) == approval.action().digest() {
        Ok(approval)
    } else {
        Err(unreadable("action_digest", "the act it was opened for and the act it holds differ"))
    }
}

fn cause(row: &Row<'_>) -> db::Result<Cause> {
    let (cause, record): (String, String) = (row.get("cause")?, row.get("record")?);
    let wrong = |e| unreadable("record", e);
    match cause.as_str() {
        EVIDENCE => Ok(Cause::Evidence(Box::new(evidence(&record).map_err(wrong)?))),
        ASKED => Ok(Cause::Asked(Box::new(serde_json::from_str::<Asked>(&record).map_err(wrong)?))),
        _ => Err(unreadable("cause", "no reason to ask")),
    }
}

fn needs(row: &Row<'_>) -> db::Result<Needs> {
    let factor: String = row.get("factor_min")?;
    let factor = Factor::from_stored(&factor).ok_or_else(|| unreadable("factor_min", "no factor"))?;
    Ok(Needs { approvers: row.get("approvers_min")?, factor })
}

/// Evidence as it was kept. What an earlier version wrote lacks what parts say beside their shares, and gets what
/// migration 0006 of ClickHouse gives the verdicts of that time: no level of their own, no pattern, and no beginning but
/// the call.
fn evidence(kept: &str) -> serde_json::Result<VerdictRecord> {
    let mut record: Value = serde_json::from_str(kept)?;
    let ts = record.pointer("/verdict/ts").cloned().unwrap_or_default();
    let parts = record.pointer_mut("/verdict/parts").and_then(Value::as_array_mut);
    for part in parts.into_iter().flatten().filter_map(Value::as_object_mut) {
        let nothing = [("level", 0.0.into()), ("low", 0.0.into()), ("high", 0.0.into())];
        for (field, value) in
            nothing.into_iter().chain([("pattern", "as_usual".into()), ("since", ts.clone())])
        {
            part.entry(field).or_insert(value);
        }
    }
    serde_json::from_value(record)
}

fn state(row: &Row<'_>) -> db::Result<State> {
    let name: String = row.get("state")?;
    let at = || time(row, "settled_at").map(Option::unwrap_or_default);
    Ok(match name.as_str() {
        "pending" => State::Pending,
        EXPIRED => State::Expired,
        SUPERSEDED => State::Superseded { at: at()? },
        other => State::Answered {
            choice: Choice::from_stored(other)
                .ok_or_else(|| unreadable("state", "no state of an approval"))?,
            by: row.get("settled_by")?,
            at: at()?,
            with: row
                .get::<_, Option<String>>("settled_with")?
                .and_then(|text| Factor::from_stored(&text))
                .unwrap_or_default(),
        },
    })
}

fn grant(row: &Row<'_>) -> db::Result<Option<GrantState>> {
    let Some(expires_at) = time(row, "grant_expires_at")? else { return Ok(None) };
    let resume: Option<String> = row.get("resume_id")?;
    let used = match (resume, time(row, "resumed_at")?) {
        (Some(resume), Some(at)) => Some((resume.parse().map_err(|e| unreadable("resume_id", e))?, at)),
        _ => None,
    };
    let epoch = row.get::<_, Option<i64>>("grant_epoch")?.unwrap_or_default();
    Ok(Some(GrantState { expires_at, epoch, used }))
}

fn time(row: &Row<'_>, column: &str) -> db::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_micros))
}

fn parsed<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    row: &Row<'_>,
    column: &str,
) -> db::Result<T> {
    row.get::<_, String>(column)?.parse().map_err(|e| unreadable(column, e))
}

fn unreadable(column: &str, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> db::Error {
    let why = format!("approvals.{column}: {}", why.into());
    db::Error::value(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, record};

    #[test]
    fn evidence_is_read_as_it_was_kept_also_that_of_an_earlier_version() {
        let new = record(1, at(0), "a", 12.345_678);
        let mut json = serde_json::to_value(&new).unwrap();
        assert_eq!(evidence(&json.to_string()).unwrap(), new);

        let part = json.pointer_mut("/verdict/parts/0").and_then(Value::as_object_mut).unwrap();
        for field in ["level", "pattern", "low", "high", "since"] {
            assert!(part.remove(field).is_some(), "{field}");
        }
        let old = evidence(&json.to_string()).unwrap();
        assert_eq!((old.verdict.level, old.verdict.parts[0].since), (new.verdict.level, at(0)));
        assert_eq!(old.verdict.parts[0].bits, new.verdict.parts[0].bits);
        assert!(evidence("[]").is_err() && evidence("{}").is_err() && evidence("3").is_err());
    }
}
