//! Is the audit what was written, and does it still begin as every head says that was kept of it?

use serde::Serialize;

use super::head::Signer;
use super::tree::Hash;
use super::{ALL, Head, Reached, each, heads, start};
use crate::hex::hex;
use crate::keys::{KeyError, Keys};
use crate::store::StoreError;
use crate::store::db::{self, Connection};

/// An unbroken chain that holds what its heads say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Entries checked.
    pub entries: u64,
    /// The oldest entry that is still kept.
    pub first: i64,
    /// The newest entry.
    pub last: i64,
    /// The newest seal, hexadecimal.
    pub head: String,
    /// The root of the tree over all entries ever written, hexadecimal.
    pub root: String,
    /// Signed heads that the entries were compared with.
    pub heads: u64,
    /// Heads over fewer entries than retention has removed: nothing is left to compare them with.
    pub heads_too_old: u64,
}

/// Why the audit is not what was written.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// An entry was changed, or one before it.
    #[error("audit entry {seq} is not what was written, or the one before it is not")]
    Broken {
        /// The first entry whose seal does not fit.
        seq: i64,
    },
    /// An entry is gone.
    #[error("audit entry {seq} is missing")]
    Missing {
        /// Which.
        seq: i64,
    },
    /// The mark left when old entries were removed is not what was written.
    #[error("the mark where old audit entries end is not what was written")]
    Anchor,
    /// A head was changed, or comes from another installation.
    #[error("the head over {size} entries was not signed by this installation as it stands there")]
    NotSigned {
        /// Entries it says it is over.
        size: u64,
    },
    /// Newest entries are gone, or the record was put back to an older copy.
    #[error("the audit ends with entry {last}, and a head was signed over {size} of them")]
    CutOff {
        /// The newest entry.
        last: i64,
        /// Entries of the largest head.
        size: u64,
    },
    /// The record was put back to an older copy and went on from there, or was written anew by who has the key.
    #[error("the first {size} audit entries are not those that a head was signed over")]
    Forked {
        /// Entries of the smallest head that does not fit.
        size: u64,
    },
    /// The file of heads cannot be read.
    #[error("cannot read the heads in {path}: {source}")]
    File {
        /// Which file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key does not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The record cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<db::Error> for AuditError {
    fn from(e: db::Error) -> Self {
        Self::Store(e.into())
    }
}

/// Heads whose signatures hold, the smallest first.
struct Kept {
    heads: std::iter::Peekable<std::vec::IntoIter<(u64, Hash)>>,
    compared: u64,
}

impl Kept {
    fn new(signer: &Signer, heads: &[Head]) -> Result<Self, AuditError> {
        let checked = |head: &Head| {
            let root = signer.root_of(head).ok_or(AuditError::NotSigned { size: head.tree_size })?;
            Ok((head.tree_size, root))
        };
        let mut heads = heads.iter().map(checked).collect::<Result<Vec<_>, AuditError>>()?;
        heads.sort_unstable();
        Ok(Self { heads: heads.into_iter().peekable(), compared: 0 })
    }

    /// Compares the heads over exactly what was read so far.
    fn compare(&mut self, reached: &Reached) -> Result<(), AuditError> {
        let size = reached.tree.size();
        while let Some((_, root)) = self.heads.next_if(|head| head.0 == size) {
            self.compared += 1;
            if root != reached.tree.root() {
                return Err(AuditError::Forked { size });
            }
        }
        Ok(())
    }
}

/// Reads the whole audit: every seal, and the tree at each head of the record and each of `kept` (RFC 9162 section 2.1.4,
/// by making both trees: the entries are at hand).
pub(crate) fn verify(db: &Connection, keys: &Keys, kept: &[Head]) -> Result<Verified, AuditError> {
    // One transaction, so that all of it is read as of one moment.
    let db = db.snapshot()?;
    let mut kept = Kept::new(&Signer::new(keys)?, &[heads::all(&db)?, kept.to_vec()].concat())?;
    let mut reached = start(&db, keys)?;
    let removed = reached.seq;
    let mut heads_too_old = 0;
    while kept.heads.next_if(|head| head.0 < reached.tree.size()).is_some() {
        heads_too_old += 1;
    }
    kept.compare(&reached)?;
    each(&db, ALL, |entry| {
        reached.go_on(keys, &entry)?;
        kept.compare(&reached)
    })?;
    if let Some((size, _)) = kept.heads.last() {
        return Err(AuditError::CutOff { last: reached.seq, size });
    }
    Ok(Verified {
        entries: reached.seq.abs_diff(removed),
        first: removed + 1,
        last: reached.seq,
        head: hex(&reached.seal),
        root: hex(&reached.tree.root()),
        heads: kept.compared,
        heads_too_old,
    })
}
