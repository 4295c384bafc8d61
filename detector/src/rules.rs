//! Rules: limits on an agent that act from its first call and learn nothing.
//!
//! They stand outside the budget of false alarms. A verdict says which rule its call broke beside the bits and never in them.

mod ceiling;
mod repeats;

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::ceiling::Ceiling;
use self::repeats::Repeats;
use crate::hash::hash64;
use crate::{Call, Timestamp};

/// Over which time every rule counts.
const WINDOW: Duration = Duration::from_mins(1);
/// Long before any call.
const NEVER: Timestamp = Timestamp::from_micros(i64::MIN);

/// What a rule forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// More calls a minute than the agent's manifest allows.
    RateCeiling,
    /// The same call again and again: endpoint, method, resource and digest of the arguments are the same.
    RepeatedCall,
}

impl RuleKind {
    /// The name in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RateCeiling => "rate_ceiling",
            Self::RepeatedCall => "repeated_call",
        }
    }
}

/// The rule that a call broke. Printed as a person reads it: "the same call 301 times within a minute; 300 is the limit".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenRule {
    /// Which.
    pub kind: RuleKind,
    /// Calls that were counted within the window, this one among them; over `limit`. There may have been more.
    pub observed: u64,
    /// Calls that the rule allows within the window.
    pub limit: u64,
    /// The window, milliseconds.
    pub window_ms: u64,
    /// When the agent began to break rules, event time, at most one window ago. Calls of the same breach say the same.
    pub since: Timestamp,
}

impl fmt::Display for BrokenRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, limit) = (self.observed, self.limit);
        let window = crate::verdict::duration(self.window_ms);
        match self.kind {
            RuleKind::RateCeiling => write!(f, "{n} calls within {window}; {limit} is the limit"),
            RuleKind::RepeatedCall => {
                write!(f, "the same call {n} times within {window}; {limit} is the limit")
            }
        }
    }
}

/// What is allowed to one agent within a minute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Calls of any kind; none where nothing is declared.
    pub(crate) calls: Option<NonZeroU32>,
    /// Repetitions of a call that is known with its arguments; 0 for any number.
    pub(crate) repeats: u32,
    /// Repetitions of a call whose arguments nobody logged; 0 for any number.
    pub(crate) repeats_without_args: u32,
}

/// What the rules remember of one agent: about 100 bytes, and the times of its calls of the last minute where a ceiling is
/// declared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rules {
    /// There from the first call that a ceiling applies to.
    ceiling: Option<Box<Ceiling>>,
    repeats: Repeats,
    /// When the last breach began.
    since: Timestamp,
}

impl Rules {
    pub(crate) fn new() -> Self {
        Self { ceiling: None, repeats: Repeats::new(NEVER), since: NEVER }
    }

    /// A number of every cache line that a call may read; see [`crate::profile::Profile::fetch`].
    pub(crate) fn fetch(&self) -> u32 {
        self.repeats.fetch()
    }

    /// Counts a call at `ts`, which never goes back, and says which rule it breaks: the ceiling before the other, since
    /// somebody declared it of this agent.
    pub(crate) fn count(&mut self, ts: Timestamp, call: &Call<'_>, limits: Limits) -> Option<BrokenRule> {
        let ceiling = self.count_all(ts, limits.calls);
        let repeated = self.count_same(ts, call, limits);
        let (kind, observed, limit) = ceiling.or(repeated)?;
        if ts.since(self.since) >= WINDOW {
            self.since = ts;
        }
        Some(BrokenRule { kind, observed, limit, window_ms: WINDOW.as_millis() as u64, since: self.since })
    }

    /// A person let the agent go on: every count begins anew.
    pub(crate) fn accept(&mut self) {
        *self = Self::new();
    }

    fn count_all(&mut self, ts: Timestamp, limit: Option<NonZeroU32>) -> Option<(RuleKind, u64, u64)> {
        let Some(limit) = limit else {
            self.ceiling = None;
            return None;
        };
        let observed = self.ceiling.get_or_insert_default().count(ts, limit);
        let limit = limit.get().into();
        (observed > limit).then_some((RuleKind::RateCeiling, observed, limit))
    }

    fn count_same(&mut self, ts: Timestamp, call: &Call<'_>, limits: Limits) -> Option<(RuleKind, u64, u64)> {
        let limit = if call.args_digest.is_some() { limits.repeats } else { limits.repeats_without_args };
        if limit == 0 {
            return None;
        }
        let observed = self.repeats.count(ts, name(call));
        (observed > limit).then_some((RuleKind::RepeatedCall, observed.into(), limit.into()))
    }
}

/// What makes a call the same call.
fn name(call: &Call<'_>) -> u64 {
    let [method, resource, args] =
        [&call.method, &call.resource, &call.args_digest].map(|text| text.as_deref().unwrap_or_default());
    hash64(&[&call.endpoint, method, resource, args])
}
