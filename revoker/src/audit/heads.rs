//! Where heads are kept: in the record, and in a file that may lie on another disk or be carried away.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use detector::Timestamp;

use super::head::Signer;
use super::tree::{Hash, Range};
use super::{AuditError, Head, Reached, Seal, each, start};
use crate::keys::Keys;
use crate::store::db::{Connection, OptionalExtension, Transaction, params};
use crate::store::{StoreError, from_json, to_json};

/// Heads in the record; the file beside it has them all.
const KEPT_MAX: u32 = 10_000;

/// The longest file of heads that is read.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A head with the tree it was signed over, from which the next one goes on.
pub(crate) struct Made {
    pub(crate) head: Head,
    roots: Vec<u8>,
}

/// Signs a head over all entries. Reads what was written since the newest head, and refuses to sign what is not as written.
pub(crate) fn make(db: &Connection, keys: &Keys, now: Timestamp) -> Result<Made, AuditError> {
    let signer = Signer::new(keys)?;
    let mut reached = match newest(db, &signer)? {
        Some(reached) => reached,
        None => start(db, keys)?,
    };
    each(db, (reached.seq, i64::MAX), |entry| reached.go_on(keys, &entry).map(drop))?;
    if let Some(longer) = last(db)?.filter(|head| head.tree_size > reached.tree.size()) {
        return Err(AuditError::CutOff { last: reached.seq, size: longer.tree_size });
    }
    let tree = &reached.tree;
    Ok(Made { head: signer.sign(tree.size(), &tree.root(), now), roots: tree.roots().concat() })
}

/// How far the newest head has come; none if it is not what was signed or its last entry is gone: then all is read again.
fn newest(db: &Connection, signer: &Signer) -> Result<Option<Reached>, StoreError> {
    let row = db
        .prepare_cached(
            "SELECT seq, h.head, h.roots, a.hash FROM audit_heads h JOIN audit a ON a.seq = h.size
             WHERE h.size = (SELECT max(size) FROM audit_heads)",
        )?
        .query_row([], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?, row.get(3)?))
        })
        .optional()?;
    let reached = |(seq, head, roots, seal): (i64, String, Vec<u8>, Seal)| {
        let root = signer.root_of(&serde_json::from_str(&head).ok()?)?;
        let (roots, rest) = roots.as_chunks::<{ size_of::<Hash>() }>();
        let tree = Range::from_parts(seq.try_into().ok()?, roots.to_vec())?;
        (rest.is_empty() && tree.root() == root).then_some(Reached { seq, seal, tree })
    };
    Ok(row.and_then(reached))
}

/// Keeps a head in the record.
pub(crate) fn put(tx: &Transaction<'_>, made: &Made) -> Result<(), StoreError> {
    let size = made.head.tree_size.cast_signed();
    tx.prepare_cached(
        "INSERT INTO audit_heads (size, head, roots) VALUES (?1, ?2, ?3)
         ON CONFLICT (size) DO UPDATE SET head = excluded.head, roots = excluded.roots",
    )?
    .execute(params![size, to_json(&made.head)?, made.roots])?;
    tx.prepare_cached(
        "DELETE FROM audit_heads WHERE size <= (SELECT size FROM audit_heads ORDER BY size DESC LIMIT 1 OFFSET ?1)",
    )?
    .execute([KEPT_MAX])?;
    Ok(())
}

/// The heads in the record, the smallest first.
pub(crate) fn all(db: &Connection) -> Result<Vec<Head>, StoreError> {
    let mut statement = db.prepare_cached("SELECT head FROM audit_heads ORDER BY size")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    rows.map(|row| from_json("a head of the audit", &row?)).collect()
}

/// The newest head in the record.
pub(crate) fn last(db: &Connection) -> Result<Option<Head>, StoreError> {
    let mut statement = db.prepare_cached("SELECT head FROM audit_heads ORDER BY size DESC LIMIT 1")?;
    let row = statement.query_row([], |row| row.get::<_, String>(0)).optional()?;
    row.map(|text| from_json("a head of the audit", &text)).transpose()
}

/// The file of heads: one a line, only ever appended to.
#[derive(Clone, Debug)]
pub struct HeadsFile(PathBuf);

impl HeadsFile {
    /// The file at this path, which need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the file if it is not there, so that a path where none can be is known at start.
    pub fn prepare(&self) -> std::io::Result<()> {
        OpenOptions::new().append(true).create(true).open(&self.0).map(drop)
    }

    /// All heads in it; none if there is no file.
    pub fn read(&self) -> std::io::Result<Vec<Head>> {
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(std::io::Error::other(format!("longer than {FILE_BYTES_MAX} bytes")));
        }
        Ok(Head::all_in(&String::from_utf8_lossy(&bytes)))
    }

    /// Adds one and syncs it.
    pub(crate) fn append(&self, head: &Head) -> Result<(), StoreError> {
        let line = format!("{}\n", to_json(head)?);
        self.add(line).map_err(|source| StoreError::Heads { path: self.0.clone(), source })
    }

    fn add(&self, mut line: String) -> std::io::Result<()> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&self.0)?;
        // What a crash cut off must not take this line with it.
        if file.seek(SeekFrom::End(-1)).is_ok() {
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                line.insert(0, '\n');
            }
        }
        file.write_all(line.as_bytes())?;
        file.sync_data()
    }
}
