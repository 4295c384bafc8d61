//! The detector: calls in event order in, verdicts out.

use serde::{Deserialize, Serialize};

use crate::{Call, DetectorConfig, Manifest, Timestamp, Verdict};

/// Scores every call against its agent's own past and the fleet's. Reads no clock and does no IO.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Detector {
    config: DetectorConfig,
}

impl Detector {
    /// A detector that has seen nothing yet.
    pub fn new(config: DetectorConfig, _manifests: Vec<Manifest>) -> Self {
        Self { config }
    }

    /// Scores one record. `None` for records that are no call.
    pub fn observe(&mut self, _call: &Call<'_>) -> Option<Verdict> {
        None
    }

    /// Event time has reached `watermark`.
    pub fn tick(&mut self, _watermark: Timestamp) {}
}
