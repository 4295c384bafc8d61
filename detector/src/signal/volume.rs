//! Volume: is this agent making more calls, or fewer, than it would?
//!
//! Calibrated band e-CUSUM (volume-timing study §0): a seasonal mean with a credibility band whose edge is the null, a
//! null that the agent's last windows excite, likelihood ratios read inside open windows of 10 s, 1, 10 and 60 minutes,
//! their CUSUMs, and the tail of the CUSUMs' own excursions, which says how often *this* agent shows the like.
//!
//! Time moves in cells of 10 seconds. Every reading is a function of the calls alone: how often somebody asks in between
//! changes nothing.

mod hour;
mod passing;
mod pending;
mod prior;
mod ramp;
mod ratio;
mod read;
mod recall;
mod rest;
mod scale;
mod scatter;
mod season;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;
use std::time::Duration;

use libm::{exp, exp2, log, log2};
use serde::{Deserialize, Serialize};

use self::hour::{Hour, Level};
use self::pending::Pending;
pub(crate) use self::prior::{Context, VolumePrior, VolumeTally};
use self::ramp::Ramp;
pub(crate) use self::read::{Place, Reading};
pub(crate) use self::recall::Week;
use self::scale::{Expected, Idle, Scale, Sums};
use self::season::{Prior, Season};
use super::tail::{Group, Tail};
use crate::Timestamp;
use crate::stored::{Half, Stored};

/// Window lengths in cells, and a cell's length: the study's scales and the 10 s that it leaves open. The shortest looks
/// upward only and carries nothing over from window to window: calls that come in clumps minutes apart are independent at
/// no scale so short, and what lasts longer than 10 s the next scale adds up.
const CELLS: [i64; SCALES] = [1, 6, 60, 360];
const SCALES: usize = 4;
const CELL: Duration = Duration::from_secs(10);
const CELLS_PER_MINUTE: i64 = 6;
const CELLS_PER_HOUR: i64 = 360;
const CELLS_PER_DAY: i64 = 8_640;
const CELLS_PER_WEEK: i64 = 7 * CELLS_PER_DAY;
/// Half-life of what is known of scatter and echo (study: 14 d). A younger agent forgets faster: what it was taken for
/// while its mean was not known yet would pass for its scatter for weeks.
const SCATTER_HALF_LIFE_CELLS: i64 = 14 * CELLS_PER_DAY;
/// How often that is halved at most, scale by scale: a half-life has 55 windows or more, so that the prior holds as long.
const HALVINGS: [usize; SCALES] = [10, 8, 4, 2];
/// What is left of the past in agents of one age: after one window of each scale, and after so many without a call, an
/// hour of them at most.
struct Fading {
    once: [f64; SCALES],
    idle: [Vec<Idle>; SCALES],
}
/// By how often the half-life is halved.
static FADING: LazyLock<[Fading; HALVINGS[0] + 1]> = LazyLock::new(|| {
    std::array::from_fn(|halvings| {
        let once: [f64; SCALES] = std::array::from_fn(|k| {
            let half_life = SCATTER_HALF_LIFE_CELLS as f64 / (1_u64 << halvings.min(HALVINGS[k])) as f64;
            exp2(-(CELLS[k] as f64) / half_life)
        });
        let idle = |k: usize| (0..=CELLS_PER_HOUR / CELLS[k]).map(|n| Idle::new(n, once[k])).collect();
        Fading { once, idle: std::array::from_fn(idle) }
    })
});
/// Weeks of an idle spell beyond five teach nothing more.
const IDLE_CELLS_MAX: i64 = 35 * CELLS_PER_DAY;
/// Excursions begin at this evidence, nats (study: u).
const THRESHOLD: f64 = 2.0;
/// The scales in whose windows an agent seldom has more than a call, and how many are few there: of so few no more is said than the
/// chance of as many says.
const BRIEF: usize = 2;
const FEW: f64 = 3.0;
const E_THRESHOLD: f64 = 7.389_056_098_930_65;
/// One tail a scale and direction, by the scale and its direction; the shortest scale has none downward.
const TAILS: usize = 2 * SCALES;
const NO_TAIL: usize = 1;
/// Groups that share the family's budget: four look upward, three downward.
const GROUPS: f64 = 7.0;
/// Without a verdict learning rests this long after an alarm, and then takes what it sees for the new normal (study:
/// 24 h). What a person has to decide stays open in the revoker; this only keeps the arithmetic from standing still.
const REST: Duration = Duration::from_hours(24);
/// Of a longer silence the calls that are expected in so many hours are told.
const EXPECTED_HOURS_MAX: f64 = 5.0 * 168.0;
/// How counts scatter is taught to newcomers from this age on, when the mean they scatter around is known.
const TEACHES_FROM_DAYS: f64 = 7.0;
/// An agent's tails are wide at first and settle in this time (study: `s0`, 14 d).
const SETTLING_DAYS: f64 = 14.0;
/// The groups that read upward, by their bits.
const UPWARD: u8 = 0b0101_0101;
/// For so many days what stands out from a declared rate teaches nothing.
const DECLARED_DAYS: f64 = 14.0;
/// What a single alarm may move the level by (study: 0.02 to 50).
const RESEED_MIN: f64 = 0.02;
const RESEED_MAX: f64 = 50.0;

/// What the hours learned before a deploy count after it: its shape may be another.
const ADOPTED_SHARE: f64 = 0.25;

/// On a day off all hours are off: a weight of their distance to the other type's in how unsure the rate is.
const HOLIDAY_WEIGHT: f64 = 0.5;
/// Evidence, in tenths of a nat, from which today is no longer, or not at all, believed to be of the other type; the most
/// there can be, and what an hour leaves of it: half in eight hours.
const OFF_DOUBTED: f64 = -40.0;
const OFF_DISBELIEVED: f64 = -80.0;
const OFF_MOST: f64 = 120.0;
const OFF_HOURLY: f64 = 0.917;

/// Learning rests: since an alarm, until a verdict or [`REST`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Rest<S> {
    /// Cells that are left; 0 while learning.
    cells: u16,
    /// Calls since, and how many the profile expected.
    calls: S,
    expected: S,
    /// The tail whose excursion raised the alarm, and how high it stood; [`TAILS`] where it was none's.
    tail: u8,
    peak: S,
}

impl<S: Stored> Rest<S> {
    /// Learning rests because the agent is silent, and it has not called since.
    fn is_silence(&self) -> bool {
        usize::from(self.tail) < TAILS && self.tail % 2 == 1 && self.calls.get() <= 0.0
    }
}

/// One agent's past and present volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "S: Serialize, C: Serialize",
    deserialize = "S: Stored + Deserialize<'de>, C: Stored + Deserialize<'de>"
))]
pub(crate) struct Volume<S = f32, C = Half> {
    // Read at every call.
    /// The present cell, counted from the epoch.
    cell: i64,
    /// Calls of this cell that no scale has counted yet.
    fresh: u32,
    /// Calls that may still come in this cell before any answer can change; 0 is always safe.
    #[serde(skip)]
    room: u32,
    /// Bit g: tail g is in an excursion.
    out: u8,
    /// Bit k: not even silence to the end of its window makes scale k speak downward; 0 is always safe.
    #[serde(skip)]
    still: u8,
    /// Of a part of this hour nothing is known, so it teaches nothing.
    is_partial: bool,
    /// Evidence that today is of the other type of day, tenths of a nat.
    off: i8,
    rate_octaves: f32,
    rest: Rest<S>,
    // Read when something may have changed.
    born: Timestamp,
    hour_calls: u32,
    hour: Hour<S>,
    scales: [Scale<S>; SCALES],
    /// Of all scales but the shortest, which carries nothing over from window to window.
    sums: [Sums<S>; SCALES - 1],
    tails: [Tail<S>; TAILS - 1],
    // Read once an hour.
    level: Level<S>,
    ramp: Ramp<S>,
    pending: Pending<C>,
    season: Season<S, C>,
}

impl<S: Stored, C: Stored> Volume<S, C> {
    /// An agent first seen at `ts`.
    pub(crate) fn new(ts: Timestamp, ctx: Context<'_>) -> Self {
        let expected = in_windows(ctx.prior().per_hour);
        let scales = std::array::from_fn(|k| ctx.scale(k, expected[k]));
        Self::begin(ts, Season::default(), scales, ctx)
    }

    fn begin(ts: Timestamp, season: Season<S, C>, scales: [Scale<S>; SCALES], ctx: Context<'_>) -> Self {
        let mut volume = Self {
            cell: cell_of(ts),
            fresh: 0,
            room: 0,
            out: 0,
            still: 0,
            is_partial: false,
            off: 0,
            rate_octaves: 0.0,
            rest: Rest::default(),
            born: ts,
            hour_calls: 0,
            hour: Hour::default(),
            scales,
            sums: Default::default(),
            tails: [Tail::default(); TAILS - 1],
            level: Level::default(),
            ramp: Ramp::default(),
            pending: Pending::default(),
            season,
        };
        volume.begin_hour(ctx);
        volume
    }

    /// A number of every cache line that a call may read; see [`crate::profile::Profile::fetch`].
    pub(crate) fn fetch(&self) -> u32 {
        let scales = self.scales.iter().map(Scale::fetch).chain(self.sums.iter().map(Sums::fetch));
        scales.fold(self.fresh ^ self.hour_calls, |all, n| all ^ n)
    }

    /// The CUSUMs of scale `k`; the shortest has none.
    fn sums(&self, k: usize) -> Sums<S> {
        k.checked_sub(1).map_or(Sums::default(), |of_scale| self.sums[of_scale])
    }

    fn learn_hour(&mut self, hour: i64, calls: f64, prior: Prior) {
        let share = self.share_of_hour(hour);
        let of_week = hour_of_week(hour);
        let base = self.season.base(of_week, prior, self.scatter()).per_hour;
        self.season.learn(of_week, calls, self.hour.level.get() * share);
        self.level.learn(calls, base * share);
    }

    /// The hour that has ended held `calls`: as one of this type of day would, or of the other? A Saturday that has run as
    /// Saturdays do until noon will not become a weekday.
    fn compare_types(&mut self, calls: f64) {
        let (own, nats_off) = (self.hour.level.get() * self.hour.base.get(), self.hour.holiday());
        let shape = self.scales[SCALES - 1].shape().at(own);
        let other = own * exp(nats_off);
        let nats = calls * nats_off - (shape + calls) * log((shape + other) / (shape + own));
        self.off = (OFF_HOURLY * f64::from(self.off) + 10.0 * nats).clamp(-OFF_MOST, OFF_MOST) as i8;
    }

    /// The relative variance of an hour's count beyond Poisson.
    pub(crate) fn scatter(&self) -> f64 {
        self.scales[SCALES - 1].scatter.relative()
    }

    /// How much of an hour the agent was known.
    fn share_of_hour(&self, hour: i64) -> f64 {
        let unknown = cell_of(self.born) - hour * CELLS_PER_HOUR;
        1.0 - unknown.clamp(0, CELLS_PER_HOUR - 1) as f64 / CELLS_PER_HOUR as f64
    }

    fn begin_hour(&mut self, ctx: Context<'_>) {
        let hour = hour_of_week(self.cell.div_euclid(CELLS_PER_HOUR));
        let off = (f64::from(self.off) - OFF_DISBELIEVED) / (OFF_DOUBTED - OFF_DISBELIEVED);
        self.hour =
            Hour::new(hour, &self.season, &self.level, ctx.prior(), self.scatter(), off.clamp(0.0, 1.0));
        self.rate_octaves = log2(self.hour.base.get() / self.season.overall(ctx.prior())) as f32;
    }

    /// Expected between the start of the cell and a moment `share` of it later.
    fn expected_in_cell(&self, share: f64) -> Expected {
        let minute = self.hour.minute(self.cell.div_euclid(CELLS_PER_MINUTE).rem_euclid(60));
        // Before its first call an agent was not known, so nothing was expected of it.
        let unknown = if self.cell == cell_of(self.born) { into_cell(self.born) } else { 0.0 };
        minute.over((share - unknown).max(0.0) / CELLS_PER_MINUTE as f64)
    }

    /// Lets every scale count the calls that came while no answer could change.
    fn flush(&mut self) {
        for scale in &mut self.scales {
            scale.n = scale.n.saturating_add(self.fresh);
        }
        self.hour_calls = self.hour_calls.saturating_add(self.fresh);
        if self.is_resting() {
            let fresh = f64::from(self.fresh);
            self.rest.calls.update(|n| n + fresh);
        }
        self.fresh = 0;
    }

    fn fading(&self) -> &'static Fading {
        let age = self.age_cells().max(1);
        if age > SCATTER_HALF_LIFE_CELLS {
            return &FADING[0];
        }
        &FADING[((SCATTER_HALF_LIFE_CELLS / age).ilog2() as usize + 1).min(HALVINGS[0])]
    }

    fn age_cells(&self) -> i64 {
        self.cell - cell_of(self.born)
    }

    pub(crate) fn age_days(&self) -> f64 {
        self.age_cells() as f64 / CELLS_PER_DAY as f64
    }

    /// Relative variance of the rate expected in this hour: how little is known of it after its own calls so far (a gamma
    /// prior's posterior), and how far a holiday would move it.
    pub(crate) fn rate_variance(&self) -> f64 {
        let scale = &self.scales[SCALES - 1];
        let (calls, scatter) = (f64::from(scale.n) + f64::from(self.fresh), scale.shape());
        let seen = calls / (1.0 + scatter.fano + scatter.relative * scale.expected_by_profile());
        let of_hour = self.hour.variance.get();
        of_hour / (1.0 + of_hour * seen) + HOLIDAY_WEIGHT * self.hour.holiday().powi(2)
    }

    /// Calls an hour over the whole week, at the level of now.
    pub(crate) fn per_hour(&self, ctx: Context<'_>) -> f64 {
        self.season.overall(ctx.prior()) * self.hour.level.get()
    }

    /// Calls expected in each hour of the middle of the week, and of its end, at the level of now.
    pub(crate) fn usual_days(&self, ctx: Context<'_>) -> [[f64; 24]; 2] {
        [2, 5].map(|day| {
            let hour = |h| self.season.base(day * 24 + h, ctx.prior(), self.scatter()).per_hour;
            std::array::from_fn(|h| hour(h) * self.hour.level.get())
        })
    }

    /// Calls expected from `from` to `ts` by the hours of the week, at the level of now.
    pub(crate) fn expected_calls(&self, from: Timestamp, ts: Timestamp, ctx: Context<'_>) -> f64 {
        let hour = |h: i64| self.season.base(hour_of_week(h), ctx.prior(), self.scatter()).per_hour;
        let (first, last) = (from.hours(), ts.hours().min(from.hours() + EXPECTED_HOURS_MAX));
        let whole: f64 = (first.floor() as i64..last.ceil() as i64)
            .map(|h| hour(h) * (last.min(h as f64 + 1.0) - first.max(h as f64)).max(0.0))
            .sum();
        whole * self.hour.level.get()
    }

    /// How far the rate expected in this hour is above the overall one, in octaves.
    pub(crate) fn rate_octaves(&self) -> f64 {
        f64::from(self.rate_octaves)
    }
}

/// Where an agent keeps the tail `g`.
fn kept_at(g: usize) -> usize {
    g - usize::from(g > NO_TAIL)
}

fn group(g: usize) -> Group {
    let look_days = CELLS[g / 2] as f64 / CELLS_PER_DAY as f64;
    Group { threshold: THRESHOLD, never_days: E_THRESHOLD * look_days, groups: GROUPS }
}

/// Calls in a window of each scale at so many an hour.
fn in_windows(per_hour: f64) -> [f64; SCALES] {
    CELLS.map(|cells| per_hour / 60.0 * cells as f64 / CELLS_PER_MINUTE as f64)
}

fn cell_of(ts: Timestamp) -> i64 {
    ts.as_micros().div_euclid(CELL.as_micros() as i64)
}

/// Cells since the hour began; every window ends with an hour at the latest.
fn into_hour(cell: i64) -> u32 {
    cell.rem_euclid(CELLS_PER_HOUR) as u32
}

/// How far into its cell an instant is, 0 to 1.
fn into_cell(ts: Timestamp) -> f64 {
    ts.as_micros().rem_euclid(CELL.as_micros() as i64) as f64 / CELL.as_micros() as f64
}

fn is_weekend(hour_of_week: usize) -> bool {
    hour_of_week >= 5 * 24
}

/// Hour of the week of an hour since the epoch, which began on a Thursday; 0 is Monday's first.
fn hour_of_week(hour: i64) -> usize {
    (hour + 3 * 24).rem_euclid(7 * 24) as usize
}
