//! What of the record is sealed: all of it, so that a change of keys finds it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::db::{Connection, Transaction, params};
use super::open::OpenError;
use super::{StoreError, settings};
use crate::connector::ssf::authorization_purpose;
use crate::keys::{KEY_BYTES, KeyError, Keys};

/// The root of what only this installation can make.
const ROOT: &str = "root";

/// One sealed secret.
pub(crate) struct Sealed {
    place: Place,
    /// What it was sealed for.
    pub(crate) purpose: String,
    pub(crate) bytes: Vec<u8>,
}

/// Where it stands.
enum Place {
    Root,
    Approver(String),
    /// By the digest of its link.
    Enrolment(Vec<u8>),
    Stream(String),
    /// By its question.
    Channel(String),
}

/// Every one there is.
pub(crate) fn all(db: &Connection) -> Result<Vec<Sealed>, StoreError> {
    let root = root(db)?.map(|bytes| Sealed { place: Place::Root, purpose: ROOT.to_owned(), bytes });
    let mut all: Vec<Sealed> = root.into_iter().collect();
    let mut approvers = db.prepare_cached("SELECT name, secret FROM approvers ORDER BY name")?;
    for row in approvers.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
        let (name, bytes): (String, Vec<u8>) = row?;
        let purpose = crate::approval::purpose(&name);
        // Who has no one-time code has no secret.
        if !bytes.is_empty() {
            all.push(Sealed { place: Place::Approver(name), purpose, bytes });
        }
    }
    let mut links = db.prepare_cached("SELECT link, approver, secret FROM enrolments ORDER BY link")?;
    for row in links.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))? {
        let (link, name, bytes): (Vec<u8>, String, _) = row?;
        let purpose = crate::approval::purpose(&name);
        all.push(Sealed { place: Place::Enrolment(link), purpose, bytes });
    }
    let mut streams = db.prepare_cached(
        "SELECT stream_id, \"authorization\" FROM ssf_streams WHERE \"authorization\" IS NOT NULL ORDER BY stream_id",
    )?;
    for row in streams.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
        let (stream_id, bytes): (String, _) = row?;
        let purpose = authorization_purpose(&stream_id);
        all.push(Sealed { place: Place::Stream(stream_id), purpose, bytes });
    }
    let mut channels = db.prepare_cached("SELECT approval_id, bearer FROM channels ORDER BY approval_id")?;
    for row in channels.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
        let (approval, bytes): (String, _) = row?;
        let purpose = super::channels::purpose(&approval);
        all.push(Sealed { place: Place::Channel(approval), purpose, bytes });
    }
    Ok(all)
}

/// Puts it there, sealed anew.
pub(crate) fn put(tx: &Transaction<'_>, secret: &Sealed, bytes: Vec<u8>) -> Result<(), StoreError> {
    match &secret.place {
        Place::Root => settings::set(tx, ROOT, &STANDARD.encode(bytes))?,
        Place::Approver(name) => {
            tx.execute("UPDATE approvers SET secret = ?2 WHERE name = ?1", params![name, bytes])?;
        }
        Place::Enrolment(link) => {
            tx.execute("UPDATE enrolments SET secret = ?2 WHERE link = ?1", params![link, bytes])?;
        }
        Place::Stream(id) => {
            let sql = "UPDATE ssf_streams SET \"authorization\" = ?2 WHERE stream_id = ?1";
            tx.execute(sql, params![id, bytes])?;
        }
        Place::Channel(id) => {
            tx.execute("UPDATE channels SET bearer = ?2 WHERE approval_id = ?1", params![id, bytes])?;
        }
    }
    Ok(())
}

fn root(db: &Connection) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(text) = settings::get(db, ROOT)? else { return Ok(None) };
    STANDARD.decode(text).map(Some).map_err(|e| StoreError::damaged(format!("the root: {e}")))
}

/// The keys with the record's root; what there is no root of yet stays as it is.
pub(crate) fn with_root(db: &Connection, keys: Keys) -> Result<Keys, OpenError> {
    let Some(sealed) = root(db)? else { return Ok(keys) };
    let plain = keys.open_sealed(ROOT, &sealed)?;
    let root: [u8; KEY_BYTES] =
        plain.expose().try_into().map_err(|_| KeyError::Sealed { purpose: ROOT.to_owned() })?;
    Ok(keys.rooted(root))
}

/// The same, and from now on the record has one: of a record that has none it is the key that it was made with.
pub(crate) fn rooted(tx: &Transaction<'_>, keys: Keys) -> Result<Keys, OpenError> {
    let keys = with_root(tx, keys)?;
    if root(tx)?.is_none() {
        settings::set(tx, ROOT, &STANDARD.encode(keys.seal(ROOT, keys.root())?))?;
    }
    Ok(keys)
}
