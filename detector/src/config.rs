//! The detector's settings.

use serde::{Deserialize, Serialize};

use crate::Budgets;

/// What an operator sets. Everything else is a constant with its source beside the formula that uses it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectorConfig {
    /// The most agents held in memory; past it the ones idle longest are dropped. At least 1.
    pub agents_max: usize,
    /// Accepted rates of false alarms; learning pauses for what is over them.
    #[serde(skip)]
    pub budgets: Budgets,
}

impl Default for DetectorConfig {
    fn default() -> Self {
        Self { agents_max: 1_000_000, budgets: Budgets::default() }
    }
}
