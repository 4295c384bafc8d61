//! A verdict in words: one sentence a part.

use std::time::Duration;

use super::sentence::name;
use super::{Part, Pattern, Signal, Verdict, VerdictRecord};
use crate::{ActorKind, Kind, Layers, MicroBits};

impl Pattern {
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
    pub(super) fn of_sessions(self) -> Option<&'static str> {
        Some(match self {
            Self::SessionDrift => "hold what does not go together among its peers",
            Self::RoleDrift => "hold calls that it seldom makes",
            Self::OrderDrift => "call in an order that its peers do not",
            _ => return None,
        })
    }

    /// What is counted or measured of calls; none where the pattern is another.
    pub(super) fn of_calls(self) -> Option<&'static str> {
        Some(match self {
            Self::TwoPlaces => "calls of this hour with a credential that was elsewhere the call before",
            Self::TwoCallers => {
                "calls of this hour with a credential that another client used the call before"
            }
            Self::Denied => "calls denied in this hour",
            Self::Failing => "calls throttled or failed in this hour",
            Self::LargeAnswers => "bytes in answer to a call",
            Self::LargeRequests => "bytes sent with a call",
            Self::Slow => "ms for a call",
            Self::LargeArgument => "as a numeric argument of a call",
            _ => return None,
        })
    }
}

impl Part {
    /// Whether its history counts hours; else calls, or sessions.
    pub fn is_by_the_hour(&self) -> bool {
        let context = self.signal == Signal::Context && self.pattern.of_calls().is_none();
        self.signal == Signal::Volume || context
    }

    /// What volume counts, and of whose line where it is one's.
    pub fn counted(&self, line: Option<&str>) -> String {
        let what = match self.pattern {
            Pattern::LineMoreCalls => "calls of all agents",
            Pattern::ManyChildren => "sub-agents",
            _ => return "calls".to_owned(),
        };
        match line {
            Some(head) => format!("{what} in the line of `{head}`"),
            None => format!("{what} in its parent's line"),
        }
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

    /// An unfitting session in words: the last call that made it more unusual, which is that of `record` if it is the one at that time.
    /// `shown` makes names from outside fit to be read.
    pub fn unfitting(&self, record: &VerdictRecord, shown: impl Fn(&str) -> String) -> String {
        let misfit = record.misfit.as_ref();
        let at = || format!("its session at {}", self.since);
        let what = match (self.since == record.verdict.ts, misfit) {
            (true, _) => format!("`{}`", shown(record.called())),
            (false, Some(misfit)) => format!("`{}` of {}", shown(&misfit.call), at()),
            (false, None) => format!("a call of {}", at()),
        };
        let n = self.history.n;
        let compared = if self.is_of_few() {
            format!(
                "({n} sessions to compare with, too few to call it rarer than 1 in {})",
                n.saturating_add(1)
            )
        } else {
            format!("({n} sessions to compare with)")
        };
        if self.high < 0.5 {
            return format!("{what} makes a session of a kind not seen {compared}");
        }
        let [with, both, usual] = [self.high.round(), self.observed.round(), self.expected].map(number);
        let least = match misfit.and_then(|misfit| misfit.after.as_deref()) {
            Some(after) => format!("`{}`", shown(after)),
            None => "the least fitting of it".to_owned(),
        };
        format!(
            "{what} does not go with what its session called before: of {with} sessions that held {least} {both} held both, where \
             {usual} would be usual {compared}"
        )
    }
}

impl Verdict {
    /// Whether the agent itself acted, and by what, in words.
    pub fn who(&self) -> String {
        let who = match (self.actor.is, self.actor.because.is_empty()) {
            (ActorKind::Legitimate, _) => "the agent itself",
            (ActorKind::Unclear, true) => "the agent or another: nothing tells",
            (ActorKind::Unclear, false) => "perhaps not the agent: ",
            (ActorKind::Impostor, _) => "not the agent: ",
        };
        let because = self.actor.because.iter().map(|pattern| match (pattern, pattern.news()) {
            (_, Some((_, met))) => met,
            (Pattern::TwoPlaces, _) => "one credential used in two places",
            (Pattern::TwoCallers, _) => "one credential used by two clients in turn",
            (pattern, _) => timing(*pattern),
        });
        format!("{who}{}", because.collect::<Vec<_>>().join("; "))
    }
}

impl Layers {
    /// What each has to say, in words.
    pub fn told(self) -> String {
        self.all().map(|(layer, trust)| format!("{layer} {}", trust.as_str())).join(", ")
    }
}

impl VerdictRecord {
    /// The reasons in words: what is amended, the rule that was broken, what is shared with peers, then one
    /// sentence a part that carries evidence or
    /// its price, strongest first, and who acted.
    pub fn reasons(&self) -> Vec<String> {
        let mut parts: Vec<&Part> = self.verdict.parts.iter().filter(|p| p.bits != MicroBits::ZERO).collect();
        parts.sort_by_key(|p| std::cmp::Reverse(p.bits));
        let rule = self.verdict.rule.map(|rule| format!("rule: {rule}"));
        let amended = (self.kind == Kind::Silence && self.verdict.version > 1)
            .then(|| "calls from the time of its silence came late: it was none".to_owned());
        let cohort = self.verdict.cohort.map(|cohort| format!("shared: {cohort}"));
        let who = (self.kind != Kind::Silence)
            .then(|| format!("actor: {} (layers: {})", self.verdict.who(), self.verdict.layers.told()));
        amended
            .into_iter()
            .chain(rule)
            .chain(cohort)
            .chain(parts.into_iter().map(|p| self.reason(p)))
            .chain(who)
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
            Signal::Volume => {
                format!("{bits}: {} ({basis})", volume(p, self.line.as_deref().map(name).as_deref()))
            }
            Signal::Timing => format!(
                "{bits}: {}, {} between calls where {} is usual, since {} ({basis})",
                timing(p.pattern),
                seconds(p.observed),
                seconds(p.expected),
                p.since,
            ),
            Signal::Endpoint if p.pattern == Pattern::Unfitting => {
                format!("{bits}: {}", p.unfitting(self, name))
            }
            Signal::Context => format!("{bits}: {}, since {} ({basis})", p.context(), p.since),
            Signal::Endpoint if let Some(drift) = p.drift() => format!("{bits}: {drift} ({basis})"),
            Signal::Endpoint => format!(
                "{bits}: `{}` is {} of what this agent calls by its own past and its peers'; {} would have been quiet \
                 ({basis})",
                name(self.called()),
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

fn volume(p: &Part, line: Option<&str>) -> String {
    let (n, window, m) = (number(p.observed), duration(p.window_ms), number(p.expected));
    let (low, high, quiet) = (number(p.low), number(p.high), number(p.quiet_at));
    let what = p.counted(line);
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
            "{n} {what} in {window} where about {m} are expected, {low} to {high} for all that is known, and too many \
             since {}; up to {quiet} would have been quiet",
            p.since
        ),
    }
}

pub(super) fn timing(pattern: Pattern) -> &'static str {
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
pub(super) fn seconds(s: f64) -> String {
    match s {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7_200.0 => format!("{:.0} minutes", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

pub(super) fn percent(share: f64) -> String {
    if share < 1e-4 { "under 0.01 %".to_owned() } else { format!("{} %", number(share * 100.0)) }
}

pub(super) fn number(x: f64) -> String {
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
