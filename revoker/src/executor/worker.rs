//! One target's deliveries.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use detector::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Clock, Executor, Jitter, Ladder};
use crate::agent::AgentKey;
use crate::connector::{Connector, Outcome};
use crate::revoker::Revoker;
use crate::store::StoreError;
use crate::store::outbox::{self, Due};
use crate::store::receipts::{self, DisabledTarget, Next, Receipt};

/// Messages under way to one target at once, each of another subject.
const IN_FLIGHT_MAX: u32 = 16;

/// The longest sleep: the clock may be set while we sleep.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// After a record that could not be read or written.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Attempts under way at the end may take this long to finish.
const GRACE: Duration = Duration::from_secs(2);

const ACKNOWLEDGED: &str = "acknowledged";
const FAILED: &str = "failed";
const GONE: &str = "gone";

#[derive(Clone)]
struct Done {
    due: Due,
    sent_at: Timestamp,
    took: Duration,
    outcome: Outcome,
}

pub(super) struct Worker {
    revoker: Revoker,
    connector: Arc<dyn Connector>,
    clock: Clock,
    jitter: Jitter,
    ladder: Ladder,
    under_way: JoinSet<Done>,
    subjects: HashSet<AgentKey>,
    /// What came of attempts that could not be written down yet. Their subjects count as under way, which bounds it.
    unrecorded: Vec<Done>,
    /// The target asked everybody to wait until then.
    waits_until: Timestamp,
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
                Some(ended) = self.under_way.join_next() => self.ended(ended).await,
                seen = changes.changed() => if seen.is_err() { break },
                () = tokio::time::sleep(sleep) => {}
            }
        }
        let finish = async {
            while let Some(ended) = self.under_way.join_next().await {
                self.ended(ended).await;
            }
        };
        if tokio::time::timeout(GRACE, finish).await.is_err() {
            tracing::info!("attempts cut short at the end are made again at the next start");
        }
    }

    fn is_full(&self) -> bool {
        self.subjects.len() >= IN_FLIGHT_MAX as usize
    }

    fn failed(&self, error: &StoreError) -> Duration {
        tracing::error!(target_name = self.connector.name(), error = %error, "the outbox cannot be read or written");
        AFTER_ERROR
    }

    async fn go_on(&mut self) -> Result<Duration, StoreError> {
        while let Some(done) = self.unrecorded.last().cloned() {
            self.record(&done).await?;
            self.unrecorded.pop();
            self.subjects.remove(&done.due.agent);
        }
        self.start_due().await
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
            if receipts::is_disabled(db, &name)? {
                return Ok((Vec::new(), None));
            }
            Ok((outbox::due(db, &name, now, limit)?, outbox::next_due(db, &name, now)?))
        });
        let (due, next) = found.await?;
        for due in due {
            if !self.is_full() && self.subjects.insert(due.agent.clone()) {
                self.start(due, now);
            }
        }
        Ok(next.map_or(SLEEP_MAX, |next| next.since((self.clock)())).min(SLEEP_MAX))
    }

    fn start(&mut self, due: Due, sent_at: Timestamp) {
        let connector = Arc::clone(&self.connector);
        self.under_way.spawn(async move {
            let started = Instant::now();
            let outcome = connector.deliver(&due.message, sent_at).await;
            Done { due, sent_at, took: started.elapsed(), outcome }
        });
    }

    async fn ended(&mut self, ended: Result<Done, tokio::task::JoinError>) {
        match ended {
            Ok(done) => {
                self.tell(&done);
                if self.record(&done).await.is_ok() {
                    self.subjects.remove(&done.due.agent);
                } else {
                    // Not sent again for that: the next turn writes it down first, and says what is wrong.
                    self.unrecorded.push(done);
                }
            }
            Err(e) => {
                // Whose attempt it was is gone with it; its subject would wait for ever.
                tracing::error!(error = %e, "an attempt ended without an outcome");
                self.subjects.clear();
            }
        }
    }

    fn tell(&self, done: &Done) {
        let target = self.connector.name();
        let outcome = match &done.outcome {
            Outcome::Acknowledged { .. } => ACKNOWLEDGED,
            Outcome::Failed { .. } => FAILED,
            Outcome::Gone { .. } => GONE,
        };
        let labels = [("target", target.to_owned()), ("outcome", outcome.to_owned())];
        metrics::histogram!("tocsin_delivery_seconds", &labels).record(done.took);
        let (id, kind) = (&done.due.message.id, &done.due.message.kind);
        tracing::info!(target_name = target, id, kind, attempt = done.due.attempts + 1, outcome = ?done.outcome, "delivery");
    }

    async fn record(&mut self, done: &Done) -> Result<(), StoreError> {
        let now = (self.clock)();
        let attempt = done.due.attempts + 1;
        let target = self.connector.name().to_owned();
        let (outcome, status, detail, next) = self.next(&done.outcome, attempt, now);
        let receipt = Receipt { attempt, at: done.sent_at, outcome: outcome.to_owned(), status, detail };
        let due = done.due.clone();
        self.revoker
            .write(move |w| {
                receipts::record(w.tx(), due.delivery, &receipt, next, now)?;
                let kind = match (next, outcome) {
                    (_, GONE) => "target.disabled",
                    (Next::Done, _) => "delivery.acknowledged",
                    (Next::Dead, _) => "delivery.dead",
                    (Next::Again(_), _) => return Ok(()),
                };
                if outcome == GONE {
                    let reason = format!("answered {}", status.unwrap_or_default());
                    receipts::disable(w.tx(), &DisabledTarget { target: target.clone(), at: now, reason })?;
                }
                let body = json!({ "id": due.message.id, "type": due.message.kind, "target": target, "receipt": receipt });
                w.audit_in(&due.txn, Some(&due.agent), kind, &body, now).map(drop)
            })
            .await
    }

    fn next(
        &mut self,
        outcome: &Outcome,
        attempt: u32,
        now: Timestamp,
    ) -> (&'static str, Option<u16>, String, Next) {
        match outcome {
            Outcome::Acknowledged { status } => (ACKNOWLEDGED, Some(*status), String::new(), Next::Done),
            // It stays pending behind the disabled target, for whoever enables the target again.
            Outcome::Gone { status } => {
                (GONE, Some(*status), "wants no more messages".to_owned(), Next::Again(now))
            }
            Outcome::Failed { status, detail, wait } => {
                if let Some(wait) = wait {
                    self.waits_until = self.waits_until.max(now + *wait);
                }
                let delay = self.ladder.after(attempt, (self.jitter)());
                let next = delay.map_or(Next::Dead, |d| Next::Again(now + d.max(wait.unwrap_or_default())));
                (FAILED, *status, detail.clone(), next)
            }
        }
    }
}
