//! The gate's way to a score: the request is appended to the log like any call, and its verdict waited for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use detector::{Call, EffectiveAttestation, MicroBits, VerdictId};
use ingest::decode::{Invalid, Reject, SourceContext, Tally, native};
use ingest::log::LogError;
use ingest::source::{Intake, One};
use revoker::api::{Caller, GateError, Scored, Scorer};
use revoker::policy::envelope::Room;
use tokio::sync::oneshot;

use super::http::Who;

/// How long a verdict is waited for before the answer is the last standing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers remembered for a request that comes again; older ones are answered from the standing after the wait.
const RECENT_MAX: usize = 16_384;
/// Entries after which those whose askers have gone are looked for.
const WAITING_MAX: usize = 4_096;

/// Requests that wait for their verdict, by event id.
#[derive(Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<Board>>);

/// What is told of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Told {
    /// The verdict and the agent's level after it.
    pub(super) verdict: (VerdictId, MicroBits),
    /// What more may go on, where it does although its agent is challenged.
    pub(super) let_through: Option<Room>,
}

#[derive(Default)]
struct Board {
    /// A request may be sent twice at once: both wait, so that neither is answered before it is scored.
    waiting: HashMap<String, Vec<oneshot::Sender<Told>>>,
    recent: HashMap<String, Told>,
    order: VecDeque<String>,
}

impl Waiting {
    /// The revoker has handled the verdict on this event.
    pub(super) fn decided(&self, event_id: &str, told: Told) {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((event_id, waiting)) = board.waiting.remove_entry(event_id) else { return };
        for asker in waiting {
            // Whoever asked may have gone; the decision stands all the same.
            asker.send(told).ok();
        }
        if board.order.len() >= RECENT_MAX
            && let Some(oldest) = board.order.pop_front()
        {
            board.recent.remove(&oldest);
        }
        board.order.push_back(event_id.clone());
        board.recent.insert(event_id, told);
    }

    fn enter(&self, event_id: &str) -> oneshot::Receiver<Told> {
        let (told, hears) = oneshot::channel();
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = board.recent.get(event_id) {
            // The other end is in this very function.
            told.send(*known).ok();
            return hears;
        }
        if board.waiting.len() >= WAITING_MAX {
            board.waiting.retain(|_, askers| askers.iter().any(|a| !a.is_closed()));
        }
        board.waiting.entry(event_id.to_owned()).or_default().push(told);
        hears
    }

    /// Forgets those who asked about this event and have gone.
    fn leave(&self, event_id: &str) {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(askers) = board.waiting.get_mut(event_id) else { return };
        askers.retain(|asker| !asker.is_closed());
        if askers.is_empty() {
            board.waiting.remove(event_id);
        }
    }
}

/// Scores a request by sending it the way of all calls.
pub(super) struct ToLog {
    intake: Intake,
    waiting: Waiting,
    sources: HashMap<String, Arc<SourceContext>>,
    /// Whether this process scores what is appended. Where it does not the standing alone answers, and the gateway is to put
    /// the call on the topic.
    scores: bool,
}

impl ToLog {
    pub(super) fn new(intake: Intake, waiting: Waiting, who: &Who, scores: bool) -> Self {
        let known = who.credentials.iter().map(|c| (c.name.clone(), Arc::clone(&c.source)));
        let sources = known.chain(who.issuers.sources()).collect();
        Self { intake, waiting, sources, scores }
    }

    fn source(&self, caller: &Caller) -> Result<&Arc<SourceContext>, GateError> {
        let gone = || GateError::Unavailable {
            reason: format!("`{}` is no source", caller.source),
            retry_after_s: 60,
        };
        self.sources.get(&caller.source).ok_or_else(gone)
    }
}

impl Scorer for ToLog {
    fn decode<'a>(&self, raw: &'a [u8], caller: &Caller) -> Result<Call<'a>, GateError> {
        let source = self.source(caller)?;
        let mut call = native::decode(raw, &mut Tally::new()).map_err(bad)?;
        call.attestation = EffectiveAttestation::new(call.claimed, source.ceiling);
        if call.identity.issuer.is_none() {
            call.identity.issuer = source.default_issuer.clone().map(Into::into);
        }
        Ok(call)
    }

    fn masked(&self, text: String) -> String {
        ingest::decode::masked(text)
    }

    async fn score(&self, raw: Bytes, caller: &Caller) -> Result<Scored, GateError> {
        let source = self.source(caller)?;
        let event_id = self.decode(&raw, caller)?.event_id.into_owned();
        if !self.scores {
            return Ok(Scored { verdict: None, let_through: None, duplicate: false });
        }
        // Waiting begins before appending, so a verdict that is quick is heard.
        let told = self.waiting.enter(&event_id);
        let taken = self.intake.one(&raw, source).await;
        // The same record again waits like the first: it must not be let through while that one is being scored.
        let told = if let Ok(One::Stored { .. } | One::Duplicate) = &taken {
            tokio::time::timeout(PATIENCE, told).await.ok().and_then(Result::ok)
        } else {
            drop(told);
            None
        };
        let scored = |duplicate| Scored {
            verdict: told.map(|told| told.verdict),
            let_through: told.and_then(|told| told.let_through),
            duplicate,
        };
        let scored = match taken {
            Ok(One::Stored { .. }) => Ok(scored(false)),
            Ok(One::Duplicate) => Ok(scored(true)),
            Ok(One::Conflict(_)) => Err(GateError::Conflict { event_id: event_id.clone() }),
            Ok(One::Rejected(Reject { field, reason, .. })) => Err(GateError::BadRecord { field, reason }),
            Err(e) => Err(unavailable(&e)),
        };
        self.waiting.leave(&event_id);
        scored
    }
}

fn bad(why: Invalid) -> GateError {
    GateError::BadRecord { field: why.field.map(Into::into), reason: why.reason.into() }
}

fn unavailable(error: &LogError) -> GateError {
    match error {
        LogError::Pressure { .. } => GateError::Busy { retry_after_s: 1 },
        other => GateError::Unavailable { reason: other.to_string(), retry_after_s: 5 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_asks_hears_the_verdict_and_nobody_hears_another() {
        let told = Told { verdict: (VerdictId(7), MicroBits::ZERO), let_through: None };
        let waiting = Waiting::default();
        let (mut first, mut second, mut other) = (waiting.enter("a"), waiting.enter("a"), waiting.enter("b"));
        waiting.decided("a", told);
        let mut late = waiting.enter("a");
        for asker in [&mut first, &mut second, &mut late] {
            assert_eq!(asker.try_recv(), Ok(told));
        }
        assert!(other.try_recv().is_err());
        drop(other);
        waiting.leave("b");
        assert!(waiting.0.lock().unwrap().waiting.is_empty());
    }
}
