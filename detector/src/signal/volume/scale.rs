//! One window length: the window that is open, its CUSUMs, and how counts of this length scatter.

use serde::{Deserialize, Serialize};

use super::ratio::Lines;
use super::scatter::{Clumps, ECHO_STEP, Echo, PeerScatter, Scatter, Shape};
use crate::stored::{Half, Stored};

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

/// So many windows without a call: what they leave of the past, what they weigh after it, and what they leave of the
/// echo's running mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Idle {
    pub(super) windows: f64,
    pub(super) fade: f64,
    weight: f64,
    pub(super) echo: f64,
}

impl Idle {
    /// `fade` is what one window leaves.
    pub(super) fn new(windows: i64, fade: f64) -> Self {
        let windows = windows as f64;
        let all = libm::pow(fade, windows);
        let weight = (1.0 - all) / (1.0 - fade);
        Self { windows, fade: all, weight, echo: libm::pow(1.0 - ECHO_STEP, windows) }
    }
}

/// A few calls where next to none are expected are no multitude: a jump is what so many deviations leave of it. Beyond five
/// lies less than one of the five million minutes of ten years, the promise that a revocation stands under.
const JUMP_DEVIATIONS: f64 = 5.0;

/// A bound that is this near to zero, a call, may be above it but for rounding.
const UNSURE: f64 = 1e-9;

/// How a scale's counts scatter, as it is kept of a dormant agent: 1/r, F − 1, and the clumps' F − 1.
pub(super) type Kept = [Half; 3];

/// The state of one scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Scale<S> {
    /// Calls in the open window, and under how many it can say nothing upward, whenever they come; 0 is always safe.
    pub(super) n: u32,
    #[serde(skip)]
    pub(super) quiet: u32,
    /// Expected in it up to the start of the present cell by the profile alone; the echo multiplies it.
    mean: S,
    high: S,
    low: S,
    pub(super) echo: Echo<S>,
    pub(super) scatter: Scatter<S>,
    pub(super) clumps: Clumps<S>,
}

/// A scale's CUSUMs at the start of the open window, and how many windows ago each was last zero, 255 at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums<S> {
    pub(super) up: [S; 5],
    pub(super) up_age: [u8; 5],
    pub(super) down: [S; 3],
    pub(super) down_age: [u8; 3],
}

impl<S: Stored> Sums<S> {
    /// Takes the finished window of a scale in, or as many alike.
    pub(super) fn close(&mut self, windows: i64, scale: &Scale<S>, shape: Shape) {
        let (n, expected) = (f64::from(scale.n), scale.expected(Expected::default()));
        let r = shape.at(expected.mean);
        let resting = |sums: &[S]| sums.iter().all(|s| s.get() <= 0.0);
        // Without a call no upward ratio is above zero, and seldom with as many as are expected.
        let rises = || Lines::up_bound(expected.high, r).best(|_| 0.0, n).0 > -UNSURE * (1.0 + n);
        if !resting(&self.up) || scale.n > 0 && rises() {
            add(&mut self.up, &mut self.up_age, &Lines::up(expected.high, r), n, windows);
        }
        if !resting(&self.down) || Lines::down_bound(expected.low, r).best(|_| 0.0, n).0 > 0.0 {
            add(&mut self.down, &mut self.down_age, &Lines::down(expected.low, r), n, windows);
        }
    }

    /// See [`super::Volume::fetch`].
    pub(super) fn fetch(&self) -> u32 {
        u32::from(self.up_age[0])
    }
}

impl<S: Stored> Scale<S> {
    /// A scale whose windows are expected to hold `m` calls, and are believed to scatter and clump so.
    pub(super) fn new(m: f64, (shape, clumps): (Shape, f64)) -> Self {
        Self {
            echo: Echo::new(),
            scatter: Scatter::of(m, shape),
            clumps: Clumps::of(clumps),
            ..Self::default()
        }
    }

    /// A scale whose counts scattered like this, which weighs as much as the prior would.
    pub(super) fn recalled(m: f64, kept: Kept) -> Self {
        let [relative, fano, clumps] = kept.map(Half::get);
        let (scatter, clumps) = (Scatter::of(m, Shape { relative, fano }), Clumps::of(clumps));
        Self { echo: Echo::new(), scatter, clumps, ..Self::default() }
    }

    pub(super) fn kept(&self) -> Kept {
        [self.scatter.relative(), self.scatter.fano(), self.clumps.fano()].map(Half::put)
    }

    /// See [`super::Volume::fetch`].
    pub(super) fn fetch(&self) -> u32 {
        self.n ^ self.quiet
    }

    /// The shape of whole windows.
    pub(super) fn shape(&self) -> Shape {
        let Shape { relative, fano } = self.scatter.shape();
        Shape { relative, fano: fano.max(self.clumps.fano()) }
    }

    /// What the shape of an open window is nowhere above, whatever its length.
    pub(super) fn shape_at_most(&self) -> Shape {
        Shape { relative: self.scatter.relative(), fano: self.clumps.fano() }
    }

    /// Expected in the open window up to the start of the present cell, whatever the last windows announce.
    pub(super) fn expected_by_profile(&self) -> f64 {
        self.mean.get()
    }

    /// How many times `most` the calls of the open window are, with five standard deviations of the number of their clumps
    /// to spare (variance-stabilised: the square root of a Poisson number has the deviation 1/2).
    pub(super) fn jump(&self, most: f64) -> f64 {
        let clump = 1.0 + self.shape().fano;
        let sure = (f64::from(self.n) / clump).sqrt() - JUMP_DEVIATIONS / 2.0;
        if sure > 0.0 && most > 0.0 { clump * sure * sure / most } else { 0.0 }
    }

    /// Expected in the open window so far, where `more` came since the cell began.
    pub(super) fn expected(&self, more: Expected) -> Expected {
        let factor = self.echo.factor();
        Expected {
            mean: (self.mean.get() + more.mean) * factor,
            high: (self.high.get() + more.high) * factor.max(1.0),
            low: (self.low.get() + more.low) * factor.min(1.0),
        }
    }

    /// The cell ends; this much was expected in it.
    pub(super) fn expose(&mut self, cell: Expected) {
        self.mean.update(|m| m + cell.mean);
        self.high.update(|m| m + cell.high);
        self.low.update(|m| m + cell.low);
    }

    /// Teaches newcomers how so many windows of `n` calls scattered.
    pub(super) fn teach(&self, n: f64, windows: f64, peers: &mut PeerScatter) {
        let m = self.expected(Expected::default()).mean;
        peers.learn(n, m, self.shape().at(m), windows);
    }

    /// Learns how the finished window scattered, if that is not withheld; `fade` is what is left of the past after one window.
    pub(super) fn learn(&mut self, fade: f64, excursion: bool, withheld: bool) {
        let (n, m) = (f64::from(self.n), self.expected(Expected::default()).mean);
        if !withheld {
            self.scatter.learn(n, m, fade);
            self.clumps.learn_many(n, m, fade, 1.0);
        }
        self.echo.learn(n, self.mean.get(), fade, excursion, || self.scatter.weight());
    }

    /// The same for windows without a call.
    pub(super) fn learn_idle(&mut self, idle: &Idle, withheld: bool) {
        let m = self.expected(Expected::default()).mean;
        if !withheld {
            self.scatter.learn_many(0.0, m, idle.fade, idle.weight);
            self.clumps.learn_many(0.0, m, idle.fade, idle.weight);
        }
        self.echo.learn_idle(self.mean.get(), idle, || self.scatter.weight());
    }

    #[cfg(test)]
    pub(super) fn profile(&self) -> f64 {
        self.mean.get()
    }

    /// Begins the next window. True where the scatter may have got wider with the last one, from which longer windows are interpolated:
    /// calls came in it, or many were missed.
    pub(super) fn begin(&mut self) -> bool {
        let is_wider = self.n > 0 || self.expected(Expected::default()).mean > 1.0;
        (self.n, self.quiet) = (0, 0);
        [self.mean, self.high, self.low] = [S::default(); 3];
        is_wider
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
