//! The rules people use today, on the same counts a minute: z-score, EWMA, and a random cut forest.

#[cfg_attr(not(feature = "bench-baselines"), path = "baseline/no_forest.rs")]
mod forest;

use anyhow::Result;
use serde::Serialize;

use super::attack::Attack;
use super::chance::Dice;
use super::interval::{Estimate, Spread};
use super::source::Source;

/// Windows of one minute that the z-score remembers.
const WINDOWS: usize = 200;
/// Standard deviations at which all of them alarm.
const SIGMAS: f64 = 3.0;
/// Weight of the newest minute in the EWMA. `volume.py`.
const EWMA_WEIGHT: f64 = 0.02;
/// Minutes of rest after an alarm: an hour, as in the study, and a day, the rule our own alarms are counted by.
const RESTS_MIN: [u32; 2] = [60, 1_440];

/// A rival's false alarms.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rival {
    pub(crate) rule: &'static str,
    /// Over how many agents; the forest costs too much for all of them.
    pub(crate) agents: usize,
    pub(crate) per_90d_rest_1h: Estimate,
    pub(crate) per_90d_rest_24h: Estimate,
}

/// How soon a rival first alarms after an attack began, its rest not counted: it alarms about as soon without one.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RivalDelay {
    pub(crate) attack: String,
    pub(crate) rule: &'static str,
    pub(crate) minutes: Option<Spread>,
}

/// Minutes to the first alarm of the z-score and the EWMA, infinite for none.
pub(crate) type Chase = [f64; 2];

/// The rivals that watch one agent.
pub(crate) struct Rivals {
    z: ZScore,
    ewma: Ewma,
    forest: Option<forest::CutForest>,
    alarms: [Alarms; 3],
}

const RULES: [&str; 3] = ["z-score", "EWMA", "random cut forest"];

impl Rivals {
    /// `forest_seed` where a forest watches too.
    pub(crate) fn new(forest_seed: Option<u64>) -> Result<Self> {
        Ok(Self {
            z: ZScore::default(),
            ewma: Ewma::default(),
            forest: forest_seed.map(forest::CutForest::new).transpose()?.flatten(),
            alarms: [Alarms::default(); 3],
        })
    }

    /// The calls of one minute.
    pub(crate) fn see(&mut self, minute: u32, count: u32) -> Result<()> {
        let count = f64::from(count);
        self.alarms[0].note(minute, self.z.see(count));
        self.alarms[1].note(minute, self.ewma.see(count));
        if let Some(forest) = &mut self.forest {
            self.alarms[2].note(minute, forest.see(count)?);
        }
        Ok(())
    }

    /// Copies of the cheap rivals watch an attack on `source`; `counts` is the attack's own chance.
    pub(crate) fn chase(&self, mut source: Source, attack: Attack, mut counts: Dice) -> Chase {
        let (mut z, mut ewma) = (self.z.clone(), self.ewma.clone());
        let mut first = [f64::INFINITY; 2];
        for since in 0..attack.minutes_max() {
            let usual = source.next_minute();
            let count = source.multiplied(usual, attack.factor(since), attack.factor_max(), &mut counts);
            let alarms = [z.see(f64::from(count)), ewma.see(f64::from(count))];
            for (first, _) in first.iter_mut().zip(alarms).filter(|(_, alarm)| *alarm) {
                *first = first.min(f64::from(since + 1));
            }
            if first.iter().all(|f| f.is_finite()) {
                break;
            }
        }
        first
    }

    fn watches(&self, rule: usize) -> bool {
        rule < 2 || self.forest.is_some()
    }
}

/// What the rivals of a fleet did in `days`.
pub(crate) fn summary(agents: &[&Rivals], days: u32) -> Vec<Rival> {
    let rows = RULES.iter().enumerate().filter_map(|(i, &rule)| {
        let watched = agents.iter().filter(|a| a.watches(i));
        let n = watched.clone().count();
        let exposure = n as f64 * f64::from(days) / 90.0;
        let rate = |rest: usize| {
            Estimate::rate(watched.clone().map(|a| u64::from(a.alarms[i].count[rest])).sum(), exposure)
        };
        (n > 0).then(|| Rival { rule, agents: n, per_90d_rest_1h: rate(0), per_90d_rest_24h: rate(1) })
    });
    rows.collect()
}

/// What their chases of one attack say.
pub(crate) fn delays(attack: Attack, chases: &[Chase]) -> impl Iterator<Item = RivalDelay> {
    RULES.into_iter().zip([0, 1]).map(move |(rule, i)| {
        let minutes = Spread::of(chases.iter().map(|c| c[i]).collect());
        RivalDelay { attack: attack.name(), rule, minutes }
    })
}

#[derive(Clone, Copy, Debug, Default)]
struct Alarms {
    resting_until: [u32; 2],
    count: [u32; 2],
}

impl Alarms {
    fn note(&mut self, minute: u32, alarm: bool) {
        for (i, rest) in RESTS_MIN.into_iter().enumerate() {
            if alarm && minute >= self.resting_until[i] {
                self.resting_until[i] = minute + rest;
                self.count[i] += 1;
            }
        }
    }
}

/// Deviation from the mean of the last 200 minutes, in their standard deviations. Counts are whole: the sums are exact.
#[derive(Clone, Debug, Default)]
struct ZScore {
    ring: Vec<f64>,
    next: usize,
    sum: f64,
    squares: f64,
}

impl ZScore {
    fn see(&mut self, count: f64) -> bool {
        if self.ring.len() < WINDOWS {
            self.ring.push(count);
            self.add(count, 1.0);
            return false;
        }
        let mean = self.sum / WINDOWS as f64;
        let sd = (self.squares / WINDOWS as f64 - mean * mean).max(0.0).sqrt();
        // With no scatter at all, any deviation is one.
        let alarm = (count - mean).abs() > (SIGMAS * sd).max(1e-9);
        let gone = std::mem::replace(&mut self.ring[self.next], count);
        self.next = (self.next + 1) % WINDOWS;
        self.add(gone, -1.0);
        self.add(count, 1.0);
        alarm
    }

    fn add(&mut self, count: f64, sign: f64) {
        self.sum += sign * count;
        self.squares += sign * count * count;
    }
}

/// Deviation from an exponentially weighted mean.
#[derive(Clone, Debug, Default)]
struct Ewma {
    mean: f64,
    variance: f64,
    seen: usize,
}

impl Ewma {
    fn see(&mut self, count: f64) -> bool {
        let off = count - self.mean;
        let alarm = self.seen > WINDOWS && off.abs() > (SIGMAS * self.variance.sqrt()).max(1e-6);
        self.mean += EWMA_WEIGHT * off;
        self.variance = (1.0 - EWMA_WEIGHT) * (self.variance + EWMA_WEIGHT * off * off);
        self.seen += 1;
        alarm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_see_a_burst_and_rest_after_it() -> Result<()> {
        let mut rivals = Rivals::new(Some(1))?;
        for minute in 0..2_000 {
            let usual = 10 + minute * 7 % 5;
            rivals.see(minute, if minute < 1_500 { usual } else { 100 * usual })?;
        }
        for (i, rule) in RULES.iter().enumerate().filter(|&(i, _)| rivals.watches(i)) {
            assert!(rivals.alarms[i].count[0] >= 1, "{rule}: {:?}", rivals.alarms[i]);
            assert!(rivals.alarms[i].count[1] <= 2, "{rule}: {:?}", rivals.alarms[i]);
        }
        assert_eq!(rivals.alarms[0].count, [1, 1], "a z-score sees nothing in 1,500 regular minutes");
        Ok(())
    }
}
