//! Links by which people enrol, and codes for who lost the rest. Everything here runs inside a caller's transaction.

use detector::Timestamp;

use crate::approval::{ApproverName, Digest};
use crate::store::db::{self, Connection, OptionalExtension, Transaction, params};

/// A link that somebody was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Enrolment {
    /// Whose it is.
    pub(crate) approver: String,
    /// The sealed secret of a one-time code, for this approver.
    pub(crate) sealed: Vec<u8>,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
    /// Whether a one-time code was enrolled by it.
    pub(crate) has_totp: bool,
    /// Whether a passkey was.
    pub(crate) has_passkey: bool,
}

/// Makes a link. Those that have ended are forgotten.
pub(crate) fn put(
    tx: &Transaction<'_>,
    link: &Digest,
    (approver, sealed): (&ApproverName, &[u8]),
    expires_at: Timestamp,
    now: Timestamp,
) -> db::Result<()> {
    tx.execute("DELETE FROM enrolments WHERE expires_at <= ?1", [now.as_micros()])?;
    tx.execute(
        "INSERT INTO enrolments (link, approver, secret, expires_at) VALUES (?1, ?2, ?3, ?4)",
        params![link.as_bytes(), approver.as_str(), sealed, expires_at.as_micros()],
    )?;
    Ok(())
}

/// A link, if it has not ended.
pub(crate) fn get(db: &Connection, link: &Digest, now: Timestamp) -> db::Result<Option<Enrolment>> {
    db.prepare_cached("SELECT * FROM enrolments WHERE link = ?1 AND expires_at > ?2")?
        .query_row(params![link.as_bytes(), now.as_micros()], |row| {
            Ok(Enrolment {
                approver: row.get("approver")?,
                sealed: row.get("secret")?,
                expires_at: Timestamp::from_micros(row.get("expires_at")?),
                has_totp: row.get::<_, Option<i64>>("totp_at")?.is_some(),
                has_passkey: row.get::<_, Option<i64>>("passkey_at")?.is_some(),
            })
        })
        .optional()
}

/// A one-time code was enrolled by it.
pub(crate) fn took_totp(tx: &Transaction<'_>, link: &Digest, now: Timestamp) -> db::Result<()> {
    tx.execute(
        "UPDATE enrolments SET totp_at = ?2 WHERE link = ?1",
        params![link.as_bytes(), now.as_micros()],
    )?;
    Ok(())
}

/// A passkey was enrolled by it.
pub(crate) fn took_passkey(tx: &Transaction<'_>, link: &Digest, now: Timestamp) -> db::Result<()> {
    tx.execute(
        "UPDATE enrolments SET passkey_at = ?2 WHERE link = ?1",
        params![link.as_bytes(), now.as_micros()],
    )?;
    Ok(())
}

/// Gives the approver these recovery codes in place of those they had.
pub(crate) fn set_recovery(
    tx: &Transaction<'_>,
    approver: &ApproverName,
    codes: &[Digest],
) -> db::Result<()> {
    tx.execute("DELETE FROM recovery_codes WHERE approver = ?1", [approver.key()])?;
    for code in codes {
        tx.execute(
            "INSERT INTO recovery_codes (approver, code) VALUES (?1, ?2)",
            params![approver.key(), code.as_bytes()],
        )?;
    }
    Ok(())
}

/// How many codes they have left.
pub(crate) fn recovery_left(db: &Connection, approver: &ApproverName) -> db::Result<u32> {
    db.query_row(
        "SELECT count(*) FROM recovery_codes WHERE approver = ?1 AND used_at IS NULL",
        [approver.key()],
        |row| row.get(0),
    )
}

/// Spends a code. False if they have none like it, or it was spent.
pub(crate) fn spend_recovery(
    tx: &Transaction<'_>,
    approver: &ApproverName,
    code: &Digest,
    now: Timestamp,
) -> db::Result<bool> {
    let spent = tx.execute(
        "UPDATE recovery_codes SET used_at = ?3 WHERE approver = ?1 AND code = ?2 AND used_at IS NULL",
        params![approver.key(), code.as_bytes(), now.as_micros()],
    )?;
    Ok(spent == 1)
}

/// Forgets everything that a person could prove themselves with: of who is enrolled anew under the name.
pub(crate) fn forget(tx: &Transaction<'_>, approver: &ApproverName) -> db::Result<()> {
    for table in ["passkeys", "recovery_codes"] {
        tx.execute(&format!("DELETE FROM {table} WHERE approver = ?1"), [approver.key()])?;
    }
    tx.execute("DELETE FROM enrolments WHERE lower(approver) = ?1", [approver.key()])?;
    Ok(())
}
