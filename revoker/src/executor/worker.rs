//! One target's deliveries.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use detector::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::note::{ACKNOWLEDGED, FAILED, GONE, HOPELESS, Note, Then};
use super::{Clock, Executor, Jitter, Ladder};
use crate::agent::AgentKey;
use crate::connector::{Connector, Outcome, Proof};
use crate::effect::ENDINGS;
use crate::revoker::Revoker;
use crate::store::outbox::{self, DeliveryState, Due, Turn};
use crate::store::receipts::{self, Next, Receipt, Seen};
use crate::store::{StoreError, ssf};

/// Messages under way to one target at once, each of another subject.
const IN_FLIGHT_MAX: u32 = 16;

/// Turns that may wait to be written down before their subjects' next messages do.
const UNRECORDED_MAX: usize = 64;

/// The longest sleep: the clock may be set while we sleep.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// Between two looks whether a target that another process serves has lost it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After a record that could not be read or written.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Attempts under way at the end may take this long to finish.
const GRACE: Duration = Duration::from_secs(2);

/// After so many attempts in a row without an answer, or with one that says it is broken, a target is tried with one message at
/// a time.
const BREAK_AT: u32 = 5;

/// And after a pause, which doubles up to this.
const BREAK_MAX: Duration = Duration::from_secs(30);

/// A target that shows otherwise than it said is looked at again after these: what it says may take a moment to be so.
const LOOKS: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(3)];

/// What came of a turn.
enum Came {
    Sent(Outcome),
    Seen(Proof),
}

struct Done {
    due: Due,
    began_at: Timestamp,
    took: Duration,
    came: Came,
}

pub(super) struct Worker {
    revoker: Revoker,
    connector: Arc<dyn Connector>,
    clock: Clock,
    jitter: Jitter,
    ladder: Ladder,
    under_way: JoinSet<Done>,
    subjects: HashSet<AgentKey>,
    /// What came of turns and is not written down yet. Their subjects count as under way.
    unrecorded: Vec<Note>,
    /// Nothing is sent before: the target asked for it, or has failed too often.
    waits_until: Timestamp,
    /// Attempts since the target last answered, those of one pause counted once.
    failures: u32,
}

impl Worker {
    pub(super) fn new(executor: &Executor, connector: Arc<dyn Connector>) -> Self {
        Self {
            revoker: executor.revoker.clone(),
            connector,
            clock: Arc::clone(&executor.clock),
            jitter: Arc::clone(&executor.jitter),
            ladder: executor.ladder.clone(),
            under_way: JoinSet::new(),
            subjects: HashSet::new(),
            unrecorded: Vec::new(),
            waits_until: Timestamp::default(),
            failures: 0,
        }
    }

    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let mut changes = self.revoker.changes();
        loop {
            // Marked as seen before the outbox is read: what is committed after the read wakes us again.
            changes.mark_unchanged();
            let sleep = self.go_on().await.unwrap_or_else(|e| self.failed(&e));
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = self.under_way.join_next() => self.ended(ended),
                seen = changes.changed() => if seen.is_err() { break },
                () = tokio::time::sleep(sleep) => {}
            }
        }
        let finish = async {
            loop {
                while let Some(ended) = self.under_way.join_next().await {
                    self.ended(ended);
                }
                if self.unrecorded.is_empty() {
                    return Ok::<_, StoreError>(());
                }
                self.record().await?;
            }
        };
        if !matches!(tokio::time::timeout(GRACE, finish).await, Ok(Ok(()))) {
            tracing::info!("attempts cut short at the end are made again at the next start");
        }
    }

    fn is_full(&self) -> bool {
        let most = if self.failures >= BREAK_AT { 1 } else { IN_FLIGHT_MAX as usize };
        self.subjects.len() >= most
    }

    fn failed(&self, error: &StoreError) -> Duration {
        tracing::error!(target_name = self.connector.name(), error = %error, "the outbox cannot be read or written");
        AFTER_ERROR
    }

    async fn go_on(&mut self) -> Result<Duration, StoreError> {
        self.start_next().await?;
        self.record().await?;
        self.start_due().await
    }

    /// Starts what comes next of the subjects whose last message was acknowledged: it need not wait until that is written down. A crash
    /// between has both sent again under their ids, in their order.
    async fn start_next(&mut self) -> Result<(), StoreError> {
        let now = (self.clock)();
        if now < self.waits_until || self.unrecorded.len() >= UNRECORDED_MAX {
            return Ok(());
        }
        let acknowledged = |note: &&mut Note| matches!(note.then, Then::Sent(Next::Done(_)));
        let mut notes: Vec<_> = self.unrecorded.iter_mut().filter(acknowledged).collect();
        let settled: Vec<i64> = notes.iter().map(|note| note.due.delivery).collect();
        notes.retain(|note| !note.goes_on);
        if notes.is_empty() {
            return Ok(());
        }
        let name = self.connector.name().to_owned();
        let last: Vec<i64> = notes.iter().map(|note| note.due.delivery).collect();
        let found = self.revoker.read_outbox(move |db| {
            // Whoever holds back what is said of agents is asked again before each of it.
            let is_free = db.claim(&name)? && ssf::hold(db, &name)? == ssf::Hold::Nothing;
            if !is_free || receipts::is_disabled(db, &name)? {
                return Ok(Vec::new());
            }
            last.into_iter().map(|delivery| outbox::next(db, delivery, &settled)).collect()
        });
        let found = found.await?;
        for (note, due) in notes.into_iter().zip(&found) {
            note.goes_on = due.is_some();
        }
        for due in found.into_iter().flatten() {
            self.start(due, now);
        }
        Ok(())
    }

    /// Writes down everything that ended meanwhile, in one transaction: a sync for each would be the slowest part. What cannot
    /// be written is not sent again for that: the next turn writes it down first, and says what is wrong.
    async fn record(&mut self) -> Result<(), StoreError> {
        if self.unrecorded.is_empty() {
            return Ok(());
        }
        let (notes, now, written) = (self.unrecorded.clone(), (self.clock)(), self.unrecorded.len());
        let (target, revoker) = (self.connector.name().to_owned(), self.revoker.clone());
        let mut write =
            pin!(revoker.write(move |w| notes.iter().try_for_each(|note| note.write(w, &target, now))));
        // What ends meanwhile is gone on from at once, and written down by the next turn.
        loop {
            tokio::select! {
                done = &mut write => break done?,
                Some(ended) = self.under_way.join_next() => {
                    self.ended(ended);
                    if let Err(e) = self.start_next().await {
                        self.failed(&e);
                    }
                }
            }
        }
        for note in self.unrecorded.drain(..written) {
            if !note.goes_on {
                self.subjects.remove(&note.due.agent);
            }
        }
        Ok(())
    }

    /// Starts what is due, and says how long there is nothing more to start.
    async fn start_due(&mut self) -> Result<Duration, StoreError> {
        let now = (self.clock)();
        if now < self.waits_until {
            return Ok(self.waits_until.since(now).min(SLEEP_MAX));
        }
        if self.is_full() {
            return Ok(SLEEP_MAX);
        }
        // Those under way are due too and may come first, so the limit lets as many more through as there is room for.
        let (name, limit) = (self.connector.name().to_owned(), IN_FLIGHT_MAX);
        let found = self.revoker.read_outbox(move |db| {
            // Each target is one process's, so that what it is told of a subject stays in order. Whoever dies lets go of it.
            if !db.claim(&name)? {
                return Ok((Vec::new(), Some(now + LOOK_EVERY)));
            }
            let hold = ssf::hold(db, &name)?;
            if hold == ssf::Hold::All || receipts::is_disabled(db, &name)? {
                return Ok((Vec::new(), None));
            }
            let only = (hold == ssf::Hold::ButNotices).then_some(name.as_str());
            Ok((outbox::due(db, &name, now, limit, only)?, outbox::next_due(db, &name, now)?))
        });
        let (due, next) = found.await?;
        for due in due {
            if !self.is_full() && self.subjects.insert(due.agent.clone()) {
                self.start(due, now);
            }
        }
        Ok(next.map_or(SLEEP_MAX, |next| next.since((self.clock)())).min(SLEEP_MAX))
    }

    fn start(&mut self, due: Due, began_at: Timestamp) {
        let connector = Arc::clone(&self.connector);
        self.under_way.spawn(async move {
            let started = Instant::now();
            let came = match due.turn {
                Turn::Send => Came::Sent(connector.deliver(&due.message, began_at).await),
                Turn::Check => Came::Seen(look(connector.as_ref(), &due).await),
            };
            Done { due, began_at, took: started.elapsed(), came }
        });
    }

    /// Notes what came of this turn, and of all others that ended with it.
    fn ended(&mut self, first: Result<Done, tokio::task::JoinError>) {
        let mut next = Some(first);
        while let Some(ended) = next {
            match ended {
                Ok(done) => {
                    self.tell(&done);
                    let note = self.note(done);
                    self.unrecorded.push(note);
                }
                Err(e) => {
                    // Whose attempt it was is gone with it; its subject would wait for ever.
                    tracing::error!(error = %e, "an attempt ended without an outcome");
                    self.subjects.clear();
                }
            }
            next = self.under_way.try_join_next();
        }
    }

    fn tell(&self, done: &Done) {
        let target = self.connector.name();
        let outcome = match &done.came {
            Came::Sent(Outcome::Acknowledged { .. }) => ACKNOWLEDGED,
            Came::Sent(Outcome::Failed { .. }) => FAILED,
            Came::Sent(Outcome::Gone { .. }) => GONE,
            Came::Sent(Outcome::Hopeless { .. }) => HOPELESS,
            Came::Seen(proof) => named(proof).0,
        };
        let labels = [("target", target.to_owned()), ("outcome", outcome.to_owned())];
        metrics::histogram!("tocsin_delivery_seconds", &labels).record(done.took);
        let (id, kind) = (&done.due.message.id, &done.due.message.kind);
        match &done.came {
            Came::Sent(outcome) => {
                tracing::info!(
                    target_name = target,
                    id,
                    kind,
                    attempt = done.due.attempts + 1,
                    ?outcome,
                    "delivery"
                );
            }
            Came::Seen(proof) => tracing::info!(target_name = target, id, kind, ?proof, "looked at"),
        }
    }

    fn note(&mut self, done: Done) -> Note {
        let Done { due, began_at: at, came, .. } = done;
        let (attempt, now) = (due.attempts + 1, (self.clock)());
        let (outcome, status, detail, then) = match came {
            Came::Sent(outcome) => self.sent(outcome, &due, attempt, now),
            Came::Seen(proof) => self.seen(&proof, &due, now),
        };
        let receipt = Receipt { attempt, at, outcome: outcome.to_owned(), status, detail };
        Note { due, receipt, then, goes_on: false }
    }

    fn seen(&self, proof: &Proof, due: &Due, now: Timestamp) -> (&'static str, Option<u16>, String, Then) {
        let again = match proof {
            Proof::Verified { .. } | Proof::Unprovable { .. } => None,
            Proof::Refuted { .. } => LOOKS.get(due.attempts as usize).copied(),
            Proof::Unreachable { .. } => self.ladder.after(due.attempts + 1, (self.jitter)()),
        };
        let seen = match (again, proof) {
            (Some(delay), _) => Seen::Again(now + delay),
            (None, Proof::Verified { .. }) => Seen::Settled(DeliveryState::Verified),
            (None, Proof::Refuted { .. }) => Seen::Settled(DeliveryState::Refuted),
            (None, _) => Seen::Settled(DeliveryState::Acknowledged),
        };
        let (outcome, detail) = named(proof);
        (outcome, None, detail.to_owned(), Then::Seen(seen))
    }

    fn sent(
        &mut self,
        outcome: Outcome,
        due: &Due,
        attempt: u32,
        now: Timestamp,
    ) -> (&'static str, Option<u16>, String, Then) {
        // A target that answers is up, whatever it says of one message; and those that fail together count as one.
        let is_down = matches!(&outcome, Outcome::Failed { status, .. } if status.is_none_or(|s| s >= 500));
        if !is_down {
            self.failures = 0;
        } else if now >= self.waits_until {
            self.failures = self.failures.saturating_add(1);
        }
        match outcome {
            Outcome::Acknowledged { status } => {
                let ends = ENDINGS.contains(&due.message.kind.as_str());
                let look = (ends && self.connector.verify(&due.message).is_some()).then_some(now);
                (ACKNOWLEDGED, Some(status), String::new(), Then::Sent(Next::Done(look)))
            }
            // It stays pending behind the disabled target, for whoever enables the target again.
            Outcome::Gone { status } => {
                (GONE, Some(status), "wants no more messages".to_owned(), Then::Sent(Next::Again(now)))
            }
            Outcome::Hopeless { detail } => (HOPELESS, None, detail, Then::Sent(Next::Dead)),
            Outcome::Failed { status, detail, wait } => {
                let wait = wait.unwrap_or_default().max(self.pause());
                self.waits_until = self.waits_until.max(now + wait);
                let delay = self.ladder.after(attempt, (self.jitter)());
                let next = delay.map_or(Next::Dead, |d| Next::Again(now + d.max(wait)));
                (FAILED, status, detail, Then::Sent(next))
            }
        }
    }

    /// How long a target that fails whatever it is sent is left alone.
    fn pause(&self) -> Duration {
        let Some(over) = self.failures.checked_sub(BREAK_AT) else { return Duration::ZERO };
        Duration::from_secs(1 << over.min(5)).min(BREAK_MAX)
    }
}

async fn look(connector: &dyn Connector, due: &Due) -> Proof {
    match connector.verify(&due.message) {
        Some(check) => check.await,
        None => Proof::Unprovable { detail: "the target cannot be asked".to_owned() },
    }
}

fn named(proof: &Proof) -> (&'static str, &str) {
    match proof {
        Proof::Verified { detail } => ("verified", detail),
        Proof::Refuted { detail } => ("refuted", detail),
        Proof::Unreachable { detail } => ("unreachable", detail),
        Proof::Unprovable { detail } => ("unprovable", detail),
    }
}
