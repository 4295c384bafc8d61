//! What attackers do to an agent's rate, and the soonest anybody could notice it.

use detector::Budgets;

use super::hearing::Grade;
use super::source::{DAY, Source};

/// Every ramp ends at this many times the usual rate.
const RAMP_TO: f64 = 4.0;

/// An attack on volume.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Attack {
    /// So many times the usual rate at once; 0 is silence.
    Jump(f64),
    /// The same, and what it must set off is a revocation.
    Flood(f64),
    /// Log-linear up to four times the usual rate over so many days.
    Ramp(u32),
}

/// Every attack on a mature agent.
pub(crate) const ATTACKS: [Attack; 10] = [
    Attack::Jump(1.5),
    Attack::Jump(2.0),
    Attack::Jump(5.0),
    Attack::Jump(20.0),
    Attack::Jump(100.0),
    Attack::Jump(0.0),
    Attack::Ramp(2),
    Attack::Ramp(14),
    Attack::Flood(20.0),
    Attack::Flood(100.0),
];

/// Those that agents with recorded calls are attacked with.
pub(crate) const ATTACKS_ON_SERIES: [Attack; 5] =
    [Attack::Jump(2.0), Attack::Jump(5.0), Attack::Jump(20.0), Attack::Jump(0.0), Attack::Ramp(14)];

/// No attack lasts longer.
pub(crate) const MINUTES_MAX: u32 = 16 * DAY;

impl Attack {
    /// The name in tables.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Jump(0.0) => "silence".to_owned(),
            Self::Jump(factor) => format!("x{factor}"),
            Self::Flood(factor) => format!("x{factor} to revoke"),
            Self::Ramp(days) => format!("ramp {days} d"),
        }
    }

    /// By how much calls are multiplied `minutes` after it began.
    pub(crate) fn factor(self, minutes: u32) -> f64 {
        match self {
            Self::Jump(factor) | Self::Flood(factor) => factor,
            Self::Ramp(days) => RAMP_TO.powf((f64::from(minutes) / f64::from(days * DAY)).min(1.0)),
        }
    }

    /// The largest factor it reaches.
    pub(crate) fn factor_max(self) -> f64 {
        if let Self::Jump(factor) | Self::Flood(factor) = self { factor } else { RAMP_TO }
    }

    /// What is not found after this many minutes counts as missed: 7 days, 16 for ramps.
    pub(crate) fn minutes_max(self) -> u32 {
        if let Self::Ramp(_) = self { MINUTES_MAX } else { 7 * DAY }
    }

    /// What it has to set off: silence is at most worth a watch by design, all else a step-up at least.
    pub(crate) fn grade(self) -> Grade {
        match self {
            Self::Jump(0.0) => Grade::Watch,
            Self::Flood(_) => Grade::Revoke,
            _ => Grade::StepUp,
        }
    }

    /// The mean delay, minutes, below which no detector with the same budget can stay as false alarms become rare: the
    /// logarithm of the minutes between two of them over the information a minute of attack carries (Lorden, 1971; Lai,
    /// 1998), along the true rate of `agent` from here on. `None` where the study's formula is not defined: schedules,
    /// recordings, ramps on negative binomial agents, and attacks that carry too little within their time.
    pub(crate) fn bound(self, mut agent: Source, budgets: Budgets) -> Option<f64> {
        let negative_binomial = agent.negative_binomial();
        if agent.is_given() || negative_binomial.is_some() && matches!(self, Self::Ramp(_)) {
            return None;
        }
        let wanted = self.grade().budget_minutes(budgets).ln();
        let mut seen = 0.0;
        for minute in 0..self.minutes_max() {
            let factor = self.factor(minute);
            let rate = agent.next_minute().rate;
            let nats = match negative_binomial {
                Some((mean, shape)) => information_negative_binomial(mean, factor, shape),
                None => information_poisson(rate, factor),
            };
            if seen + nats >= wanted {
                return Some(f64::from(minute) + (wanted - seen) / nats.max(1e-9));
            }
            seen += nats;
        }
        None
    }
}

/// Nats a minute by which a Poisson count of `factor` times the mean tells itself from one of the mean.
fn information_poisson(mean: f64, factor: f64) -> f64 {
    mean * (x_ln_x(factor) - factor + 1.0)
}

/// The same for negative binomial counts of one shape; closed form of the sum that `run_delay.py` takes.
fn information_negative_binomial(mean: f64, factor: f64, shape: f64) -> f64 {
    mean * x_ln_x(factor) - (shape + factor * mean) * ((shape + factor * mean) / (shape + mean)).ln()
}

fn x_ln_x(x: f64) -> f64 {
    if x > 0.0 { x * x.ln() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{Discrete, NegativeBinomial};

    use super::*;
    use crate::bench::fleet::Fleet;

    /// ln(129,600) = 11.7722 nats; a Poisson agent at x5 gives 5 ln 5 - 4 = 4.0472 nats a call that was usual.
    #[test]
    fn the_bound_of_a_poisson_agent_is_the_one_computed_by_hand() {
        let agent = Source::new(Fleet::Poisson, 1, 0, (2.0, 2.000_001));
        let bound = Attack::Jump(5.0).bound(agent.clone(), Budgets::default()).unwrap();
        assert!((bound - 11.7722 / (2.0 * 4.0472)).abs() < 1e-3, "{bound}");
        // Silence is worth a watch: ln(10,080) = 9.2183 nats at 1 nat a call that does not come.
        let bound = Attack::Jump(0.0).bound(agent, Budgets::default()).unwrap();
        assert!((bound - 9.2183 / 2.0).abs() < 1e-3, "{bound}");
        assert_eq!(
            Attack::Jump(5.0).bound(Source::new(Fleet::Cron, 1, 0, (1.0, 2.0)), Budgets::default()),
            None
        );
    }

    #[test]
    fn the_closed_form_is_the_sum_over_counts() {
        for (mean, factor, shape) in [(1.0, 5.0, 0.7), (8.0, 2.0, 3.0), (0.3, 20.0, 1.0), (2.0, 0.0, 2.0)] {
            let law = |m: f64| NegativeBinomial::new(shape, shape / (shape + m)).unwrap();
            let (before, after) = (law(mean), law(factor * mean));
            let sum: f64 = if factor > 0.0 {
                (0..5_000).map(|k| after.pmf(k) * (after.ln_pmf(k) - before.ln_pmf(k))).sum()
            } else {
                -before.ln_pmf(0)
            };
            let closed = information_negative_binomial(mean, factor, shape);
            assert!((sum - closed).abs() < 1e-6 * closed.max(1.0), "{mean} {factor} {shape}: {sum} {closed}");
        }
    }

    #[test]
    fn ramps_are_log_linear() {
        let ramp = Attack::Ramp(2);
        assert!((ramp.factor(DAY) - 2.0).abs() < 1e-9 && (ramp.factor(0) - 1.0).abs() < 1e-9);
        assert!((ramp.factor(9 * DAY) - 4.0).abs() < 1e-9);
    }
}
