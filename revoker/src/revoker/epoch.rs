//! Whether the record is an older copy of itself.
//!
//! A grant is admitted once, which only the record knows: put back to a copy from before, it would admit the grant again. So a
//! mark beside the record says how far the audit had come when a grant was last consumed. A record that has not come as far was
//! restored; its epoch is raised, and grants of the one before admit nothing. Nor would it know whose access has ended since, and who was
//! given it back: the journal beside it does ([`super::journal`]), and so it is again. Where these were restored with it, whoever restores
//! says so (`tocsin restored`), and what was decided since the copy was made is for them to look up.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use detector::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Inner, Revoker, Write};
use crate::audit;
use crate::store::{StoreError, settings};

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    epoch: i64,
    seq: i64,
}

/// The file beside the record.
#[derive(Debug)]
pub(super) struct Mark(PathBuf);

impl Mark {
    pub(super) fn beside(data_dir: &Path) -> Self {
        Self(data_dir.join("revoker.mark"))
    }

    /// What it says; nothing where there is none.
    fn read(&self) -> Result<Seen, StoreError> {
        match std::fs::read(&self.0) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|e| StoreError::damaged(format!("the mark {}: {e}", self.0.display()))),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Seen::default()),
            Err(source) => Err(StoreError::Mark { path: self.0.clone(), source }),
        }
    }

    /// Replaces it whole.
    fn write(&self, seen: Seen) -> Result<(), StoreError> {
        let text = json!(seen).to_string();
        let beside = self.0.with_extension("mark-new");
        let written = File::create(&beside)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&beside, &self.0));
        written.map_err(|source| StoreError::Mark { path: self.0.clone(), source })
    }
}

impl Inner {
    /// Raises the epoch where the record has not come as far as the mark says.
    pub(super) fn look_for_restore(&self, now: Timestamp) -> Result<(), StoreError> {
        // The mark first: a server beside goes on writing, and mark and journal follow the record.
        let (seen, entries) = (self.mark.read()?, self.journal.read()?);
        let newest = audit::newest(&self.store.reader())?;
        let (known, lost): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.seq <= newest);
        if newest >= seen.seq && lost.is_empty() {
            return self.journal.shorten(known);
        }
        tracing::warn!(
            newest,
            mark = seen.seq,
            ended_or_given_back = lost.len(),
            "the record is older than it was: grants given before count no more, and who ended or was given access back since is so again"
        );
        let replaced = known.len() + lost.len();
        self.write(|w| {
            w.raise_epoch("found older than its mark", now)?;
            w.follow_journal(lost, now)
        })?;
        // Now numbers come again: what stands under them is what was done just now.
        let since = self.journal.read()?.into_iter().skip(replaced);
        self.journal.replace(&known.into_iter().chain(since).collect::<Vec<_>>())?;
        self.note_mark()
    }

    /// Writes down how far the record has come.
    pub(super) fn note_mark(&self) -> Result<(), StoreError> {
        let db = self.store.reader();
        self.mark.write(Seen { epoch: settings::epoch(&db)?, seq: audit::newest(&db)? })
    }
}

impl Write<'_> {
    fn raise_epoch(&mut self, why: &str, now: Timestamp) -> Result<(), StoreError> {
        // Also above what was raised after the copy was made.
        let epoch = settings::epoch(self.tx())?.max(self.inner.mark.read()?.epoch) + 1;
        settings::set_epoch(self.tx(), epoch)?;
        self.audit(None, "record.restored", &json!({ "epoch": epoch, "why": why }), now)
    }
}

impl Revoker {
    /// The record was restored from a backup: no grant given so far admits anything.
    pub async fn restored(&self, by: String, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |w| w.raise_epoch(&format!("by {by}"), now)).await?;
        let inner = std::sync::Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || inner.note_mark()).await.unwrap_or(Err(StoreError::Stopped))
    }
}
