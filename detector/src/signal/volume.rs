//! Volume: is this agent making more calls, or fewer, than it would?
//!
//! Calibrated band e-CUSUM (volume-timing study §0): a seasonal mean with a credibility band whose edge is the null, a
//! null that the agent's last windows excite, likelihood ratios read inside open windows of 10 s, 1, 10 and 60 minutes,
//! their CUSUMs, and the tail of the CUSUMs' own excursions, which says how often *this* agent shows the like.
//!
//! Time moves in cells of 10 seconds. Every reading is a function of the calls alone: how often somebody asks in between
//! changes nothing.

mod hour;
mod pending;
mod prior;
mod ramp;
mod ratio;
mod read;
mod recall;
mod scale;
mod scatter;
mod season;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;
use std::time::Duration;

use libm::{exp2, log2};
use serde::{Deserialize, Serialize};

use self::hour::{Hour, Level};
use self::pending::Pending;
pub(crate) use self::prior::{Context, VolumePrior, VolumeTally};
use self::ramp::Ramp;
use self::read::Place;
pub(crate) use self::recall::Week;
use self::scale::{Expected, Idle, Scale};
use self::season::{Prior, Season};
use super::tail::{Group, Tail};
use crate::Timestamp;
use crate::source::Outage;
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
/// Half-life of what is known of scatter and echo (study: 14 d).
const SCATTER_HALF_LIFE_CELLS: f64 = 14.0 * CELLS_PER_DAY as f64;
/// What is left of it after one window of each scale.
static FADES: LazyLock<[f64; SCALES]> =
    LazyLock::new(|| CELLS.map(|cells| exp2(-(cells as f64) / SCATTER_HALF_LIFE_CELLS)));
/// The same after so many windows without a call, an hour of them at most.
static IDLE: LazyLock<[Vec<Idle>; SCALES]> = LazyLock::new(|| {
    std::array::from_fn(|k| (0..=CELLS_PER_HOUR / CELLS[k]).map(|n| Idle::new(n, FADES[k])).collect())
});
/// Weeks of an idle spell beyond five teach nothing more.
const IDLE_CELLS_MAX: i64 = 35 * CELLS_PER_DAY;
/// Excursions begin at this evidence, nats (study: u).
const THRESHOLD: f64 = 2.0;
const E_THRESHOLD: f64 = 7.389_056_098_930_65;
/// One tail a scale and direction; the shortest scale's second place stays empty.
const TAILS: usize = 2 * SCALES;
/// Groups that share the family's budget: four look upward, three downward.
const GROUPS: f64 = 7.0;
/// Without a verdict learning rests this long after an alarm, and then takes what it sees for the new normal (study:
/// 24 h). What a person has to decide stays open in the revoker; this only keeps the arithmetic from standing still.
const REST: Duration = Duration::from_hours(24);
/// Of a longer silence the calls that are expected in so many hours are told.
const EXPECTED_HOURS_MAX: f64 = 5.0 * 168.0;
/// What a single alarm may move the level by (study: 0.02 to 50).
const RESEED_MIN: f64 = 0.02;
const RESEED_MAX: f64 = 50.0;

/// Days on which an agent may behave as on the other type of day.
const HOLIDAY_SHARE: f64 = 0.1;
/// Excursions of one agent that its peers learn from: none teaches them more.
const TEACHES_MAX: f64 = 20.0;

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
    rate_octaves: f32,
    rest: Rest<S>,
    // Read when something may have changed.
    born: Timestamp,
    hour_calls: u32,
    hour: Hour<S>,
    scales: [Scale<S>; SCALES],
    tails: [Tail<S>; TAILS],
    // Read once an hour.
    level: Level<S>,
    ramp: Ramp<S>,
    pending: Pending<C>,
    season: Season<S, C>,
}

impl<S: Stored, C: Stored> Volume<S, C> {
    /// An agent first seen at `ts`.
    pub(crate) fn new(ts: Timestamp, ctx: Context<'_>) -> Self {
        let scales = in_windows(ctx.prior().per_hour).map(Scale::new);
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
            rate_octaves: 0.0,
            rest: Rest::default(),
            born: ts,
            hour_calls: 0,
            hour: Hour::default(),
            scales,
            tails: [Tail::default(); TAILS],
            level: Level::default(),
            ramp: Ramp::default(),
            pending: Pending::default(),
            season,
        };
        volume.begin_hour(ctx);
        volume
    }

    /// Moves on to the cell of `ts`, closing all that ends on the way.
    pub(crate) fn advance(&mut self, ts: Timestamp, ctx: Context<'_>, tally: &mut VolumeTally) {
        let target = cell_of(ts);
        let enough = self.cell.saturating_add(IDLE_CELLS_MAX);
        if target > enough {
            self.walk(enough, ctx, tally);
            // Whole weeks, so that every hour and window goes on where it was.
            self.cell += (target - enough) / CELLS_PER_WEEK * CELLS_PER_WEEK;
        }
        self.walk(target, ctx, tally);
    }

    /// Moves on to `ts` from `from`, where it was last, over times of which nothing is known.
    pub(crate) fn advance_through(
        &mut self,
        (from, ts): (Timestamp, Timestamp),
        outages: &[Outage],
        ctx: Context<'_>,
        tally: &mut VolumeTally,
    ) {
        for outage in outages.iter().filter(|o| o.until > from && o.since < ts) {
            self.advance(outage.since, ctx, tally);
            self.skip(outage.until.min(ts), ctx, tally);
        }
        self.advance(ts, ctx, tally);
    }

    /// Moves on to the cell of `ts` while nothing is known: no call is expected, windows that end on the way say and teach
    /// nothing, and neither do hours that it touches.
    fn skip(&mut self, ts: Timestamp, ctx: Context<'_>, tally: &mut VolumeTally) {
        let target = cell_of(ts);
        let enough = self.cell.saturating_add(IDLE_CELLS_MAX);
        if target > enough {
            self.cell += (target - enough) / CELLS_PER_WEEK * CELLS_PER_WEEK;
        }
        self.flush();
        while self.cell < target {
            self.is_partial = true;
            let end = (self.cell.div_euclid(CELLS_PER_HOUR) + 1) * CELLS_PER_HOUR;
            let (begin, end) = (self.cell, end.min(target));
            for (scale, cells) in self.scales.iter_mut().zip(CELLS) {
                if begin.div_euclid(cells) != end.div_euclid(cells) {
                    scale.begin();
                }
            }
            self.cell = end;
            self.pass((end - begin) as u16, ctx, tally);
            if into_hour(end) == 0 {
                self.close_hour(ctx, tally);
            }
        }
        (self.room, self.still) = (0, 0);
    }

    fn walk(&mut self, target: i64, ctx: Context<'_>, tally: &mut VolumeTally) {
        while self.cell < target {
            match self.idle_run(target) {
                Some((scales, end)) => self.close_idle(scales, end, ctx, tally),
                None => self.close_cell(ctx, tally),
            }
        }
    }

    /// How far one step may go before `target`, and how many of the shorter scales close whole windows without a call in
    /// it: up to the next window of the scale above them, or a whole hour.
    fn idle_run(&self, target: i64) -> Option<(usize, i64)> {
        if self.fresh > 0 {
            return None;
        }
        let empty = self.scales.iter().take_while(|s| s.n == 0).count();
        let into_hour = into_hour(self.cell);
        let left = (target - self.cell).min(CELLS_PER_HOUR) as u32;
        (1..=empty).rev().find_map(|scales| {
            let cells = CELLS[scales - 1] as u32;
            if !into_hour.is_multiple_of(cells) {
                return None;
            }
            let above = CELLS.get(scales).map_or(CELLS_PER_HOUR as u32, |&cells| cells as u32);
            let run = (above - into_hour % above).min(left / cells * cells);
            (run > 0).then(|| (scales, self.cell + i64::from(run)))
        })
    }

    /// Cells without a call in one step: the same sums as cell by cell, at the expectation of the middle. Excursions are
    /// looked at where it ends.
    fn close_idle(&mut self, scales: usize, end: i64, ctx: Context<'_>, tally: &mut VolumeTally) {
        let cells = end - self.cell;
        let middle = self.cell + cells / 2;
        let minute = self.hour.minute(middle.div_euclid(CELLS_PER_MINUTE).rem_euclid(60));
        let minutes = |cells: i64| cells as f64 / CELLS_PER_MINUTE as f64;
        let resting = self.is_resting();
        for k in 0..SCALES {
            let scale = &mut self.scales[k];
            if k >= scales {
                scale.expose(minute.over(minutes(cells)));
                continue;
            }
            let windows = cells / CELLS[k];
            scale.expose(minute.over(minutes(CELLS[k])));
            if k > 0 {
                let shape = scale.shape();
                scale.close(windows, shape);
            }
            if !resting {
                scale.learn_idle(&IDLE[k][windows as usize]);
            }
            scale.begin();
        }
        self.scales.iter_mut().for_each(|scale| scale.quiet = 0);
        self.still &= u8::MAX << scales;
        self.cell = end - 1;
        self.look_at_end_of_cell(scales, ctx, tally);
        if resting {
            self.rest.expected.update(|m| m + minute.mean * minutes(cells));
        }
        self.cell = end;
        self.close_boundaries(scales, cells, ctx, tally);
    }

    /// The windows of `from` and longer scales that end here, and the hour.
    fn close_boundaries(&mut self, from: usize, cells: i64, ctx: Context<'_>, tally: &mut VolumeTally) {
        let into_hour = into_hour(self.cell);
        let ended = CELLS.iter().take_while(|&&cells| into_hour.is_multiple_of(cells as u32)).count();
        for k in from..ended {
            self.close_window(k);
        }
        self.pass(cells as u16, ctx, tally);
        if into_hour == 0 {
            self.close_hour(ctx, tally);
        }
        self.room = 0;
    }

    /// Time goes by for a rest.
    fn pass(&mut self, cells: u16, ctx: Context<'_>, tally: &mut VolumeTally) {
        if self.is_resting() {
            self.rest.cells = self.rest.cells.saturating_sub(cells);
            if self.rest.cells == 0 {
                self.rest.cells = 1;
                self.accept(ctx, tally);
            }
        }
    }

    fn close_cell(&mut self, ctx: Context<'_>, tally: &mut VolumeTally) {
        self.flush();
        let cell = self.expected_in_cell(1.0);
        for scale in &mut self.scales {
            scale.expose(cell);
        }
        self.look_at_end_of_cell(0, ctx, tally);
        if self.is_resting() {
            self.rest.expected.update(|m| m + cell.mean);
        }
        self.cell += 1;
        self.close_boundaries(0, 1, ctx, tally);
    }

    fn close_window(&mut self, k: usize) {
        let (resting, excursion) = (self.is_resting(), self.is_out(2 * k));
        let scale = &mut self.scales[k];
        let shape = scale.shape();
        if k > 0 {
            scale.close(1, shape);
        }
        if !resting {
            scale.learn(FADES[k], excursion);
        }
        // Scatter gets wider where calls came or many were missed; longer windows are interpolated from it.
        let is_wider = scale.n > 0 || scale.expected(Expected::default()).mean > 1.0;
        scale.begin();
        self.still &= !(1 << k);
        if is_wider {
            self.scales[k..].iter_mut().for_each(|longer| longer.quiet = 0);
        }
    }

    fn close_hour(&mut self, ctx: Context<'_>, tally: &mut VolumeTally) {
        let (ended, age_hours) = (self.cell / CELLS_PER_HOUR - 1, self.age_cells() / CELLS_PER_HOUR);
        let is_partial = std::mem::take(&mut self.is_partial);
        if !is_partial {
            self.ramp.expose(self.hour.base.get() * self.share_of_hour(ended));
            self.ramp.count(f64::from(self.hour_calls));
        }
        if self.cell % CELLS_PER_DAY == 0 {
            let shape = 1.0 / self.scales[SCALES - 1].scatter.relative();
            self.ramp.close_day(shape, self.age_days(), self.is_resting());
        }
        self.pending.push(f64::from(self.hour_calls), self.is_resting() || is_partial);
        self.hour_calls = 0;
        while let Some((ago, calls)) = self.pending.pop(age_hours) {
            if let Some(calls) = calls {
                self.learn_hour(ended - ago, calls, ctx.prior());
                tally.add_hour(self.season.overall(ctx.prior()));
            }
        }
        // How far the hours lie apart moves slowly once there are many.
        if self.cell % CELLS_PER_DAY == 0 || age_hours.count_ones() == 1 {
            self.season.compare(ctx.prior(), self.scatter());
        }
        self.begin_hour(ctx);
    }

    fn learn_hour(&mut self, hour: i64, calls: f64, prior: Prior) {
        let share = self.share_of_hour(hour);
        let of_week = hour_of_week(hour);
        let base = self.season.base(of_week, prior, self.scatter()).per_hour;
        self.season.learn(of_week, calls, self.hour.level.get() * share);
        self.level.learn(calls, base * share);
    }

    /// The relative variance of an hour's count beyond Poisson.
    fn scatter(&self) -> f64 {
        self.scales[SCALES - 1].scatter.relative()
    }

    /// How much of an hour the agent was known.
    fn share_of_hour(&self, hour: i64) -> f64 {
        let unknown = cell_of(self.born) - hour * CELLS_PER_HOUR;
        1.0 - unknown.clamp(0, CELLS_PER_HOUR - 1) as f64 / CELLS_PER_HOUR as f64
    }

    fn begin_hour(&mut self, ctx: Context<'_>) {
        let hour = hour_of_week(self.cell.div_euclid(CELLS_PER_HOUR));
        self.hour = Hour::new(hour, &self.season, &self.level, ctx.prior(), self.scatter());
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

    fn is_resting(&self) -> bool {
        self.rest.cells > 0
    }

    /// The family has raised an alarm: what began it teaches nothing, and learning rests.
    fn begin_rest(&mut self, at: Place) {
        if self.is_resting() {
            return;
        }
        self.pending.strike((self.deviation_cells(at) / CELLS_PER_HOUR) as usize + 1);
        let tail = at.tail().unwrap_or(TAILS);
        self.rest = Rest {
            cells: (REST.as_secs() / CELL.as_secs()) as u16,
            tail: tail as u8,
            peak: self.tails.get(tail).map_or(S::default(), |t| S::put(t.peak())),
            ..Rest::default()
        };
    }

    /// What stands out is normal, by a person's word or because nobody said otherwise: the level is where it was seen.
    pub(crate) fn accept(&mut self, ctx: Context<'_>, tally: &mut VolumeTally) {
        self.flush();
        if self.is_resting() {
            self.reseed();
        }
        for g in 0..TAILS {
            let raised = self.is_resting() && usize::from(self.rest.tail) == g;
            if raised {
                self.tails[g].raise(self.rest.peak.get(), group(g));
            }
            if self.tails[g].is_out() && (raised || !self.is_resting()) {
                self.end_excursion(g, ctx, tally);
            } else {
                self.tails[g].forget();
            }
        }
        (self.rest, self.out, self.still) = (Rest::default(), 0, 0);
        self.scales.iter_mut().for_each(Scale::rest);
        self.ramp.rest();
        self.begin_hour(ctx);
        self.room = 0;
    }

    /// The level is what it was while learning rested.
    fn reseed(&mut self) {
        let (calls, expected) = (self.rest.calls.get(), self.rest.expected.get());
        if expected <= 0.0 {
            return;
        }
        let ratio = self.hour.level.get() * (calls / expected).clamp(RESEED_MIN, RESEED_MAX);
        let rested = (REST.as_secs() / CELL.as_secs()) as f64 - f64::from(self.rest.cells);
        self.level.reseed(ratio, self.hour.base.get(), rested / CELLS_PER_HOUR as f64);
        if self.ramp.evidence().0 > 0.0 {
            self.ramp.accept(ratio);
        }
    }

    fn end_excursion(&mut self, g: usize, ctx: Context<'_>, tally: &mut VolumeTally) {
        let alarm = self.rule(g, ctx).evidence_once_in(ctx.alarm.days);
        let excess = self.tails[g].end(group(g), alarm);
        if self.tails[g].excursions() <= TEACHES_MAX {
            tally.tails[g].learn(excess);
        }
    }

    fn age_cells(&self) -> i64 {
        self.cell - cell_of(self.born)
    }

    fn age_days(&self) -> f64 {
        self.age_cells() as f64 / CELLS_PER_DAY as f64
    }

    /// Relative variance of the rate expected in this hour: how little is known of it, and on one day in ten how far a
    /// holiday would move it.
    pub(crate) fn rate_variance(&self) -> f64 {
        self.hour.variance.get() + HOLIDAY_SHARE * self.hour.holiday().powi(2)
    }

    /// Calls an hour over the whole week, at the level of now.
    pub(crate) fn per_hour(&self, ctx: Context<'_>) -> f64 {
        self.season.overall(ctx.prior()) * self.hour.level.get()
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

/// Hour of the week of an hour since the epoch, which began on a Thursday; 0 is Monday's first.
fn hour_of_week(hour: i64) -> usize {
    (hour + 3 * 24).rem_euclid(7 * 24) as usize
}
