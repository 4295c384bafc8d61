//! What the detector says of a call, and why, in numbers that add up.

mod sentence;
mod words;

use std::fmt;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

pub(crate) use self::words::duration;

use crate::{Actor, BrokenRule, Call, Cohort, EffectiveAttestation, Kind, Layers, MicroBits, Timestamp};

/// The most parts of context in a verdict: what is new about a caller may be several things at once.
pub(crate) const CONTEXT_PARTS_MAX: usize = 3;
/// The most parts a verdict has: one for volume, timing and endpoint, those of context, and one for what looking in several
/// places costs.
pub const PARTS_MAX: usize = 4 + CONTEXT_PARTS_MAX;

/// What a part of a score is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Calls per window against the agent's own past.
    Volume,
    /// Gaps between calls against the agent's own past.
    Timing,
    /// Which endpoint was called, against the agent's own and the fleet's.
    Endpoint,
    /// The price of looking often and at several signals; negative.
    LookElsewhere,
    /// Who calls from where and with what success, against the agent's own past and its peers'.
    Context,
}

impl Signal {
    /// The name in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Timing => "timing",
            Self::Endpoint => "endpoint",
            Self::LookElsewhere => "look_elsewhere",
            Self::Context => "context",
        }
    }
}

/// What a signal sees: the hypothesis that explains the calls better than the agent's own past does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// None does.
    #[default]
    AsUsual,
    /// Volume: more calls than expected.
    MoreCalls,
    /// Volume: fewer calls than expected, or none.
    FewerCalls,
    /// Volume: whole days grow past what an operator allows for drift.
    Ramp,
    /// Timing: gaps of a law that the agent has only just begun to follow.
    OtherPace,
    /// Timing: gaps of all lengths alike.
    Irregular,
    /// Timing: gaps as a person at a keyboard leaves them.
    HumanPaced,
    /// Timing: calls faster than the agent ever makes them.
    MachineGun,
    /// Timing: a periodic agent that has lost its period.
    OffBeat,
    /// Timing: a periodic agent that keeps its period better than it ever did.
    TooRegular,
    /// Endpoint: calls that this agent and its peers do not make.
    Foreign,
    /// Endpoint: a call that does not go with the others of its session.
    Unfitting,
    /// Context: a network, or an address of a known one, that the agent has not called from.
    NewNetwork,
    /// Context: a client, or a version of a known one, that it has not called with.
    NewUserAgent,
    /// Context: a model that has not decided on its calls.
    NewModel,
    /// Context: a delegator on whose behalf it has not called.
    NewDelegator,
    /// Context: a scope that its tokens have not had.
    NewScope,
    /// Context: a resource that it has not acted upon.
    NewResource,
    /// Context: a kind of credential, or a way of proving it, that it has not used.
    NewCredential,
    /// Context: one credential used from two networks by turns.
    TwoPlaces,
    /// Context: calls denied (401, 403) more often than its calls are.
    Denied,
    /// Context: calls throttled or failed (429, 5xx) more often than its calls do.
    Failing,
    /// Context: answers larger than it gets.
    LargeAnswers,
    /// Context: requests larger than it sends.
    LargeRequests,
    /// Context: calls that take longer than its calls do.
    Slow,
    /// Endpoint: sessions, one after the other, that hold what does not go together.
    SessionDrift,
    /// Endpoint: sessions, one after the other, with calls that the agent itself seldom makes.
    RoleDrift,
    /// Endpoint: sessions, one after the other, that call in another order than their peers'.
    OrderDrift,
    /// Volume: more calls than expected of all agents of the line together.
    LineMoreCalls,
    /// Volume: more sub-agents of the line are at work than expected.
    ManyChildren,
    /// Context: one credential used by two clients by turns, from one network.
    TwoCallers,
    /// Context: a numeric argument larger than those it gives.
    LargeArgument,
}

impl Pattern {
    /// The name in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AsUsual => "as_usual",
            Self::MoreCalls => "more_calls",
            Self::FewerCalls => "fewer_calls",
            Self::Ramp => "ramp",
            Self::OtherPace => "other_pace",
            Self::Irregular => "irregular",
            Self::HumanPaced => "human_paced",
            Self::MachineGun => "machine_gun",
            Self::OffBeat => "off_beat",
            Self::TooRegular => "too_regular",
            Self::Foreign => "foreign",
            Self::Unfitting => "unfitting",
            Self::NewNetwork => "new_network",
            Self::NewUserAgent => "new_user_agent",
            Self::NewModel => "new_model",
            Self::NewDelegator => "new_delegator",
            Self::NewScope => "new_scope",
            Self::NewResource => "new_resource",
            Self::NewCredential => "new_credential",
            Self::TwoPlaces => "two_places",
            Self::Denied => "denied",
            Self::Failing => "failing",
            Self::LargeAnswers => "large_answers",
            Self::LargeRequests => "large_requests",
            Self::Slow => "slow",
            Self::SessionDrift => "session_drift",
            Self::RoleDrift => "role_drift",
            Self::OrderDrift => "order_drift",
            Self::LineMoreCalls => "line_more_calls",
            Self::ManyChildren => "many_children",
            Self::TwoCallers => "two_callers",
            Self::LargeArgument => "large_argument",
        }
    }
}

/// What an expectation rests on. The three shares are in thousandths and sum to 1,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Observations of this agent behind the expectation (windows for volume, calls for endpoint).
    pub n: u32,
    /// Weight of the prior, in thousandths.
    pub prior: u16,
    /// Weight of what peers do, in thousandths.
    pub peers: u16,
    /// Weight of the agent's own past, in thousandths.
    pub own: u16,
}

/// One signal's share of a score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Which signal.
    pub signal: Signal,
    /// Its share of the level. Zero where another signal's story won.
    pub bits: MicroBits,
    /// Its share of what this call added to the level.
    pub added: MicroBits,
    /// The level as it would be if this signal were the only one, at its share of the budget. For look-elsewhere, zero.
    pub level: MicroBits,
    /// What the signal sees.
    pub pattern: Pattern,
    /// What was seen: calls in the window for volume; the gap before this call in seconds for timing; for endpoint one, this call,
    /// peers' sessions that held an unfitting pair, or sessions of a drift; for context how many established agents have what is new, calls of this
    /// hour that were denied, failed or changed places, or a size (bytes, ms, an argument's value); for look-elsewhere, how many occasions a day it accounts
    /// for.
    pub observed: f64,
    /// What was expected, in the unit of `observed`: for endpoint the chance that a call of this agent is to it, or how many
    /// sessions would hold the pair if its calls did not keep company; for what is new about a caller the chance that an hour of its
    /// calls brings the like.
    pub expected: f64,
    /// The band in which the expectation lies for all that is known: for volume the edges that evidence is measured
    /// against. Zero and zero where a signal has none.
    pub low: f64,
    /// Its upper edge; of an unfitting pair the sessions with the call before; of a drift the sessions in which the like comes once by chance; of what is new how often the agent had such news.
    pub high: f64,
    /// When the deviation began, as far as the evidence tells: the change point. The call itself where nothing deviates.
    pub since: Timestamp,
    /// Over which window, milliseconds: for timing and endpoint the time since the deviation began, 0 with this call.
    pub window_ms: u64,
    /// What the expectation rests on.
    pub history: History,
    /// What would have kept the verdict under the watch budget. The smallest change for volume, the nearest quiet `observed` (0 where
    /// evidence from before the window is enough), and for foreign calls, the smallest quiet `expected`. Of all others a quiet value
    /// and not the nearest: of a ramp what a day is allowed, of timing, sessions and context `expected`. Where the verdict was quiet,
    /// `observed`.
    pub quiet_at: f64,
}

/// A verdict's identity: 128 bits derived from its cause, so that saying it again after a crash says nothing new.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VerdictId(pub u128);

impl fmt::Display for VerdictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for VerdictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerdictId({self})")
    }
}

impl std::str::FromStr for VerdictId {
    type Err = std::num::ParseIntError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(s, 16).map(Self)
    }
}

impl Serialize for VerdictId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VerdictId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What the detector says after a call. Plain numbers, no heap: the identity it speaks of stands in the call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Derived from the call's `event_id` and the version.
    pub id: VerdictId,
    /// 1; later versions amend it when late calls arrive and never rewrite it.
    pub version: u16,
    /// The call's event time.
    pub ts: Timestamp,
    /// The agent's level of evidence after the call: −log2 of how often a day it would show the like when normal.
    pub level: MicroBits,
    /// What this call added to it.
    pub added: MicroBits,
    /// Shares that sum to `level`, and whose `added` sum to `added`, exactly.
    pub parts: ArrayVec<Part, PARTS_MAX>,
    /// How many independent witnesses are over the watch budget on their own: endpoint is one, context another, and volume and timing
    /// together a third, since both read the same instants. What the agent's line does is none, and where that is the level there is one at most.
    pub families: u8,
    /// At least how many times as many calls as may be normal came in the open minute, ten minutes or hour, with five standard
    /// deviations to spare, where volume says that the agent calls more and knows a day of it or its declared rate; else 1.
    pub jump: f32,
    /// What the identity is worth.
    pub attestation: EffectiveAttestation,
    /// Version of the fleet's model it was scored with.
    pub model: u32,
    /// The rule that this call broke, if it broke one. Beside the level and never in it.
    pub rule: Option<BrokenRule>,
    /// What it shares with many of its peers, if it does. Beside the level and never in it.
    pub cohort: Option<Cohort>,
    /// What each layer of trust has to say.
    #[serde(default)]
    pub layers: Layers,
    /// Whether it was the legitimate one who acted.
    #[serde(default)]
    pub actor: Actor,
}

impl Verdict {
    /// The part of one signal, where the verdict has it.
    pub fn part(&self, signal: Signal) -> Option<&Part> {
        self.parts.iter().find(|p| p.signal == signal)
    }

    /// Whether the parts sum to the score. Always true for what a detector made; checked where one is read back.
    pub fn is_exact(&self) -> bool {
        self.parts.iter().map(|p| p.bits).sum::<MicroBits>() == self.level
            && self.parts.iter().map(|p| p.added).sum::<MicroBits>() == self.added
    }
}

/// A call that does not go with what its session called before, as [`VerdictRecord::called`] shows endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misfit {
    /// What it calls.
    pub call: String,
    /// What it goes with least; None where nothing of the session says so, or the name is not known.
    pub after: Option<String>,
}

/// What the calls and agents are called that a verdict speaks of beside its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// See [`VerdictRecord::route`].
    pub route: Option<String>,
    /// See [`VerdictRecord::line`].
    pub line: Option<String>,
    /// See [`VerdictRecord::misfit`].
    pub misfit: Option<Misfit>,
}

/// A verdict together with whom and what it speaks of: what travels on the bus and is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the call's, documented there")]
pub struct VerdictRecord {
    pub event_id: String,
    pub kind: Kind,
    pub agent_id: String,
    pub issuer: Option<String>,
    pub instance_id: Option<String>,
    pub session_id: Option<String>,
    pub token_id: Option<String>,
    pub delegator: Option<String>,
    pub endpoint: String,
    pub method: Option<String>,
    pub resource: Option<String>,
    pub args_digest: Option<String>,
    /// The verdict itself.
    pub verdict: Verdict,
    pub operation: Option<String>,
    /// What the signals took the endpoint for, with method and operation ([`crate::Detector::route`]); None where that is its
    /// name alone.
    pub route: Option<String>,
    /// Who heads the line that the verdict speaks of ([`Part::is_of_line`]), where it does.
    #[serde(default)]
    pub line: Option<String>,
    #[serde(default)]
    pub key_thumbprint: Option<String>,
    /// Which call of the session the verdict speaks of, where it says that its session is unlike others ([`Pattern::Unfitting`]).
    #[serde(default)]
    pub misfit: Option<Misfit>,
    /// What else the call says, for whoever judges it at once.
    #[serde(skip)]
    pub beside: Beside,
}

/// What travels with a verdict to whoever judges it, and no record of the verdict keeps: calls do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Beside {
    /// From where the call came.
    pub source_ip: Option<std::net::IpAddr>,
    /// Bytes the agent got by it, or would get.
    pub bytes_out: Option<u64>,
    /// Which agent spawned it, it says.
    pub parent_agent_id: Option<String>,
    /// When the token was issued.
    pub token_iat: Option<Timestamp>,
    /// Where the record lies in the log, where it is of one.
    pub position: Option<Position>,
    /// The call's argument values by name, each as the bits of its double: an act is bound to them, and no text between two
    /// processes may round them.
    pub args: Vec<(String, u64)>,
}

/// Where a record lies in the log of calls, and since when. A partition's records are scored in the order in which they lie there,
/// which is the same however often they are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The partition of a topic, or the local log.
    pub partition: String,
    /// Where in it,
    pub offset: i64,
    /// and which record of those that lie there, from 1.
    pub line: u64,
    /// When the record was taken in, by another clock than the logger's.
    pub taken_in: Timestamp,
}

impl VerdictRecord {
    /// Puts the verdict beside the call it speaks of.
    pub fn new(call: &Call<'_>, verdict: Verdict) -> Self {
        let own = |t: &Option<crate::Text<'_>>| t.as_ref().map(ToString::to_string);
        Self {
            event_id: call.event_id.to_string(),
            kind: call.kind,
            agent_id: call.identity.agent_id.to_string(),
            issuer: own(&call.identity.issuer),
            instance_id: own(&call.identity.instance_id),
            session_id: own(&call.identity.session_id),
            token_id: own(&call.identity.token_id),
            delegator: own(&call.identity.delegator),
            endpoint: call.endpoint.to_string(),
            method: own(&call.method),
            resource: own(&call.resource),
            args_digest: own(&call.args_digest),
            verdict,
            operation: own(&call.operation),
            route: None,
            line: None,
            misfit: None,
            key_thumbprint: own(&call.identity.key_thumbprint),
            beside: Beside {
                source_ip: call.source_ip,
                bytes_out: call.bytes_out,
                parent_agent_id: own(&call.identity.parent_agent_id),
                token_iat: call.credential.issued_at,
                position: None,
                args: call.args.iter().map(|(name, value)| (name.to_string(), value.to_bits())).collect(),
            },
        }
    }

    /// The same with the names that its words use.
    #[must_use]
    pub fn named(self, Names { route, line, misfit }: Names) -> Self {
        Self { route, line, misfit, ..self }
    }

    /// The endpoint as the signals tell it apart.
    pub fn called(&self) -> &str {
        self.route.as_deref().unwrap_or(&self.endpoint)
    }
}
