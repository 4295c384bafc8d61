//! One window length: the window that is open, its CUSUMs, and how counts of this length scatter.

use libm::log;
use serde::{Deserialize, Serialize};

use super::ratio::Lines;
use super::scatter::{Clumps, Echo, Scatter, Shape};
use crate::stored::Stored;

/// Expected calls over a stretch of time: the mean, and the two edges of its credibility band.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Expected {
    pub(super) mean: f64,
    pub(super) high: f64,
    pub(super) low: f64,
}

impl Expected {
    /// Over so many times as long.
    pub(super) fn over(self, times: f64) -> Self {
        Self { mean: self.mean * times, high: self.high * times, low: self.low * times }
    }
}

/// The state of one scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Scale<S> {
    /// Calls in the open window.
    pub(super) n: u32,
    /// Expected in it up to the start of the present cell: by the profile alone, and with what the echo makes of it.
    profile: S,
    mean: S,
    high: S,
    low: S,
    pub(super) echo: Echo<S>,
    pub(super) scatter: Scatter<S>,
    pub(super) clumps: Clumps<S>,
    /// Logarithms of the scatter's two numbers; open windows interpolate between scales in them.
    pub(super) ln_relative: S,
    pub(super) ln_fano: S,
    /// CUSUMs at the start of the window, and how many windows ago each was last zero, 255 at most.
    pub(super) up: [S; 5],
    pub(super) up_age: [u8; 5],
    pub(super) down: [S; 3],
    pub(super) down_age: [u8; 3],
}

/// The linear moment is never taken for less than this in a logarithm (study: 1e-4).
const LN_FANO_MIN: f64 = 1e-4;

impl<S: Stored> Scale<S> {
    /// A scale whose windows are expected to hold `m` calls.
    pub(super) fn new(m: f64) -> Self {
        let mut scale = Self {
            echo: Echo::new(),
            scatter: Scatter::prior(m),
            clumps: Clumps::prior(),
            ..Self::default()
        };
        scale.refresh();
        scale
    }

    /// The shape of whole windows.
    pub(super) fn shape(&self) -> Shape {
        let Shape { relative, fano } = self.scatter.shape();
        Shape { relative, fano: fano.max(self.clumps.fano()) }
    }

    /// Brings the logarithms up to date.
    pub(super) fn refresh(&mut self) {
        self.ln_relative = S::put(log(self.scatter.relative()));
        self.ln_fano = S::put(log(self.scatter.fano().max(LN_FANO_MIN)));
    }

    /// Expected in the open window so far, where `more` came since the cell began.
    pub(super) fn expected(&self, more: Expected) -> Expected {
        let factor = self.echo.factor();
        Expected {
            mean: self.mean.get() + more.mean * factor,
            high: self.high.get() + more.high * factor.max(1.0),
            low: self.low.get() + more.low * factor.min(1.0),
        }
    }

    /// The cell ends; this much was expected in it.
    pub(super) fn expose(&mut self, cell: Expected) {
        let so_far = self.expected(cell);
        self.profile.update(|p| p + cell.mean);
        self.mean = S::put(so_far.mean);
        self.high = S::put(so_far.high);
        self.low = S::put(so_far.low);
    }

    /// Takes the finished window into the CUSUMs, or as many alike.
    pub(super) fn close(&mut self, windows: i64, shape: Shape) {
        let n = f64::from(self.n);
        let resting = |sums: &[S]| sums.iter().all(|s| s.get() <= 0.0);
        // Without a call no upward ratio is above zero.
        if self.n > 0 || !resting(&self.up) {
            let lines = Lines::up(self.high.get(), shape.at(self.mean.get()));
            add(&mut self.up, &mut self.up_age, &lines, n, windows);
        }
        let (m, r) = (self.low.get(), shape.at(self.mean.get()));
        if !resting(&self.down) || Lines::down_bound(m, r).best(|_| 0.0, n).0 > 0.0 {
            add(&mut self.down, &mut self.down_age, &Lines::down(m, r), n, windows);
        }
    }

    /// Learns how the finished window scattered; `fade` is what is left of the past after one window.
    pub(super) fn learn(&mut self, fade: f64, excursion: bool) {
        let n = f64::from(self.n);
        self.scatter.learn(n, self.mean.get(), fade);
        self.clumps.learn_many(n, self.mean.get(), fade, 1.0);
        self.echo.learn(n, self.profile.get(), fade, excursion);
    }

    /// The same for so many windows without a call.
    pub(super) fn learn_idle(&mut self, windows: i64, fade: f64) {
        let all = libm::pow(fade, windows as f64);
        let weight = (1.0 - all) / (1.0 - fade);
        self.scatter.learn_many(0.0, self.mean.get(), all, weight);
        self.clumps.learn_many(0.0, self.mean.get(), all, weight);
        self.echo.learn_idle(windows as f64, self.profile.get(), all);
    }

    #[cfg(test)]
    pub(super) fn profile(&self) -> f64 {
        self.profile.get()
    }

    /// Begins the next window.
    pub(super) fn begin(&mut self) {
        self.n = 0;
        [self.profile, self.mean, self.high, self.low] = [S::default(); 4];
    }

    /// Drops all evidence.
    pub(super) fn rest(&mut self) {
        self.up = [S::default(); 5];
        self.down = [S::default(); 3];
        (self.up_age, self.down_age) = ([0; 5], [0; 3]);
    }
}

fn add<S: Stored, const N: usize>(
    sums: &mut [S; N],
    ages: &mut [u8; N],
    lines: &Lines<N>,
    n: f64,
    windows: i64,
) {
    for i in 0..N {
        sums[i].update(|s| (s + windows as f64 * lines.at(i, n)).max(0.0));
        let age = i64::from(ages[i]) + windows;
        ages[i] = if sums[i].get() > 0.0 { age.min(i64::from(u8::MAX)) as u8 } else { 0 };
    }
}
