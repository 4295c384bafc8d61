//! What the detector says of a call, and why, in numbers that add up.

use std::fmt;
use std::time::Duration;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use crate::{BrokenRule, Call, Cohort, EffectiveAttestation, Kind, MicroBits, Timestamp};

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
        }
    }

    /// What is new about a caller, as a thing and as it was met; none where the pattern is another.
    fn news(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::NewNetwork => ("an address", "called from an address it is not known to call from"),
            Self::NewUserAgent => ("a client", "called with a client it is not known to use"),
            Self::NewModel => ("a model", "decided by a model that is not known to decide for it"),
            Self::NewDelegator => ("a delegator", "called on behalf of somebody it is not known to act for"),
            Self::NewScope => ("a scope", "called with a scope that its tokens are not known to have"),
            Self::NewResource => ("a resource", "acted upon what it is not known to touch"),
            Self::NewCredential => {
                ("a credential", "called with a kind of credential it is not known to use")
            }
            _ => return None,
        })
    }

    /// What each of an agent's sessions does; none where the pattern is no drift.
    fn of_sessions(self) -> Option<&'static str> {
        Some(match self {
            Self::SessionDrift => "hold what does not go together among its peers",
            Self::RoleDrift => "hold calls that it seldom makes",
            Self::OrderDrift => "call in an order that its peers do not",
            _ => return None,
        })
    }

    /// What is counted or measured of calls; none where the pattern is another.
    fn of_calls(self) -> Option<&'static str> {
        Some(match self {
            Self::TwoPlaces => "calls of this hour with a credential that was elsewhere the call before",
            Self::Denied => "calls denied in this hour",
            Self::Failing => "calls throttled or failed in this hour",
            Self::LargeAnswers => "bytes in answer to a call",
            Self::LargeRequests => "bytes sent with a call",
            Self::Slow => "ms for a call",
            _ => return None,
        })
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
    /// hour that were denied, failed or changed places, or a size (bytes, ms); for look-elsewhere, how many occasions a day it accounts
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
    /// The smallest change that would have kept the verdict under the watch budget: for volume the nearest quiet
    /// `observed`, for endpoint the smallest quiet `expected`. Where the verdict was quiet, `observed`.
    pub quiet_at: f64,
}

impl Part {
    /// Whether its history counts hours; else calls, or sessions.
    pub fn is_by_the_hour(&self) -> bool {
        let context = self.signal == Signal::Context && self.pattern.of_calls().is_none();
        self.signal == Signal::Volume || context
    }

    /// What context sees, in words.
    pub fn context(&self) -> String {
        let [observed, expected] = [self.observed, self.expected].map(number);
        if let Some(what) = self.pattern.of_calls() {
            return format!("{observed} {what} where {expected} would be usual");
        }
        let Some((_, met)) = self.pattern.news() else {
            return "nothing new about who calls from where".to_owned();
        };
        let peers = match self.observed {
            n if n < 0.5 => "nor is any agent of the fleet".to_owned(),
            n => format!("{} of the fleet's agents are", number(n)),
        };
        let had = match self.high {
            n if n < 1.5 => "its first such news".to_owned(),
            n => format!("such news number {}", number(n)),
        };
        format!("{met}; {peers}; {had}")
    }

    /// The smallest change that would have kept context quiet, in words.
    pub fn quiet_context(&self) -> String {
        match (self.pattern.of_calls(), self.pattern.news()) {
            (Some(what), _) => format!("about {} {what}", number(self.quiet_at)),
            (_, Some((what, _))) => format!("{what} it is known by"),
            _ => "anything it is known by".to_owned(),
        }
    }

    /// A drift in words; None where there is none.
    pub fn drift(&self) -> Option<String> {
        let what = self.pattern.of_sessions()?;
        let [sessions, once_in] = [self.observed, self.high.round()].map(number);
        Some(format!(
            "sessions that {what}, more than its own past did: {sessions} of them since {}, which comes by chance once in \
             {once_in} sessions",
            self.since
        ))
    }

    /// An unfitting session in words: the last call that made it more unusual, which is `endpoint` if it is the one at `ts`.
    pub fn unfitting(&self, endpoint: &str, ts: Timestamp) -> String {
        let what = if self.since == ts {
            format!("`{endpoint}`")
        } else {
            format!("a call of its session at {}", self.since)
        };
        let compared = format!("({} sessions to compare with)", self.history.n);
        if self.high < 0.5 {
            return format!("{what} makes a session of a kind not seen {compared}");
        }
        let [with, both, usual] = [self.high.round(), self.observed.round(), self.expected].map(number);
        format!(
            "{what} does not go with what its session called before: of {with} sessions that held the least fitting of it {both} \
             held both, where {usual} would be usual {compared}"
        )
    }
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
    /// together a third, since both read the same instants.
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
        }
    }

    /// The endpoint as the signals tell it apart.
    pub fn called(&self) -> &str {
        self.route.as_deref().unwrap_or(&self.endpoint)
    }

    /// The reasons in words: what is amended, the rule that was broken, what is shared with peers, then one
    /// sentence a part that carries evidence or
    /// its price, strongest first.
    pub fn reasons(&self) -> Vec<String> {
        let mut parts: Vec<&Part> = self.verdict.parts.iter().filter(|p| p.bits != MicroBits::ZERO).collect();
        parts.sort_by_key(|p| std::cmp::Reverse(p.bits));
        let rule = self.verdict.rule.map(|rule| format!("rule: {rule}"));
        let amended = (self.kind == Kind::Silence && self.verdict.version > 1)
            .then(|| "calls from the time of its silence came late: it was none".to_owned());
        let cohort = self.verdict.cohort.map(|cohort| format!("shared: {cohort}"));
        amended
            .into_iter()
            .chain(rule)
            .chain(cohort)
            .chain(parts.into_iter().map(|p| self.reason(p)))
            .collect()
    }

    /// What one part of the verdict says, in words.
    pub fn reason(&self, p: &Part) -> String {
        let h = p.history;
        let unit = match p.pattern {
            pattern if pattern.of_sessions().is_some() => "sessions",
            _ if p.is_by_the_hour() => "hours",
            _ => "calls",
        };
        let basis = format!(
            "{} {unit} of history: {} % own, {} % peers, {} % prior",
            h.n,
            h.own / 10,
            h.peers / 10,
            h.prior / 10
        );
        let bits = format!("{:+.1} bits", p.bits);
        match p.signal {
            Signal::Volume => format!("{bits}: {} ({basis})", volume(p)),
            Signal::Timing => format!(
                "{bits}: {}, {} between calls where {} is usual, since {} ({basis})",
                timing(p.pattern),
                seconds(p.observed),
                seconds(p.expected),
                p.since,
            ),
            Signal::Endpoint if p.pattern == Pattern::Unfitting => {
                format!("{bits}: {}", p.unfitting(self.called(), self.verdict.ts))
            }
            Signal::Context => format!("{bits}: {}, since {} ({basis})", p.context(), p.since),
            Signal::Endpoint if let Some(drift) = p.drift() => format!("{bits}: {drift} ({basis})"),
            Signal::Endpoint => format!(
                "{bits}: `{}` is {} of what this agent calls by its own past and its peers'; {} would have been quiet \
                 ({basis})",
                self.called(),
                percent(p.expected),
                percent(p.quiet_at),
            ),
            Signal::LookElsewhere => {
                format!(
                    "{bits}: as unusual a stretch begins about {} times a day when nothing is wrong",
                    number(p.observed)
                )
            }
        }
    }
}

fn volume(p: &Part) -> String {
    let (n, window, m) = (number(p.observed), duration(p.window_ms), number(p.expected));
    let (low, high, quiet) = (number(p.low), number(p.high), number(p.quiet_at));
    match p.pattern {
        Pattern::FewerCalls => format!(
            "only {n} calls in {window} where about {m} are expected, {low} to {high} for all that is known, and too few \
             since {}; {quiet} would have been quiet",
            p.since
        ),
        Pattern::Ramp => format!(
            "{n} calls in {window} where {m} were usual before it began to grow, at {}; up to {high} is allowed",
            p.since
        ),
        _ => format!(
            "{n} calls in {window} where about {m} are expected, {low} to {high} for all that is known, and too many \
             since {}; up to {quiet} would have been quiet",
            p.since
        ),
    }
}

fn timing(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::Irregular => "gaps of every length alike",
        Pattern::HumanPaced => "gaps as a person leaves them",
        Pattern::MachineGun => "calls faster than it ever makes them",
        Pattern::OffBeat => "it has lost its period",
        Pattern::TooRegular => "gaps more regular than it ever left",
        _ => "gaps of another law than its own",
    }
}

/// A length of time that people take in at a glance.
fn seconds(s: f64) -> String {
    match s {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7_200.0 => format!("{:.0} minutes", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

fn percent(share: f64) -> String {
    if share < 1e-4 { "under 0.01 %".to_owned() } else { format!("{} %", number(share * 100.0)) }
}

fn number(x: f64) -> String {
    if x > 0.0 && x < 5e-4 {
        return "under 0.001".to_owned();
    }
    let digits = match x.abs() {
        a if a >= 100.0 || x.fract() == 0.0 => 0,
        a if a >= 1.0 => 1,
        _ => 3,
    };
    format!("{x:.digits$}")
}

pub(crate) fn duration(ms: u64) -> String {
    let s = Duration::from_millis(ms).as_secs();
    match s {
        0 => format!("{ms} ms"),
        60 => "a minute".to_owned(),
        s if s % 3600 == 0 => format!("{} h", s / 3600),
        s if s % 60 == 0 => format!("{} minutes", s / 60),
        s => format!("{s} s"),
    }
}
