//! What moves an agent's rate. The formulas are those of `fleets.py` unless said otherwise.

use rand::RngExt;
use rand_distr::{Distribution, Gamma};

use super::cron::Cron;
use super::tape::Tape;
use crate::bench::chance::{Dice, choose, exponential, log_uniform, normal};
use crate::bench::fleet::Fleet;
use crate::bench::source::DAY;

/// Log-rate noise of `season_ou`: standard deviation, and minutes of memory.
const OU: (f64, f64) = (0.5, 60.0);
/// Hawkes: how many calls each call brings, and minutes until the echo has faded by e.
const HAWKES: (f64, f64) = (0.7, 5.0);
/// Mean length of a session, minutes.
const SESSION_MIN: f64 = 8.0;
/// Pareto sessions: shortest and longest, minutes, and exponent. Infinite variance without the cap.
const PARETO: (f64, f64, f64) = (2.0, 720.0, 1.3);
/// Days an on/off agent works and idles.
const ON_DAYS: (f64, f64) = (1.0, 10.0);
const OFF_DAYS: (f64, f64) = (7.0, 28.0);
const MONTH_END_FACTOR: f64 = 5.0;
/// Days of the months from January 2026, whose fifth, a Monday, is day 0 of every run.
const MONTHS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const FIRST_DAY: u32 = 4;

/// What moves one agent's rate, with the state it is in.
#[derive(Clone, Debug)]
pub(super) enum Law {
    Steady,
    Gamma { shape: f64, draw: Option<Gamma<f64>> },
    Wander { log: f64 },
    Walk { log: f64, a_month: f64 },
    Grow,
    Deploy { at: u32, factor: f64 },
    Outages([(u32, u32); 8]),
    Holiday,
    Bursts { open: Vec<(u32, f64)>, starts_a_minute: f64, calls_a_minute: f64, pareto: bool },
    Hawkes { excited: f64 },
    Cron(Cron),
    OnOff { on: bool, until: u32 },
    MonthEnd,
    Moved { at: u32, hours: i32 },
    Recorded(Tape),
}

impl Law {
    pub(super) fn new(fleet: Fleet, dice: &mut Dice) -> Self {
        match fleet {
            Fleet::Poisson | Fleet::Season => Self::Steady,
            Fleet::Nb => {
                let shape = dice.random_range(0.5..5.0);
                Self::Gamma { shape, draw: Gamma::new(shape, 1.0 / shape).ok() }
            }
            Fleet::SeasonOu => Self::Wander { log: 0.0 },
            Fleet::Drift => Self::Walk { log: 0.0, a_month: dice.random_range(-0.3..0.3) },
            Fleet::Grow => Self::Grow,
            Fleet::Deploy => Self::Deploy { at: once(dice), factor: choose(dice, [0.33, 0.5, 2.0, 3.0]) },
            Fleet::Missing => Self::Outages(std::array::from_fn(|_| {
                let at = dice.random_range(0..56 * DAY);
                (at, at + exponential(dice, 45.0) as u32 + 5)
            })),
            Fleet::Holiday => Self::Holiday,
            Fleet::Sessions | Fleet::Pareto => Self::Bursts {
                open: Vec::new(),
                calls_a_minute: log_uniform(dice, (1.0, 20.0)),
                starts_a_minute: log_uniform(dice, (1.0 / 300.0, 1.0 / 15.0)),
                pareto: fleet == Fleet::Pareto,
            },
            Fleet::Hawkes => Self::Hawkes { excited: 0.0 },
            Fleet::Cron => Self::Cron(Cron::new(dice)),
            Fleet::OnOff => {
                // Somewhere in the middle of working or idling, as likely as it is long.
                let on = dice.random_bool(on_share());
                let left = days(dice, on) * dice.random_range(0.0..1.0);
                Self::OnOff { on, until: left as u32 }
            }
            Fleet::MonthEnd => Self::MonthEnd,
            Fleet::TimeZone => {
                let hours = if dice.random_bool(0.5) { 1 } else { dice.random_range(3..=8) };
                Self::Moved { at: once(dice), hours: hours * choose(dice, [-1, 1]) }
            }
        }
    }

    /// Calls expected in minute `t` where the agent's season alone would let expect `usual`.
    pub(super) fn rate(&mut self, t: u32, usual: f64, dice: &mut Dice) -> f64 {
        match self {
            Self::Steady | Self::Moved { .. } => usual,
            Self::Gamma { draw, .. } => usual * draw.map_or(1.0, |g| g.sample(dice)),
            Self::Wander { log } => {
                let keep = (-1.0 / OU.1).exp();
                *log = keep * *log + OU.0 * (1.0 - keep * keep).sqrt() * normal(dice);
                usual * (*log - OU.0 * OU.0 / 2.0).exp()
            }
            Self::Walk { log, a_month } => {
                if t.is_multiple_of(60) {
                    *log += normal(dice) * 0.05 / 24_f64.sqrt();
                }
                usual * (*log + *a_month * f64::from(t) / f64::from(30 * DAY)).exp()
            }
            Self::Grow => usual * (std::f64::consts::LN_2 * f64::from(t) / f64::from(28 * DAY)).exp(),
            Self::Deploy { at, factor } => usual * if t >= *at { *factor } else { 1.0 },
            Self::Outages(outages) => {
                if outages.iter().any(|&(from, to)| from <= t && t < to) {
                    0.0
                } else {
                    usual
                }
            }
            Self::Holiday => usual * if matches!(t / DAY, 30 | 44) { 0.3 } else { 1.0 },
            Self::Bursts { open, starts_a_minute, calls_a_minute, pareto } => {
                open.retain(|&(end, _)| end > t);
                if dice.random::<f64>() < *starts_a_minute * usual {
                    let pace = *calls_a_minute * (exponential(dice, 0.5) + exponential(dice, 0.5));
                    open.push((t + session(dice, *pareto), pace));
                }
                open.iter().map(|&(_, pace)| pace).sum()
            }
            Self::Hawkes { excited } => (1.0 - HAWKES.0) * usual + HAWKES.0 / HAWKES.1 * *excited,
            Self::Cron(cron) => {
                cron.advance(t, dice);
                cron.rate()
            }
            Self::OnOff { on, until } => {
                if t >= *until {
                    *on = !*on;
                    *until = t + days(dice, *on) as u32;
                }
                if *on { usual } else { 0.0 }
            }
            Self::MonthEnd => usual * if is_month_end(t / DAY) { MONTH_END_FACTOR } else { 1.0 },
            Self::Recorded(tape) => {
                tape.advance(t, dice);
                tape.rate()
            }
        }
    }

    /// The calls of a schedule or a recording; `None` where chance decides.
    pub(super) fn fired(&self) -> Option<u32> {
        match self {
            Self::Cron(cron) => Some(cron.count()),
            Self::Recorded(tape) => Some(tape.count()),
            _ => None,
        }
    }

    /// Calls echo in a Hawkes process.
    pub(super) fn called(&mut self, count: u32) {
        if let Self::Hawkes { excited } = self {
            *excited = *excited * (-1.0 / HAWKES.1).exp() + f64::from(count);
        }
    }

    /// By how many hours the agent's day has moved.
    pub(super) fn hours_moved(&self, t: u32) -> i32 {
        if let Self::Moved { at, hours } = *self
            && t >= at
        {
            hours
        } else {
            0
        }
    }

    /// The mean over many weeks for a season of mean 1, for laws that do not change; 1 for the others.
    pub(super) fn mean(&self) -> f64 {
        match self {
            Self::Bursts { starts_a_minute, calls_a_minute, pareto, .. } => {
                starts_a_minute * calls_a_minute * session_mean(*pareto)
            }
            Self::Hawkes { .. } => {
                let echoes = HAWKES.0 / HAWKES.1 / (1.0 - (-1.0 / HAWKES.1).exp());
                (1.0 - HAWKES.0) / (1.0 - echoes)
            }
            Self::Cron(cron) => cron.rate(),
            Self::OnOff { .. } => on_share(),
            _ => 1.0,
        }
    }
}

/// A minute of days 10 to 50.
fn once(dice: &mut Dice) -> u32 {
    dice.random_range(10 * DAY..50 * DAY)
}

fn on_share() -> f64 {
    let mean = |(low, high): (f64, f64)| f64::midpoint(low, high);
    mean(ON_DAYS) / (mean(ON_DAYS) + mean(OFF_DAYS))
}

/// How long an on/off agent works or idles, minutes.
fn days(dice: &mut Dice, on: bool) -> f64 {
    let (low, high) = if on { ON_DAYS } else { OFF_DAYS };
    dice.random_range(low..high) * f64::from(DAY)
}

/// Whole minutes, at least one.
fn session(dice: &mut Dice, pareto: bool) -> u32 {
    let length = if pareto {
        let (low, high, exponent) = PARETO;
        (low * (1.0 - dice.random::<f64>()).powf(-1.0 / exponent)).min(high)
    } else {
        exponential(dice, SESSION_MIN)
    };
    (length.ceil() as u32).max(1)
}

/// The mean of [`session`]: the sum over whole minutes of the chance to last longer.
fn session_mean(pareto: bool) -> f64 {
    let (low, high, exponent) = PARETO;
    let longer = |m: u32| match f64::from(m) {
        m if !pareto => (-m / SESSION_MIN).exp(),
        m if m < low => 1.0,
        m if m >= high => 0.0,
        m => (low / m).powf(exponent),
    };
    (0..high as u32).map(longer).sum()
}

/// The last two and the first two days of a month.
fn is_month_end(day: u32) -> bool {
    let mut left = (day + FIRST_DAY) % 365;
    for length in MONTHS {
        if left < length {
            return left < 2 || left + 2 >= length;
        }
        left -= length;
    }
    false
}
