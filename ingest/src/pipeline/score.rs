//! The pipeline `score`: read, decode, score and hand each verdict on, publish them, and now and then save the state.
//!
//! One thread owns the detector, and several may score. It waits for local disks only: never for ClickHouse, never for the network.

mod appender;
mod health;
mod keep;
mod questions;
mod state;

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use detector::{Call, Detector, DetectorConfig, GroupMove, Kind, Manifest, Position, VerdictRecord};
use metrics::{counter, gauge};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::appender::Appender;
pub use self::health::FleetStatus;
use self::health::Health;
use self::keep::Keeping;
pub use self::questions::{Enquirer, Questions, line};
use self::state::State;
pub(crate) use self::state::example_state;
use super::decode::{Decoded, What, decode};
pub use super::scorer::{Scorer, Step};
use super::verdict;
use crate::baseline::Baselines;
use crate::finding::{Finding, Findings};
use crate::log::Log;
use crate::metric;
use crate::retry::{Patience, Stopped};
use crate::snapshot::SnapshotError;
use crate::source::{Batch, Delivery, Source};

/// Records scored between two looks at the disk.
const ROWS_MAX: usize = 1_024;
const BYTES_MAX: usize = 4 << 20;
/// The longest look at a source that has nothing, so that a stop is noticed soon.
const LOOK: Duration = Duration::from_millis(200);
/// More of a wrong key would only fill the alert.
const KEY_BYTES_MAX: usize = 128;
/// With several sources each gets a short look in turn.
const LOOK_IN_TURN: Duration = Duration::from_millis(2);

/// Where verdicts go as they are made; the executable puts the revoker behind it.
pub trait VerdictOutlet: Send {
    /// Takes the verdict on a call, or on an agent that has stopped calling. Called in the order of the log, on the
    /// pipeline's thread.
    ///
    /// After a restart some come again, with the same ids: taking one twice must change nothing. An error is retried,
    /// the same verdict first, until it is taken or the program stops.
    fn verdict(&mut self, record: &Arc<VerdictRecord>) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Takes a record that no verdict speaks of, such as how a call ended and the end of a task: in the same order, and as often.
    fn record(&mut self, _call: &Call<'_>, _at: &Position) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }

    /// What was taken of a batch of records may be acted on together, and has been when this returns. An error is retried.
    fn act(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }

    /// What was taken so far must be durable when this returns: the pipeline will not read it again.
    fn settle(&mut self) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// What the pipeline is made of.
pub struct Score {
    /// Where calls come from.
    pub sources: Vec<Box<dyn Source>>,
    /// At most so many threads score at once.
    pub workers: NonZeroUsize,
    /// The operator's settings of the detector,
    pub detector: DetectorConfig,
    /// and what agents are declared to do.
    pub manifests: Vec<Manifest>,
    /// What persons set beside that so far.
    pub set_manifests: Vec<Manifest>,
    /// The folder of the detector's saved state,
    pub snapshots: PathBuf,
    /// and how often it is saved.
    pub snapshot_every: Duration,
    /// Takes every verdict at once.
    pub outlet: Box<dyn VerdictOutlet>,
    /// Keeps versions of agents' baselines.
    pub baselines: Baselines,
    /// The log from which verdicts are brought into ClickHouse.
    pub verdicts: Log,
    /// Takes what is wrong with calls and their sources.
    pub findings: Findings,
    /// Gets what the fleet as a whole is like whenever it may have changed.
    pub health: watch::Sender<FleetStatus>,
    /// What others ask of the detector.
    pub questions: Questions,
}

/// Restores the saved state and starts the pipeline on a thread of its own; it ends when `stop` is cancelled.
pub fn start(
    score: Score,
    runtime: Handle,
    stop: CancellationToken,
) -> Result<JoinHandle<()>, SnapshotError> {
    let Score { sources, outlet, baselines, verdicts, findings, questions, .. } = score;
    let config = DetectorConfig { keeps_baselines: true, ..score.detector };
    let mut state = State::restore(
        (&score.snapshots, score.snapshot_every),
        (config, &score.manifests, score.workers),
        &findings,
    )?;
    // As of now and not as of the snapshot, as those of the configuration are.
    state.scorer.detector.declare(score.set_manifests);
    let health = Health::new(state.scorer.detector(), score.health);
    let io = |source| SnapshotError::Io { path: score.snapshots.clone(), source };
    let keeping = Keeping::start(baselines, findings.clone()).map_err(io)?;
    let patience = Patience { runtime: runtime.clone(), stop };
    let publisher = Appender::new(verdicts, runtime);
    let pipeline = Pipeline {
        sources,
        turn: 0,
        state,
        health,
        questions,
        outlet,
        keeping,
        publisher,
        findings,
        patience,
    };
    let spawned = std::thread::Builder::new().name("score".to_owned()).spawn(move || {
        let Stopped = pipeline.run();
        tracing::info!("pipeline `score` stopped");
    });
    spawned.map_err(io)
}

struct Pipeline {
    sources: Vec<Box<dyn Source>>,
    turn: usize,
    state: State,
    health: Health,
    questions: Questions,
    outlet: Box<dyn VerdictOutlet>,
    keeping: Keeping,
    publisher: Appender,
    findings: Findings,
    patience: Patience,
}

impl Pipeline {
    fn run(mut self) -> Stopped {
        let stopped = match self.stages() {
            Err(stopped) => stopped,
            Ok(never) => match never {},
        };
        let landed = self.land().is_ok();
        self.keeping.end();
        match self.outlet.settle() {
            Ok(()) if landed => self.state.save_last(),
            _ => tracing::warn!("verdicts are not settled, so the state is not saved; they will come again"),
        }
        stopped
    }

    fn stages(&mut self) -> Result<std::convert::Infallible, Stopped> {
        self.begin()?;
        loop {
            let (batch, seen) = self.read()?;
            let decoded = {
                let (findings, look_up) = (&self.findings, seen.as_deref());
                self.patience
                    .until_done("looking events up", || decode(&batch.deliveries, look_up, Some(findings)))?
            };
            let records = self.score(&decoded, &batch.at_end)?;
            self.publish(&records)?;
            self.settle(&batch)?;
        }
    }

    fn begin(&mut self) -> Result<(), Stopped> {
        for source in &mut self.sources {
            let begin = self.state.begin();
            self.patience.until_done("finding where to go on", || source.begin(begin.clone()))?;
        }
        Ok(())
    }

    /// The next batch, from each source in turn, and the index that goes with it.
    fn read(&mut self) -> Result<(Batch, Option<Arc<crate::seen::SeenFile>>), Stopped> {
        let Self { sources, turn, patience, .. } = self;
        let wait = if sources.len() > 1 { LOOK_IN_TURN } else { LOOK };
        *turn = (*turn + 1) % sources.len().max(1);
        let Some(source) = sources.get_mut(*turn) else {
            patience.runtime.block_on(patience.stop.cancelled());
            return Err(Stopped);
        };
        patience.check()?;
        let batch = patience.until_done("reading", || source.poll(wait, ROWS_MAX, BYTES_MAX))?;
        Ok((batch, source.seen()))
    }

    /// Scores calls in order and hands the verdicts on; then time goes on where a partition has ended.
    fn score(
        &mut self,
        decoded: &[Decoded<'_>],
        ended: &[Arc<str>],
    ) -> Result<Vec<Arc<VerdictRecord>>, Stopped> {
        let Self { state, health, outlet, findings, patience, .. } = self;
        let mut records = Vec::with_capacity(decoded.len());
        state.enter();
        let mut hand_on = |said: Said<'_, '_>| {
            match said {
                Said::Verdict(record) => {
                    patience.until_done("handing a verdict on", || outlet.verdict(&record))?;
                    records.push(record);
                }
                Said::Record(call, delivery) => {
                    let at = position(delivery, call);
                    patience.until_done("handing a record on", || outlet.record(call, &at))?;
                }
            }
            Ok(())
        };
        let calls = decoded.iter().filter_map(|Decoded { delivery, what }| match what {
            What::Call(call, _) => Some((*delivery, call)),
            _ => None,
        });
        let of_partitions = calls.clone().map(|(delivery, call)| (&*delivery.partition, call));
        let steps = state.scorer.steps_in(of_partitions, |detector| health.look(detector, findings));
        for ((delivery, call), step) in calls.zip(steps) {
            check(delivery, call, findings);
            if step.future {
                findings.raise(future(delivery, call));
            }
            if let Some(why) = step.undone {
                findings.raise(undone(call, why));
            }
            for late in step.late {
                findings.raise(late.into());
            }
            step.said.into_iter().map(Said::verdict).try_for_each(&mut hand_on)?;
            hand_on(match step.verdict {
                Some(verdict) => {
                    let mut record = VerdictRecord::new(call, verdict).named(step.names);
                    record.beside.position = Some(position(delivery, call));
                    Said::verdict(record)
                }
                None => Said::Record(call, delivery),
            })?;
        }
        for partition in ended {
            let (said, late) = state.scorer.at_end(partition);
            for late in late {
                findings.raise(late.into());
            }
            said.into_iter().map(Said::verdict).try_for_each(&mut hand_on)?;
        }
        patience.until_done("acting on verdicts", || outlet.act())?;
        counter!(metric::SCORED).increment(records.len() as u64);
        Ok(records)
    }

    fn publish(&mut self, records: &[Arc<VerdictRecord>]) -> Result<(), Stopped> {
        let Self { publisher, patience, .. } = self;
        let encode = || records.iter().map(|record| verdict::entry_of(record)).collect::<Result<_, _>>();
        let mut entries: Vec<_> = patience.until_done("encoding verdicts", encode)?;
        patience.until_done("publishing verdicts", || publisher.append(std::mem::take(&mut entries)))?;
        self.keeping.keep(self.state.scorer.baselines());
        Ok(())
    }

    /// Waits until all verdicts that were published are durable.
    fn land(&mut self) -> Result<(), Stopped> {
        self.patience.until_done("publishing verdicts", || self.publisher.land())
    }

    /// Moves on; and where it is time, saves the state and lets sources forget what it covers.
    fn settle(&mut self, batch: &Batch) -> Result<(), Stopped> {
        let Self { state, health, questions, sources, outlet, publisher, findings, patience, .. } = self;
        state.advance(batch);
        questions.answer(state.scorer.detector());
        tell(state.scorer.detector());
        state.scorer.take_group_moves().iter().for_each(moved);
        health.look(state.scorer.detector(), findings);
        if let Some(watermark) = state.scorer.watermark() {
            gauge!(metric::WATERMARK_AGE).set(crate::clock::now().since(watermark).as_secs_f64());
        }
        if state.is_due(Instant::now()) {
            patience.until_done("publishing verdicts", || publisher.land())?;
            patience.until_done("settling verdicts", || outlet.settle())?;
            state.save();
        }
        if let Some(covered) = state.covered() {
            for source in sources {
                patience.until_done("saying what is covered", || source.commit(&covered))?;
            }
        }
        Ok(())
    }
}

/// What is handed on, in the order of the log.
enum Said<'r, 'c> {
    /// A verdict.
    Verdict(Arc<VerdictRecord>),
    /// A record that none speaks of, and how it came.
    Record(&'r Call<'c>, &'r Delivery),
}

impl Said<'_, '_> {
    fn verdict(record: VerdictRecord) -> Self {
        Self::Verdict(Arc::new(record))
    }
}

/// How full memory is.
fn tell(detector: &Detector) {
    gauge!(metric::AGENTS, "state" => "whole").set(detector.agents() as f64);
    gauge!(metric::AGENTS, "state" => "dormant").set(detector.dormant() as f64);
    counter!(metric::EVICTED, "outcome" => "compacted").absolute(detector.compacted());
    counter!(metric::EVICTED, "outcome" => "dropped").absolute(detector.evicted() - detector.compacted());
}

/// An agent has joined a peer group, which most do, or changed it, which few do.
fn moved(agent: &GroupMove) {
    let GroupMove { issuer, agent_id, from, to, chance } = agent;
    match from {
        None => tracing::debug!(?issuer, agent_id, group = %to, chance, "an agent is of a peer group"),
        Some(from) => {
            tracing::info!(?issuer, agent_id, %from, %to, chance, "an agent has moved to another peer group");
        }
    }
}

fn position(delivery: &Delivery, call: &Call<'_>) -> Position {
    let taken_in = delivery.not_before.map_or(call.received_at, |known| known.max(call.received_at));
    let Delivery { partition, offset, line, .. } = delivery;
    Position { partition: partition.to_string(), offset: *offset, line: *line, taken_in }
}

/// What is wrong with how the record was sent.
fn check(delivery: &Delivery, call: &Call<'_>, findings: &Findings) {
    let Some(keyed) = &delivery.keyed else { return };
    let agent_id = &*call.identity.agent_id;
    if agent_id.is_empty() || keyed.key.as_deref() == Some(agent_id.as_bytes()) {
        return;
    }
    let shown = |key: &Vec<u8>| String::from_utf8_lossy(&key[..key.len().min(KEY_BYTES_MAX)]).into_owned();
    findings.raise(Finding::MisKeyed {
        partition: delivery.partition.to_string(),
        offset: delivery.offset,
        key: keyed.key.as_ref().map(shown),
        agent_id: agent_id.to_owned(),
        producer: keyed.producer.clone(),
    });
}

fn undone(call: &Call<'_>, why: String) -> Finding {
    Finding::NotCarriedOut {
        order: match call.kind {
            Kind::Revert => "revert",
            Kind::Manifest => "manifest",
            _ => "ruling",
        },
        event_id: call.event_id.to_string(),
        agent_id: call.identity.agent_id.to_string(),
        issuer: call.identity.issuer.as_deref().map(str::to_owned),
        why,
    }
}

fn future(delivery: &Delivery, call: &Call<'_>) -> Finding {
    Finding::FutureTimestamp {
        source: delivery.source.name.clone(),
        agent_id: call.identity.agent_id.to_string(),
        event_id: call.event_id.to_string(),
        ts: call.ts,
        received_at: call.received_at,
    }
}
