//! The audit as a file, for the commands that read it: beside a running server, or from a copy on another machine.

use std::io::Write;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use detector::Timestamp;
use serde::Serialize;

use super::tree::{Hash, Range, Tree};
use super::{ALL, AuditError, COLUMNS, Entry, Head, PublicKey, Raw, Verified, heads, leaf_text};
use super::{each, public_key, raw, start, verify};
use crate::keys::{KeyError, KeySource, Keys};
use crate::store::db::{self, Connection};
use crate::store::open::OpenError;
use crate::store::{Place, StoreError, sealed, to_json};

/// The first version of the record that has heads.
const VERSION_MIN: i64 = 3;

/// Why there is no audit to read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file is missing.
    #[error("there is no {0}; is `data_dir` right?")]
    Missing(PathBuf),
    /// The record was last opened by a program that knew no heads.
    #[error("{0} has no heads yet: start this version of the server on it once")]
    Older(Place),
    /// The key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The record cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<db::Error> for RecordError {
    fn from(e: db::Error) -> Self {
        Self::Store(e.into())
    }
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The audit is not what was written, or cannot be read.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// It cannot be written where it should go.
    #[error("the export cannot be written: {0}")]
    Output(#[from] std::io::Error),
}

impl From<StoreError> for ExportError {
    fn from(e: StoreError) -> Self {
        Self::Audit(e.into())
    }
}

/// Which entries to export; all conditions that are set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// Of this story.
    pub txn: Option<String>,
    /// On this agent,
    pub agent_id: Option<String>,
    /// under this issuer.
    pub issuer: Option<String>,
    /// Written at or after.
    pub since: Option<Timestamp>,
}

impl Which {
    fn holds(&self, r: &Raw) -> bool {
        let agent_id = r.agent.as_ref().map(|agent| &agent.agent_id);
        let issuer = r.agent.as_ref().and_then(|agent| agent.issuer.as_ref());
        self.txn.as_deref().is_none_or(|txn| txn == r.txn.as_str())
            && self.agent_id.as_ref().is_none_or(|id| agent_id == Some(id))
            && self.issuer.as_ref().is_none_or(|id| issuer == Some(id))
            && self.since.is_none_or(|since| since <= r.at)
    }
}

/// An entry with what proves that it is under the export's head (RFC 9162 section 2.1.3).
#[derive(Serialize)]
struct Exported {
    /// Its place in the tree, from 0.
    leaf_index: u64,
    /// The bytes that were hashed: the entry as JSON.
    leaf: String,
    /// The nodes from it to the root, in base64.
    audit_path: Vec<String>,
}

/// An audit that is only read.
#[derive(Debug)]
pub struct Record {
    db: Connection,
    keys: Keys,
}

impl Record {
    /// Opens the record at `place`, with its keys. Makes nothing and changes nothing.
    pub fn open(place: &Place, source: &KeySource) -> Result<Self, RecordError> {
        let file = if let Place::File(path) = place { Some(path.as_path()) } else { None };
        if let Some(missing) = file.into_iter().chain(source.file()).find(|path| !path.exists()) {
            return Err(RecordError::Missing(missing.to_owned()));
        }
        let keys = Keys::new(&source.read()?)?;
        let reader = place.reader()?;
        let version = reader.version()?;
        if version < VERSION_MIN {
            return Err(RecordError::Older(place.clone()));
        }
        let keys = sealed::with_root(&reader, keys).map_err(|e| match e {
            OpenError::Key(e) => RecordError::Key(e),
            OpenError::Store(e) => RecordError::Store(e),
            other => RecordError::Store(StoreError::damaged(other.to_string())),
        })?;
        Ok(Self { db: reader, keys })
    }

    /// What verifies its heads.
    pub fn public_key(&self) -> Result<PublicKey, RecordError> {
        Ok(public_key(&self.keys)?)
    }

    /// Checks every seal, every head of the record and every head of `kept`.
    pub fn verify(&self, kept: &[Head]) -> Result<Verified, AuditError> {
        verify(&self.db, &self.keys, kept)
    }

    /// The entries of one story, in order.
    pub fn story(&self, txn: &str) -> Result<Vec<Entry>, RecordError> {
        let mut statement =
            self.db.prepare_cached(&format!("SELECT {COLUMNS} FROM audit WHERE txn = ?1 ORDER BY seq"))?;
        let rows = statement.query_map([txn], raw)?;
        rows.map(|row| Ok(super::entry(row?)?)).collect()
    }

    /// Writes the entries asked for as JSON, one a line and in order, each with its path to the head on the first line, which
    /// is signed for this and not kept. Verifies all there is, and holds 64 bytes an entry.
    pub fn export(&self, which: &Which, now: Timestamp, out: &mut impl Write) -> Result<(), ExportError> {
        let db = self.db.snapshot().map_err(AuditError::from)?;
        let made = heads::make(&db, &self.keys, now)?;
        let (removed, leaves) = leaves(&db, &self.keys)?;
        let tree = Tree::new(&removed, leaves);
        line(
            out,
            &Opening { head: &made.head, public_key: public_key(&self.keys).map_err(AuditError::from)? },
        )?;
        each(&db, ALL, |r| {
            let leaf_index = r.seq.unsigned_abs() - 1;
            if let Some(path) = tree.path(leaf_index).filter(|_| which.holds(&r)) {
                let audit_path = path.iter().map(|node| STANDARD.encode(node)).collect();
                line(
                    out,
                    &Exported { leaf_index, leaf: leaf_text(&r).map_err(AuditError::from)?, audit_path },
                )?;
            }
            Ok::<_, ExportError>(())
        })?;
        Ok(out.flush()?)
    }
}

/// The first line of an export.
#[derive(Serialize)]
struct Opening<'a> {
    head: &'a Head,
    public_key: PublicKey,
}

fn line(out: &mut impl Write, value: &impl Serialize) -> Result<(), ExportError> {
    let text = to_json(value).map_err(AuditError::from)?;
    Ok(writeln!(out, "{text}")?)
}

/// What retention removed, and the leaves of what is kept.
fn leaves(db: &Connection, keys: &Keys) -> Result<(Range, Vec<Hash>), AuditError> {
    let mut reached = start(db, keys)?;
    let removed = reached.tree.clone();
    let mut leaves = Vec::new();
    each(db, ALL, |entry| -> Result<(), AuditError> {
        leaves.push(reached.go_on(keys, &entry)?);
        Ok(())
    })?;
    Ok((removed, leaves))
}
