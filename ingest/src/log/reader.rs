//! Reading a log: a connection of its own, so that reading never waits for writing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::{Entry, LogError, table};
use crate::decode::SourceContext;

/// Reads a log by sequence number.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    db: Connection,
    sources: rustc_hash::FxHashMap<i64, Arc<SourceContext>>,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        let error = |e| LogError::from_sqlite(path, e);
        let db = Connection::open(path).map_err(error)?;
        table::configure(&db).map_err(error)?;
        Ok(Self { path: path.to_owned(), db, sources: rustc_hash::FxHashMap::default() })
    }

    /// Entries from `from` on, in order: at most `rows_max`, and no more after their payloads fill `bytes_max`.
    ///
    /// Starts later than `from` where older entries were removed.
    pub fn read(&mut self, from: i64, rows_max: usize, bytes_max: usize) -> Result<Vec<Entry>, LogError> {
        let raw = table::read(&self.db, from, rows_max, bytes_max).map_err(|e| self.error(e))?;
        raw.into_iter()
            .map(|raw| {
                Ok(Entry {
                    seq: raw.seq,
                    kind: raw.kind,
                    source: raw.source.map(|id| self.source(id)).transpose()?,
                    received_at: raw.received_at,
                    payload: raw.payload,
                })
            })
            .collect()
    }

    /// Where `reader` stands: the sequence number it needs next; 1 for one the log does not know.
    pub fn position(&self, reader: &str) -> Result<i64, LogError> {
        Ok(table::position(&self.db, reader).map_err(|e| self.error(e))?.unwrap_or(1))
    }

    /// The oldest sequence number still there; none in an empty log.
    pub fn first(&self) -> Result<Option<i64>, LogError> {
        table::first(&self.db).map_err(|e| self.error(e))
    }

    fn source(&mut self, id: i64) -> Result<Arc<SourceContext>, LogError> {
        if let Some(source) = self.sources.get(&id) {
            return Ok(Arc::clone(source));
        }
        let source = Arc::new(table::source(&self.db, id).map_err(|e| self.error(e))?);
        self.sources.insert(id, Arc::clone(&source));
        Ok(source)
    }

    fn error(&self, e: rusqlite::Error) -> LogError {
        LogError::from_sqlite(&self.path, e)
    }
}
