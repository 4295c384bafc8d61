//! Agents whose pace wanders: a hidden pace, in octaves, moves slowly under the gaps, as the speed of a model behind an
//! agent does from session to session.
//!
//! A hidden Markov model over paces from a sixteenth to sixteen times predicts the next gap from a law of gaps at the
//! usual pace. How much that prediction counts beside the law without a pace is what it has earned over thousands of
//! calls, so that an agent that keeps its pace cannot begin to have one in the middle of an attack.

use std::f64::consts::LN_2;

use libm::{exp, floor, log1p};
use serde::{Deserialize, Serialize};

use super::gaps::{BINS, Fading, SLOW_EVENTS, SLOW_PRIOR, bin_at};
use crate::stored::{Half, Row, Stored};

/// Paces half an octave apart, four octaves to either side of the usual.
const PACES: usize = 17;
const USUAL: usize = PACES / 2;
/// Whole octaves from the usual pace to the fastest.
const REACH: u8 = 4;
const _: () = assert!(REACH as usize * 2 == USUAL);
const STEP_OCTAVES: f64 = 0.5;
/// Bins that the paces put one gap into, and the power of two that indexes them without a check.
const BINS_MET: usize = 2 * REACH as usize + 1;
const LAWS: usize = BINS_MET.next_power_of_two();
/// Chances that a pace stays, moves by one step to one side, and that a new one is drawn.
const STAYS: f64 = 0.90;
const MOVES: f64 = 0.045;
const DRAWN: f64 = 0.01;
/// By how much a day of another kind may be faster without a question: paces are told apart no finer.
const OTHER_DAYS_OCTAVES: f64 = STEP_OCTAVES;
/// Relative variance of an hour's rate at which a pace of its own is as likely as none.
const UNKNOWN_VARIANCE: f64 = 0.5;
/// Below this a pace teaches the law of gaps nothing.
const CHANCE_MIN: f64 = 0.01;

/// Chances of the paces, the law at the usual one, and what the prediction has earned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "S: Serialize, B: Serialize",
    deserialize = "S: Stored + Deserialize<'de>, B: Stored + Deserialize<'de>"
))]
pub(super) struct Pace<S = f32, B = Half> {
    chances: Row<B, PACES>,
    law: Fading<S, B>,
    /// Logarithm of the odds that the agent has a pace.
    earned: S,
}

/// What the paces predict of one gap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prediction {
    /// Whole octaves of the bin that the fastest pace puts the gap into, and how many above it each does.
    first: i32,
    above: &'static [u8; PACES],
    /// Chances of the paces after the gap; they sum to 1.
    after: [f64; PACES],
    /// Chance of the gap.
    pub(super) chance: f64,
    /// The pace before the gap, in octaves above the usual.
    octaves: f64,
}

/// By how many octaves each pace puts a gap above the bin of the fastest; every second one half an octave lower, which is another
/// bin for a gap in the lower half of its own.
static ABOVE: [[u8; PACES]; 2] = [above(0), above(1)];

const fn above(lower: usize) -> [u8; PACES] {
    let (mut above, mut j) = ([0; PACES], 0);
    while j < PACES {
        above[j] = 2 * REACH - (j / 2 + (j % 2) * lower) as u8;
        j += 1;
    }
    above
}

/// How far a new pace lies from the usual: normal with a deviation of one octave.
fn drawn() -> [f64; PACES] {
    let weights = OCTAVES.map(|octaves| exp(-octaves * octaves / 2.0));
    let whole: f64 = weights.iter().sum();
    weights.map(|w| w / whole)
}

/// How far each pace is above the usual.
static OCTAVES: [f64; PACES] = {
    let (mut octaves, mut j) = ([0.0; PACES], 0);
    while j < PACES {
        octaves[j] = (j as f64 - USUAL as f64) * STEP_OCTAVES;
        j += 1;
    }
    octaves
};

static DRAWN_PACES: std::sync::LazyLock<[f64; PACES]> = std::sync::LazyLock::new(drawn);

impl<S: Stored, B: Stored> Pace<S, B> {
    pub(super) fn new() -> Self {
        Self { chances: Row(DRAWN_PACES.map(B::put)), law: Fading::new(|_| SLOW_PRIOR), earned: S::default() }
    }

    /// See [`super::Timing::fetch`].
    pub(super) fn fetch(&self) -> f64 {
        self.chances.0[0].get() + self.law.fetch()
    }

    /// What is predicted of a gap of so many octaves over a millisecond.
    pub(super) fn predict(&self, gap_octaves: f64) -> Prediction {
        // Beyond its ends the grid of paces goes on as it ended.
        let mut now = [0.0; PACES + 2];
        for (now, chance) in now[1..].iter_mut().zip(&self.chances.0) {
            *now = chance.get();
        }
        (now[0], now[PACES + 1]) = (now[1], now[PACES]);
        let whole: f64 = now[1..=PACES].iter().sum();
        // All paces put the gap into one of so many bins, from that of the fastest; every second one meets it half an
        // octave lower.
        let octave = floor(gap_octaves);
        let (first, lower) =
            (octave as i32 - i32::from(REACH), usize::from(gap_octaves - octave < STEP_OCTAVES));
        let mut laws = [0.0; LAWS];
        laws[..BINS_MET].copy_from_slice(&self.law.shares_from::<BINS_MET>(first));
        let (above, drawn) = (&ABOVE[lower], &*DRAWN_PACES);
        let of_octaves: f64 =
            now[1..=PACES].iter().zip(&OCTAVES).map(|(chance, octaves)| chance * octaves).sum();
        let mut prediction =
            Prediction { first, above, after: [0.0; PACES], chance: 0.0, octaves: of_octaves / whole };
        for j in 0..PACES {
            prediction.after[j] =
                STAYS * now[j + 1] + MOVES * (now[j] + now[j + 2]) + DRAWN * whole * drawn[j];
        }
        // Apart, so that the compiler takes those before it side by side.
        for (after, above) in prediction.after.iter_mut().zip(above) {
            *after *= laws[usize::from(*above) % LAWS];
        }
        let chance: f64 = prediction.after.iter().sum();
        let part = 1.0 / chance;
        prediction.after.iter_mut().for_each(|p| *p *= part);
        prediction.chance = chance / whole;
        prediction
    }

    /// Chance of a gap, given what the law without a pace says of it and what the paces do.
    ///
    /// Where the rate of the hour itself is not known yet, `rate_variance` of it, relative, a pace may be its own: any that is slower
    /// than usual, since nights are, or up to [`OTHER_DAYS_OCTAVES`] faster; and beyond as far as the rate may be off.
    pub(super) fn mixed(&self, without: f64, prediction: &Prediction, rate_variance: f64) -> f64 {
        let faster = (prediction.octaves + OTHER_DAYS_OCTAVES).min(0.0) * LN_2;
        let far = faster * faster / log1p(rate_variance).max(f64::MIN_POSITIVE);
        let unknown = rate_variance / (rate_variance + UNKNOWN_VARIANCE) * exp(-far / 2.0);
        let with = (1.0 / (1.0 + exp(-self.earned.get()))).max(unknown);
        without + with * (prediction.chance - without)
    }

    /// The pace has moved.
    pub(super) fn follow(&mut self, prediction: &Prediction) {
        self.chances = Row(prediction.after.map(B::put));
    }

    /// Learns the law at the usual pace.
    pub(super) fn learn(&mut self, prediction: &Prediction, dither: impl Fn(u32) -> f64) {
        self.law.fade(SLOW_EVENTS);
        for j in 0..PACES {
            let chance = prediction.after[j];
            if chance >= CHANCE_MIN {
                let bin = bin_at(prediction.first + i32::from(prediction.above[j]));
                self.law.add(bin, chance, dither(j as u32));
            }
        }
    }

    /// Takes note of by how many nats the paces predicted better than the law without one.
    pub(super) fn earn(&mut self, gained: f64) {
        self.earned.update(|w| w * (1.0 - 1.0 / SLOW_EVENTS) + gained);
    }
}

const _: () = assert!(BINS < 256);
