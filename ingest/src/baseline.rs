//! Versions of agents' baselines on disk: to be listed, compared and gone back to.
//!
//! A file of its own beside the logs, so that a database that is down hides none of it. Of each agent the newest
//! [`KEPT`] are kept, which is about 130 KiB. Baselines are packed as snapshots are, under the same fingerprint of how the
//! state is laid out: what another version of this program packed is shown and compared, and cannot be gone back to.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use detector::{AgentState, Baseline, Summary, Timestamp};
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use crate::snapshot::{Layout, SnapshotError};

/// Versions kept of an agent.
pub const KEPT: u32 = 32;

const SCHEMA: &str = "
-- Two of one instant are told apart by seq: what was told before a ruling, and what the next call found moved.
CREATE TABLE IF NOT EXISTS baselines (
  seq INTEGER PRIMARY KEY,
  issuer TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  ts INTEGER NOT NULL,
  cause TEXT NOT NULL,
  layout TEXT NOT NULL,
  summary TEXT NOT NULL,
  packed BLOB NOT NULL,
  UNIQUE (issuer, agent_id, ts, cause)
);
";

/// Why baselines cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The file.
    #[error("the file of baselines: {0}")]
    File(#[from] rusqlite::Error),
    /// A state that cannot be packed.
    #[error(transparent)]
    Pack(#[from] SnapshotError),
    /// A row that is not as written.
    #[error("a baseline is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// Another version of this program packed it.
    #[error("it was packed by another version of this program (layout {theirs}; this one's is {ours})")]
    AnotherLayout {
        /// How it is laid out.
        theirs: String,
        /// How this program does.
        ours: String,
    },
    /// It is no packed baseline.
    #[error("it is no packed baseline")]
    NoBaseline,
}

/// One version of an agent's baseline.
#[derive(Clone, Debug, Serialize)]
pub struct Version {
    /// The agent's last call before it, event time; the version's name.
    pub ts: Timestamp,
    /// Why it was kept.
    pub cause: String,
    /// How it is laid out.
    pub layout: String,
    /// Whether this version of the program can go back to it.
    pub is_usable: bool,
    /// What it says.
    pub summary: Summary,
    #[serde(skip)]
    packed: Vec<u8>,
}

impl Version {
    /// The text that a record of the log carries.
    pub fn text(&self) -> String {
        format!("{}:{}", self.layout, URL_SAFE_NO_PAD.encode(&self.packed))
    }
}

/// How this version of the program lays out a baseline.
fn layout() -> Result<String, SnapshotError> {
    static LAYOUT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    if let Some(layout) = LAYOUT.get() {
        return Ok(layout.clone());
    }
    let layout = Layout::of(&crate::pipeline::score::example_state())?.to_string();
    Ok(LAYOUT.get_or_init(|| layout).clone())
}

/// Reads what [`Version::text`] wrote.
pub(crate) fn unpack(text: &str) -> Result<AgentState, BaselineError> {
    let (theirs, packed) = text.split_once(':').ok_or(BaselineError::NoBaseline)?;
    let ours = layout()?;
    if theirs != ours {
        return Err(BaselineError::AnotherLayout { theirs: theirs.to_owned(), ours });
    }
    let packed = URL_SAFE_NO_PAD.decode(packed).map_err(|_| BaselineError::NoBaseline)?;
    postcard::from_bytes(&packed).map_err(|_| BaselineError::NoBaseline)
}

/// The file. Clones share it.
#[derive(Clone, Debug)]
pub struct Baselines {
    db: Arc<Mutex<Connection>>,
    layout: String,
}

impl Baselines {
    /// Opens or makes it.
    pub fn open(path: &Path) -> Result<Self, BaselineError> {
        let db = Connection::open(path)?;
        crate::log::table::configure(&db)?;
        db.execute_batch(SCHEMA)?;
        Ok(Self { db: Arc::new(Mutex::new(db)), layout: layout()? })
    }

    fn db(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps versions, durably when it returns; one that is kept already stays as it is. The oldest of an agent make room.
    pub(crate) fn keep(&self, versions: &[Baseline]) -> Result<(), BaselineError> {
        if versions.is_empty() {
            return Ok(());
        }
        let mut db = self.db();
        let tx = db.transaction()?;
        for Baseline { issuer, agent_id, ts, cause, summary, state } in versions {
            let packed = crate::snapshot::Snapshots::encode(state)?;
            let issuer = issuer.as_deref().unwrap_or_default();
            let summary = serde_json::to_string(summary)?;
            tx.prepare_cached(
                "INSERT OR IGNORE INTO baselines (issuer, agent_id, ts, cause, layout, summary, packed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                issuer,
                agent_id,
                ts.as_micros(),
                cause.as_str(),
                self.layout,
                summary,
                packed
            ])?;
            tx.prepare_cached(
                "DELETE FROM baselines WHERE issuer = ?1 AND agent_id = ?2 AND (ts, seq) < (
                     SELECT ts, seq FROM baselines WHERE issuer = ?1 AND agent_id = ?2
                     ORDER BY ts DESC, seq DESC LIMIT 1 OFFSET ?3)",
            )?
            .execute(params![issuer, agent_id, KEPT - 1])?;
        }
        Ok(tx.commit()?)
    }

    /// The versions of an agent, newest first. Blocks for the disk.
    pub fn of(&self, issuer: Option<&str>, agent_id: &str) -> Result<Vec<Version>, BaselineError> {
        let db = self.db();
        let mut statement = db.prepare_cached(
            "SELECT ts, cause, layout, summary, packed FROM baselines WHERE issuer = ?1 AND agent_id = ?2
             ORDER BY ts DESC, seq DESC",
        )?;
        let rows = statement.query_map(params![issuer.unwrap_or_default(), agent_id], columns)?;
        rows.map(|row| self.version(row?)).collect()
    }

    fn version(&self, (ts, cause, layout, summary, packed): Columns) -> Result<Version, BaselineError> {
        let (ts, is_usable) = (Timestamp::from_micros(ts), layout == self.layout);
        Ok(Version { ts, cause, layout, is_usable, summary: serde_json::from_str(&summary)?, packed })
    }
}

type Columns = (i64, String, String, String, Vec<u8>);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use detector::{Call, Detector, DetectorConfig, Kind};

    use super::*;

    /// Versions of an agent on each of so many days.
    fn versions(days: u32) -> Vec<Baseline> {
        let config = DetectorConfig { keeps_baselines: true, ..DetectorConfig::default() };
        let mut detector = Detector::new(config, &[]);
        let mut told = Vec::new();
        for hour in 0..days * 24 {
            let ts = Timestamp::from_millis(1_767_571_200_000) + Duration::from_hours(hour.into());
            detector.observe(&Call::new(hour.to_string(), ts, "agent", "read"));
            if hour % 24 == 23 {
                let mut word = Call::new(format!("w{hour}"), ts, "agent", "");
                word.kind = Kind::Feedback;
                detector.observe(&word);
            }
            told.append(&mut detector.baselines());
        }
        told
    }

    #[test]
    fn versions_are_kept_once_and_the_oldest_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let baselines = Baselines::open(&folder.path().join("baselines.db")).unwrap();
        let told = versions(40);
        assert!(told.len() > KEPT as usize, "{}", told.len());
        baselines.keep(&told).unwrap();
        baselines.keep(&told).unwrap();
        let kept = baselines.of(None, "agent").unwrap();
        let newest: Vec<_> = told.iter().rev().map(|version| version.ts).collect();
        assert_eq!(kept.iter().map(|v| v.ts).collect::<Vec<_>>(), newest[..kept.len()]);
        assert_eq!(kept.len(), KEPT as usize);
        assert!(baselines.of(Some("another"), "agent").unwrap().is_empty());

        let wanted = &told[told.len() - 3];
        let found = &kept[2];
        assert_eq!((found.ts, found.is_usable), (wanted.ts, true));
        assert_eq!(found.summary.endpoints, wanted.summary.endpoints);
        assert!((found.summary.per_hour - wanted.summary.per_hour).abs() < 1e-9);
        assert_eq!(unpack(&found.text()).unwrap(), wanted.state);
    }

    #[test]
    fn what_another_program_packed_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baselines.db");
        Baselines::open(&path).unwrap().keep(&versions(3)).unwrap();
        let db = Connection::open(&path).unwrap();
        db.execute("UPDATE baselines SET layout = '1-00000000deadbeef'", []).unwrap();
        let old = Baselines::open(&path).unwrap().of(None, "agent").unwrap().remove(0);
        assert!(!old.is_usable);
        let why = unpack(&old.text()).unwrap_err().to_string();
        assert!(why.contains("another version of this program (layout 1-00000000deadbeef"), "{why}");
        for nonsense in ["", "1", "1:", &format!("{}:AAAA", layout().unwrap())] {
            assert!(unpack(nonsense).is_err(), "{nonsense}");
        }
    }
}
