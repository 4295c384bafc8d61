//! Rules: limits on an agent that act from its first call and learn nothing.
//!
//! They stand outside the budget of false alarms. A verdict says which rule its call broke beside the bits and never in them.

mod ceiling;
mod declared;
mod repeats;

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::ceiling::Ceiling;
use self::declared::Breaches;
pub(crate) use self::declared::{Handed, Manifests, Purpose};
use self::repeats::Repeats;
use crate::hash::hash64;
use crate::{Attestation, Call, DAYS, Timestamp};

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
    /// The agent is out of service, says its manifest.
    Retired,
    /// Its manifest has expired.
    Expired,
    /// It lives for one task, and that is over.
    TaskEnded,
    /// An endpoint that its manifest or that of an agent above it forbids.
    ForbiddenEndpoint,
    /// A token with scopes that the agent above it must not have.
    ParentExceeded,
    /// A token with scopes that are not declared.
    UndeclaredScope,
    /// From a network that is not declared.
    UndeclaredNetwork,
    /// An identity that is worth less than is demanded.
    WeakAttestation,
    /// An endpoint that is not declared.
    UndeclaredEndpoint,
    /// At a time that is not declared.
    OutsideHours,
    /// A token that is valid for longer, or older, than is allowed.
    TokenLifetime,
    /// An argument outside the range that is declared.
    ArgumentRange,
    /// A token from before the agent's access was last ended, though it has been given back. Of no manifest: whoever keeps the list of
    /// revoked subjects says so.
    RevokedToken,
}

impl RuleKind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::RateCeiling,
        Self::RepeatedCall,
        Self::Retired,
        Self::Expired,
        Self::TaskEnded,
        Self::ForbiddenEndpoint,
        Self::ParentExceeded,
        Self::UndeclaredScope,
        Self::UndeclaredNetwork,
        Self::WeakAttestation,
        Self::UndeclaredEndpoint,
        Self::OutsideHours,
        Self::TokenLifetime,
        Self::ArgumentRange,
        Self::RevokedToken,
    ];

    /// The name in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RateCeiling => "rate_ceiling",
            Self::RepeatedCall => "repeated_call",
            Self::Retired => "retired",
            Self::Expired => "expired",
            Self::TaskEnded => "task_ended",
            Self::ForbiddenEndpoint => "forbidden_endpoint",
            Self::ParentExceeded => "parent_exceeded",
            Self::UndeclaredScope => "undeclared_scope",
            Self::UndeclaredNetwork => "undeclared_network",
            Self::WeakAttestation => "weak_attestation",
            Self::UndeclaredEndpoint => "undeclared_endpoint",
            Self::OutsideHours => "outside_hours",
            Self::TokenLifetime => "token_lifetime",
            Self::ArgumentRange => "argument_range",
            Self::RevokedToken => "revoked_token",
        }
    }

    /// Whether it lies in a single call, and not in how the agent stands.
    fn is_act(self) -> bool {
        matches!(
            self,
            Self::RateCeiling
                | Self::RepeatedCall
                | Self::ForbiddenEndpoint
                | Self::UndeclaredEndpoint
                | Self::ArgumentRange
        )
    }
}

/// The rule that a call broke; of several, one whose breach began last. Printed as a person reads it: "the same call 301
/// times within a minute; 300 is the limit".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenRule {
    /// Which.
    pub kind: RuleKind,
    /// What was seen. Of a rule that counts, the calls within the window, this one among them: over `limit`, and there may
    /// have been more. Else the seconds since the agent should have ended, that the token lives or that it was issued too early, the scopes too many, what
    /// the identity is worth as [`Attestation`] orders it (0 to 4), the minute of the week by the manifest's clock (0 is
    /// Monday 00:00), the argument's value as a whole number (0 where it or its
    /// end is negative), or 1: this call.
    pub observed: u64,
    /// What is allowed, in the unit of `observed`; 0 where it is in nothing that can be counted.
    pub limit: u64,
    /// The window of a rule that counts, milliseconds; else 0.
    pub window_ms: u64,
    /// When the breach began, event time: at most a minute ago where it lies in single calls, else an hour. Calls of the same
    /// breach say the same.
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
            RuleKind::Retired => write!(f, "a call {} after the agent was retired", Age(n)),
            RuleKind::Expired => write!(f, "a call {} after the agent's manifest expired", Age(n)),
            RuleKind::TaskEnded => write!(f, "a call {} after the agent's only task ended", Age(n)),
            RuleKind::ForbiddenEndpoint => f.write_str("an endpoint that the manifest forbids"),
            RuleKind::ParentExceeded => write!(f, "a token with {} that the parent must not have", Scopes(n)),
            RuleKind::UndeclaredScope => {
                write!(f, "a token with {} that the manifest does not declare", Scopes(n))
            }
            RuleKind::UndeclaredNetwork => f.write_str("from a network that the manifest does not declare"),
            RuleKind::WeakAttestation => {
                write!(f, "an identity attested by `{}`; the manifest demands `{}`", level(n), level(limit))
            }
            RuleKind::UndeclaredEndpoint => f.write_str("an endpoint that the manifest does not declare"),
            RuleKind::OutsideHours => {
                let day = DAYS[(n / (24 * 60)) as usize % DAYS.len()];
                let (hour, minute) = (n / 60 % 24, n % 60);
                write!(f, "at {day} {hour:02}:{minute:02} by the manifest's clock, outside its hours")
            }
            RuleKind::ArgumentRange if n == limit => f.write_str("an argument outside the manifest's range"),
            RuleKind::ArgumentRange => {
                let bound = if n > limit { "more" } else { "less" };
                write!(f, "an argument of {n}; the manifest allows no {bound} than {limit}")
            }
            RuleKind::RevokedToken => {
                write!(f, "a token issued {} before the agent's access was last ended", Age(n))
            }
            RuleKind::TokenLifetime => {
                write!(f, "a token that lives for {}; the manifest allows {}", Age(n), Age(limit))
            }
        }
    }
}

/// Seconds as a person says them.
struct Age(u64);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            s if s < 120 => write!(f, "{s} s"),
            s if s < 7_200 => write!(f, "{} minutes", s / 60),
            s if s < 172_800 => write!(f, "{} h", s / 3_600),
            s => write!(f, "{} days", s / 86_400),
        }
    }
}

/// So many of them.
struct Scopes(u64);

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} scope{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

fn level(rank: u64) -> &'static str {
    use Attestation::{Key, Network, None, Platform, Token};
    [None, Network, Token, Key, Platform].iter().find(|a| **a as u64 == rank).map_or("?", |a| a.as_str())
}

/// What is allowed to one agent: within a minute, and by its manifest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits<'a> {
    /// Calls of any kind; none where nothing is declared.
    pub(crate) calls: Option<NonZeroU32>,
    /// Repetitions of a call that is known with its arguments; 0 for any number.
    pub(crate) repeats: u32,
    /// Repetitions of a call whose arguments nobody logged; 0 for any number.
    pub(crate) repeats_without_args: u32,
    /// What its manifest declares; none where it has none.
    pub(crate) purpose: Option<&'a Purpose>,
    /// What the parent that the call names hands down.
    pub(crate) claimed: Option<&'a Handed>,
    /// How much the operator asks for a broken rule, by its place in [`RuleKind::ALL`].
    pub(crate) ranks: &'a RuleRanks,
}

/// How much an operator asks for each rule, by its place in [`RuleKind::ALL`]: of several that a call is the first to break, the
/// verdict names the one with the highest.
pub type RuleRanks = [u8; RuleKind::ALL.len()];

/// What the rules remember of one agent: about 110 bytes, the times of its calls of the last minute where a ceiling is
/// declared, and its breaches of what its manifest declares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rules {
    /// There from the first call that a ceiling applies to.
    ceiling: Option<Box<Ceiling>>,
    repeats: Repeats,
    /// When the last breach of a rule that counts began.
    since: Timestamp,
    /// There from the first breach of what is declared.
    breaches: Option<Box<Breaches>>,
}

impl Rules {
    pub(crate) fn new() -> Self {
        Self { ceiling: None, repeats: Repeats::new(NEVER), since: NEVER, breaches: None }
    }

    /// A number of every cache line that a call may read; see [`crate::profile::Profile::fetch`].
    pub(crate) fn fetch(&self) -> u32 {
        self.repeats.fetch()
    }

    /// Counts a call at `ts`, which never goes back, and says which rule it breaks. Of several it is the one whose breach began
    /// last, so that what a person has let go on hides nothing new; then the one that the operator asks most for; then the
    /// first of [`RuleKind::ALL`].
    pub(crate) fn count(&mut self, ts: Timestamp, call: &Call<'_>, limits: Limits<'_>) -> Option<BrokenRule> {
        let counted = self.counted(ts, call, limits);
        if limits.purpose.is_none() && limits.claimed.is_none() {
            return counted;
        }
        let declared = self.declared(ts, call, limits);
        let rank = |rule: &BrokenRule| limits.ranks[rule.kind as usize];
        // The last of equals wins, so they come with the gravest last.
        declared.into_iter().rev().chain(counted).max_by_key(|rule| (rule.since, rank(rule)))
    }

    /// The ceiling before the other, since somebody declared it of this agent.
    fn counted(&mut self, ts: Timestamp, call: &Call<'_>, limits: Limits<'_>) -> Option<BrokenRule> {
        let ceiling = self.count_all(ts, limits.calls);
        let repeated = self.count_same(ts, call, limits);
        let (kind, observed, limit) = ceiling.or(repeated)?;
        if ts.since(self.since) >= WINDOW {
            self.since = ts;
        }
        Some(BrokenRule { kind, observed, limit, window_ms: WINDOW.as_millis() as u64, since: self.since })
    }

    fn declared(&mut self, ts: Timestamp, call: &Call<'_>, limits: Limits<'_>) -> Broken {
        let task_ended = self.breaches.as_ref().and_then(|b| b.task_ended);
        let found = limits.purpose.unwrap_or(&Purpose::default()).breaches(call, task_ended, limits.claimed);
        let mut told = |(kind, observed, limit)| {
            let since = self.breaches.get_or_insert_default().since(kind, ts);
            BrokenRule { kind, observed, limit, window_ms: 0, since }
        };
        found.into_iter().map(&mut told).collect()
    }

    /// The agent's task is over. The first end counts: a later one, dated far ahead, must not give it back.
    pub(crate) fn end_task(&mut self, ts: Timestamp) {
        let ended = &mut self.breaches.get_or_insert_default().task_ended;
        *ended = Some(ended.map_or(ts, |before| before.min(ts)));
    }

    /// A person let the agent go on: every count begins anew, and with it perhaps a task. When breaches of what is declared
    /// began stays known: what the person answered for is the rest of those.
    pub(crate) fn accept(&mut self) {
        let mut breaches = self.breaches.take();
        if let Some(breaches) = &mut breaches {
            breaches.task_ended = None;
        }
        *self = Self { breaches, ..Self::new() };
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

    fn count_same(
        &mut self,
        ts: Timestamp,
        call: &Call<'_>,
        limits: Limits<'_>,
    ) -> Option<(RuleKind, u64, u64)> {
        let limit = if call.args_digest.is_some() { limits.repeats } else { limits.repeats_without_args };
        if limit == 0 {
            return None;
        }
        let observed = self.repeats.count(ts, name(call));
        (observed > limit).then_some((RuleKind::RepeatedCall, observed.into(), limit.into()))
    }
}

/// Rules of the manifest that one call breaks, the gravest first.
type Broken = arrayvec::ArrayVec<BrokenRule, { declared::KINDS }>;

/// What makes a call the same call.
fn name(call: &Call<'_>) -> u64 {
    let [method, resource, args] =
        [&call.method, &call.resource, &call.args_digest].map(|text| text.as_deref().unwrap_or_default());
    hash64(&[&call.endpoint, method, resource, args])
}
