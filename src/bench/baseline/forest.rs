//! A random cut forest (Guha et al., 2016) from the crate `rcf3`.

use anyhow::{Context, Result};
use rcf3::Forest;

use super::{SIGMAS, WINDOWS};

/// Trees and points a tree: the paper's and Amazon's defaults.
const TREES: usize = 50;
const POINTS: usize = 256;
/// The last four minutes are one point.
const SHINGLE: usize = 4;

/// Alarms when a point's score is three standard deviations over the mean of all scores before it.
pub(super) struct CutForest {
    forest: Forest,
    seen: f64,
    mean: f64,
    squares: f64,
}

impl CutForest {
    pub(super) fn new(seed: u64) -> Result<Option<Self>> {
        let forest = Forest::builder(1)
            .shingle_size(SHINGLE)
            .internal_shingling(true)
            .num_trees(TREES)
            .capacity(POINTS)
            .seed(seed)
            .build()
            .context("cannot build a random cut forest")?;
        Ok(Some(Self { forest, seen: 0.0, mean: 0.0, squares: 0.0 }))
    }

    pub(super) fn see(&mut self, count: f64) -> Result<bool> {
        let point = [count.ln_1p() as f32];
        let ready = self.forest.is_ready();
        let score = self
            .forest
            .update_and_score(&point)
            .with_context(|| format!("a random cut forest refuses a minute of {count} calls"))?;
        if !ready {
            return Ok(false);
        }
        let sd = (self.squares / self.seen.max(1.0)).sqrt();
        let alarm = self.seen > WINDOWS as f64 && score > self.mean + SIGMAS * sd;
        // Welford (1962).
        self.seen += 1.0;
        let off = score - self.mean;
        self.mean += off / self.seen;
        self.squares += off * (score - self.mean);
        Ok(alarm)
    }
}
