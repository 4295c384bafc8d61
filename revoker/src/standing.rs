//! Where an agent stands. Plain data: what it may do follows from it, and only [`crate::lifecycle::step`] changes it.

use detector::{MicroBits, Timestamp, Trust};
use serde::{Deserialize, Serialize};

use crate::agent::CaseId;
use crate::config::WhileAsked;
use crate::policy::envelope::{Place, Touched, Used};
use crate::policy::{Blame, Demand, Evidence, within};
use crate::restraint::Would;

/// Where an agent stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum Standing {
    /// Nothing is held against it; what an agent never seen before is.
    #[default]
    Trusted,
    /// Let go on, and looked at.
    Watched(Watch),
    /// Must wait for a human.
    Challenged(Challenge),
    /// Let go on by a human; any relapse counts.
    Probation(Probation),
    /// Stopped for a time, which ends in probation.
    Suspended(Suspension),
    /// Stopped until a person reinstates it.
    Revoked(Revocation),
    /// Out of service; any later call is an alert.
    Retired(Retirement),
}

/// How long an agent has behaved normally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calm {
    /// Normal calls since `since`; stops counting at what policy asks for.
    pub calls: u32,
    /// When the last abnormal call was handled.
    pub since: Timestamp,
}

/// An agent that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// How calm it has been.
    pub calm: Calm,
    /// What was withheld.
    #[serde(flatten)]
    pub would: Would,
    /// Whether the people who watch were told of a broken rule.
    #[serde(default)]
    pub rule_told: bool,
    /// What the evidence speaks of.
    #[serde(default)]
    pub touched: Touched,
    /// Whose it is.
    #[serde(default)]
    pub blame: Blame,
    /// Whether a part of the agent was ended for evidence that no longer counts: whatever it shows now is the agent's own.
    #[serde(default)]
    pub after_part: Option<Answered>,
}

impl Watch {
    /// Begins at `now`, with nothing held against the agent by a call.
    pub(crate) fn since(now: Timestamp) -> Self {
        Self {
            calm: Calm { calls: 0, since: now },
            would: Would::default(),
            rule_told: false,
            touched: Touched::default(),
            blame: Blame::default(),
            after_part: None,
        }
    }
}

/// How far a challenge has come. Five answers in all, told apart everywhere; the other two, approved and superseded,
/// end the challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A human is being asked.
    Pending,
    /// A human said no.
    Denied,
    /// Nobody answered in time.
    Expired,
}

/// An agent that must wait for a human.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Challenge {
    /// The question put to the human.
    pub case: CaseId,
    /// How far it has come.
    pub phase: Phase,
    /// Until then the question stands, and after a denial no new one is asked.
    pub until: Timestamp,
    /// The highest level of evidence since it was opened: what a human who approves now answers for.
    pub peak: MicroBits,
    /// The newest call (event time) that `peak` covers.
    pub covers: Timestamp,
    /// Whether the identity was attested well enough to revoke without a person when nobody answers.
    pub attested: bool,
    /// Evidence answered for before this challenge, which does not count against the agent again.
    pub answered: Answered,
    /// What was withheld.
    #[serde(flatten)]
    pub would: Would,
    /// What the question is about.
    #[serde(default)]
    pub asked: Place,
    /// What the evidence speaks of, which waits whatever it is.
    #[serde(default)]
    pub touched: Touched,
    /// What went on since the question was asked.
    #[serde(default)]
    pub used: Used,
    /// Whose the evidence is; none where nothing less than the agent would be ended.
    #[serde(default)]
    pub blame: Option<Blame>,
    /// What the agent does until a human has answered.
    #[serde(default)]
    pub meanwhile: Meanwhile,
}

/// What an agent does while a human is asked, as it came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meanwhile {
    /// It waits at the gate.
    #[default]
    Waits,
    /// Its access has ended.
    Suspended {
        /// When.
        since: Timestamp,
        /// What it did after.
        acting: Acting,
    },
    /// It goes on.
    GoesOn,
}

impl Meanwhile {
    /// Which of the policy's choices is in force.
    pub fn in_force(self) -> WhileAsked {
        match self {
            Self::Waits => WhileAsked::Gate,
            Self::Suspended { .. } => WhileAsked::Suspend,
            Self::GoesOn => WhileAsked::Observe,
        }
    }
}

/// Evidence that a person has looked at and let go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The level the person answered for.
    pub level: MicroBits,
    /// The newest call (event time) it covers. What is from before it is judged against `level`, however late it
    /// comes or however often it is repeated.
    pub covers: Timestamp,
    /// What is left of it for newer calls: falls with the agent's level and rises again by admitted calls and those set aside alone.
    pub left: MicroBits,
    /// When a person gave the agent its access back: what records tell that were taken in before is answered for, however strong it
    /// turns out to be, and what later ones tell is new, however they are dated.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// The strongest that was asked for and not done because of `until`: it is told once.
    #[serde(default)]
    pub set_aside: Option<Demand>,
}

impl Answered {
    /// The same, by a person who gives the agent its access back at `at`.
    pub(crate) fn given_back(self, at: Timestamp) -> Self {
        Self { until: Some(at), set_aside: None, ..self }
    }

    /// Whether its record was taken in before the agent was given its access back, where both is known.
    fn is_older(&self, evidence: &Evidence) -> Option<bool> {
        evidence.taken_in.zip(self.until).map(|(taken_in, until)| taken_in < until)
    }

    /// Whether it is from before what the person saw.
    fn is_seen(&self, evidence: &Evidence) -> bool {
        evidence.ts <= self.covers && self.is_older(evidence) != Some(false)
    }

    /// Whether it is answered for whatever it says.
    pub(crate) fn holds_for(&self, evidence: &Evidence) -> bool {
        self.is_older(evidence) == Some(true) && evidence.gone.is_none()
    }

    /// The same without what goes by when a record was taken in.
    pub(crate) fn as_seen(self) -> Self {
        Self { until: None, left: self.level, ..self }
    }

    /// How much of this evidence's level a person has answered for.
    pub(crate) fn bits(&self, evidence: &Evidence) -> MicroBits {
        if self.holds_for(evidence) {
            return evidence.level;
        }
        let base = if self.is_seen(evidence) { self.level.max(self.left) } else { self.left };
        if evidence.admitted { within(base + evidence.added.max(MicroBits::ZERO)) } else { base }
    }

    /// The evidence without what a person has answered for beside its level: a call they approved, and the rest of a
    /// breach that began before what they saw.
    pub(crate) fn unanswered(&self, evidence: &Evidence) -> Evidence {
        let rule = evidence
            .rule
            .filter(|rule| !evidence.admitted && rule.since > self.covers && !self.holds_for(evidence));
        Evidence { rule, ..*evidence }
    }

    /// What remains answered for after this evidence was judged.
    pub(crate) fn after(mut self, evidence: &Evidence) -> Self {
        if self.holds_for(evidence) {
            self.left = within(self.left + evidence.added).min(evidence.level).max(MicroBits::ZERO);
            self.covers = self.covers.max(evidence.ts.min(self.until.unwrap_or(evidence.ts)));
            return self;
        }
        if evidence.admitted {
            self.left = self.bits(evidence);
        }
        if !self.is_seen(evidence) {
            self.left = self.left.min(evidence.level.max(MicroBits::ZERO));
        }
        self
    }
}

/// An agent on probation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probation {
    /// How calm it has been.
    pub calm: Calm,
    /// Evidence that no longer counts.
    pub answered: Answered,
    /// What was withheld.
    #[serde(flatten)]
    pub would: Would,
    /// Whether the people who watch were told of a broken rule.
    #[serde(default)]
    pub rule_told: bool,
    /// What the human approved, which goes on although it is grave.
    #[serde(default)]
    pub approved: Option<Place>,
}

/// An agent stopped for a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspension {
    /// When it was suspended.
    pub since: Timestamp,
    /// When it ends, in probation.
    pub until: Timestamp,
    /// Evidence known when it was suspended or seen since.
    pub peak: MicroBits,
    /// The newest call (event time) that `peak` covers.
    pub covers: Timestamp,
    /// What it did after.
    #[serde(default)]
    pub acting: Acting,
}

/// An agent whose access was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revocation {
    /// Tokens issued and calls made before are void; whatever comes after is "still acting".
    pub not_before: Timestamp,
    /// Evidence known when it was revoked or seen since.
    pub peak: MicroBits,
    /// The newest call (event time) that `peak` covers.
    pub covers: Timestamp,
    /// What it did after.
    pub acting: Acting,
}

/// An agent out of service.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retirement {
    /// Since when.
    pub since: Timestamp,
    /// What it did after.
    pub acting: Acting,
}

/// Calls made by an agent that should make none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acting {
    /// How many.
    pub calls: u64,
    /// When that was last told.
    pub told: Option<Timestamp>,
}

impl Standing {
    /// The name in lists, webhooks and answers.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Watched(_) => "watched",
            Self::Challenged(_) => "challenged",
            Self::Probation(_) => "probation",
            Self::Suspended(_) => "suspended",
            Self::Revoked(_) => "revoked",
            Self::Retired(_) => "retired",
        }
    }

    /// The case a human may still answer or has answered without ending it.
    pub fn case(&self) -> Option<CaseId> {
        match self {
            Self::Challenged(c) => Some(c.case),
            _ => None,
        }
    }

    /// What the agent did after its access had ended, where it has.
    pub fn acting(&self) -> Option<Acting> {
        match self {
            Self::Challenged(Challenge { meanwhile: Meanwhile::Suspended { acting, .. }, .. }) => {
                Some(*acting)
            }
            Self::Suspended(s) => Some(s.acting),
            Self::Revoked(r) => Some(r.acting),
            Self::Retired(r) => Some(r.acting),
            Self::Trusted | Self::Watched(_) | Self::Probation(_) | Self::Challenged(_) => None,
        }
    }

    /// What persons said of the agent lately. A revocation may be nobody's word, and a question without an answer is none.
    pub fn oversight(&self) -> Trust {
        match self {
            Self::Probation(_) => Trust::Agrees,
            Self::Challenged(Challenge { phase: Phase::Denied, .. })
            | Self::Suspended(_)
            | Self::Retired(_) => Trust::Doubts,
            Self::Trusted | Self::Watched(_) | Self::Challenged(_) | Self::Revoked(_) => Trust::Silent,
        }
    }

    /// What automatic action would have done, and what withheld it.
    pub fn would(&self) -> Would {
        match self {
            Self::Watched(w) => w.would,
            Self::Challenged(c) => c.would,
            Self::Probation(p) => p.would,
            Self::Trusted | Self::Suspended(_) | Self::Revoked(_) | Self::Retired(_) => Would::default(),
        }
    }

    /// When this standing changes by time alone, if it does.
    pub fn due(&self) -> Option<Timestamp> {
        match self {
            Self::Challenged(c) if c.phase == Phase::Pending => Some(c.until),
            Self::Suspended(s) => Some(s.until),
            _ => None,
        }
    }

    /// Evidence a person who lets the agent go on now has before them.
    pub(crate) fn known(&self) -> Answered {
        let (level, covers, before) = match self {
            Self::Challenged(c) => (c.peak, c.covers, c.answered),
            Self::Suspended(s) => (s.peak, s.covers, Answered::default()),
            Self::Revoked(r) => (r.peak, r.covers, Answered::default()),
            Self::Probation(p) => (p.answered.level, p.answered.covers, p.answered),
            Self::Watched(Watch { after_part: Some(answered), .. }) => {
                (answered.level, answered.covers, *answered)
            }
            Self::Trusted | Self::Watched(_) | Self::Retired(_) => return Answered::default(),
        };
        Answered { level, covers, left: level, ..before }
    }
}
