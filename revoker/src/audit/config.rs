//! The section `[audit]`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::config::Seconds;

/// The section `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Where signed heads are appended, best on another disk or machine; without it `audit.heads` in the data folder.
    pub heads_file: Option<PathBuf>,
    /// How often a head is signed where there is something new.
    pub head_every_s: Seconds,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { heads_file: None, head_every_s: Seconds::MINUTE }
    }
}
