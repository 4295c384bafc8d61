//! What of a verdict counts as an alarm.

use std::time::Duration;

use detector::{Budgets, Kind, MicroBits, Signal, Timestamp, Verdict};
use revoker::policy::Evidence;
use serde::Serialize;

/// After an alarm its kind rests for a day, as in the study. A level that is then still over the threshold alarms
/// again: the stricter reading of "crosses".
const REARM: Duration = Duration::from_hours(24);

/// How many kinds of alarm there are.
pub(crate) const GRADES: usize = 5;

/// Which evidence is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Lens {
    /// Volume as if it alone counted.
    Volume,
    /// Timing as if it alone counted.
    Timing,
    /// The verdict, as an operator gets it.
    Combined,
}

impl Lens {
    pub(crate) const ALL: [Self; 3] = [Self::Volume, Self::Timing, Self::Combined];

    /// The part of what an operator accepts for nothing that may be heard through it.
    pub(crate) fn share(self) -> f64 {
        match self {
            Self::Volume => Signal::Volume.share(),
            Self::Timing => Signal::Timing.share(),
            Self::Combined => 1.0,
        }
    }
}

/// The kinds of alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Grade {
    Watch,
    /// The level is over the budget of step-ups,
    StepUpLevel,
    /// and not because of what its peers do at once.
    StepUp,
    /// The level is over the budget of revocations,
    RevokeLevel,
    /// and the second witness that policy wants speaks too.
    Revoke,
}

impl Grade {
    pub(crate) const ALL: [Self; GRADES] =
        [Self::Watch, Self::StepUpLevel, Self::StepUp, Self::RevokeLevel, Self::Revoke];

    /// What many of them are called.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Watch => "watches",
            Self::StepUpLevel => "levels over the budget of step-ups",
            Self::StepUp => "step-ups",
            Self::RevokeLevel => "levels over the budget of revokes",
            Self::Revoke => "revokes",
        }
    }

    /// The evidence that sets it off.
    pub(crate) fn threshold(self, budgets: Budgets) -> MicroBits {
        match self {
            Self::Watch => budgets.watch(),
            Self::StepUpLevel | Self::StepUp => budgets.step_up(),
            Self::RevokeLevel | Self::Revoke => budgets.revoke(),
        }
    }

    /// Whether policy wants more than the level for it, and this verdict has none.
    pub(crate) fn is_withheld(self, verdict: &Verdict, lens: Lens, threshold: MicroBits) -> bool {
        let evidence = Evidence::new(Kind::Call, verdict);
        let is_cohorts = lens == Lens::Combined && evidence.own < threshold && verdict.rule.is_none();
        match self {
            Self::Watch | Self::StepUpLevel | Self::RevokeLevel => false,
            Self::StepUp => is_cohorts,
            Self::Revoke => is_cohorts || !evidence.is_witnessed(true),
        }
    }

    /// How many of them an agent may have for nothing in 90 days.
    pub(crate) fn budget_90d(self, budgets: Budgets) -> f64 {
        90.0 / budget_days(self, budgets)
    }

    /// Minutes between two that are accepted for nothing.
    pub(crate) fn budget_minutes(self, budgets: Budgets) -> f64 {
        budget_days(self, budgets) * 1_440.0
    }
}

/// Bits are the logarithm of the days between two recurrences, to a millionth; no budget is set finer than this.
fn budget_days(grade: Grade, budgets: Budgets) -> f64 {
    (grade.threshold(budgets).as_bits().exp2() * 100.0).round() / 100.0
}

/// The level of one family of signals as if it alone counted, at its share of the budget.
fn family_level(verdict: &Verdict, lens: Lens) -> MicroBits {
    let own = |signal| verdict.part(signal).map_or(MicroBits::ZERO, |part| part.level);
    match lens {
        Lens::Volume => own(Signal::Volume),
        Lens::Timing => own(Signal::Timing),
        // A broken rule asks for a person whatever the level.
        Lens::Combined if verdict.rule.is_some() => verdict.level.max(Budgets::default().step_up()),
        Lens::Combined => verdict.level,
    }
}

/// A verdict's level through each lens, in the order of [`Lens::ALL`].
pub(crate) fn levels(verdict: &Verdict) -> [MicroBits; 3] {
    Lens::ALL.map(|lens| family_level(verdict, lens))
}

/// How many alarms one agent raised: by lens, by grade.
pub(crate) type Counts = [[u32; GRADES]; 3];

/// Listens to one agent for false alarms.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ear {
    resting_until: [[Timestamp; GRADES]; 3],
    pub(crate) all: Counts,
    /// Those after the agent's first two weeks.
    pub(crate) late: Counts,
}

impl Ear {
    /// Hears a verdict at `at`. True if the operator is asked: a step-up or a revocation of the combined verdict.
    pub(crate) fn hear(
        &mut self,
        verdict: &Verdict,
        at: Timestamp,
        late: bool,
        thresholds: [MicroBits; GRADES],
    ) -> bool {
        let levels = levels(verdict);
        let mut asked = false;
        for (lens, level) in levels.into_iter().enumerate() {
            for (grade, threshold) in thresholds.into_iter().enumerate() {
                if level < threshold
                    || at < self.resting_until[lens][grade]
                    || Grade::ALL[grade].is_withheld(verdict, Lens::ALL[lens], threshold)
                {
                    continue;
                }
                self.resting_until[lens][grade] = at + REARM;
                self.all[lens][grade] += 1;
                self.late[lens][grade] += u32::from(late);
                asked |= Lens::ALL[lens] == Lens::Combined && Grade::ALL[grade] == Grade::StepUp;
            }
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_the_operators() {
        let b = Budgets::default();
        assert!((Grade::Watch.budget_90d(b) - 90.0 / 7.0).abs() < 1e-3);
        assert!((Grade::StepUp.budget_minutes(b) - 129_600.0).abs() < 0.1);
    }

    #[test]
    fn an_alarm_rests_for_a_day_and_comes_again() {
        let mut detector = detector::Detector::new(detector::DetectorConfig::default(), &[]);
        let call = detector::Call::new("e", Timestamp::from_millis(0), "a", "x");
        let mut verdict = detector.observe(&call).unwrap();
        let thresholds = Grade::ALL.map(|g| g.threshold(Budgets::default()));
        let mut ear = Ear::default();
        verdict.level = MicroBits::from_bits(7.0);
        let at = |hours: u64| Timestamp::from_millis(0) + Duration::from_hours(hours);
        let asked: Vec<bool> =
            [0, 1, 23, 24, 30].map(|h| ear.hear(&verdict, at(h), h > 20, thresholds)).to_vec();
        assert_eq!(asked, [true, false, false, true, false]);
        assert_eq!((ear.all[2], ear.late[2]), ([2, 2, 2, 0, 0], [1, 1, 1, 0, 0]));
    }
}
