//! How far the counts of windows scatter around their means, and what is believed of it before enough is seen.

use serde::{Deserialize, Serialize};

/// Dispersion prior: 30 windows' weight and 1/r = 3 (same study, "Dispersion"). Agents work in sessions, so the Fano
/// factor starts at that of sessions of 5 calls (the median of the recorded ones, fixtures/agent-traces) and gives way
/// only to evidence, which comes with calls and not with idle windows: it weighs at least 30 calls.
const DISPERSION_WINDOWS: f64 = 30.0;
const DISPERSION_CALLS: f64 = 30.0;
pub(super) const DISPERSION_PRIOR: Dispersion = Dispersion { nb2: 3.0, fano: 4.0 };

/// How counts scatter beyond Poisson: variance = m + nb2·m² or m·(1 + fano), whichever is larger.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Dispersion {
    pub(super) nb2: f64,
    fano: f64,
}

impl Dispersion {
    /// Relative variance beyond Poisson at mean `m` (study: `1/r_eff`, never below 1e-3).
    pub(super) fn relative(self, m: f64) -> f64 {
        self.nb2.max(self.fano / m.max(1e-9)).max(1e-3)
    }
}

/// Moments of window counts around their means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Scatter {
    q: f64,
    m: f64,
    m2: f64,
    windows: f64,
}

impl Scatter {
    /// Adds `k` windows that each had `n` calls where `m` were expected. The excess is clipped at six deviations, as in
    /// the study, so that one wild window cannot excuse the next; where less than a call is expected the deviation is
    /// that of the size of one session.
    pub(super) fn add(&mut self, n: f64, m: f64, k: f64, now: Dispersion) {
        let spread = m + m * m * now.relative(m);
        let session = (1.0 + now.fano) * (1.0 + now.fano);
        let q = ((n - m) * (n - m)).min(36.0 * spread.max(session)) - m;
        self.q += k * q;
        self.m += k * m;
        self.m2 += k * m * m;
        self.windows += k;
    }

    pub(super) fn fade(&mut self, factor: f64) {
        for sum in [&mut self.q, &mut self.m, &mut self.m2, &mut self.windows] {
            *sum *= factor;
        }
    }

    /// Both moments, each with `prior` at the weight of 30 windows like the average one, or of 30 calls.
    pub(super) fn dispersion(&self, prior: Dispersion) -> Dispersion {
        let per_window = |sum: f64| if self.windows > 0.0 { sum / self.windows } else { 0.0 };
        let m = (DISPERSION_WINDOWS * per_window(self.m)).max(DISPERSION_CALLS);
        let m2 = DISPERSION_WINDOWS * per_window(self.m2);
        let blend = |sum: f64, weight: f64, prior: f64, prior_weight: f64| {
            let weight = weight + prior_weight;
            if weight > 0.0 { ((sum + prior * prior_weight) / weight).max(0.0) } else { prior }
        };
        Dispersion { nb2: blend(self.q, self.m2, prior.nb2, m2), fano: blend(self.q, self.m, prior.fano, m) }
    }
}
