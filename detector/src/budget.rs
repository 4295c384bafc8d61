//! What an operator accepts: how often a normal agent may be bothered for nothing.

use serde::{Deserialize, Serialize};

use crate::MicroBits;

/// An accepted rate of false alarms for one agent, given as the days between two of them. Positive and finite.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Budget {
    days_between: f64,
}

/// The number is not a budget.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
#[error("{0} is not a number of days between false alarms: it must be positive and finite")]
pub struct BudgetError(pub f64);

impl Budget {
    /// At most one false alarm in this many days.
    pub fn once_in_days(days: f64) -> Result<Self, BudgetError> {
        if days.is_finite() && days > 0.0 { Ok(Self { days_between: days }) } else { Err(BudgetError(days)) }
    }

    /// Days between two false alarms.
    pub fn days(self) -> f64 {
        self.days_between
    }

    /// The evidence that spends it: −log2 of the accepted recurrences per day.
    pub fn threshold(self) -> MicroBits {
        MicroBits::from_bits(self.days_between.log2())
    }
}

impl TryFrom<f64> for Budget {
    type Error = BudgetError;
    fn try_from(days: f64) -> Result<Self, BudgetError> {
        Self::once_in_days(days)
    }
}

impl From<Budget> for f64 {
    fn from(budget: Budget) -> f64 {
        budget.days_between
    }
}

/// The operator's three budgets, in days between false alarms per agent. Each is at least as rare as the one before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawBudgets", into = "RawBudgets")]
pub struct Budgets {
    watch: Budget,
    step_up: Budget,
    revoke: Budget,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_field_names, reason = "the keys of the configuration name their unit")]
struct RawBudgets {
    watch_days: f64,
    step_up_days: f64,
    revoke_days: f64,
}

impl Default for RawBudgets {
    fn default() -> Self {
        Budgets::default().into()
    }
}

/// The three budgets do not fit together.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
pub enum BudgetsError {
    /// One of them is not a budget.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// A stronger answer would come more often than a weaker one.
    #[error("budgets must grow: watch_days {watch} <= step_up_days {step_up} <= revoke_days {revoke}")]
    Order {
        /// Days between false watches.
        watch: f64,
        /// Days between false step-ups.
        step_up: f64,
        /// Days between false revocations.
        revoke: f64,
    },
}

impl Budgets {
    /// Days between false watches, step-ups and revocations.
    pub fn new(watch_days: f64, step_up_days: f64, revoke_days: f64) -> Result<Self, BudgetsError> {
        let [watch, step_up, revoke] =
            [Budget::try_from(watch_days)?, Budget::try_from(step_up_days)?, Budget::try_from(revoke_days)?];
        if watch <= step_up && step_up <= revoke {
            Ok(Self { watch, step_up, revoke })
        } else {
            Err(BudgetsError::Order { watch: watch_days, step_up: step_up_days, revoke: revoke_days })
        }
    }

    /// Evidence at which an agent is watched.
    pub fn watch(self) -> MicroBits {
        self.watch.threshold()
    }

    /// Evidence at which a human must approve.
    pub fn step_up(self) -> MicroBits {
        self.step_up.threshold()
    }

    /// Days between two false step-ups.
    pub(crate) fn step_up_days(self) -> f64 {
        self.step_up.days()
    }

    /// Evidence at which access is revoked.
    pub fn revoke(self) -> MicroBits {
        self.revoke.threshold()
    }
}

impl Default for Budgets {
    /// Once in 7 days, 90 days and 10 years (design: detection, "The promise").
    fn default() -> Self {
        Self {
            watch: Budget { days_between: 7.0 },
            step_up: Budget { days_between: 90.0 },
            revoke: Budget { days_between: 3_652.5 },
        }
    }
}

impl TryFrom<RawBudgets> for Budgets {
    type Error = BudgetsError;
    fn try_from(raw: RawBudgets) -> Result<Self, BudgetsError> {
        Self::new(raw.watch_days, raw.step_up_days, raw.revoke_days)
    }
}

impl From<Budgets> for RawBudgets {
    fn from(b: Budgets) -> Self {
        Self { watch_days: b.watch.days(), step_up_days: b.step_up.days(), revoke_days: b.revoke.days() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_the_designs() {
        let b = Budgets::default();
        assert_eq!(
            [b.watch().to_string(), b.step_up().to_string(), b.revoke().to_string()],
            ["2.8", "6.5", "11.8"]
        );
        assert!(Budgets::new(7.0, 3.0, 90.0).is_err());
        assert!(Budgets::new(f64::NAN, 3.0, 90.0).is_err());
    }
}
