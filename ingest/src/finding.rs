//! What the pipelines notice that a person should know: about the log, its producers and the fleet as a whole, not about
//! an agent's conduct.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use detector::{CohortIncident, SourceLate, Timestamp};
use metrics::counter;
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

use crate::metric;

/// One thing noticed, with what it takes to go and look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// An event id came again with other content; the later one was rejected.
    Conflict {
        /// The source that told it, by its configured name.
        source: String,
        /// The id.
        event_id: String,
        /// Where the rejected one stands: a line of the source, or partition and offset.
        place: String,
    },
    /// A `ts` lies so far past its receipt that it cannot be true; the call is scored, but moves no watermark.
    FutureTimestamp {
        /// The source that told it.
        source: String,
        /// The agent it speaks of.
        agent_id: String,
        /// The event.
        event_id: String,
        /// When the call was made, says the record.
        ts: Timestamp,
        /// When we got it.
        received_at: Timestamp,
    },
    /// Records were removed before they were read.
    OffsetsLost {
        /// Who missed them: the consumer group or the log's reader.
        group: String,
        /// From which topic and partition.
        partition: String,
        /// The first offset missed.
        from: i64,
        /// The first offset there is; `from..to` is lost. Less than `from` where the partition is younger than our
        /// position in it (it was made anew), so that nobody can say what was lost.
        to: i64,
    },
    /// A record was not keyed by its agent, so the order of that agent's calls is not kept.
    MisKeyed {
        /// The topic and partition.
        partition: String,
        /// The record's offset there.
        offset: i64,
        /// Its key, shortened; none if it had none.
        key: Option<String>,
        /// The agent it should have been keyed by.
        agent_id: String,
        /// What the record's headers say of its producer.
        producer: Option<String>,
    },
    /// A source that sends heartbeats has sent nothing for several of their intervals: what its agents do is not known.
    SourceLate {
        /// The source, by its name in the records.
        source: String,
        /// Its last sign of life, event time.
        since: Timestamp,
    },
    /// The detector's saved state could not be used.
    SnapshotLost {
        /// The file, and what is wrong with it.
        reason: String,
        /// What was used instead.
        instead: String,
    },
    /// Versions of agents' baselines cannot be written; they are held, and tried again.
    BaselinesUnwritten {
        /// What is wrong with the file.
        reason: String,
        /// Versions that wait,
        held: usize,
        /// and those that there was no room for since the start.
        lost: u64,
    },
    /// What a person said of an agent, or ordered for it, was not carried out.
    NotCarriedOut {
        /// What it was: a ruling, a revert or a manifest.
        order: &'static str,
        /// Its record in the log.
        event_id: String,
        /// The agent it is about.
        agent_id: String,
        /// Under which issuer.
        issuer: Option<String>,
        /// Why not.
        why: String,
    },
    /// A peer group raises more alarms than the operator accepts, and chance does not explain it.
    BudgetExceeded {
        /// The group and the grade of its alarms.
        budget: String,
        /// Event time from which on it does.
        since: Timestamp,
        /// What was counted, in words.
        health: String,
    },
    /// It does no longer.
    BudgetKept {
        /// The group and the grade of its alarms.
        budget: String,
        /// Event time from which on it did.
        since: Timestamp,
        /// What was counted, in words.
        health: String,
    },
    /// Many agents of a peer group began to do the same at once. None of them is asked about for that alone.
    Cohort {
        /// The incident, by its number.
        incident: String,
        /// Event time at which the first of them began.
        since: Timestamp,
        /// How many of how many do what, and who, in words.
        what: String,
    },
}

impl From<SourceLate> for Finding {
    fn from(SourceLate { source, since }: SourceLate) -> Self {
        Self::SourceLate { source, since }
    }
}

impl From<&CohortIncident> for Finding {
    fn from(told: &CohortIncident) -> Self {
        Self::Cohort { incident: told.incident.to_string(), since: told.since, what: told.to_string() }
    }
}

impl Finding {
    /// The name of its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "conflict",
            Self::FutureTimestamp { .. } => "future_timestamp",
            Self::OffsetsLost { .. } => "offsets_lost",
            Self::MisKeyed { .. } => "mis_keyed",
            Self::SourceLate { .. } => "source_late",
            Self::SnapshotLost { .. } => "snapshot_lost",
            Self::BaselinesUnwritten { .. } => "baselines_unwritten",
            Self::NotCarriedOut { .. } => "not_carried_out",
            Self::BudgetExceeded { .. } => "budget_exceeded",
            Self::BudgetKept { .. } => "budget_kept",
            Self::Cohort { .. } => "cohort_incident",
        }
    }

    /// A stable id made from its cause: the same finding after a restart has the same.
    pub fn id(&self) -> u128 {
        let digest = Sha256::digest(format!("{self:?}"));
        digest.iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte))
    }

    /// What alike findings have in common; one a minute of those is told, the rest is counted.
    fn subject(&self) -> &str {
        match self {
            Self::Conflict { source, .. }
            | Self::FutureTimestamp { source, .. }
            | Self::SourceLate { source, .. } => source,
            Self::OffsetsLost { partition, .. } | Self::MisKeyed { partition, .. } => partition,
            Self::SnapshotLost { reason, .. } | Self::BaselinesUnwritten { reason, .. } => reason,
            // A person asked for each of them.
            Self::NotCarriedOut { event_id, .. } => event_id,
            Self::BudgetExceeded { budget, .. } | Self::BudgetKept { budget, .. } => budget,
            Self::Cohort { incident, .. } => incident,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { source, event_id, place } => {
                write!(f, "{source}, {place}: event id `{event_id}` was told before with other content")
            }
            Self::FutureTimestamp { source, agent_id, event_id, ts, received_at } => write!(
                f,
                "{source}: event `{event_id}` of agent `{agent_id}` says {ts}, but was received at {received_at}"
            ),
            Self::OffsetsLost { group, partition, from, to } if to > from => {
                write!(f, "{partition}: offsets {from} to {} were removed before {group} read them", to - 1)
            }
            Self::OffsetsLost { group, partition, from, to } => write!(
                f,
                "{partition}: {group} was at offset {from}, but the partition was made anew and begins at {to}"
            ),
            Self::MisKeyed { partition, offset, key, agent_id, producer } => {
                let key = key.as_deref().unwrap_or("nothing");
                let producer = producer.as_deref().unwrap_or("a producer that gives no name");
                write!(
                    f,
                    "{partition}, offset {offset}: keyed by {key} instead of agent `{agent_id}`, by {producer}"
                )
            }
            Self::SourceLate { source, since } => {
                write!(
                    f,
                    "{source}: no heartbeat and no call since {since}; its agents are not taken for silent"
                )
            }
            Self::SnapshotLost { reason, instead } => write!(f, "{reason}; went on from {instead}"),
            Self::BaselinesUnwritten { reason, held, lost } => write!(
                f,
                "versions of baselines cannot be kept, {held} wait in memory and {lost} are lost: {reason}"
            ),
            Self::NotCarriedOut { order, event_id, agent_id, issuer, why } => {
                let issuer = issuer.as_deref().map(|issuer| format!(" of `{issuer}`")).unwrap_or_default();
                write!(f, "the {order} `{event_id}` on agent `{agent_id}`{issuer} was not carried out: {why}")
            }
            Self::BudgetExceeded { health, .. } => {
                write!(
                    f,
                    "{health}; until no more come than that, tails of volume and timing that raise them are read as wider"
                )
            }
            Self::Cohort { what, .. } => write!(
                f,
                "{what}; unless that is a change you know of, take it for an attack on all of them: none is asked about \
                 for this alone"
            ),
            Self::BudgetKept { since, health, .. } => {
                write!(
                    f,
                    "{health}; the budget was exceeded since {since}, and what was widened for it is narrowed again"
                )
            }
        }
    }
}

/// A finding on its way to people.
#[derive(Clone, Debug)]
pub struct Raised {
    /// [`Finding::id`].
    pub id: u128,
    /// When it was noticed.
    pub at: Timestamp,
    /// What it is.
    pub finding: Finding,
    /// How many alike (same kind and subject) were counted and not told since the last one that was.
    pub more: u64,
}

/// Where findings go; the executable makes log lines and alerts of them.
pub trait FindingSink: Send + Sync {
    /// Takes one. Called from pipeline threads: must not block for long, and must keep up with one a minute and subject.
    fn raise(&self, raised: Raised);
}

/// Of alike findings one is told in this time.
const QUIET_FOR: Duration = Duration::from_mins(1);
/// Subjects remembered; past it the memory starts anew.
const SUBJECTS_MAX: usize = 4_096;

/// Counts every finding and hands on a bounded number of them. Clones share the count.
#[derive(Clone)]
pub struct Findings(Arc<Inner>);

struct Inner {
    sink: Arc<dyn FindingSink>,
    told: Mutex<FxHashMap<Subject, Told>>,
}

/// A kind and what alike findings of it have in common.
type Subject = (&'static str, String);

/// The last time one was told, and how many were held back since.
struct Told {
    at: Timestamp,
    held: u64,
}

impl fmt::Debug for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Findings")
    }
}

impl Findings {
    /// Hands findings to `sink`.
    pub fn new(sink: Arc<dyn FindingSink>) -> Self {
        Self(Arc::new(Inner { sink, told: Mutex::default() }))
    }

    /// Counts the finding, and hands it on unless one like it was told within the last minute.
    pub fn raise(&self, finding: Finding) {
        self.raise_at(finding, crate::clock::now());
    }

    fn raise_at(&self, finding: Finding, at: Timestamp) {
        counter!(metric::FINDINGS, "kind" => finding.kind()).increment(1);
        let subject = (finding.kind(), finding.subject().to_owned());
        let more = {
            // What the map holds is never half written, so a poisoned lock says nothing.
            let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() >= SUBJECTS_MAX && !told.contains_key(&subject) {
                told.clear();
            }
            match told.get_mut(&subject) {
                Some(last) if at.since(last.at) < QUIET_FOR => {
                    last.held += 1;
                    return;
                }
                Some(last) => std::mem::replace(last, Told { at, held: 0 }).held,
                None => {
                    told.insert(subject, Told { at, held: 0 });
                    0
                }
            }
        };
        self.0.sink.raise(Raised { id: finding.id(), at, finding, more });
    }
}

/// A sink that remembers, for tests.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Recorded(pub(crate) Mutex<Vec<Raised>>);

#[cfg(test)]
impl FindingSink for Recorded {
    fn raise(&self, raised: Raised) {
        self.0.lock().unwrap().push(raised);
    }
}

#[cfg(test)]
impl Recorded {
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|r| r.finding.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use detector::{Member, Pattern};

    use super::*;

    fn mis_keyed(partition: &str, offset: i64) -> Finding {
        Finding::MisKeyed {
            partition: partition.to_owned(),
            offset,
            key: None,
            agent_id: "a".to_owned(),
            producer: None,
        }
    }

    #[test]
    fn tells_one_a_minute_of_each_subject_and_counts_the_rest() {
        let sink = Arc::new(Recorded::default());
        let findings = Findings::new(Arc::<Recorded>::clone(&sink));
        for second in 0..150 {
            findings.raise_at(mis_keyed("calls/0", second), Timestamp::from_millis(second * 1_000));
        }
        findings.raise_at(mis_keyed("calls/1", 7), Timestamp::from_millis(150_000));
        let told: Vec<_> = sink.0.lock().unwrap().iter().map(|r| (r.finding.to_string(), r.more)).collect();
        insta::assert_debug_snapshot!(told, @r#"
        [
            (
                "calls/0, offset 0: keyed by nothing instead of agent `a`, by a producer that gives no name",
                0,
            ),
            (
                "calls/0, offset 60: keyed by nothing instead of agent `a`, by a producer that gives no name",
                59,
            ),
            (
                "calls/0, offset 120: keyed by nothing instead of agent `a`, by a producer that gives no name",
                59,
            ),
            (
                "calls/1, offset 7: keyed by nothing instead of agent `a`, by a producer that gives no name",
                0,
            ),
        ]
        "#);
    }

    #[test]
    fn a_cohort_incident_names_who_is_in_it() {
        let member = |n: u32| Member { issuer: None, agent_id: format!("a{n}").into() };
        let incident = CohortIncident {
            incident: 3,
            pattern: Pattern::MoreCalls,
            since: Timestamp::from_millis(0),
            seen: Timestamp::from_millis(600_000),
            until: None,
            agents: 34,
            exposed: 40,
            by_chance: 0.24,
            chance: 1e-9,
            factor: 4.96,
            members: (0..3).map(member).collect(),
            of: Vec::new(),
            group: Some("billing".into()),
        };
        insta::assert_snapshot!(Finding::from(&incident), @"cohort incident 3: 34 of 40 agents of peer group `billing` make more calls than they would, since 1970-01-01T00:00:00Z, typically 5.0 times as many (by chance in under 0.001 % of hours): `a0`, `a1`, `a2` and 31 more; unless that is a change you know of, take it for an attack on all of them: none is asked about for this alone");
    }

    #[test]
    fn the_same_cause_has_the_same_id() {
        assert_eq!(mis_keyed("calls/0", 1).id(), mis_keyed("calls/0", 1).id());
        assert_ne!(mis_keyed("calls/0", 1).id(), mis_keyed("calls/0", 2).id());
    }

    #[test]
    fn says_what_range_was_lost() {
        let lost = |from, to| {
            let (group, partition) = ("tocsin-store".to_owned(), "calls/3".to_owned());
            Finding::OffsetsLost { group, partition, from, to }.to_string()
        };
        insta::assert_snapshot!(lost(10, 25), @"calls/3: offsets 10 to 24 were removed before tocsin-store read them");
        insta::assert_snapshot!(lost(10, 0), @"calls/3: tocsin-store was at offset 10, but the partition was made anew and begins at 0");
    }
}
