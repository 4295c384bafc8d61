//! The detector's state on disk, so that a restart reads minutes of calls again and not weeks.
//!
//! A file is a header (magic, version, layout, length, SHA-256) and a body. It is written under another name, synced,
//! renamed, and its folder synced, so under its own name it is always whole. The two newest are kept. One that is
//! damaged, or was written by a version that laid the state out differently, is passed over for the one before it, and
//! where there is none, for the calls themselves.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// What every snapshot begins with.
const MAGIC: &[u8; 8] = b"TOCSNAP\n";
/// Raise it when the header or the meaning of the state changes. A changed layout is noticed without.
const VERSION: u32 = 2;
/// Bytes of a body that are written at once, and synced: a file system that puts all that is not on disk yet before its next commit
/// would let the logs' syncs wait for the whole file.
const PIECE_BYTES: usize = 1 << 22;
const HEADER_BYTES: usize = 8 + 4 + 8 + 8 + 32;
/// Snapshots kept: the newest, and the one before in case that is damaged.
const KEPT: usize = 2;
const SUFFIX: &str = "snapshot";

/// How the state is laid out, as a fingerprint of its field names; another one means that the bytes mean something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout(u64);

impl Layout {
    /// The fingerprint of a value like the one that will be saved.
    pub fn of(example: &impl Serialize) -> Result<Self, SnapshotError> {
        let example = serde_json::to_value(example).map_err(SnapshotError::Layout)?;
        let digest = Sha256::digest(shape(&example));
        Ok(Self(digest.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))))
    }
}

/// With the version of the header, for what lies outside a snapshot.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}-{:016x}", self.0)
    }
}

/// The names and nesting of a value; of a list, that of its first element.
fn shape(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(name, v)| format!("{name}:{}", shape(v))).collect();
            format!("{{{}}}", fields.join(","))
        }
        serde_json::Value::Array(items) => format!("[{}]", items.first().map(shape).unwrap_or_default()),
        serde_json::Value::Null => "?".to_owned(),
        _ => String::new(),
    }
}

/// A snapshot that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file or its folder cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is damaged, or another version's.
    #[error("{path}: {reason}")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The state cannot be encoded.
    #[error("the state cannot be encoded: {0}")]
    Encode(postcard::Error),
    /// Its layout cannot be told.
    #[error("the layout of the state cannot be told: {0}")]
    Layout(serde_json::Error),
}

/// The folder of snapshots.
#[derive(Debug)]
pub struct Snapshots {
    dir: PathBuf,
    layout: Layout,
    next: u64,
}

/// A snapshot that was read.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The state, if one could be read.
    pub state: Option<T>,
    /// What was newer and could not be used, newest first.
    pub unusable: Vec<SnapshotError>,
}

impl Snapshots {
    /// Opens or creates the folder.
    pub fn open(dir: &Path, layout: Layout) -> Result<Self, SnapshotError> {
        fs::create_dir_all(dir).map_err(|source| SnapshotError::Io { path: dir.to_owned(), source })?;
        let mut snapshots = Self { dir: dir.to_owned(), layout, next: 1 };
        snapshots.next = snapshots.numbers()?.last().map_or(1, |n| n + 1);
        Ok(snapshots)
    }

    /// Writes a state durably, and removes what it makes superfluous.
    pub fn save(&mut self, state: &impl Serialize) -> Result<(), SnapshotError> {
        let path = self.path(self.next);
        let draft = path.with_extension("draft");
        let error = |source| SnapshotError::Io { path: path.clone(), source };
        let mut body = File::create(&draft).and_then(Body::begin).map_err(error)?;
        if let Err(encoding) = postcard::to_io(state, &mut body) {
            return Err(body.failed.map_or(SnapshotError::Encode(encoding), error));
        }
        let written = body.end(self.layout).and_then(|()| {
            fs::rename(&draft, &path)?;
            File::open(&self.dir)?.sync_all()
        });
        written.map_err(error)?;
        self.next += 1;
        let numbers = self.numbers()?;
        for old in numbers.iter().rev().skip(KEPT) {
            fs::remove_file(self.path(*old)).map_err(error)?;
        }
        Ok(())
    }

    /// Reads the newest that can be used.
    pub fn load<T: DeserializeOwned>(&self) -> Result<Loaded<T>, SnapshotError> {
        let mut unusable = Vec::new();
        for number in self.numbers()?.into_iter().rev() {
            match self.read(&self.path(number)) {
                Ok(state) => return Ok(Loaded { state: Some(state), unusable }),
                Err(e) => unusable.push(e),
            }
        }
        Ok(Loaded { state: None, unusable })
    }

    fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<T, SnapshotError> {
        let bytes = fs::read(path).map_err(|source| SnapshotError::Io { path: path.to_owned(), source })?;
        let unusable =
            |reason: &str| SnapshotError::Unusable { path: path.to_owned(), reason: reason.to_owned() };
        let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(|| unusable("it is cut off"))?;
        let expected = header_of(self.layout, body.len() as u64, Sha256::digest(body).into());
        if header[..8] != expected[..8] {
            return Err(unusable("it is no snapshot"));
        }
        if header[8..20] != expected[8..20] {
            return Err(unusable("another version wrote it"));
        }
        if header != expected {
            return Err(unusable("it is damaged"));
        }
        postcard::from_bytes(body).map_err(|e| unusable(&format!("it cannot be decoded: {e}")))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:012}.{SUFFIX}"))
    }

    /// The numbers of the snapshots there are, oldest first.
    fn numbers(&self) -> Result<Vec<u64>, SnapshotError> {
        let error = |source| SnapshotError::Io { path: self.dir.clone(), source };
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(error)? {
            let path = entry.map_err(error)?.path();
            if path.extension().is_some_and(|e| e == SUFFIX) {
                numbers.extend(path.file_stem().and_then(|s| s.to_str()?.parse::<u64>().ok()));
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

fn header_of(layout: Layout, bytes: u64, digest: [u8; 32]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..20].copy_from_slice(&layout.0.to_le_bytes());
    header[20..28].copy_from_slice(&bytes.to_le_bytes());
    header[28..].copy_from_slice(&digest);
    header
}

/// A body on its way to its file, whole nowhere in memory; the header, which says what it is, is written last.
struct Body {
    file: File,
    /// Not written yet.
    waiting: Vec<u8>,
    digest: Sha256,
    bytes: u64,
    /// Why it could not be written, which the encoder does not hand on.
    failed: Option<io::Error>,
}

impl Body {
    fn begin(mut file: File) -> io::Result<Self> {
        file.write_all(&[0; HEADER_BYTES])?;
        let waiting = Vec::with_capacity(PIECE_BYTES);
        Ok(Self { file, waiting, digest: Sha256::new(), bytes: 0, failed: None })
    }

    /// Makes it durable, and its header true.
    fn end(mut self, layout: Layout) -> io::Result<()> {
        self.flush()?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header_of(layout, self.bytes, self.digest.finalize().into()))?;
        self.file.sync_all()
    }
}

impl Write for Body {
    fn write(&mut self, some: &[u8]) -> io::Result<usize> {
        if self.waiting.len() + some.len() > PIECE_BYTES {
            self.flush()?;
        }
        self.waiting.extend_from_slice(some);
        Ok(some.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.digest.update(&self.waiting);
        self.bytes += self.waiting.len() as u64;
        let written = self.file.write_all(&self.waiting).and_then(|()| self.file.sync_data());
        self.waiting.clear();
        written.map_err(|e| {
            let kind = e.kind();
            self.failed = Some(e);
            kind.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct State {
        calls: u32,
    }

    fn open(dir: &Path) -> Snapshots {
        Snapshots::open(dir, Layout::of(&State { calls: 0 }).unwrap()).unwrap()
    }

    fn save(dir: &Path, calls: u32) {
        open(dir).save(&State { calls }).unwrap();
    }

    fn load(dir: &Path) -> (Option<State>, Vec<String>) {
        let loaded = open(dir).load().unwrap();
        let name = |e: &SnapshotError| e.to_string().replace(&dir.display().to_string(), "");
        (loaded.state, loaded.unusable.iter().map(name).collect())
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
    }

    #[test]
    fn the_newest_is_read_and_two_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()), (None, vec![]));
        (1..=4).for_each(|calls| save(dir.path(), calls));
        assert_eq!(load(dir.path()), (Some(State { calls: 4 }), vec![]));
        assert_eq!(files(dir.path()).len(), 2);
    }

    #[test]
    fn damage_anywhere_leads_to_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        (1..=2).for_each(|calls| save(dir.path(), calls));
        let newest = files(dir.path()).pop().unwrap();
        let whole = fs::read(&newest).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&newest, &damaged).unwrap();
            assert_eq!(load(dir.path()).0, Some(State { calls: 1 }), "byte {at}");
            fs::write(&newest, &whole[..at]).unwrap();
            assert_eq!(load(dir.path()).0, Some(State { calls: 1 }), "cut at {at}");
        }
        insta::assert_debug_snapshot!(load(dir.path()).1, @r#"
        [
            "/000000000002.snapshot: it is damaged",
        ]
        "#);
    }

    #[test]
    fn another_layout_is_not_misread() {
        #[derive(Serialize)]
        struct Later {
            agents: u32,
        }
        let dir = tempfile::tempdir().unwrap();
        let later = Later { agents: 7 };
        let mut snapshots = Snapshots::open(dir.path(), Layout::of(&later).unwrap()).unwrap();
        snapshots.save(&later).unwrap();
        insta::assert_debug_snapshot!(load(dir.path()), @r#"
        (
            None,
            [
                "/000000000001.snapshot: another version wrote it",
            ],
        )
        "#);
    }
}
