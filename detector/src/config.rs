//! The detector's settings.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Budgets, Providers, RuleKind, RuleRanks};

/// What an operator sets. Everything else is a constant with its source beside the formula that uses it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectorConfig {
    /// The most agents held in memory, and as many more as dormant ones; past it idle agents and newcomers go first. At
    /// least 1.
    pub agents_max: usize,
    /// How often an agent may make the same call, arguments and all, within a minute; 0 for any number. A manifest may say
    /// otherwise for its agent.
    pub repeats_per_minute_max: u32,
    /// The same where the log does not say with which arguments a call was made.
    pub repeats_without_args_per_minute_max: u32,
    /// Files that name paths' templates: `OpenAPI` documents (YAML or JSON), or lists, one `GET /users/{id}` a line.
    pub openapi: Vec<String>,
    /// What stands in those files, read by whoever reads files.
    #[serde(skip)]
    pub templates: Vec<String>,
    /// Accepted rates of false alarms; learning pauses for what is over them.
    #[serde(skip)]
    pub budgets: Budgets,
    /// A table of whose networks are whose: a CSV file of `cidr,provider`. Optional: without it a prefix stands for a provider.
    pub networks_file: Option<String>,
    /// What stands in that file, read by whoever reads files.
    #[serde(skip)]
    pub providers: Arc<Providers>,
    /// Whether sessions are compared with peer groups that were found, too, and not with declared ones alone: it finds what is foreign to a
    /// group and not to the fleet, and asks more often for nothing (`ARCHITECTURE.md`).
    pub compare_with_found_groups: bool,
    /// Whether versions of baselines are told, see [`crate::Detector::baselines`]; for whoever takes them.
    #[serde(skip)]
    pub keeps_baselines: bool,
    /// Whether every call says how odd its session is, were it over, see [`crate::Oddness`]; for who ranks sessions of a recorded log.
    #[serde(skip)]
    pub ranks_sessions: bool,
    /// How much is asked for each rule that a call breaks.
    #[serde(skip)]
    pub rule_ranks: RuleRanks,
}

impl Default for DetectorConfig {
    fn default() -> Self {
        Self {
            agents_max: 1_000_000,
            // Five a second is a loop's pace, not a poll's.
            repeats_per_minute_max: 300,
            repeats_without_args_per_minute_max: 3_000,
            openapi: Vec::new(),
            templates: Vec::new(),
            budgets: Budgets::default(),
            networks_file: None,
            providers: Arc::default(),
            compare_with_found_groups: false,
            keeps_baselines: false,
            ranks_sessions: false,
            rule_ranks: [0; RuleKind::ALL.len()],
        }
    }
}
