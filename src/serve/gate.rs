//! The gate's way to a score: the request is appended to the log like any call, and its verdict waited for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use detector::{Call, EffectiveAttestation, MicroBits, VerdictId};
use ingest::decode::{Invalid, Reject, SourceContext, Tally, native};
use ingest::log::LogError;
use ingest::source::credentials::Credentials;
use ingest::source::{Intake, One};
use revoker::api::{Caller, GateError, Scored, Scorer};
use tokio::sync::oneshot;

/// How long a verdict is waited for before the answer is the last standing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Requests that wait for their verdict, by event id.
#[derive(Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<HashMap<String, oneshot::Sender<Told>>>>);

/// The verdict and the agent's level after it.
type Told = (VerdictId, MicroBits);

impl Waiting {
    /// The revoker has handled the verdict on this event.
    pub(super) fn decided(&self, event_id: &str, verdict: VerdictId, level: MicroBits) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(event_id);
        if let Some(waiting) = waiting {
            // Whoever asked may have gone; the decision stands all the same.
            waiting.send((verdict, level)).ok();
        }
    }

    fn enter(&self, event_id: &str) -> oneshot::Receiver<Told> {
        let (told, hears) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(event_id.to_owned(), told);
        hears
    }

    fn leave(&self, event_id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(event_id);
    }
}

/// Scores a request by sending it the way of all calls.
pub(super) struct ToLog {
    intake: Intake,
    waiting: Waiting,
    sources: HashMap<String, Arc<SourceContext>>,
}

impl ToLog {
    pub(super) fn new(intake: Intake, waiting: Waiting, credentials: &Credentials) -> Self {
        let sources = credentials.iter().map(|c| (c.name.clone(), Arc::clone(&c.source))).collect();
        Self { intake, waiting, sources }
    }

    fn source(&self, caller: &Caller) -> Result<&Arc<SourceContext>, GateError> {
        let gone = || GateError::Unavailable {
            reason: format!("`{}` is no source", caller.name),
            retry_after_s: 60,
        };
        self.sources.get(&caller.name).ok_or_else(gone)
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

    async fn score(&self, raw: Bytes, caller: &Caller) -> Result<Scored, GateError> {
        let source = self.source(caller)?;
        let event_id = self.decode(&raw, caller)?.event_id.into_owned();
        // Waiting begins before appending, so a verdict that is quick is heard.
        let verdict = self.waiting.enter(&event_id);
        let scored = match self.intake.one(&raw, source).await {
            Ok(One::Stored { .. }) => {
                let verdict = tokio::time::timeout(PATIENCE, verdict).await;
                Ok(Scored { verdict: verdict.ok().and_then(Result::ok), duplicate: false })
            }
            Ok(One::Duplicate) => Ok(Scored { verdict: None, duplicate: true }),
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
