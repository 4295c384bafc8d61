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
use crate::connector::{Connector, Outcome, Proof};
use crate::effect::ENDINGS;
use crate::revoker::{Revoker, Write};
use crate::store::outbox::{self, DeliveryState, Due, Turn};
use crate::store::receipts::{self, DisabledTarget, Next, Receipt, Seen};
use crate::store::{StoreError, ssf};

/// Messages under way to one target at once, each of another subject.
const IN_FLIGHT_MAX: u32 = 16;

/// The longest sleep: the clock may be set while we sleep.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// After a record that could not be read or written.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Attempts under way at the end may take this long to finish.
const GRACE: Duration = Duration::from_secs(2);

/// An attempt to end access that fails so often has the next target of the escalation list told: after about 3 s.
const ESCALATE_AT: u32 = 3;

/// After so many failures in a row of whatever it is sent, a target is tried with one message at a time.
const BREAK_AT: u32 = 5;

/// And after a pause, which doubles up to this.
const BREAK_MAX: Duration = Duration::from_secs(30);

/// A target that shows otherwise than it said is looked at again after these: what it says may take a moment to be so.
const LOOKS: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(3)];

const ACKNOWLEDGED: &str = "acknowledged";
const FAILED: &str = "failed";
const GONE: &str = "gone";
const HOPELESS: &str = "hopeless";

/// What came of a turn.
#[derive(Clone)]
enum Came {
    Sent(Outcome),
    Seen(Proof),
}

#[derive(Clone)]
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
    /// What came of attempts that could not be written down yet. Their subjects count as under way, which bounds it.
    unrecorded: Vec<Done>,
    /// Nothing is sent before: the target asked for it, or has failed too often.
    waits_until: Timestamp,
    /// Attempts that failed since one did not.
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
        let most = if self.failures >= BREAK_AT { 1 } else { IN_FLIGHT_MAX as usize };
        self.subjects.len() >= most
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

    async fn record(&mut self, done: &Done) -> Result<(), StoreError> {
        match &done.came {
            Came::Sent(outcome) => self.record_attempt(done, outcome).await,
            Came::Seen(proof) => self.record_look(done, proof).await,
        }
    }

    async fn record_attempt(&mut self, done: &Done, outcome: &Outcome) -> Result<(), StoreError> {
        let now = (self.clock)();
        let attempt = done.due.attempts + 1;
        let target = self.connector.name().to_owned();
        let (outcome, status, detail, next) = self.next(outcome, &done.due, attempt, now);
        let receipt = Receipt { attempt, at: done.began_at, outcome: outcome.to_owned(), status, detail };
        let due = done.due.clone();
        self.revoker
            .write(move |w| {
                receipts::record(w.tx(), due.delivery, &receipt, next, now)?;
                if next == Next::Dead || (attempt == ESCALATE_AT && outcome == FAILED) {
                    escalate(w, &due, &target, now)?;
                }
                let kind = match (next, outcome) {
                    (_, GONE) => "target.disabled",
                    (Next::Done(_), _) => "delivery.acknowledged",
                    (Next::Dead, _) => "delivery.dead",
                    (Next::Again(_), _) => return Ok(()),
                };
                if outcome == GONE {
                    escalate(w, &due, &target, now)?;
                    let reason = format!("answered {}", status.unwrap_or_default());
                    receipts::disable(w.tx(), &DisabledTarget { target: target.clone(), at: now, reason })?;
                }
                audit(w, &due, kind, &target, &receipt, now)
            })
            .await
    }

    async fn record_look(&mut self, done: &Done, proof: &Proof) -> Result<(), StoreError> {
        let now = (self.clock)();
        let looks = done.due.attempts + 1;
        let target = self.connector.name().to_owned();
        let (outcome, detail) = named(proof);
        let again = match proof {
            Proof::Verified { .. } | Proof::Unprovable { .. } => None,
            Proof::Refuted { .. } => LOOKS.get(done.due.attempts as usize).copied(),
            Proof::Unreachable { .. } => self.ladder.after(looks, (self.jitter)()),
        };
        let seen = match (again, proof) {
            (Some(delay), _) => Seen::Again(now + delay),
            (None, Proof::Verified { .. }) => Seen::Settled(DeliveryState::Verified),
            (None, Proof::Refuted { .. }) => Seen::Settled(DeliveryState::Refuted),
            (None, _) => Seen::Settled(DeliveryState::Acknowledged),
        };
        let (outcome, detail) = (outcome.to_owned(), detail.to_owned());
        let receipt = Receipt { attempt: looks, at: done.began_at, outcome, status: None, detail };
        let due = done.due.clone();
        self.revoker
            .write(move |w| {
                if !receipts::seen(w.tx(), due.delivery, &receipt, seen)? {
                    return Ok(());
                }
                let Seen::Settled(state) = seen else { return Ok(()) };
                if state == DeliveryState::Refuted {
                    escalate(w, &due, &target, now)?;
                }
                audit(w, &due, &format!("delivery.{}", receipt.outcome), &target, &receipt, now)
            })
            .await
    }

    fn next(
        &mut self,
        outcome: &Outcome,
        due: &Due,
        attempt: u32,
        now: Timestamp,
    ) -> (&'static str, Option<u16>, String, Next) {
        self.failures =
            if matches!(outcome, Outcome::Failed { .. }) { self.failures.saturating_add(1) } else { 0 };
        match outcome {
            Outcome::Acknowledged { status } => {
                let ends = ENDINGS.contains(&due.message.kind.as_str());
                let look = (ends && self.connector.verify(&due.message).is_some()).then_some(now);
                (ACKNOWLEDGED, Some(*status), String::new(), Next::Done(look))
            }
            // It stays pending behind the disabled target, for whoever enables the target again.
            Outcome::Gone { status } => {
                (GONE, Some(*status), "wants no more messages".to_owned(), Next::Again(now))
            }
            Outcome::Hopeless { detail } => (HOPELESS, None, detail.clone(), Next::Dead),
            Outcome::Failed { status, detail, wait } => {
                let wait = wait.unwrap_or_default().max(self.pause());
                self.waits_until = self.waits_until.max(now + wait);
                let delay = self.ladder.after(attempt, (self.jitter)());
                let next = delay.map_or(Next::Dead, |d| Next::Again(now + d.max(wait)));
                (FAILED, *status, detail.clone(), next)
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

/// The next target of the list takes its turn, if this one is of the list and the event ends access.
fn escalate(w: &mut Write<'_>, due: &Due, target: &str, now: Timestamp) -> Result<(), StoreError> {
    if ENDINGS.contains(&due.message.kind.as_str()) && w.is_ranked(target) {
        w.escalate(due.event_seq, (&due.agent, &due.txn), &[target.to_owned()], now)?;
    }
    Ok(())
}

fn audit(
    w: &mut Write<'_>,
    due: &Due,
    kind: &str,
    target: &str,
    receipt: &Receipt,
    now: Timestamp,
) -> Result<(), StoreError> {
    let body =
        json!({ "id": due.message.id, "type": due.message.kind, "target": target, "receipt": receipt });
    w.audit_in(&due.txn, Some(&due.agent), kind, &body, now).map(drop)
}
