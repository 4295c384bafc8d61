//! Approvers in the system of record. Everything here runs inside a caller's transaction; the table is in
//! `approvals.sql`.

use detector::Timestamp;

use crate::approval::lockout::Attempts;
use crate::approval::{ApproverName, ApproverRow};
use crate::store::db::{self, Connection, OptionalExtension, Row, Transaction, params};

/// An approver with what it takes to check a code.
pub(crate) struct Stored {
    pub(crate) row: ApproverRow,
    pub(crate) sealed: Vec<u8>,
    pub(crate) last_step: Option<u64>,
    pub(crate) attempts: Attempts,
}

/// Approvers, with what each has enrolled beside a one-time code.
const ALL: &str = "SELECT approvers.*, \
     (SELECT count(*) FROM passkeys WHERE approver = lower(approvers.name)) AS passkeys, \
     (SELECT count(*) FROM recovery_codes WHERE approver = lower(approvers.name) AND used_at IS NULL) AS recovery_codes \
     FROM approvers";

/// Adds an approver, or gives a disabled one of that name a new secret.
pub(crate) fn put(tx: &Transaction<'_>, row: &ApproverRow, sealed: &[u8]) -> db::Result<()> {
    let also = serde_json::to_string(&row.also).map_err(db::Error::value)?;
    tx.execute("DELETE FROM approvers WHERE lower(name) = lower(?1)", [row.name.as_str()])?;
    tx.execute(
        "INSERT INTO approvers (name, also, secret, enrolled_at, enrolled_by) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![row.name.as_str(), also, sealed, row.enrolled_at.as_micros(), row.enrolled_by],
    )?;
    Ok(())
}

/// By name, in any case of letters.
pub(crate) fn by_name(db: &Connection, name: &str) -> db::Result<Option<Stored>> {
    db.prepare_cached(&format!("{ALL} WHERE lower(name) = lower(?1)"))?.query_row([name], read).optional()
}

/// All of them, by name.
pub(crate) fn all(db: &Connection) -> db::Result<Vec<ApproverRow>> {
    let mut statement = db.prepare_cached(&format!("{ALL} ORDER BY lower(name)"))?;
    statement.query_map([], |row| read(row).map(|stored| stored.row))?.collect()
}

/// From now on no code of theirs counts. False if there is no such approver or they were disabled before.
pub(crate) fn disable(tx: &Transaction<'_>, name: &str, now: Timestamp) -> db::Result<bool> {
    let changed = tx.execute(
        "UPDATE approvers SET disabled_at = ?2 WHERE lower(name) = lower(?1) AND disabled_at IS NULL",
        params![name, now.as_micros()],
    )?;
    Ok(changed == 1)
}

/// One-time codes of this secret count from now on, after the one of `step`.
pub(crate) fn set_secret(tx: &Transaction<'_>, name: &str, sealed: &[u8], step: u64) -> db::Result<()> {
    tx.execute(
        "UPDATE approvers SET secret = ?2, last_step = ?3 WHERE lower(name) = lower(?1)",
        params![name, sealed, step.cast_signed()],
    )?;
    Ok(())
}

/// A right code: its step is spent, and earlier failures are forgotten.
pub(crate) fn accept(tx: &Transaction<'_>, name: &str, step: u64) -> db::Result<()> {
    tx.prepare_cached(
        "UPDATE approvers SET last_step = ?2, failures = 0, locked_until = NULL WHERE lower(name) = lower(?1)",
    )?
    .execute(params![name, step.cast_signed()])?;
    Ok(())
}

/// Keeps the count of wrong codes.
pub(crate) fn set_attempts(tx: &Transaction<'_>, name: &str, attempts: Attempts) -> db::Result<()> {
    tx.prepare_cached("UPDATE approvers SET failures = ?2, locked_until = ?3 WHERE lower(name) = lower(?1)")?
        .execute(params![name, attempts.failures, attempts.locked_until.map(Timestamp::as_micros)])?;
    Ok(())
}

fn read(row: &Row<'_>) -> db::Result<Stored> {
    let name: String = row.get("name")?;
    let also: String = row.get("also")?;
    let time = |column: &str| -> db::Result<Option<Timestamp>> {
        Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_micros))
    };
    let locked_until = time("locked_until")?;
    let sealed: Vec<u8> = row.get("secret")?;
    let row_of = ApproverRow {
        name: ApproverName::new(&name).map_err(unreadable)?,
        also: serde_json::from_str(&also).map_err(unreadable)?,
        enrolled_at: Timestamp::from_micros(row.get("enrolled_at")?),
        enrolled_by: row.get("enrolled_by")?,
        disabled_at: time("disabled_at")?,
        locked_until,
        has_totp: !sealed.is_empty(),
        passkeys: row.get("passkeys")?,
        recovery_codes: row.get("recovery_codes")?,
    };
    Ok(Stored {
        row: row_of,
        sealed,
        last_step: row.get::<_, Option<i64>>("last_step")?.map(|step| step.max(0) as u64),
        attempts: Attempts { failures: row.get("failures")?, locked_until },
    })
}

fn unreadable(why: impl std::error::Error + Send + Sync + 'static) -> db::Error {
    db::Error::value(why)
}
