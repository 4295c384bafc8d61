//! The one door to the calls log: records come in as bytes, and when they are through they are durable or named.

mod reject;
mod report;

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Instant;

use detector::{Call, Kind, Ruling, Timestamp};
use metrics::{counter, histogram};
use tokio::runtime::Handle;

pub(crate) use self::reject::conflict;
pub(super) use self::reject::decode_reject;
use self::reject::reject_entry;
pub use self::report::{BadLine, Report};
use crate::decode::{
    Invalid, Receipt, Record, RecordReader, Reject, SourceContext, Tally, decode_with_digest, event_key,
    native,
};
use crate::finding::{Finding, Findings};
use crate::log::{EntryKind, Log, LogError, NewEntry, Outcome};
use crate::metric;
use crate::retry::{Patience, Stopped};
use crate::seen::{Digest, Key};

/// Records appended in one go: enough to share a sync, few enough to be answered soon.
const CHUNK_RECORDS: usize = 1_000;
/// Bytes appended in one go.
const CHUNK_BYTES: usize = 1 << 20;

/// The source of what a person ruled.
const FEEDBACK_SOURCE: &str = "tocsin/feedback";

/// What one act is told by.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[expect(missing_docs, reason = "the fields are the call's, documented there")]
pub struct Act<'a> {
    pub endpoint: &'a str,
    pub method: Option<&'a str>,
    pub operation: Option<&'a str>,
}

/// Reading stopped before the end. What the report counts is durable; the rest was not taken.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct IntakeError {
    /// What was taken before.
    pub so_far: Report,
    /// Why it stopped.
    pub cause: IntakeCause,
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub enum IntakeCause {
    /// The log takes nothing now.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The input broke off.
    #[error("the input broke off: {0}")]
    Input(#[from] io::Error),
    /// The program is stopping.
    #[error("stopped")]
    Stopped,
}

/// How a stream is read.
#[derive(Clone, Debug)]
pub(crate) struct Reading<'a> {
    /// Where it comes from.
    pub(crate) source: &'a Arc<SourceContext>,
    /// The line it begins with: 1 unless an earlier reading ended there.
    pub(crate) first_line: u64,
    /// Whether a record that only the end of the stream ends is left for later: the stream may be still growing.
    pub(crate) leave_unended: bool,
    /// Whoever cannot be told to come back waits until the log takes it. Without, a log that cannot is an error.
    pub(crate) patience: Option<&'a Patience>,
}

/// What a stream came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) report: Report,
    /// Bytes of the stream, expanded, up to the end of the last record taken.
    pub(crate) end: u64,
    /// The line that begins there.
    pub(crate) line: u64,
    /// Whether an unended record was left.
    pub(crate) left: bool,
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum One {
    /// It is durable.
    Stored {
        /// Its place in the log.
        seq: i64,
    },
    /// It was durable before.
    Duplicate,
    /// Its id was told before with other content; kept as a reject.
    Conflict(Reject),
    /// It breaks the schema; kept as a reject.
    Rejected(Reject),
}

/// Why what a person ordered was not written down.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The log takes nothing now.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It is not taken as it is, now or later.
    #[error("the record is refused: {0}")]
    Refused(String),
}

/// Decodes records and appends them to the calls log. Clones share it.
#[derive(Clone, Debug)]
pub struct Intake {
    log: Log,
    findings: Findings,
}

/// A record that was looked at and waits to be appended.
struct Pending {
    line: u64,
    /// The event's id, or the reject it became.
    what: Result<String, Reject>,
}

/// Pending records and their entries, side by side.
#[derive(Default)]
struct Chunk {
    pending: Vec<Pending>,
    entries: Vec<NewEntry>,
    bytes: usize,
}

impl Intake {
    /// A door to `log`, the calls log.
    pub fn new(log: Log, findings: Findings) -> Self {
        Self { log, findings }
    }

    /// Takes one record. Durable, or kept as a reject, when it returns.
    pub async fn one(&self, record: &[u8], source: &Arc<SourceContext>) -> Result<One, LogError> {
        let (mut chunk, mut tally, mut report) = (Chunk::default(), Tally::new(), Report::default());
        chunk.look_at(Record::Whole(record), 1, source, &mut tally);
        let entries: Arc<[NewEntry]> = chunk.entries.into();
        let outcomes = self.append(Arc::clone(&entries), false).await?;
        let rejected = chunk.pending.first().and_then(|p| p.what.clone().err());
        let settled = Settled::new(source, chunk.pending, &entries, &outcomes);
        let conflict = settled.conflicts.first().map(|(_, reject)| reject.clone());
        if conflict.is_some() {
            self.append(settled.rejects(source), true).await?;
        }
        settled.report(source, &self.findings, &mut report);
        Ok(match (rejected, conflict, outcomes.first()) {
            (Some(reject), _, _) => One::Rejected(reject),
            (_, Some(reject), _) => One::Conflict(reject),
            (_, _, Some(Outcome::Stored { seq })) => One::Stored { seq: *seq },
            _ => One::Duplicate,
        })
    }

    /// Writes down what a person ruled of an agent's present evidence, or of one `act` alone. Doing it again under the same id and
    /// date is nothing.
    pub async fn feedback(
        &self,
        id: &str,
        ruling: Ruling,
        act: Option<Act<'_>>,
        issuer: Option<&str>,
        agent_id: &str,
        at: Timestamp,
    ) -> Result<(), ControlError> {
        let mut call = Call::new(id, at, agent_id, act.map_or("", |act| act.endpoint));
        (call.kind, call.ruling) = (Kind::Feedback, ruling);
        call.method = act.and_then(|act| act.method).map(Into::into);
        call.operation = act.and_then(|act| act.operation).map(Into::into);
        call.identity.issuer = issuer.map(Into::into);
        self.control(&call).await
    }

    /// Writes down that a person took an agent back to an earlier baseline, as [`crate::baseline::Version::text`] gives it.
    /// Doing it again under the same id and date is nothing.
    pub async fn revert(
        &self,
        id: &str,
        baseline: &str,
        issuer: Option<&str>,
        agent_id: &str,
        at: Timestamp,
    ) -> Result<(), ControlError> {
        let mut call = Call::new(id, at, agent_id, "");
        (call.kind, call.baseline) = (Kind::Revert, Some(baseline.into()));
        call.identity.issuer = issuer.map(Into::into);
        self.control(&call).await
    }

    /// Writes down that a person declared what an agent is meant to do: its manifest as JSON. Doing it again under the same id and date
    /// is nothing.
    pub async fn manifest(
        &self,
        id: &str,
        manifest: &str,
        issuer: Option<&str>,
        agent_id: &str,
        at: Timestamp,
    ) -> Result<(), ControlError> {
        let mut call = Call::new(id, at, agent_id, "");
        (call.kind, call.manifest) = (Kind::Manifest, Some(manifest.into()));
        call.identity.issuer = issuer.map(Into::into);
        self.control(&call).await
    }

    async fn control(&self, call: &Call<'_>) -> Result<(), ControlError> {
        let mut line = Vec::new();
        // Writing to memory does not fail; and if it did, the line would be refused as any broken one.
        if native::write(call, &mut line).is_err() {
            line.clear();
        }
        match self.one(line.trim_ascii_end(), &Arc::new(SourceContext::control(FEEDBACK_SOURCE))).await? {
            One::Stored { .. } | One::Duplicate => Ok(()),
            One::Conflict(reject) | One::Rejected(reject) => Err(ControlError::Refused(reject.reason)),
        }
    }

    /// Takes all records of a stream, in order. To be called on a thread that may block.
    ///
    /// Where nobody is patient, the first records are refused if the log has no room; later ones wait for it.
    pub(crate) fn read<R: Read>(
        &self,
        mut records: RecordReader<R>,
        reading: &Reading<'_>,
        runtime: &Handle,
    ) -> Result<Done, IntakeError> {
        let (mut chunk, mut tally) = (Chunk::default(), Tally::new());
        let mut done = Done { line: reading.first_line, ..Done::default() };
        let ended = loop {
            match records.next_item() {
                Ok(Some(item)) if reading.leave_unended && !item.ended => {
                    done.left = true;
                    break Ok(());
                }
                Ok(Some(item)) => {
                    let line = reading.first_line + item.line - 1;
                    (done.end, done.line) = (item.end, line + 1);
                    chunk.look_at(item.record, line, reading.source, &mut tally);
                }
                Ok(None) => break Ok(()),
                Err(e) => break Err(IntakeCause::from(e)),
            }
            if chunk.is_full()
                && let Err(cause) = self.put(std::mem::take(&mut chunk), reading, runtime, &mut done.report)
            {
                return Err(IntakeError { so_far: done.report, cause });
            }
        };
        let put = self.put(chunk, reading, runtime, &mut done.report);
        done.report.unknown_fields = tally.unknown_fields();
        counter!(metric::UNKNOWN_FIELDS).increment(done.report.unknown_fields);
        match put.and(ended) {
            Ok(()) => Ok(done),
            Err(cause) => Err(IntakeError { so_far: done.report, cause }),
        }
    }

    /// Appends a chunk; adds to the report what became of it.
    fn put(
        &self,
        chunk: Chunk,
        reading: &Reading<'_>,
        runtime: &Handle,
        report: &mut Report,
    ) -> Result<(), IntakeCause> {
        if chunk.pending.is_empty() {
            return Ok(());
        }
        let wait = reading.patience.is_some() || report.lines() > 0;
        let append = |entries| match reading.patience {
            Some(patience) => patience
                .until_done_async("taking records in", || self.append(Arc::clone(&entries), wait))
                .map_err(|Stopped| IntakeCause::Stopped),
            None => runtime.block_on(self.append(Arc::clone(&entries), wait)).map_err(IntakeCause::from),
        };
        let entries: Arc<[NewEntry]> = chunk.entries.into();
        let outcomes = append(Arc::clone(&entries))?;
        let settled = Settled::new(reading.source, chunk.pending, &entries, &outcomes);
        // Between the two appends a crash leaves conflicts without their rejects; nobody was answered yet, so the
        // records come again and meet the same conflict.
        if !settled.conflicts.is_empty() {
            append(settled.rejects(reading.source))?;
        }
        settled.report(reading.source, &self.findings, report);
        Ok(())
    }

    async fn append(&self, entries: Arc<[NewEntry]>, wait: bool) -> Result<Vec<Outcome>, LogError> {
        let started = Instant::now();
        let outcomes =
            if wait { self.log.append_when_room(entries).await? } else { self.log.append(entries).await? };
        histogram!(metric::APPEND_SECONDS, "log" => "calls").record(started.elapsed().as_secs_f64());
        Ok(outcomes)
    }
}

/// What became of one chunk.
#[derive(Default)]
struct Settled {
    stored: u64,
    duplicates: u64,
    rejected: Vec<Reject>,
    /// Event ids that were told before with other content, and the rejects of their records.
    conflicts: Vec<(String, Reject)>,
}

impl Settled {
    fn new(
        source: &SourceContext,
        pending: Vec<Pending>,
        entries: &[NewEntry],
        outcomes: &[Outcome],
    ) -> Self {
        let mut settled = Self::default();
        for ((Pending { line, what }, entry), outcome) in pending.into_iter().zip(entries).zip(outcomes) {
            match (what, outcome) {
                (Err(reject), _) => settled.rejected.push(reject),
                (Ok(_), Outcome::Stored { .. }) => settled.stored += 1,
                (Ok(_), Outcome::Duplicate) => settled.duplicates += 1,
                (Ok(event_id), Outcome::Conflict) => {
                    let reject = conflict(source, line, &entry.payload, &event_id);
                    settled.conflicts.push((event_id, reject));
                }
            }
        }
        settled
    }

    /// The entries that keep the conflicts.
    fn rejects(&self, source: &Arc<SourceContext>) -> Arc<[NewEntry]> {
        let now = crate::clock::now();
        self.conflicts.iter().map(|(_, reject)| reject_entry(reject, source, now)).collect()
    }

    fn report(self, source: &SourceContext, findings: &Findings, report: &mut Report) {
        let counts = [
            ("stored", self.stored, &mut report.stored),
            ("duplicate", self.duplicates, &mut report.duplicates),
            ("conflict", self.conflicts.len() as u64, &mut report.conflicts),
            ("rejected", self.rejected.len() as u64, &mut report.rejected),
        ];
        for (outcome, n, sum) in counts {
            *sum += n;
            counter!(metric::LINES, "source" => source.name.clone(), "outcome" => outcome).increment(n);
        }
        let mut bad: Vec<_> = self.rejected.iter().chain(self.conflicts.iter().map(|(_, r)| r)).collect();
        bad.sort_by_key(|reject| reject.line);
        for reject in bad {
            report.bad(reject);
        }
        for (event_id, reject) in self.conflicts {
            let place = format!("line {}", reject.line);
            findings.raise(Finding::Conflict { source: source.name.clone(), event_id, place });
        }
    }
}

impl Chunk {
    fn is_full(&self) -> bool {
        self.entries.len() >= CHUNK_RECORDS || self.bytes >= CHUNK_BYTES
    }

    fn look_at(&mut self, record: Record<'_>, line: u64, source: &Arc<SourceContext>, tally: &mut Tally) {
        let received_at = crate::clock::now();
        let (what, entry) = match record {
            Record::Whole(bytes) => match admit(bytes, source, received_at, tally) {
                Ok((event_id, key, digest)) => {
                    let (source, payload) = (Some(Arc::clone(source)), bytes.to_vec());
                    let kind = EntryKind::Record;
                    (Ok(event_id), NewEntry { key, digest, kind, source, received_at, payload })
                }
                Err(why) => rejected(Reject::new(&source.name, line, bytes, &why), source, received_at),
            },
            Record::Broken(broken) => rejected(broken.reject(&source.name, line), source, received_at),
        };
        self.bytes += entry.payload.len();
        self.pending.push(Pending { line, what });
        self.entries.push(entry);
    }
}

fn admit(
    bytes: &[u8],
    source: &SourceContext,
    received_at: Timestamp,
    tally: &mut Tally,
) -> Result<(String, Key, Digest), Invalid> {
    let (call, digest) = decode_with_digest(bytes, source, Receipt::At(received_at), tally)?;
    Ok((call.event_id.to_string(), event_key(&call.event_id), digest))
}

fn rejected(
    reject: Reject,
    source: &Arc<SourceContext>,
    received_at: Timestamp,
) -> (Result<String, Reject>, NewEntry) {
    let entry = reject_entry(&reject, source, received_at);
    (Err(reject), entry)
}
