//! Why automatic action did less than the evidence asks for. Pure data, one kind for all of it: what is withheld is what
//! "would have" been done, and whoever reads it is told by what.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::governor::Governed;
use crate::policy::Demand;

/// What withholds an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Restraint {
    /// A person paused automatic action.
    Paused,
    /// The operator has it done in shadow: all but the last step.
    Shadow,
    /// The operator protects the agent: a person is asked at most.
    Protected,
    /// Many agents do the same at once; it may be a deploy, and may be an attack on all of them.
    Cohort,
    /// A rule of the policy says that no more follows.
    Rule,
    /// As many questions are open as there may be.
    Full,
    /// A person gave the agent its access back after the call was taken in.
    Answered,
    /// A cap on how much is done at once.
    Governor(Governed),
}

impl fmt::Display for Restraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused => f.write_str("automatic action is paused"),
            Self::Shadow => f.write_str("this is done in shadow only"),
            Self::Protected => f.write_str("the agent is protected"),
            Self::Cohort => f.write_str(
                "it is in a cohort incident, where a person decides; two may revoke a whole group (`tocsin agents propose`)",
            ),
            Self::Rule => f.write_str("a rule of the policy says that no more follows"),
            Self::Full => f.write_str("as many questions are open as there may be"),
            Self::Answered => f.write_str("a person gave the agent its access back after this was taken in"),
            Self::Governor(governed) => governed.fmt(f),
        }
    }
}

/// What would have been done, and what withheld it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Would {
    /// The strongest answer that was withheld.
    #[serde(rename = "would")]
    pub demand: Option<Demand>,
    /// By what, when it was first withheld.
    #[serde(default)]
    pub withheld: Option<Restraint>,
}

impl Would {
    /// It in words, where something was withheld.
    pub fn said(&self) -> Option<String> {
        let answer = match self.demand? {
            Demand::None | Demand::Watch => return None,
            Demand::StepUp => "would have asked a human",
            Demand::Revoke => "would have been revoked",
        };
        Some(match self.withheld {
            Some(why) => format!("{answer}: {why}"),
            None => answer.to_owned(),
        })
    }
}

/// What is done about a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The strongest answer that nothing withholds.
    pub does: Demand,
    /// What withholds the demand itself, where that is another.
    pub withheld: Option<Restraint>,
}

/// What may not be done automatically just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Withholding {
    step_up: Option<Restraint>,
    revoke: Option<Restraint>,
}

impl Withholding {
    /// The first reason given stands.
    pub(crate) fn add(&mut self, demand: Demand, why: Restraint) {
        match demand {
            Demand::None | Demand::Watch => {}
            Demand::StepUp => self.step_up = self.step_up.or(Some(why)),
            Demand::Revoke => self.revoke = self.revoke.or(Some(why)),
        }
    }

    pub(crate) fn of(self, demand: Demand) -> Option<Restraint> {
        match demand {
            Demand::None | Demand::Watch => None,
            Demand::StepUp => self.step_up,
            Demand::Revoke => self.revoke,
        }
    }

    /// A revocation falls back to a question, a question to an alert.
    pub(crate) fn answer(self, demand: Demand) -> Answer {
        match (self.of(demand), self.step_up) {
            (None, _) => Answer { does: demand, withheld: None },
            (Some(why), None) => Answer { does: Demand::StepUp, withheld: Some(why) },
            (Some(_), Some(why)) => Answer { does: Demand::Watch, withheld: Some(why) },
        }
    }
}
