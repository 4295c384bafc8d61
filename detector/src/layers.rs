//! Who acted: the layers of trust one by one, and whether that was the agent itself.
//!
//! Nothing here is estimated: all of it is read off the levels that the families reach alone, and off what the call says that its
//! agent was known by before.

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use crate::combine::{Score, Thresholds};
use crate::signal::context::Caller;
use crate::{Attestation, EffectiveAttestation, Part, Pattern, Signal, Verdict};

/// What one layer has to say of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// It speaks for the agent as it is known.
    Agrees,
    /// Nothing is known.
    #[default]
    Silent,
    /// Alone it is over the watch budget.
    Doubts,
}

impl Trust {
    /// The name in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Silent => "silent",
            Self::Doubts => "doubts",
        }
    }

    fn of(doubts: bool, agrees: bool) -> Self {
        match (doubts, agrees) {
            (true, _) => Self::Doubts,
            (false, true) => Self::Agrees,
            (false, false) => Self::Silent,
        }
    }
}

/// The layers of trust, for people to read. Policy makes one use of them: where all that tells who calls agrees that it is the agent and
/// what it does speaks against it, they diverge, and what would else be answered by a revocation is a person's question. No layer adds to
/// the level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layers {
    /// Workload identity: how it was proved, with which kind of credential, on whose behalf.
    pub identity: Trust,
    /// From which network, and from one place at a time.
    pub context: Trust,
    /// What runs: model and client.
    pub runtime: Trust,
    /// What it does: how much, when, what, with what success.
    pub behaviour: Trust,
    /// What persons said of the agent lately. The detector knows of none and says nothing; who keeps the agent's standing fills it in.
    pub oversight: Trust,
}

impl Layers {
    /// Every layer with its name in files and tables.
    pub fn all(self) -> [(&'static str, Trust); 5] {
        [
            ("identity", self.identity),
            ("context", self.context),
            ("runtime", self.runtime),
            ("behaviour", self.behaviour),
            ("oversight", self.oversight),
        ]
    }

    fn vouch_for_caller(self) -> bool {
        [self.identity, self.context, self.runtime] == [Trust::Agrees; 3]
    }
}

/// The most patterns that say who did not call.
pub const ACTOR_REASONS_MAX: usize = 4;

/// Was it the legitimate one? Beside the level, which says whether what it did was unusual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// The agent itself, by what it proves and is known by.
    Legitimate,
    /// It cannot be told.
    #[default]
    Unclear,
    /// Somebody else: two of identity, context, runtime and pace say so, each alone over the watch budget or together by as much as a
    /// person is asked about.
    Impostor,
}

impl ActorKind {
    /// The name in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Legitimate => "legitimate",
            Self::Unclear => "unclear",
            Self::Impostor => "impostor",
        }
    }
}

/// Who acted, and what speaks against its being the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Whether it was the agent.
    pub is: ActorKind,
    /// What about the caller is over the watch budget; empty where nothing is.
    pub because: ArrayVec<Pattern, ACTOR_REASONS_MAX>,
}

impl Verdict {
    /// Whether all that tells who calls says that it is the agent itself, the pace of its calls too.
    pub fn vouches_for_caller(&self) -> bool {
        self.layers.vouch_for_caller() && self.actor.is == ActorKind::Legitimate
    }
}

impl Pattern {
    /// Whether it speaks of who calls, by pace: a person or a script in the agent's place.
    fn is_anothers_pace(self) -> bool {
        matches!(self, Self::HumanPaced | Self::MachineGun | Self::TooRegular)
    }
}

/// The layers of a call with such a score by an agent that is known for long enough or not, and who made it.
pub(crate) fn judge(
    score: &Score,
    (caller, attestation): (&Caller, EffectiveAttestation),
    is_established: bool,
    thresholds: &Thresholds,
) -> (Layers, Actor) {
    let of = |p: &&Part| matches!(p.signal, Signal::Volume | Signal::Timing | Signal::Endpoint);
    let over = score.parts.iter().filter(of).filter(|p| p.level >= thresholds.watch);
    let acts_doubt = over.clone().next().is_some() || caller.acts_doubt;
    let proved = attestation.get();
    let layers = Layers {
        identity: Trust::of(
            caller.identity == Trust::Doubts,
            caller.identity == Trust::Agrees && proved >= Attestation::Token,
        ),
        context: caller.network,
        runtime: caller.runtime,
        behaviour: Trust::of(acts_doubt, is_established),
        oversight: Trust::Silent,
    };
    let pace = over.clone().find(|p| p.signal == Signal::Timing && p.pattern.is_anothers_pace());
    // What is bound to a key or a platform does not leave it; a token can be carried away.
    let is_known = layers.identity == Trust::Agrees
        && (proved >= Attestation::Key || [layers.context, layers.runtime].contains(&Trust::Agrees));
    let because: ArrayVec<_, _> = caller.because.iter().copied().chain(pace.map(|p| p.pattern)).collect();
    let doubts = [layers.identity, layers.context, layers.runtime].map(|layer| layer == Trust::Doubts);
    let doubting = doubts.into_iter().filter(|doubts| *doubts).count() + usize::from(pace.is_some());
    let is = if doubting > 1 || caller.is_another {
        ActorKind::Impostor
    } else if is_known && because.is_empty() {
        ActorKind::Legitimate
    } else {
        ActorKind::Unclear
    };
    (layers, Actor { is, because })
}
