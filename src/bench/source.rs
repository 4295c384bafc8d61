//! One agent: a rate for every minute, and the calls it makes in it.

mod cron;
mod law;
mod tape;

use std::sync::Arc;

use rand::RngExt;

use super::chance::{Dice, Purpose, log_uniform, poisson, stream};
use super::fleet::Fleet;
use super::recording::Recording;
use law::Law;
use tape::{Tape, thinned};

/// Minutes in a day.
pub(crate) const DAY: u32 = 1_440;
/// Base rates of the study, calls a minute, drawn uniformly in the logarithm.
pub(crate) const STUDY_RATES: (f64, f64) = (0.05, 30.0);

/// What happens in one minute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Minute {
    /// Calls expected, given everything up to now.
    pub(crate) rate: f64,
    pub(crate) count: u32,
}

/// An agent that can be asked for its next minute for ever. A clone goes on exactly as the original will.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    dice: Dice,
    minute: u32,
    /// Calls a minute on average, before the law has its say.
    base: f64,
    day: Option<Day>,
    law: Law,
}

impl Source {
    /// Agent `agent` of a fleet; its base rate is between `rates` calls a minute.
    pub(crate) fn new(fleet: Fleet, seed: u64, agent: usize, rates: (f64, f64)) -> Self {
        let mut dice = stream(seed, fleet.name(), agent, Purpose::Agent);
        let base = match fleet {
            // Their rate is how often they start or fire, which the law draws.
            Fleet::Sessions | Fleet::Pareto | Fleet::Cron => 1.0,
            _ => log_uniform(&mut dice, rates),
        };
        let seasonless = matches!(fleet, Fleet::Poisson | Fleet::Nb | Fleet::Cron);
        let day = (!seasonless).then(|| Day::new(&mut dice));
        let law = Law::new(fleet, &mut dice);
        Self { dice, minute: 0, base, day, law }
    }

    /// Agent `agent` of those that play the series called `series`: from minute `from` of `recording` on, one event in
    /// `one_in` as a call. Beyond the recording's end it is silent.
    pub(crate) fn recorded(
        recording: &Arc<Recording>,
        from: u32,
        one_in: u32,
        series: &str,
        seed: u64,
        agent: usize,
    ) -> Self {
        let dice = stream(seed, series, agent, Purpose::Agent);
        let law = Law::Recorded(Tape::new(recording, from, one_in));
        Self { dice, minute: 0, base: 1.0, day: None, law }
    }

    /// The next minute.
    pub(crate) fn next_minute(&mut self) -> Minute {
        let t = self.minute;
        self.minute += 1;
        let season = self.day.as_ref().map_or(1.0, |d| d.at(t, self.law.hours_moved(t)));
        let rate = self.law.rate(t, self.base * season, &mut self.dice);
        let count = match self.law.fired() {
            Some(count) => count,
            None => poisson(&mut self.dice, rate),
        };
        self.law.called(count);
        Minute { rate, count }
    }

    /// How many calls a minute holds when an attacker multiplies it by `factor`, which is at most `factor_max` in this
    /// attack. Scheduled calls are multiplied and thinned; recorded ones stay, and what is added comes at the pace of
    /// their hour; all others are drawn anew from the higher rate.
    pub(crate) fn multiplied(&self, minute: Minute, factor: f64, factor_max: f64, dice: &mut Dice) -> u32 {
        match self.law {
            Law::Cron(_) => {
                let whole = factor_max.ceil().max(1.0);
                thinned(minute.count * whole as u32, factor / whole, dice)
            }
            Law::Recorded(_) => {
                thinned(minute.count, factor, dice) + poisson(dice, minute.rate * (factor - 1.0).max(0.0))
            }
            _ => poisson(dice, minute.rate * factor),
        }
    }

    /// Whether its calls are scheduled or recorded, so that no rate of a Poisson law describes them.
    pub(crate) fn is_given(&self) -> bool {
        matches!(self.law, Law::Cron(_) | Law::Recorded(_))
    }

    /// Whether it is not in a pause of weeks, nor, if it was recorded, in an hour without an event.
    pub(crate) fn is_awake(&self) -> bool {
        match &self.law {
            Law::OnOff { on, .. } => *on,
            Law::Recorded(tape) => tape.is_awake(self.minute),
            _ => true,
        }
    }

    /// Mean and shape, where each minute is drawn from one negative binomial law.
    pub(crate) fn negative_binomial(&self) -> Option<(f64, f64)> {
        if let Law::Gamma { shape, .. } = self.law { Some((self.base, shape)) } else { None }
    }

    /// Calls a minute on average over many weeks, while the law does not change.
    pub(crate) fn mean_rate(&self) -> f64 {
        self.base * self.law.mean()
    }
}

/// A smooth day, quieter nights and weekends; its mean over a week is 1. `fleets.py`, `profile`.
#[derive(Clone, Debug)]
struct Day {
    by_minute: Arc<[f32]>,
}

impl Day {
    const NIGHT: f64 = 0.1;
    const WEEKEND: f64 = 0.3;
    /// How softly work begins and ends, hours.
    const EDGE: f64 = 0.35;

    fn new(dice: &mut Dice) -> Self {
        let noon: f64 = dice.random_range(0.0..24.0);
        let width: f64 = dice.random_range(6.0..12.0);
        let at = |minute: u32| {
            let hour = f64::from(minute) / 60.0;
            let away = ((hour - noon + 12.0).rem_euclid(24.0) - 12.0).abs();
            Self::NIGHT + (1.0 - Self::NIGHT) / (1.0 + ((away - width / 2.0) / Self::EDGE).exp())
        };
        let day: Vec<f64> = (0..DAY).map(at).collect();
        let mean = day.iter().sum::<f64>() / f64::from(DAY) * (5.0 + 2.0 * Self::WEEKEND) / 7.0;
        Self { by_minute: day.iter().map(|x| (x / mean) as f32).collect() }
    }

    fn at(&self, minute: u32, hours_moved: i32) -> f64 {
        let of_day = (minute.cast_signed() - hours_moved * 60).rem_euclid(DAY.cast_signed());
        let weekend = if (minute / DAY) % 7 >= 5 { Self::WEEKEND } else { 1.0 };
        f64::from(self.by_minute[of_day as usize]) * weekend
    }
}

#[cfg(test)]
mod tests;
