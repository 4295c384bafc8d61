//! Volume: is this agent making more calls than it would?
//!
//! Counts in windows of 1 and 10 minutes are read inside the open window against the mixed-Poisson (negative
//! binomial) prediction for the *whole* window. Within a window the count only grows, so reading it after every call
//! costs no extra look: the last reading is the largest. The mean is a shrunken hour-of-day profile of the agent's own
//! past with the fleet's rate as prior; the shape holds both how much counts scatter and how little is known yet.

mod scatter;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use statrs::function::beta::beta_reg;

use self::scatter::{DISPERSION_PRIOR, Dispersion, Scatter};
use super::{Evidence, history};
use crate::Timestamp;

/// Window lengths in minutes.
const SCALES_MIN: [i64; SCALES] = [1, 10];
const SCALES: usize = 2;
const MINUTE: Duration = Duration::from_mins(1);
const MINUTES_PER_DAY: f64 = 1_440.0;

/// Prior weight of the parent in hours, overall and per hour of day (volume-timing study §1, "Mean").
const PRIOR_HOURS: f64 = 1.0;
/// The same when the operator declared the rate.
const PRIOR_HOURS_DECLARED: f64 = 24.0;
/// Relative variance of the fleet's rate as a guess at one agent's, and of a declared one (same place).
const PRIOR_VARIANCE: f64 = 1.5;
const PRIOR_VARIANCE_DECLARED: f64 = 0.05;
/// What going from the overall rate to one hour of the day adds to it (same place).
const HOUR_VARIANCE: f64 = 0.5;
/// Half-life of the hour profile, 6 weeks of daily visits, and of the dispersion, 14 days of windows (same study).
const HOUR_HALF_LIFE_VISITS: f64 = 42.0;
const DISPERSION_HALF_LIFE_MIN: f64 = 14.0 * MINUTES_PER_DAY;
/// Calls an hour of an agent of which nothing at all is known; with the prior variance, 0.5 to 60 is unsurprising.
const RATE_PRIOR: f64 = 10.0;
/// An idle spell longer than a week teaches no more than a week would.
const IDLE_MIN_MAX: i64 = 7 * 1_440;
/// Counts up to which the tail is one minus a sum, several times faster than the general function, and the tail above
/// which that difference keeps nine digits.
const SUM_MAX: u32 = 16;
const SUM_TAIL_MIN: f64 = 1e-6;
/// The rarest tail told apart; far beyond any budget.
const TAIL_MIN: f64 = 1e-300;

/// What the fleet says of an agent before it has said anything itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct VolumePrior {
    calls_per_hour: f64,
    dispersion: [Dispersion; SCALES],
    known: bool,
}

/// What is expected of one agent before its own past is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prior<'a> {
    pub(crate) fleet: &'a VolumePrior,
    /// Calls an hour that the agent's manifest declares, > 0.
    pub(crate) declared_per_hour: Option<f64>,
}

impl Default for VolumePrior {
    fn default() -> Self {
        Self { calls_per_hour: RATE_PRIOR, dispersion: [DISPERSION_PRIOR; SCALES], known: false }
    }
}

/// Sums over the windows of many agents, from which the next [`VolumePrior`] is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct VolumeTally {
    calls: f64,
    minutes: f64,
    scatter: [Scatter; SCALES],
}

impl VolumeTally {
    /// The prior that these sums stand for, with the fixed prior at the weight of 30 windows.
    pub(crate) fn prior(&self) -> VolumePrior {
        let hours = self.minutes / 60.0;
        VolumePrior {
            calls_per_hour: (self.calls + RATE_PRIOR * PRIOR_HOURS) / (hours + PRIOR_HOURS),
            dispersion: self.scatter.map(|s| s.dispersion(DISPERSION_PRIOR)),
            known: self.minutes > 0.0,
        }
    }
}

/// Calls and hours of exposure, for one hour of the day or for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Exposure {
    calls: f32,
    hours: f32,
}

impl Exposure {
    fn fade(&mut self, factor: f64) {
        self.calls *= factor as f32;
        self.hours *= factor as f32;
    }

    fn add(&mut self, calls: f64, hours: f64) {
        self.calls += calls as f32;
        self.hours += hours as f32;
    }
}

/// The window that is open on one scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Window {
    /// Number of the window since the epoch.
    index: i64,
    n: u32,
    /// Evidence after the last call in it.
    bits: f64,
}

/// Expected calls an hour at one moment.
#[derive(Clone, Copy, Debug)]
struct Expectation {
    /// The estimate.
    per_hour: f64,
    /// The larger of the estimate and its interpolation to the neighbouring hours: an hour's edge is no news.
    per_hour_high: f64,
    /// Relative variance of the estimate.
    variance: f64,
    /// Weight of the agent's own past in it.
    own: f64,
}

/// One agent's past and present volume. About 400 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Volume {
    hours: [Exposure; 24],
    all: Exposure,
    scatter: [Scatter; SCALES],
    open: [Window; SCALES],
    hour_index: i64,
    windows_seen: f64,
}

/// A reading of the volume after one call.
pub(crate) struct Reading {
    pub(crate) evidence: Evidence,
    /// Observed over expected in the window that stands out most.
    pub(crate) jump: f64,
}

impl Volume {
    /// An agent first seen at `ts`.
    pub(crate) fn new(ts: Timestamp) -> Self {
        let minute = minute_index(ts);
        Self {
            hours: [Exposure::default(); 24],
            all: Exposure::default(),
            scatter: [Scatter::default(); SCALES],
            open: SCALES_MIN.map(|w| Window { index: minute.div_euclid(w), n: 0, bits: 0.0 }),
            hour_index: minute.div_euclid(60),
            windows_seen: 0.0,
        }
    }

    /// Calls a day this agent makes on average, ≥ 1.
    pub(crate) fn calls_per_day(&self, prior: Prior<'_>) -> f64 {
        (overall(self.all, prior).0 * 24.0).max(1.0)
    }

    /// Moves on to `ts`: closes the windows that ended and learns from them, from a `suspect` one only its usual part.
    pub(crate) fn advance(
        &mut self,
        ts: Timestamp,
        suspect: bool,
        prior: Prior<'_>,
        fleet: &mut VolumeTally,
    ) {
        let minute = minute_index(ts);
        for (scale, width) in SCALES_MIN.into_iter().enumerate() {
            let (old, new) = (self.open[scale], minute.div_euclid(width));
            if new <= old.index {
                continue;
            }
            let mut from = old.index.max(new - IDLE_MIN_MAX / width);
            while from < new {
                // One step is either the window that was open or a run of empty ones inside one hour.
                let start_min = from * width;
                let hour_end = (start_min.div_euclid(60) + 1) * 60;
                let (n, k) = if from == old.index {
                    (f64::from(old.n), 1)
                } else {
                    (0.0, ((hour_end - start_min + width - 1) / width).min(new - from))
                };
                let usual = if suspect && from == old.index { self.usual_part(scale, prior) } else { n };
                self.learn(scale, start_min, (n, usual), k as f64, prior, fleet);
                from += k;
            }
            self.open[scale] = Window { index: new, n: 0, bits: 0.0 };
        }
    }

    /// `windows` windows from `start_min` on had `n` calls each, of which `usual` count for the rate.
    fn learn(
        &mut self,
        scale: usize,
        start_min: i64,
        (n, usual): (f64, f64),
        windows: f64,
        prior: Prior<'_>,
        fleet: &mut VolumeTally,
    ) {
        let width = SCALES_MIN[scale] as f64;
        let at = Timestamp::from_micros(start_min * MINUTE.as_micros() as i64);
        let m = self.expect(at, prior).per_hour * width / 60.0;
        let now = self.scatter[scale].dispersion(prior.fleet.dispersion[scale]);
        self.scatter[scale].fade(halved(windows * width / DISPERSION_HALF_LIFE_MIN));
        self.scatter[scale].add(n, m, windows, now);
        fleet.scatter[scale].add(n, m, windows, now);
        if scale == 0 {
            let hour = start_min.div_euclid(60);
            if hour != self.hour_index {
                self.hour_index = hour;
                self.hours[at.hour_of_day()].fade(halved(1.0 / HOUR_HALF_LIFE_VISITS));
                self.all.fade(halved(1.0 / (24.0 * HOUR_HALF_LIFE_VISITS)));
            }
            self.hours[at.hour_of_day()].add(usual, windows / 60.0);
            self.all.add(usual, windows / 60.0);
            self.windows_seen += windows;
            fleet.calls += usual;
            fleet.minutes += windows;
        }
    }

    /// Counts one call at `ts` (call [`Self::advance`] first) and reads every open window.
    pub(crate) fn count(&mut self, ts: Timestamp, prior: Prior<'_>) -> Reading {
        let expect = self.expect(ts, prior);
        let mut best: Option<Reading> = None;
        let mut best_recurrence = f64::INFINITY;
        let mut before = f64::NEG_INFINITY;
        for (scale, width) in SCALES_MIN.iter().enumerate() {
            let width = *width as f64;
            let dispersion = self.scatter[scale].dispersion(prior.fleet.dispersion[scale]);
            let window = &mut self.open[scale];
            window.n = window.n.saturating_add(1);
            let (m, m_high) = (expect.per_hour * width / 60.0, expect.per_hour_high * width / 60.0);
            let shape = 1.0 / (expect.variance + dispersion.relative(m_high));
            let looks_per_day = SCALES as f64 * MINUTES_PER_DAY / width;
            let bits_before = window.bits;
            window.bits = tail_bits(window.n, m_high, shape);
            let recurrence = looks_per_day.log2() - window.bits;
            before = before.max(bits_before - looks_per_day.log2());
            if best.is_none() || recurrence < best_recurrence {
                best_recurrence = recurrence;
                let evidence = Evidence {
                    bits: window.bits,
                    bits_before,
                    looks_per_day,
                    observed: f64::from(window.n),
                    expected: m,
                    window_ms: (width * 60_000.0) as u64,
                    history: history(self.windows_seen, expect.own, prior.fleet.known),
                };
                best = Some(Reading { evidence, jump: f64::from(window.n) / m.max(1e-9) });
            }
        }
        let mut reading = best.unwrap_or_else(|| unreachable!("there is at least one scale"));
        // What stood before this call is the strongest scale's story then, told in the look-elsewhere units of now.
        reading.evidence.bits_before = (before + reading.evidence.looks_per_day.log2()).max(0.0);
        reading
    }

    /// Evidence of the windows open at `ts`, without a call: bits and looks a day of the strongest.
    pub(crate) fn level_at(&self, ts: Timestamp) -> (f64, f64) {
        let minute = minute_index(ts);
        let mut best = (0.0, SCALES as f64 * MINUTES_PER_DAY / SCALES_MIN[SCALES - 1] as f64);
        for (window, width) in self.open.iter().zip(SCALES_MIN) {
            let looks = SCALES as f64 * MINUTES_PER_DAY / width as f64;
            if minute.div_euclid(width) == window.index
                && window.bits - looks.log2() > best.0 - f64::log2(best.1)
            {
                best = (window.bits, looks);
            }
        }
        best
    }

    /// What a suspect window teaches: as many of its calls as would have come once a day.
    fn usual_part(&self, scale: usize, prior: Prior<'_>) -> f64 {
        let width = SCALES_MIN[scale];
        let start = Timestamp::from_micros(self.open[scale].index * width * MINUTE.as_micros() as i64);
        let once_a_day = (MINUTES_PER_DAY / width as f64).log2();
        self.quiet_count(start, scale, once_a_day, prior).min(f64::from(self.open[scale].n))
    }

    /// The scale whose windows last `window_ms`.
    pub(crate) fn scale_of(window_ms: u64) -> usize {
        SCALES_MIN.iter().position(|w| (w * 60_000) as u64 == window_ms).unwrap_or(0)
    }

    /// The largest count in the open window of `scale` whose evidence stays under `bits`.
    pub(crate) fn quiet_count(&self, ts: Timestamp, scale: usize, bits: f64, prior: Prior<'_>) -> f64 {
        let expect = self.expect(ts, prior);
        let m = expect.per_hour_high * SCALES_MIN[scale] as f64 / 60.0;
        let dispersion = self.scatter[scale].dispersion(prior.fleet.dispersion[scale]);
        let shape = 1.0 / (expect.variance + dispersion.relative(m));
        let (mut quiet, mut loud) = (0_u32, self.open[scale].n.saturating_add(1));
        while quiet + 1 < loud {
            let middle = quiet.midpoint(loud);
            if tail_bits(middle, m, shape) < bits {
                quiet = middle;
            } else {
                loud = middle;
            }
        }
        f64::from(quiet)
    }

    fn expect(&self, ts: Timestamp, prior: Prior<'_>) -> Expectation {
        let (rate, w_all, v_prior, v_hour) = overall(self.all, prior);
        let scatter = self.scatter[SCALES - 1].dispersion(prior.fleet.dispersion[SCALES - 1]);
        // Relative variance of an hour's count beyond Poisson, from the ten-minute windows in it.
        let per_hour_scatter = scatter.nb2 / 6.0;
        let own_variance = |p: f64, hours: f64| (1.0 / p.max(1e-9) + per_hour_scatter) / hours.max(1.0);
        let v_all = w_all * w_all * v_prior
            + (1.0 - w_all) * (1.0 - w_all) * own_variance(rate, f64::from(self.all.hours));
        let at_hour = |h: usize| {
            let (calls, hours) = (f64::from(self.hours[h].calls), f64::from(self.hours[h].hours));
            ((calls + PRIOR_HOURS * rate) / (hours + PRIOR_HOURS), PRIOR_HOURS / (hours + PRIOR_HOURS))
        };
        let h = ts.hour_of_day();
        let (here, w) = at_hour(h);
        let minute = minute_index(ts).rem_euclid(60) as f64;
        let (neighbour, weight) = if minute < 30.0 {
            ((h + 23) % 24, 0.5 - minute / 60.0)
        } else {
            ((h + 1) % 24, minute / 60.0 - 0.5)
        };
        let interpolated = (1.0 - weight) * here + weight * at_hour(neighbour).0;
        Expectation {
            per_hour: here,
            per_hour_high: here.max(interpolated),
            variance: w * w * (v_all + v_hour)
                + (1.0 - w) * (1.0 - w) * own_variance(here, f64::from(self.hours[h].hours)),
            own: 1.0 - w * w_all,
        }
    }
}

/// Overall rate in calls an hour, the prior's weight in it, the prior's relative variance, and what an hour adds.
fn overall(all: Exposure, prior: Prior<'_>) -> (f64, f64, f64, f64) {
    let (rate, k, v, v_hour) = match prior.declared_per_hour {
        Some(rate) => (rate, PRIOR_HOURS_DECLARED, PRIOR_VARIANCE_DECLARED, 0.0),
        None => (prior.fleet.calls_per_hour, PRIOR_HOURS, PRIOR_VARIANCE, HOUR_VARIANCE),
    };
    let hours = f64::from(all.hours);
    ((f64::from(all.calls) + k * rate) / (hours + k), k / (hours + k), v, v_hour)
}

/// −log2 P(N ≥ n) for N negative binomial with mean `m` and shape `r`: the mixed-Poisson tail.
///
/// P(N ≥ n) = `I_q(n, r)` with q = m/(r+m), the regularised incomplete beta function (Johnson, Kemp, Kotz: Univariate
/// Discrete Distributions, §5.6).
fn tail_bits(n: u32, m: f64, r: f64) -> f64 {
    if n == 0 || m <= 0.0 {
        return 0.0;
    }
    let q = (m / (r + m)).clamp(0.0, 1.0);
    if n <= SUM_MAX {
        // P(N = k+1) = P(N = k)·q·(r+k)/(k+1), from P(N = 0) = (1−q)^r.
        let (mut term, mut below) = ((r * (-q).ln_1p()).exp(), 0.0);
        for k in 0..n {
            below += term;
            term *= q * (r + f64::from(k)) / f64::from(k + 1);
        }
        if 1.0 - below > SUM_TAIL_MIN {
            return -(1.0 - below).log2();
        }
    }
    -beta_reg(f64::from(n), r, q).clamp(TAIL_MIN, 1.0).log2()
}

/// What is left after so many half-lives.
fn halved(half_lives: f64) -> f64 {
    (-std::f64::consts::LN_2 * half_lives).exp()
}

fn minute_index(ts: Timestamp) -> i64 {
    ts.as_micros().div_euclid(MINUTE.as_micros() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.nbinom.sf(n - 1, r, r / (r + m))`, scipy 1.15.
    #[test]
    fn the_tail_is_the_negative_binomials() {
        for (n, m, r, p) in REFERENCE {
            let bits = tail_bits(n, m, r);
            assert!(
                (bits + p.log2()).abs() < 1e-6 * bits.max(1.0),
                "n={n} m={m} r={r}: {bits} != {}",
                -p.log2()
            );
        }
    }

    #[expect(clippy::unreadable_literal, reason = "as scipy printed them")]
    const REFERENCE: [(u32, f64, f64, f64); 9] = [
        (1, 0.05, 0.02, 0.02474398149379567),
        (6, 0.05, 0.01, 0.0021926407914504347),
        (20, 0.1, 0.087, 4.13367342891038e-08),
        (5, 3.0, 2.0, 0.23328),
        (40, 3.0, 2.0, 2.272474071603432e-08),
        (200, 10.0, 50.0, 8.75389213178704e-108),
        (3, 0.5, 1000.0, 0.01441610454669205),
        (1000, 3.0, 0.3, 5.71936667540184e-44),
        (60, 1.0, 0.2, 5.7655309515321e-07),
    ];

    #[test]
    fn a_steady_agent_stays_quiet_and_a_burst_does_not() {
        let fleet_prior = VolumePrior::default();
        let prior = Prior { fleet: &fleet_prior, declared_per_hour: None };
        let mut fleet = VolumeTally::default();
        let start = Timestamp::from_millis(1_740_000_000_000);
        let mut volume = Volume::new(start);
        let mut last = None;
        for second in (0..14 * 86_400).step_by(20) {
            let ts = start + Duration::from_secs(second);
            volume.advance(ts, false, prior, &mut fleet);
            last = Some((ts, volume.count(ts, prior)));
        }
        let (ts, quiet) = last.unwrap();
        assert!(quiet.evidence.bits < quiet.evidence.looks_per_day.log2(), "{:?}", quiet.evidence);
        let mut loud = quiet;
        for _ in 0..60 {
            loud = volume.count(ts, prior);
        }
        let level = loud.evidence.bits - loud.evidence.looks_per_day.log2();
        assert!(level > 11.8 && loud.jump > 5.0, "{level} {:?}", loud.evidence);
        let allowed = loud.evidence.looks_per_day.log2() + 2.8;
        let quiet_at = volume.quiet_count(ts, Volume::scale_of(loud.evidence.window_ms), allowed, prior);
        assert!((3.0..60.0).contains(&quiet_at), "{quiet_at}");
    }
}
