//! What the monitor tells people.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Monitor;
use crate::combine::{FAMILIES, SHARES, Thresholds};
use crate::{MicroBits, Signal, Timestamp};

/// Agents that are held to a budget together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerGroup {
    /// All there are: one fleet stands in for peer groups.
    Fleet,
}

impl PeerGroup {
    /// The name in answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
        }
    }
}

/// The budgets that are monitored. Of false revocations, once in ten years, a fleet raises too few to test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Levels over the watch budget,
    Watch,
    /// and those at which a person is asked.
    StepUp,
}

impl Grade {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Watch, Self::StepUp];

    /// The name in answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::StepUp => "step_up",
        }
    }

    /// What several of them are called.
    fn plural(self) -> &'static str {
        match self {
            Self::Watch => "watches",
            Self::StepUp => "step-ups",
        }
    }
}

impl Thresholds {
    /// The level of each [`Grade`].
    pub(super) fn by_grade(&self) -> [MicroBits; Grade::ALL.len()] {
        Grade::ALL.map(|grade| match grade {
            Grade::Watch => self.watch,
            Grade::StepUp => self.step_up,
        })
    }
}

/// Whether a peer group keeps one budget. Every count is faded: what was counted 21 days ago counts half.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FleetHealth {
    /// Whose,
    pub group: PeerGroup,
    /// and which budget.
    pub grade: Grade,
    /// Alarms: an agent's level over the budget, at most once in 24 hours.
    pub alarms: f64,
    /// Those of the agent that raised most. They stay out of the test.
    pub of_one_agent: f64,
    /// Days that agents were known: from call to call, of a pause at most 7 days.
    pub agent_days: f64,
    /// Alarms that the budget allows in them.
    pub expected: f64,
    /// Chance of as many alarms as the other agents raised, or more, where the budget is kept.
    pub p_value: f64,
    /// Since when the budget has been exceeded; none while it is kept.
    pub exceeded_since: Option<Timestamp>,
    /// The same by signal.
    pub families: [FamilyHealth; FAMILIES],
}

/// A signal's part in a group's alarms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FamilyHealth {
    /// Which signal.
    pub signal: Signal,
    /// Alarms that were its own, faded.
    pub alarms: f64,
    /// Alarms that its share of the budget allows.
    pub expected: f64,
    /// How much wider than their own excursions say the group's tails are read, 1 to 2. Both budgets read them alike.
    pub widening: f64,
}

impl Monitor {
    /// What has been counted up to the last publication.
    pub(crate) fn health(&self, group: PeerGroup) -> Vec<FleetHealth> {
        let of = |(grade, book): (Grade, &super::Book)| FleetHealth {
            group,
            grade,
            alarms: book.alarms.iter().sum(),
            of_one_agent: book.most,
            agent_days: self.agent_days,
            expected: book.expected,
            p_value: book.p_value(),
            exceeded_since: book.exceeded_since,
            families: std::array::from_fn(|family| FamilyHealth {
                signal: SHARES[family].signal,
                alarms: book.alarms[family],
                expected: book.expected_of(family),
                widening: self.widening.of(family),
            }),
        };
        Grade::ALL.into_iter().zip(&self.books).map(of).collect()
    }
}

impl fmt::Display for FleetHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { alarms, agent_days, expected, .. } = self;
        write!(
            f,
            "the {} raised {alarms:.1} {} in {agent_days:.0} agent-days where the budget allows {expected:.1}",
            self.group.as_str(),
            self.grade.plural()
        )?;
        let mut separator = " (";
        for family in &self.families {
            write!(f, "{separator}{} {:.1}", family.signal.as_str(), family.alarms)?;
            separator = ", ";
        }
        f.write_str("; chance brings those of all but the agent that raised most in ")?;
        match self.p_value * 100.0 {
            chance if chance < 0.01 => f.write_str("under 0.01 %")?,
            chance => write!(f, "{chance:.2} %")?,
        }
        f.write_str(" of cases)")?;
        for family in self.families.iter().filter(|family| family.widening > 1.0) {
            write!(f, "; tails of {} are read {:.2} times as wide", family.signal.as_str(), family.widening)?;
        }
        Ok(())
    }
}
