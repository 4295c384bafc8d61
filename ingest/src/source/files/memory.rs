//! Which files were read, and how far.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, params};

/// By what a file is known to be unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: i64,
    len: i64,
    /// Nanoseconds since 1970.
    modified: i64,
}

impl Stamp {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = fs::metadata(path)?;
        let modified = file.mtime().saturating_mul(1_000_000_000).saturating_add(file.mtime_nsec());
        Ok(Self { inode: file.ino().cast_signed(), len: file.len().cast_signed(), modified })
    }

    /// How long it has not changed.
    pub(super) fn age(&self, now: SystemTime) -> Duration {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_nanos(self.modified.max(0).cast_unsigned());
        now.duration_since(modified).unwrap_or_default()
    }

    /// Whether `later` is this very file, grown or untouched.
    pub(super) fn is_younger(&self, later: &Self) -> bool {
        self.inode == later.inode && self.len <= later.len
    }
}

/// How far a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// What it was like then.
    pub(super) stamp: Stamp,
    /// Bytes up to the end of the last record taken.
    pub(super) end: u64,
    /// The line that begins there.
    pub(super) line: u64,
    /// Whether something is left behind it that may not be whole yet.
    pub(super) left: bool,
}

/// A small database of its own. What it fails to keep is read again, and the log knows it then.
#[derive(Debug)]
pub(super) struct Memory(Connection);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS files (
  path TEXT PRIMARY KEY, inode INTEGER, len INTEGER, modified INTEGER, end INTEGER, line INTEGER, left_over INTEGER
) WITHOUT ROWID;
";

impl Memory {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let db = Connection::open(path)?;
        crate::log::table::configure(&db)?;
        db.execute_batch(SCHEMA)?;
        let memory = Self(db);
        memory.forget_gone()?;
        Ok(memory)
    }

    /// Forgets files that are gone, so that the memory does not grow with every file there ever was.
    fn forget_gone(&self) -> rusqlite::Result<()> {
        let mut select = self.0.prepare("SELECT path FROM files")?;
        let paths = select.query_map([], |r| r.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        for path in paths.iter().filter(|path| !Path::new(path).exists()) {
            self.0.execute("DELETE FROM files WHERE path = ?1", [path])?;
        }
        Ok(())
    }

    pub(super) fn get(&self, path: &Path) -> Option<Place> {
        let select = "SELECT inode, len, modified, end, line, left_over FROM files WHERE path = ?1";
        let place = self.0.prepare_cached(select).and_then(|mut select| {
            let place = select.query_row([path.to_string_lossy()], |r| {
                let stamp = Stamp { inode: r.get(0)?, len: r.get(1)?, modified: r.get(2)? };
                let (end, line): (i64, i64) = (r.get(3)?, r.get(4)?);
                Ok(Place { stamp, end: end.cast_unsigned(), line: line.cast_unsigned(), left: r.get(5)? })
            });
            place.optional()
        });
        place.unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "not known whether a file was read; it is read again");
            None
        })
    }

    pub(super) fn set(&self, path: &Path, place: &Place) {
        let Place { stamp, end, line, left } = place;
        let row = params![
            path.to_string_lossy(),
            stamp.inode,
            stamp.len,
            stamp.modified,
            end.cast_signed(),
            line.cast_signed(),
            left
        ];
        let written = self.0.execute("INSERT OR REPLACE INTO files VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", row);
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "not remembered that a file was read");
        }
    }
}
