//! What ended and what was given back, written down beside the record too: a record that is put back to an older copy follows it.
//!
//! One line for each revocation, suspension, retirement and reinstatement, of agents and of parts of them, with the number of its audit
//! entry. It is not synced: who kills the process loses none, and a machine that fails puts no older copy back.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use detector::Timestamp;
use serde::{Deserialize, Serialize};

use super::Write;
use super::apply::ApplyError;
use crate::agent::AgentKey;
use crate::lifecycle::Input;
use crate::part::Part;
use crate::standing::{Challenge, Meanwhile, Standing};
use crate::store::StoreError;

/// Lines of the file, about: past twice as many those that a later one of the same subject replaced go, and then the oldest.
const LINES_MAX: usize = 50_000;

/// Who says so in the audit.
const BY: &str = "tocsin";

/// One change of who may act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Of the audit.
    pub(super) seq: i64,
    pub(super) agent: AgentKey,
    pub(super) now: Now,
}

/// What is so since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Now {
    /// Where the agent stands.
    Stands(Box<Standing>),
    /// Access of this part of it has ended.
    Ended(Part),
    /// It was given back.
    GivenBack(Part),
}

impl Entry {
    fn subject(&self) -> (&AgentKey, Option<&Part>) {
        match &self.now {
            Now::Stands(_) => (&self.agent, None),
            Now::Ended(part) | Now::GivenBack(part) => (&self.agent, Some(part)),
        }
    }
}

/// The file beside the record.
#[derive(Debug)]
pub(super) struct Journal(PathBuf);

impl Journal {
    pub(super) fn beside(data_dir: &Path) -> Self {
        Self(data_dir.join("revoker.ends"))
    }

    /// Adds what a transaction did, once it is durable. That it could not is no reason to fail what is done.
    pub(super) fn add(&self, entries: &[Entry]) {
        if let Err(error) = self.append(entries) {
            tracing::error!(file = %self.0.display(), %error, "what ended is not written down beside the record");
        }
    }

    fn append(&self, entries: &[Entry]) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        // A line that a full disk cut off must not take the next one with it.
        let mut lines = "\n".to_owned();
        for entry in entries {
            lines += &serde_json::to_string(entry)?;
            lines.push('\n');
        }
        OpenOptions::new().create(true).append(true).open(&self.0)?.write_all(lines.as_bytes())
    }

    /// All lines, oldest first. One that was cut off, or is another version's, says nothing.
    pub(super) fn read(&self) -> Result<Vec<Entry>, StoreError> {
        match std::fs::read(&self.0) {
            Ok(bytes) => {
                let lines = bytes.split(|byte| *byte == b'\n');
                Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(StoreError::Mark { path: self.0.clone(), source }),
        }
    }

    /// Leaves out what has been replaced, where the file has become long.
    pub(super) fn shorten(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        if entries.len() < 2 * LINES_MAX {
            return Ok(());
        }
        let mut last = newest(entries);
        self.replace(&last.split_off(last.len().saturating_sub(LINES_MAX)))
    }

    /// Holds these alone; as it was where they cannot be written.
    pub(super) fn replace(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let beside = Self(self.0.with_extension("ends-new"));
        let replaced = File::create(&beside.0)
            .and_then(|_| beside.append(entries))
            .and_then(|()| std::fs::rename(&beside.0, &self.0));
        replaced.map_err(|source| StoreError::Mark { path: self.0.clone(), source })
    }
}

/// The last of each subject, in their order.
pub(super) fn newest(entries: Vec<Entry>) -> Vec<Entry> {
    let mut seen = HashSet::new();
    let is_last: Vec<bool> = entries
        .iter()
        .rev()
        .map(|entry| {
            let (agent, part) = entry.subject();
            seen.insert((agent.clone(), part.cloned()))
        })
        .collect();
    let last = entries.into_iter().zip(is_last.into_iter().rev());
    last.filter_map(|(entry, is_last)| is_last.then_some(entry)).collect()
}

impl Write<'_> {
    /// Makes so what was so before the record was put back.
    pub(super) fn follow_journal(&mut self, lost: Vec<Entry>, now: Timestamp) -> Result<(), StoreError> {
        for Entry { seq, agent, now: was } in newest(lost) {
            let reason =
                format!("the record was restored from before this was decided (audit entry {seq} then)");
            let done = match was {
                Now::Stands(standing) => self.stand_again(&agent, &standing, reason, now),
                Now::Ended(part) => self.end_again(&agent, &part, reason, now),
                Now::GivenBack(part) => self.give_back(&agent, &part, BY, reason, now),
            };
            match done {
                Ok(()) => {}
                Err(ApplyError::Store(e)) => return Err(e),
                Err(why) => {
                    tracing::warn!(%agent, %why, "what was decided before the record was restored is not done again");
                }
            }
        }
        Ok(())
    }

    fn stand_again(
        &mut self,
        agent: &AgentKey,
        was: &Standing,
        reason: String,
        now: Timestamp,
    ) -> Result<(), ApplyError> {
        let (by, is) = (BY.to_owned(), self.standing(agent));
        let input = match (was, is) {
            (_, Standing::Retired(_)) | (Standing::Revoked(_), Standing::Revoked(_)) => return Ok(()),
            (Standing::Retired(_), _) => Input::Retire { by, reason },
            (Standing::Revoked(_), _) => Input::Revoke { by, reason },
            // The question is gone with the record; a person is needed all the same.
            (Standing::Challenged(Challenge { meanwhile: Meanwhile::Suspended { .. }, .. }), is) => {
                if matches!(is, Standing::Revoked(_)) {
                    return Ok(());
                }
                Input::Revoke { by, reason }
            }
            (Standing::Suspended(s), Standing::Revoked(_) | Standing::Suspended(_)) if s.until > now => {
                return Ok(());
            }
            (Standing::Suspended(s), _) if s.until > now => Input::Suspend { by, reason, until: s.until },
            (was, Standing::Revoked(_) | Standing::Suspended(_)) => {
                // By their word of then nobody answers for what was taken in since.
                let at = was.known().until.unwrap_or_default();
                Input::Reinstate { by, reason, at }
            }
            _ => return Ok(()),
        };
        self.apply(agent, input, now).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::PartKind;

    #[test]
    fn a_line_that_was_cut_off_takes_no_other_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::beside(folder.path());
        let entry = |seq| Entry {
            seq,
            agent: AgentKey::new(None, "mailer"),
            now: Now::Ended(Part { kind: PartKind::Token, id: format!("t{seq}") }),
        };
        journal.add(&[entry(1), entry(2)]);
        let whole = std::fs::read(&journal.0).unwrap();
        std::fs::write(&journal.0, &whole[..whole.len() - 5]).unwrap();
        journal.add(&[entry(3)]);
        assert_eq!(journal.read().unwrap(), [entry(1), entry(3)]);
    }

    #[test]
    fn what_cannot_be_replaced_is_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::beside(folder.path());
        let entry = Entry { seq: 1, agent: AgentKey::new(None, "mailer"), now: Now::Stands(Box::default()) };
        journal.add(std::slice::from_ref(&entry));
        // Nothing can be written to it, as on a full disk.
        std::os::unix::fs::symlink("/dev/full", folder.path().join("revoker.ends-new")).unwrap();
        journal.replace(&[Entry { seq: 2, ..entry.clone() }]).unwrap_err();
        assert_eq!(journal.read().unwrap(), [entry]);
    }
}
