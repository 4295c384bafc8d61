//! Versions of agents' baselines on disk: to be listed, compared and gone back to.
//!
//! A file of its own beside the logs, so that a database that is down hides none of it. Of each agent [`KEPT`] are kept, which is
//! about 130 KiB: what was told before a person's word outlasts what was told as it moved, and else the newest stay. Of all agents
//! [`KEPT_IN_ALL`] are kept, a GiB: the oldest of those agents make room that have told nothing for longest. Baselines are packed
//! as snapshots are, under the same fingerprint of how the state is laid out: what another version of this program packed is shown
//! and compared, and cannot be gone back to.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use detector::{AgentState, Baseline, Summary, Timestamp};
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use crate::snapshot::{Layout, SnapshotError};

/// Versions kept of an agent,
pub const KEPT: u32 = 32;
/// and of all agents together.
pub const KEPT_IN_ALL: u32 = 262_144;
/// So much of that goes at once, so that the search is rare.
const ROOM_ONE_IN: u32 = 64;
/// The longest wait for whoever else has the file open: who asks for versions waits too, and what is not kept now is kept later.
const BUSY: Duration = Duration::from_millis(100);

const SCHEMA: &str = "
-- seq, never given twice, is the name of a version. One record has one version of an agent told, at most: told again, it is known.
CREATE TABLE IF NOT EXISTS versions (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  issuer TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  ts INTEGER NOT NULL,
  cause TEXT NOT NULL,
  event_id TEXT NOT NULL,
  layout TEXT NOT NULL,
  summary TEXT NOT NULL,
  packed BLOB NOT NULL,
  UNIQUE (issuer, agent_id, event_id)
);
";

const INSERT: &str = "
INSERT OR IGNORE INTO versions (issuer, agent_id, ts, cause, event_id, layout, summary, packed)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// Of an agent.
const TRIM: &str = "
DELETE FROM versions WHERE seq IN (
  SELECT seq FROM versions WHERE issuer = ?1 AND agent_id = ?2
  ORDER BY cause = 'moved', ts DESC, seq DESC LIMIT -1 OFFSET ?3)";

/// Of all: by the order in which they were told, since a forged date would keep its agent's for ever.
const MAKE_ROOM: &str = "
DELETE FROM versions WHERE seq IN (
  SELECT seq FROM (SELECT seq, max(seq) OVER (PARTITION BY issuer, agent_id) AS told FROM versions)
  ORDER BY told, seq LIMIT ?1)";

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
    /// Its name: a number that no other version has, of whatever agent, and that grows.
    pub version: i64,
    /// The agent's last call before it, event time.
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
    match postcard::take_from_bytes(&packed) {
        Ok((state, [])) => Ok(state),
        _ => Err(BaselineError::NoBaseline),
    }
}

/// The file. Clones share it.
#[derive(Clone, Debug)]
pub struct Baselines {
    db: Arc<Mutex<Connection>>,
    layout: String,
    in_all: u32,
}

impl Baselines {
    /// Opens or makes it.
    pub fn open(path: &Path) -> Result<Self, BaselineError> {
        let db = Connection::open(path)?;
        crate::log::table::configure(&db)?;
        db.execute_batch(SCHEMA)?;
        db.busy_timeout(BUSY)?;
        Ok(Self { db: Arc::new(Mutex::new(db)), layout: layout()?, in_all: KEPT_IN_ALL })
    }

    fn db(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps versions, durably when it returns; one that is kept already stays as it is.
    pub(crate) fn keep(&self, versions: &[Baseline]) -> Result<(), BaselineError> {
        if versions.is_empty() {
            return Ok(());
        }
        let mut db = self.db();
        let tx = db.transaction()?;
        for Baseline { issuer, agent_id, ts, cause, event_id, summary, state } in versions {
            let packed = postcard::to_stdvec(state).map_err(SnapshotError::Encode)?;
            let (issuer, ts) = (issuer.as_deref().unwrap_or_default(), ts.as_micros());
            let (cause, summary) = (cause.as_str(), serde_json::to_string(summary)?);
            let row = params![issuer, agent_id, ts, cause, event_id, self.layout, summary, packed];
            tx.prepare_cached(INSERT)?.execute(row)?;
            tx.prepare_cached(TRIM)?.execute(params![issuer, agent_id, KEPT])?;
        }
        let kept: u32 =
            tx.prepare_cached("SELECT count(*) FROM versions")?.query_row([], |row| row.get(0))?;
        if kept > self.in_all {
            let beyond = kept - self.in_all + self.in_all / ROOM_ONE_IN;
            tx.prepare_cached(MAKE_ROOM)?.execute([beyond])?;
        }
        Ok(tx.commit()?)
    }

    /// The versions of an agent, newest first. Blocks for the disk.
    pub fn of(&self, issuer: Option<&str>, agent_id: &str) -> Result<Vec<Version>, BaselineError> {
        let db = self.db();
        let mut statement = db.prepare_cached(
            "SELECT seq, ts, cause, layout, summary, packed FROM versions WHERE issuer = ?1 AND agent_id = ?2
             ORDER BY ts DESC, seq DESC",
        )?;
        let rows = statement.query_map(params![issuer.unwrap_or_default(), agent_id], columns)?;
        rows.map(|row| self.version(row?)).collect()
    }

    fn version(
        &self,
        (version, ts, cause, layout, summary, packed): Columns,
    ) -> Result<Version, BaselineError> {
        let (ts, is_usable) = (Timestamp::from_micros(ts), layout == self.layout);
        Ok(Version {
            version,
            ts,
            cause,
            layout,
            is_usable,
            summary: serde_json::from_str(&summary)?,
            packed,
        })
    }
}

type Columns = (i64, i64, String, String, String, Vec<u8>);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
}

#[cfg(test)]
mod tests {
    use detector::{Call, Detector, DetectorConfig, Kind, VersionCause};

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
    fn two_of_one_instant_and_cause_have_names_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let baselines = Baselines::open(&folder.path().join("baselines.db")).unwrap();
        let first = versions(3).pop().unwrap();
        let second = Baseline { event_id: "another".to_owned(), ..first.clone() };
        baselines.keep(&[first, second]).unwrap();
        let kept = baselines.of(None, "agent").unwrap();
        assert_eq!((kept.len(), kept[0].ts, &kept[0].cause), (2, kept[1].ts, &kept[1].cause));
        assert!(kept[0].version > kept[1].version);
    }

    #[test]
    fn what_was_told_before_a_word_outlasts_what_moved() {
        let folder = tempfile::tempdir().unwrap();
        let baselines = Baselines::open(&folder.path().join("baselines.db")).unwrap();
        let word = versions(3).pop().unwrap();
        let later = |day: u32| {
            let (ts, cause) = (word.ts + Duration::from_hours(24 * u64::from(day)), VersionCause::Moved);
            Baseline { ts, cause, event_id: format!("call-{day}"), ..word.clone() }
        };
        let told: Vec<_> = std::iter::once(word.clone()).chain((1..=2 * KEPT).map(later)).collect();
        baselines.keep(&told).unwrap();
        let kept = baselines.of(None, "agent").unwrap();
        assert_eq!(kept.len(), KEPT as usize);
        assert_eq!((kept[0].ts, kept[kept.len() - 1].ts), (later(2 * KEPT).ts, word.ts));
    }

    #[test]
    fn who_told_nothing_for_longest_makes_room_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let mut baselines = Baselines::open(&folder.path().join("baselines.db")).unwrap();
        baselines.in_all = 64;
        let example = versions(3).pop().unwrap();
        for day in 0..10 {
            let ts = example.ts + Duration::from_hours(24 * day);
            // One that goes on, and one that was there on three days and is gone.
            let gone = format!("gone-{}", day / 3);
            let forged = Duration::from_hours(if day == 0 { 24 * 365 * 100 } else { 0 });
            let told = (0..10).map(|n| Baseline {
                ts: ts + Duration::from_mins(n) + forged,
                event_id: format!("{day}-{n}"),
                agent_id: if n < 2 { "goes on".to_owned() } else { gone.clone() },
                ..example.clone()
            });
            baselines.keep(&told.collect::<Vec<_>>()).unwrap();
        }
        let number = |agent: &str| baselines.of(None, agent).unwrap().len();
        let of_gone = [0, 1, 2, 3].map(|n| number(&format!("gone-{n}")));
        assert_eq!((number("goes on"), of_gone), (20, [0, 11, 24, 8]));
        let oldest = baselines.of(None, "gone-1").unwrap().pop().unwrap();
        assert!(oldest.ts > example.ts + Duration::from_hours(24 * 4), "{}", oldest.ts);
    }

    #[test]
    fn what_another_program_packed_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baselines.db");
        Baselines::open(&path).unwrap().keep(&versions(3)).unwrap();
        let db = Connection::open(&path).unwrap();
        db.execute("UPDATE versions SET layout = '1-00000000deadbeef'", []).unwrap();
        let old = Baselines::open(&path).unwrap().of(None, "agent").unwrap().remove(0);
        assert!(!old.is_usable);
        let why = unpack(&old.text()).unwrap_err().to_string();
        assert!(why.contains("another version of this program (layout 1-00000000deadbeef"), "{why}");
        let longer = versions(3).pop().map(|Baseline { state, .. }| {
            let packed = [postcard::to_stdvec(&state).unwrap(), vec![0]].concat();
            format!("{}:{}", layout().unwrap(), URL_SAFE_NO_PAD.encode(packed))
        });
        for nonsense in ["", "1", "1:", &format!("{}:AAAA", layout().unwrap()), &longer.unwrap()] {
            assert!(unpack(nonsense).is_err(), "{nonsense}");
        }
    }
}
