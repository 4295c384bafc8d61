//! Agents whose pace wanders: a hidden pace, in octaves, moves slowly under the gaps, as the speed of a model behind an
//! agent does from session to session.
//!
//! A hidden Markov model over paces from a sixteenth to sixteen times predicts the next gap from a law of gaps at the
//! usual pace. How much that prediction counts beside the law without a pace is what it has earned over thousands of
//! calls, so that an agent that keeps its pace cannot begin to have one in the middle of an attack.

use libm::{exp, log};
use serde::{Deserialize, Serialize};

use super::bin_of;
use super::gaps::{BINS, Fading, SHARE_MIN, SLOW_EVENTS, SLOW_PRIOR};
use crate::stored::{Half, Row, Stored};

/// Paces half an octave apart, four octaves to either side of the usual.
const PACES: usize = 17;
const USUAL: usize = PACES / 2;
const STEP_OCTAVES: f64 = 0.5;
/// Chances that a pace stays, moves by one step to one side, and that a new one is drawn.
const STAYS: f64 = 0.90;
const MOVES: f64 = 0.045;
const DRAWN: f64 = 0.01;
/// Relative variance of an hour's rate at which a pace of its own is as likely as none.
const UNKNOWN_VARIANCE: f64 = 0.1;
/// Below this a pace teaches the law of gaps nothing.
const CHANCE_MIN: f64 = 0.01;
/// The least share of its neighbours' mean, as for the law without a pace.
const NEIGHBOURS_SHARE: f64 = 0.1;

/// Chances of the paces, the law at the usual one, and what the prediction has earned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "S: Serialize, B: Serialize",
    deserialize = "S: Stored + Deserialize<'de>, B: Stored + Deserialize<'de>"
))]
pub(super) struct Pace<S = f32, B = Half> {
    chances: Row<B, PACES>,
    /// In 32 bits: every gap adds to many of its bins, and rounding so often in 16 moves a level by a quarter of a bit.
    law: Fading<S, B>,
    /// Logarithm of the odds that the agent has a pace.
    earned: S,
}

/// What the paces predict of one gap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prediction {
    bins: [u8; PACES],
    /// Chances of the paces after the gap.
    after: [f64; PACES],
    /// Chance of the gap.
    pub(super) chance: f64,
}

/// How far a new pace lies from the usual: normal with a deviation of one octave.
fn drawn() -> [f64; PACES] {
    let weights: [f64; PACES] = std::array::from_fn(|j| exp(-octaves(j) * octaves(j) / 2.0));
    let whole: f64 = weights.iter().sum();
    weights.map(|w| w / whole)
}

fn octaves(pace: usize) -> f64 {
    (pace as f64 - USUAL as f64) * STEP_OCTAVES
}

static DRAWN_PACES: std::sync::LazyLock<[f64; PACES]> = std::sync::LazyLock::new(drawn);

impl<S: Stored, B: Stored> Pace<S, B> {
    pub(super) fn new() -> Self {
        Self { chances: Row(DRAWN_PACES.map(B::put)), law: Fading::new(|_| SLOW_PRIOR), earned: S::default() }
    }

    /// What is predicted of a gap of so many octaves over a millisecond.
    pub(super) fn predict(&self, gap_octaves: f64) -> Prediction {
        let now = self.chances.0.map(Stored::get);
        let whole: f64 = now.iter().sum();
        let mut prediction = Prediction { bins: [0; PACES], after: [0.0; PACES], chance: 0.0 };
        for j in 0..PACES {
            let below = if j > 0 { now[j - 1] } else { now[0] };
            let above = if j + 1 < PACES { now[j + 1] } else { now[j] };
            let before = STAYS * now[j] + MOVES * (below + above) + DRAWN * whole * DRAWN_PACES[j];
            let bin = bin_of(gap_octaves - octaves(j));
            let law = self.law.share(bin).max(NEIGHBOURS_SHARE * self.law.beside(bin)).max(SHARE_MIN);
            prediction.bins[j] = bin as u8;
            prediction.after[j] = before / whole * law;
            prediction.chance += prediction.after[j];
        }
        prediction
    }

    /// Chance of a gap, given what the law without a pace says of it and what the paces do.
    ///
    /// Where the rate of the hour itself is not known yet, any pace may be its own: `rate_variance` of it, relative.
    pub(super) fn mixed(&self, without: f64, prediction: &Prediction, rate_variance: f64) -> f64 {
        let unknown = rate_variance / (rate_variance + UNKNOWN_VARIANCE);
        let with = (1.0 / (1.0 + exp(-self.earned.get()))).max(unknown);
        without + with * (prediction.chance - without)
    }

    /// The pace has moved.
    pub(super) fn follow(&mut self, prediction: &Prediction) {
        self.chances = Row(prediction.after.map(|p| B::put(p / prediction.chance)));
    }

    /// Learns the law at the usual pace.
    pub(super) fn learn(&mut self, prediction: &Prediction, dither: impl Fn(u32) -> f64) {
        self.law.fade(SLOW_EVENTS);
        for j in 0..PACES {
            let chance = prediction.after[j] / prediction.chance;
            if chance >= CHANCE_MIN {
                self.law.add(usize::from(prediction.bins[j]), chance, dither(j as u32));
            }
        }
    }

    /// Takes note of how well the paces predicted beside the law without one.
    pub(super) fn earn(&mut self, without: f64, prediction: &Prediction) {
        let gained = log(prediction.chance / without);
        self.earned.update(|w| w * (1.0 - 1.0 / SLOW_EVENTS) + gained);
    }
}

const _: () = assert!(BINS < 256);
