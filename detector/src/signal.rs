//! What every signal tells the detector of one call. One signal, one file.

pub(crate) mod context;
pub(crate) mod endpoint;
pub(crate) mod session;
pub(crate) mod tail;
pub(crate) mod timing;
pub(crate) mod volume;

use libm::log2;

use crate::bits::rounded;
use crate::combine::{CALLS_SHARE, DRIFT_SHARE, GroupShare, SESSION_SHARE};
use crate::verdict::Pattern;
use crate::{History, Timestamp};

/// How strong a signal's evidence is, as a recurrence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Strength {
    /// −log2 of the share of occasions on which a normal agent would show the like, ≥ 0.
    pub(crate) bits: f64,
    /// Logarithm, to base 2, of such occasions a day.
    pub(crate) looks: f64,
}

impl Strength {
    /// Nothing stands out: a normal agent shows that every minute, 1,440 times a day.
    pub(crate) const CALM: Self = Self { bits: 0.0, looks: 10.491_853_096_329_674 };

    /// Evidence of an occasion that comes `per_day` > 0 times a day.
    pub(crate) fn new(bits: f64, per_day: f64) -> Self {
        Self { bits, looks: log2(per_day) }
    }

    /// −log2 of the recurrences a day.
    pub(crate) fn level(self) -> f64 {
        self.bits - self.looks
    }

    /// The same as one of several groups that look, with such a share of what they may say; nothing is still nothing.
    fn at_share(self, share: GroupShare) -> Self {
        if self == Self::CALM { self } else { Self { looks: self.looks - share.log2, ..self } }
    }

    /// The stronger of two.
    pub(crate) fn max(self, other: Self) -> Self {
        if other.level() > self.level() { other } else { self }
    }
}

/// How often a family may be wrong: where a person is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Alarm {
    /// Days between two false ones.
    pub(crate) days: f64,
    /// Their logarithm to base 2: the level at which it is raised.
    pub(crate) level: f64,
}

impl Alarm {
    /// Once in so many days.
    pub(crate) fn once_in(days: f64) -> Self {
        Self { days, level: log2(days) }
    }
}

/// The numbers behind one signal's evidence, as in [`crate::Part`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Story {
    pub(crate) pattern: Pattern,
    pub(crate) observed: f64,
    pub(crate) expected: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) window_ms: u64,
    pub(crate) since: Timestamp,
    pub(crate) history: History,
}

/// One signal's evidence after one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    /// Just before the call,
    pub(crate) before: Strength,
    /// and after it.
    pub(crate) now: Strength,
    pub(crate) story: Story,
}

impl Evidence {
    /// This with such a share of what its family may say for nothing.
    pub(crate) fn at_share(self, share: GroupShare) -> Self {
        Self { before: self.before.at_share(share), now: self.now.at_share(share), ..self }
    }

    /// This beside what another group of the same family says: the stronger counts.
    pub(crate) fn beside(self, other: Option<Self>) -> Self {
        let Some(other) = other else { return self };
        let is_others = other.now.level() > self.now.level() && other.story.pattern != Pattern::AsUsual;
        let story = if is_others { other.story } else { self.story };
        Self { before: self.before.max(other.before), now: self.now.max(other.now), story }
    }

    /// What endpoint says: of calls one by one, of their session and of the agent's sessions over time.
    pub(crate) fn of_endpoint(calls: Self, session: Option<Self>, drift: Option<Self>) -> Self {
        calls
            .at_share(CALLS_SHARE)
            .beside(session.map(|session| session.at_share(SESSION_SHARE)))
            .beside(drift.map(|drift| drift.at_share(DRIFT_SHARE)))
    }
}

/// `n` observations whose weights are `own` and, of the rest, peers or prior.
///
/// The shares are thousandths and sum to 1,000: the rest after rounding `own` goes to the peers once there is a model
/// of them, to the prior before.
pub(crate) fn history(n: f64, own: f64, has_peers: bool) -> History {
    let own = rounded(own.clamp(0.0, 1.0) * 1_000.0) as u16;
    let rest = 1_000 - own;
    let (peers, prior) = if has_peers { (rest, 0) } else { (0, rest) };
    History { n: n.min(f64::from(u32::MAX)) as u32, prior, peers, own }
}
