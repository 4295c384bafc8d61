//! What is believed of an agent's volume before its own past is: from its peers, or from what was declared.

use serde::{Deserialize, Serialize};

use super::scale::Scale;
use super::scatter::PeerScatter;
use super::season::Prior;
use super::{SCALES, TAILS};
use crate::signal::Alarm;
use crate::signal::tail::PeerTail;
use crate::stored::Stored;

/// Calls an hour of an agent of which nothing at all is known, and how unsure that is: log-sd 1.2 (study §1).
const RATE_PRIOR: f64 = 10.0;
pub(super) const RATE_VARIANCE: f64 = 1.5;
/// Agent-hours at which that counts against what peers do.
const RATE_PRIOR_HOURS: f64 = 24.0;
/// How much wider a newcomer's rate is than its peers lie apart: at one deviation one in six would be news from the start.
const RATES_WIDER: f64 = 2.25;
/// Of a rate that may be anything: log-sd 6.
const UNSURE_VARIANCE: f64 = 36.0;
/// Weight of a prior rate in hours, and what an hour of the day may add to its variance.
const PRIOR_HOURS: f64 = 1.0;
const PRIOR_HOUR_VARIANCE: f64 = 0.5;
/// Weight of a declared rate in hours, and its variance; what an hour of the day may add to that is what its peers' hours say.
const DECLARED_HOURS: f64 = 24.0;
const DECLARED_VARIANCE: f64 = 0.05;
/// Agent-days at which what is believed of hours of the day counts against peers' hours.
const HOURS_APART_DAYS: f64 = 7.0;
/// Most and least that one agent says of that: all of a day's calls in one of its hours, and as much below chance as nothing at all is.
/// An agent that calls a few times a week, or was declared to, speaks for nobody else.
const HOURS_APART_MAX: f64 = 23.0;
const HOURS_APART_MIN: f64 = -1.0;

/// What the fleet says of an agent before it has said anything itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct VolumePrior {
    pub(super) per_hour: f64,
    pub(super) variance: f64,
    /// The relative variance of an hour of the day around the mean of all.
    pub(super) hours_apart: f64,
    pub(super) tails: [PeerTail; TAILS],
    pub(super) scatter: [PeerScatter; SCALES],
}

impl Default for VolumePrior {
    fn default() -> Self {
        VolumeTally::default().prior()
    }
}

impl VolumePrior {
    /// The same of something whose rate nobody can guess from its peers'.
    pub(crate) fn unsure(self) -> Self {
        Self { variance: self.variance.max(UNSURE_VARIANCE), ..self }
    }
}

/// Sums over many agents, from which the next [`VolumePrior`] is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct VolumeTally {
    /// Agent-hours, and over them the logarithm of calls an hour and its square.
    hours: f64,
    ln: f64,
    ln2: f64,
    /// Agent-days, and over them how far hours of the day lie from the mean of all.
    days: f64,
    hours_apart: f64,
    pub(super) tails: [PeerTail; TAILS],
    pub(super) scatter: [PeerScatter; SCALES],
}

impl VolumeTally {
    /// The prior that these sums stand for: the geometric mean of the agents' rates, and how far they lie apart.
    pub(crate) fn prior(&self) -> VolumePrior {
        let whole = self.hours + RATE_PRIOR_HOURS;
        let of_prior = libm::log(RATE_PRIOR);
        let mean = (self.ln + RATE_PRIOR_HOURS * of_prior) / whole;
        let square = (self.ln2 + RATE_PRIOR_HOURS * (of_prior * of_prior + RATE_VARIANCE)) / whole;
        let hours_apart =
            (self.hours_apart + HOURS_APART_DAYS * PRIOR_HOUR_VARIANCE) / (self.days + HOURS_APART_DAYS);
        VolumePrior {
            per_hour: libm::exp(mean),
            variance: RATES_WIDER * (square - mean * mean).max(DECLARED_VARIANCE),
            hours_apart: hours_apart.max(0.0),
            tails: self.tails,
            scatter: self.scatter,
        }
    }

    /// Takes up what others have learned, and leaves them nothing.
    pub(crate) fn take_up(&mut self, other: &mut Self) {
        let Self { hours, ln, ln2, days, hours_apart, mut tails, scatter } = std::mem::take(other);
        self.hours += hours;
        self.ln += ln;
        self.ln2 += ln2;
        self.days += days;
        self.hours_apart += hours_apart;
        self.tails.iter_mut().zip(&mut tails).for_each(|(own, tail)| own.take_up(tail));
        self.scatter.iter_mut().zip(scatter).for_each(|(own, scatter)| own.add(scatter));
    }

    pub(super) fn add_hour(&mut self, per_hour: f64) {
        let ln = libm::log(per_hour.max(1e-3));
        self.hours += 1.0;
        self.ln += ln;
        self.ln2 += ln * ln;
    }

    pub(super) fn add_day(&mut self, hours_apart: Option<f64>) {
        if let Some(apart) = hours_apart {
            self.days += 1.0;
            self.hours_apart += apart.clamp(HOURS_APART_MIN, HOURS_APART_MAX);
        }
    }
}

/// What one agent is read against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) peers: &'a VolumePrior,
    pub(crate) has_peers: bool,
    /// How much wider than by its excursions the tails are read, ≥ 1 (`monitor.rs`).
    pub(crate) widening: f64,
    /// Calls an hour that the agent's manifest declares, > 0.
    pub(crate) declared_per_hour: Option<f64>,
    /// Where this family's learning rests.
    pub(crate) alarm: Alarm,
}

impl Context<'_> {
    /// A window length's scatter before any was seen, where `m` calls are expected in one. What is declared is the mean alone: around
    /// it counts scatter as peers' do, however widely.
    pub(super) fn scale<S: Stored>(&self, k: usize, m: f64) -> Scale<S> {
        let most = if self.declared_per_hour.is_some() { f64::INFINITY } else { 1.0 };
        Scale::new(m, self.peers.scatter[k].prior(m, most))
    }

    pub(super) fn prior(&self) -> Prior {
        match self.declared_per_hour {
            Some(per_hour) => {
                let hour_variance = self.peers.hours_apart;
                Prior { per_hour, variance: DECLARED_VARIANCE, hours: DECLARED_HOURS, hour_variance }
            }
            None => Prior {
                per_hour: self.peers.per_hour,
                variance: self.peers.variance,
                hours: PRIOR_HOURS,
                hour_variance: PRIOR_HOUR_VARIANCE,
            },
        }
    }
}
