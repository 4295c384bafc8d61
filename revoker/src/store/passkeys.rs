//! Passkeys in the system of record, and the challenges that are open. Everything here runs inside a caller's transaction.

use detector::Timestamp;

use crate::approval::webauthn::Passkey;
use crate::approval::{ApproverName, Digest};
use crate::store::db::{self, Connection, OptionalExtension, Transaction, params};

/// Passkeys of one approver, at most.
pub(crate) const PASSKEYS_MAX: u32 = 16;

/// Challenges that may be open; past it none is given until some have lapsed.
const CEREMONIES_MAX: i64 = 10_000;

/// Adds a passkey. False if somebody has it already, or the approver as many as they may.
pub(crate) fn add(
    tx: &Transaction<'_>,
    approver: &ApproverName,
    passkey: &Passkey,
    label: &str,
    now: Timestamp,
) -> db::Result<bool> {
    let taken = by_id(tx, &passkey.id)?.is_some();
    let count: u32 =
        tx.query_row("SELECT count(*) FROM passkeys WHERE approver = ?1", [approver.key()], |row| {
            row.get(0)
        })?;
    if taken || count >= PASSKEYS_MAX {
        return Ok(false);
    }
    tx.execute(
        "INSERT INTO passkeys (id, approver, public_key, counter, synced, label, added_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            passkey.id,
            approver.key(),
            passkey.public_key,
            i64::from(passkey.counter),
            i64::from(passkey.synced),
            label,
            now.as_micros(),
        ],
    )?;
    Ok(true)
}

/// A passkey, and whose it is: their name in small letters.
pub(crate) fn by_id(db: &Connection, id: &str) -> db::Result<Option<(Passkey, String)>> {
    db.prepare_cached("SELECT id, public_key, counter, synced, approver FROM passkeys WHERE id = ?1")?
        .query_row([id], |row| {
            let passkey = Passkey {
                id: row.get(0)?,
                public_key: row.get(1)?,
                counter: row.get::<_, i64>(2)?.try_into().unwrap_or(u32::MAX),
                synced: row.get::<_, i64>(3)? != 0,
            };
            Ok((passkey, row.get(4)?))
        })
        .optional()
}

/// It was used: its counter from now on.
pub(crate) fn used(tx: &Transaction<'_>, id: &str, counter: u32, now: Timestamp) -> db::Result<()> {
    tx.execute(
        "UPDATE passkeys SET counter = ?2, used_at = ?3 WHERE id = ?1",
        params![id, i64::from(counter), now.as_micros()],
    )?;
    Ok(())
}

/// Opens a challenge for what `bound` names. False if too many are open.
pub(crate) fn challenge(
    tx: &Transaction<'_>,
    challenge: &str,
    bound: &Digest,
    until: Timestamp,
    now: Timestamp,
) -> db::Result<bool> {
    tx.execute("DELETE FROM ceremonies WHERE expires_at <= ?1", [now.as_micros()])?;
    let open: i64 = tx.query_row("SELECT count(*) FROM ceremonies", [], |row| row.get(0))?;
    if open >= CEREMONIES_MAX {
        return Ok(false);
    }
    tx.execute(
        "INSERT INTO ceremonies (challenge, bound, expires_at) VALUES (?1, ?2, ?3)",
        params![Digest::of(challenge.as_bytes()).as_bytes(), bound.as_bytes(), until.as_micros()],
    )?;
    Ok(true)
}

/// Takes a challenge, whatever comes of it: whether it was open and for this.
pub(crate) fn take(
    tx: &Transaction<'_>,
    challenge: &str,
    bound: &Digest,
    now: Timestamp,
) -> db::Result<bool> {
    let digest = Digest::of(challenge.as_bytes());
    let found: Option<(Vec<u8>, i64)> = tx
        .prepare_cached("SELECT bound, expires_at FROM ceremonies WHERE challenge = ?1")?
        .query_row([digest.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    tx.execute("DELETE FROM ceremonies WHERE challenge = ?1", [digest.as_bytes()])?;
    Ok(found.is_some_and(|(kept, until)| kept == bound.as_bytes() && now.as_micros() < until))
}
