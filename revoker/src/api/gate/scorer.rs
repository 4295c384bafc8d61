//! What the gate asks of the rest of the program: read a record, and have it scored.

use axum::body::Bytes;
use axum::http::StatusCode;
use detector::{Call, MicroBits, VerdictId};

use super::answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::policy::envelope::Room;

/// What came of scoring a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scored {
    /// The verdict and the agent's level after it. None where it did not come in time; the gate then answers from the last
    /// standing. Present only after the revoker has handled the verdict.
    pub verdict: Option<(VerdictId, MicroBits)>,
    /// What more may go on, of a request that goes on although its agent is challenged.
    pub let_through: Option<Room>,
    /// The same record was here before: this is a retry.
    pub duplicate: bool,
}

/// Why a record was not scored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// The record breaks the schema.
    #[error("the record is not one: {reason}")]
    BadRecord {
        /// Which field, where it is one.
        field: Option<String>,
        /// What is wrong with it.
        reason: String,
    },
    /// The same event id with other content.
    #[error("the event id `{event_id}` was used for another record")]
    Conflict {
        /// Which id.
        event_id: String,
    },
    /// Too much at once.
    #[error("too many records at once")]
    Busy {
        /// When to come back, seconds.
        retry_after_s: u64,
    },
    /// The log or the score pipeline is down.
    #[error("no decision is possible: {reason}")]
    Unavailable {
        /// What is down.
        reason: String,
        /// When to come back, seconds.
        retry_after_s: u64,
    },
}

/// Reads and scores records; the executable brings it.
pub trait Scorer: Send + Sync + 'static {
    /// Reads one native record as the source of `caller` would deliver it, without storing anything.
    fn decode<'a>(&self, raw: &'a [u8], caller: &Caller) -> Result<Call<'a>, GateError>;

    /// The text without what looks like a token: that is kept nowhere.
    fn masked(&self, text: String) -> String;

    /// Stores the record durably, as any call, and waits a bounded time for its verdict to be made and handled by the
    /// revoker. Not hearing of the verdict in time is no error.
    fn score(&self, raw: Bytes, caller: &Caller) -> impl Future<Output = Result<Scored, GateError>> + Send;
}

impl From<GateError> for Problem {
    fn from(e: GateError) -> Self {
        match e {
            GateError::BadRecord { field, reason } => answer::bad_record(field.as_deref(), &reason),
            GateError::Conflict { ref event_id } => {
                Self::new(StatusCode::CONFLICT, "event_conflict", "The event id is taken")
                    .detail(format!("{e}. The answer is no; give every record an id of its own."))
                    .fact("event_id", event_id)
            }
            GateError::Busy { retry_after_s } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", "Too many records at once")
                    .detail("No decision was made, so the answer is no. Send the same record again later.")
                    .retry_after(retry_after_s)
            }
            GateError::Unavailable { ref reason, retry_after_s } => {
                tracing::error!(reason, "the gate cannot decide and says no");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "undecided", "No decision is possible")
                    .detail("The gate fails closed: the answer is no. Send the same record again later.")
                    .retry_after(retry_after_s)
            }
        }
    }
}
