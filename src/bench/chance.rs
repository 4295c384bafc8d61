//! Seeded chance: a stream of its own for each agent and purpose, so that no figure depends on what else was drawn.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, Exp1, Poisson, StandardNormal};

/// Small, fast, the same on every platform, and `Clone`: a copy of an agent goes on as the agent would have.
pub(crate) type Dice = Xoshiro256PlusPlus;

/// What a stream is drawn for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// What an agent is and when it calls.
    Agent,
    /// At which instants of a minute, and which endpoints.
    Instants,
    /// When the agent is attacked.
    Change,
    /// What an attacker does with it.
    Attack,
    /// What somebody declared of it.
    Manifest,
}

/// The stream of `purpose` for agent `agent` of the fleet called `fleet`.
pub(crate) fn stream(seed: u64, fleet: &str, agent: usize, purpose: Purpose) -> Dice {
    let words = fleet.bytes().map(u64::from).chain([agent as u64, purpose as u64]);
    let state = words.fold(seed, |state, word| Dice::seed_from_u64(state ^ word).next_u64());
    Dice::seed_from_u64(state)
}

/// Between `low` and `high`, uniform in the logarithm.
pub(crate) fn log_uniform(dice: &mut Dice, (low, high): (f64, f64)) -> f64 {
    dice.random_range(low.ln()..high.ln()).exp()
}

/// A Poisson count; a mean of 0 gives 0.
pub(crate) fn poisson(dice: &mut Dice, mean: f64) -> u32 {
    Poisson::new(mean).map_or(0, |p| p.sample(dice) as u32)
}

/// An exponential length.
pub(crate) fn exponential(dice: &mut Dice, mean: f64) -> f64 {
    mean * Distribution::<f64>::sample(&Exp1, dice)
}

/// A standard normal deviate.
pub(crate) fn normal(dice: &mut Dice) -> f64 {
    StandardNormal.sample(dice)
}

/// One of them, each as likely.
pub(crate) fn choose<T: Copy, const N: usize>(dice: &mut Dice, of: [T; N]) -> T {
    of[dice.random_range(0..N)]
}
