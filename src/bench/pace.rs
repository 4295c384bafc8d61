//! Agents told by the gaps between their calls, and what hijackers make of them. `timing.py`, `gaps` and `attack`.

use std::f64::consts::TAU;

use rand::RngExt;
use serde::Serialize;

use super::chance::{Dice, choose, exponential, log_uniform, normal};

/// No gap is shorter, seconds.
const GAP_MIN_S: f64 = 0.001;
/// How gaps within a session scatter, and how far a takeover is off the agent's gaps, of them.
const SPREAD: f64 = 0.8;
const REGULAR: f64 = 0.005;
const JITTER: f64 = 0.3;
/// A person's gaps: the median, seconds; their logarithms have a deviation of 1. A machine-gun's, seconds.
const HUMAN_S: f64 = 8.0;
const GUN_S: std::ops::Range<f64> = 0.02..0.2;

/// A kind of agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pace {
    Poisson,
    LogNormal,
    Cron,
    Sessions,
    LlmLoop,
}

impl Pace {
    pub(crate) const ALL: [Self; 5] =
        [Self::Poisson, Self::LogNormal, Self::Cron, Self::Sessions, Self::LlmLoop];

    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Poisson => "poisson gaps",
            Self::LogNormal => "log-normal gaps",
            Self::Cron => "cron with jitter",
            Self::Sessions => "sessions of gaps",
            Self::LlmLoop => "llm loop",
        }
    }
}

/// One agent's gaps, one after the other.
#[derive(Clone, Debug)]
pub(crate) enum Gaps {
    Poisson { mean: f64 },
    LogNormal { median: f64, spread: f64 },
    Cron { period: f64, jitter: f64, late: f64 },
    Sessions { chance_of_break: f64, pace: f64, rest: f64 },
    LlmLoop { log_pace: f64 },
}

impl Gaps {
    /// An agent of this kind.
    pub(crate) fn new(pace: Pace, dice: &mut Dice) -> Self {
        match pace {
            Pace::Poisson => Self::Poisson { mean: log_uniform(dice, (2.0, 600.0)) },
            Pace::LogNormal => Self::LogNormal {
                median: log_uniform(dice, (2.0, 600.0)),
                spread: dice.random_range(0.5..1.5),
            },
            Pace::Cron => {
                let period = choose(dice, [60.0, 300.0, 900.0, 3_600.0]);
                Self::Cron { period, jitter: period * choose(dice, [0.001, 0.01, 0.05]), late: 0.0 }
            }
            Pace::Sessions => Self::Sessions {
                chance_of_break: 1.0 / dice.random_range(5.0..30.0),
                pace: dice.random_range(0.2..3.0),
                rest: dice.random_range(300.0..3_000.0),
            },
            Pace::LlmLoop => Self::LlmLoop { log_pace: 0.0 },
        }
    }

    /// The next gap, seconds.
    pub(crate) fn next_gap(&mut self, dice: &mut Dice) -> f64 {
        let gap = match self {
            Self::Poisson { mean } => exponential(dice, *mean),
            Self::LogNormal { median, spread } => *median * (normal(dice) * *spread).exp(),
            Self::Cron { period, jitter, late } => {
                let before = std::mem::replace(late, normal(dice) * *jitter);
                *period + *late - before
            }
            Self::Sessions { chance_of_break, pace, rest } => {
                if dice.random_bool(*chance_of_break) {
                    exponential(dice, *rest)
                } else {
                    *pace * (normal(dice) * SPREAD).exp()
                }
            }
            Self::LlmLoop { log_pace } => {
                // Chains of tools, the model's own latency, and pauses; the pace of a session wanders.
                *log_pace = 0.95 * *log_pace + 0.15 * normal(dice);
                let step = if dice.random_bool(0.6) {
                    0.5 * (normal(dice) * 0.4).exp()
                } else {
                    6.0 * (normal(dice) * 0.5).exp()
                };
                if dice.random_bool(0.03) { exponential(dice, 1_800.0) } else { step * log_pace.exp() }
            }
        };
        gap.max(GAP_MIN_S)
    }

    /// Logarithm of the density of a gap, in 1/s; none where the gaps before it say more of it.
    pub(crate) fn ln_density(&self, gap: f64) -> Option<f64> {
        match *self {
            Self::Poisson { mean } => Some(ln_exponential(gap, mean)),
            Self::LogNormal { median, spread } => Some(ln_log_normal(gap, median, spread)),
            Self::Sessions { chance_of_break, pace, rest } => {
                let (breaks, goes_on) =
                    (ln_exponential(gap, rest).exp(), ln_log_normal(gap, pace, SPREAD).exp());
                Some((chance_of_break * breaks + (1.0 - chance_of_break) * goes_on).ln())
            }
            Self::Cron { .. } | Self::LlmLoop { .. } => None,
        }
    }
}

fn ln_exponential(gap: f64, mean: f64) -> f64 {
    -gap / mean - mean.ln()
}

/// `spread` is the standard deviation of the natural logarithm.
fn ln_log_normal(gap: f64, median: f64, spread: f64) -> f64 {
    ln_normal(gap.ln(), median.ln(), spread) - gap.ln()
}

fn ln_normal(x: f64, mean: f64, deviation: f64) -> f64 {
    let z = (x - mean) / deviation;
    -z * z / 2.0 - (deviation * TAU.sqrt()).ln()
}

/// What a hijacker's pace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Takeover {
    /// The agent's median gap, half a percent off.
    Regular,
    /// Exponential gaps of the agent's mean: too irregular for most.
    ExpSameMean,
    /// Log-normal, median 8 s: a person.
    Human,
    /// 20 to 200 ms.
    MachineGun,
    /// The agent's mean gap, 30 % off.
    Jitter,
    /// The agent's own gaps, halved.
    Rate2,
}

impl Takeover {
    pub(crate) const ALL: [Self; 6] =
        [Self::Regular, Self::ExpSameMean, Self::Human, Self::MachineGun, Self::Jitter, Self::Rate2];

    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::ExpSameMean => "exponential, same mean",
            Self::Human => "human-paced",
            Self::MachineGun => "machine-gun",
            Self::Jitter => "30 % jitter",
            Self::Rate2 => "rate x2",
        }
    }

    /// The next gap, seconds, of whoever took over an agent whose gaps were these.
    pub(crate) fn next_gap(self, past: &Past, dice: &mut Dice) -> f64 {
        let gap = match self {
            Self::Regular => past.median * (1.0 + REGULAR * normal(dice)),
            Self::ExpSameMean => exponential(dice, past.mean),
            Self::Human => HUMAN_S * normal(dice).exp(),
            Self::MachineGun => dice.random_range(GUN_S),
            Self::Jitter => past.mean * (1.0 + JITTER * normal(dice)),
            Self::Rate2 => past.gaps[dice.random_range(0..past.gaps.len())] / 2.0,
        };
        gap.max(GAP_MIN_S)
    }

    /// Logarithm of the density of its gap, in 1/s; none where [`Gaps::ln_density`] has none.
    fn ln_density(self, gaps: &Gaps, past: &Past, gap: f64) -> Option<f64> {
        let outside = f64::NEG_INFINITY;
        match self {
            Self::Regular => Some(ln_normal(gap, past.median, REGULAR * past.median)),
            Self::ExpSameMean => Some(ln_exponential(gap, past.mean)),
            Self::Human => Some(ln_log_normal(gap, HUMAN_S, 1.0)),
            Self::MachineGun => {
                Some(if GUN_S.contains(&gap) { -(GUN_S.end - GUN_S.start).ln() } else { outside })
            }
            Self::Jitter => Some(ln_normal(gap, past.mean, JITTER * past.mean)),
            Self::Rate2 => Some(gaps.ln_density(2.0 * gap)? + std::f64::consts::LN_2),
        }
    }
}

/// One who knows both laws, of the agent and of its hijacker, and spends the whole budget on this takeover: the CUSUM of
/// their log-likelihood ratio against the logarithm of the calls that may pass between two false alarms. No rule that
/// keeps the promise finds it much sooner (Lorden, 1971; Moustakides, 1986); ours knows neither law.
#[derive(Debug)]
pub(crate) struct Oracle {
    sum: f64,
    threshold: f64,
    calls: u64,
    found: bool,
}

impl Oracle {
    /// May be wrong once in so many seconds.
    pub(crate) fn new(past: &Past, once_in_s: f64) -> Self {
        Self { sum: 0.0, threshold: (once_in_s / past.mean).ln(), calls: 0, found: false }
    }

    /// One more gap of the hijacker's; nothing where the laws are not known.
    pub(crate) fn hear(&mut self, gap: f64, gaps: &Gaps, past: &Past, takeover: Takeover) {
        let laws = takeover.ln_density(gaps, past, gap).zip(gaps.ln_density(gap));
        if let (false, Some((theirs, own))) = (self.found, laws) {
            self.calls += 1;
            self.sum = self.sum.max(0.0) + theirs - own;
            self.found = self.sum >= self.threshold;
        }
    }

    /// Calls until it was found, infinite if it was not; none where the laws are not known.
    pub(crate) fn calls(&self) -> Option<f64> {
        (self.calls > 0).then_some(if self.found { self.calls as f64 } else { f64::INFINITY })
    }
}

/// What a hijacker knows of an agent: the gaps so far, at least one.
pub(crate) struct Past {
    gaps: Vec<f64>,
    median: f64,
    mean: f64,
}

impl Past {
    pub(crate) fn new(mut gaps: Vec<f64>) -> Self {
        gaps.sort_by(f64::total_cmp);
        let median = f64::midpoint(gaps[(gaps.len() - 1) / 2], gaps[gaps.len() / 2]);
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        Self { gaps, median, mean }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::chance::{Purpose, stream};

    fn gaps(pace: Pace, agent: usize, n: usize) -> Vec<f64> {
        let mut dice = stream(3, pace.name(), agent, Purpose::Agent);
        let mut gaps = Gaps::new(pace, &mut dice);
        (0..n).map(|_| gaps.next_gap(&mut dice)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_gaps() {
        for pace in Pace::ALL {
            assert!(
                gaps(pace, 1, 500) == gaps(pace, 1, 500) && gaps(pace, 1, 500) != gaps(pace, 2, 500),
                "{pace:?}"
            );
        }
    }

    /// The study's llm loop makes about 1,500 calls a day; a cron never strays from its period by more than its jitter.
    #[test]
    fn agents_are_what_the_study_says() {
        let loops: f64 = (0..40).map(|a| gaps(Pace::LlmLoop, a, 20_000).iter().sum::<f64>()).sum();
        let a_day = 40.0 * 20_000.0 / (loops / 86_400.0);
        assert!((1_300.0..1_700.0).contains(&a_day), "{a_day}");
        let cron = Past::new(gaps(Pace::Cron, 4, 5_000));
        assert!((cron.mean / cron.median - 1.0).abs() < 0.01);
        assert!(
            [60.0, 300.0, 900.0, 3_600.0].iter().any(|p| (cron.mean / p - 1.0).abs() < 0.001),
            "{}",
            cron.mean
        );
    }

    #[test]
    fn takeovers_are_what_they_are_called() {
        let past = Past::new(gaps(Pace::LogNormal, 1, 5_000));
        let mean = |takeover: Takeover| {
            let mut dice = stream(3, "takeover", 0, Purpose::Attack);
            (0..20_000).map(|_| takeover.next_gap(&past, &mut dice)).sum::<f64>() / 20_000.0
        };
        assert!((mean(Takeover::Regular) / past.median - 1.0).abs() < 0.01);
        assert!((mean(Takeover::Rate2) / past.mean - 0.5).abs() < 0.05);
        assert!((mean(Takeover::MachineGun) - 0.11).abs() < 0.005);
    }

    /// All gaps that there may be add up to one, whoever leaves them.
    #[test]
    fn densities_are_densities() {
        let whole = |ln_density: &dyn Fn(f64) -> Option<f64>| {
            let step = 1e-4_f64;
            let (low, high) = ((1e-6_f64).ln(), (1e6_f64).ln());
            let at = |i: usize| (low + (i as f64 + 0.5) * step).exp();
            (0..((high - low) / step) as usize)
                .try_fold(0.0, |sum, i| Some(sum + ln_density(at(i))?.exp() * at(i) * step))
        };
        for pace in Pace::ALL {
            let mut dice = stream(3, pace.name(), 1, Purpose::Agent);
            let agent = Gaps::new(pace, &mut dice);
            let past = Past::new(gaps(pace, 1, 5_000));
            let laws: [&dyn Fn(f64) -> Option<f64>; 2] =
                [&|gap| agent.ln_density(gap), &|gap| Takeover::Rate2.ln_density(&agent, &past, gap)];
            for law in laws {
                let known = !matches!(pace, Pace::Cron | Pace::LlmLoop);
                assert_eq!(whole(law).is_some_and(|w| (w - 1.0).abs() < 1e-3), known, "{pace:?}");
            }
            for takeover in Takeover::ALL.into_iter().filter(|&t| t != Takeover::Rate2) {
                let whole = whole(&|gap| takeover.ln_density(&agent, &past, gap)).unwrap_or_default();
                assert!((whole - 1.0).abs() < 1e-3, "{pace:?} {takeover:?}: {whole}");
            }
        }
    }

    /// Two laws that are 1 apart of a spread of 1 tell half a nat a call from each other: Lorden's bound is twice the threshold.
    #[test]
    fn an_oracle_needs_what_lorden_says() {
        let agent = Gaps::LogNormal { median: HUMAN_S * std::f64::consts::E, spread: 1.0 };
        let past = Past::new(vec![1.0]);
        let mut dice = stream(3, "oracle", 0, Purpose::Attack);
        let mut calls = |once_in_s: f64| {
            let mut sum = 0.0;
            for _ in 0..2_000 {
                let mut oracle = Oracle::new(&past, once_in_s);
                while !oracle.found {
                    oracle.hear(Takeover::Human.next_gap(&past, &mut dice), &agent, &past, Takeover::Human);
                }
                sum += oracle.calls().unwrap_or_default();
            }
            sum / 2_000.0
        };
        let (low, high) = (calls(1e4), calls(1e12));
        assert!(((high - low) / (2.0 * 1e8_f64.ln()) - 1.0).abs() < 0.05, "{low} {high}");
    }
}
