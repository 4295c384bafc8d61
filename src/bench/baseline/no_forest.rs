//! Stands in for the random cut forest in builds without the feature `bench-baselines`: there is none.

use anyhow::Result;

pub(super) enum CutForest {}

impl CutForest {
    #[expect(clippy::unnecessary_wraps, reason = "a real forest can be refused")]
    pub(super) fn new(_seed: u64) -> Result<Option<Self>> {
        Ok(None)
    }

    pub(super) fn see(&mut self, _count: f64) -> Result<bool> {
        match *self {}
    }
}
