//! Looks at the open windows: after every call that could change an answer, and at the end of every cell.

use std::f64::consts::LN_2;
use std::sync::LazyLock;

use libm::{exp, log};

use super::ratio::{self, Lines};
use super::scale::Expected;
use super::scatter::Shape;
use super::{
    BRIEF, CELL, CELLS, CELLS_PER_DAY, CELLS_PER_HOUR, CELLS_PER_MINUTE, Context, FEW, GROUPS, SCALES,
    SETTLING_DAYS, THRESHOLD, Volume, VolumeTally, group, into_cell, into_hour, kept_at, ramp,
};
use crate::ln::ln;
use crate::signal::tail::Rule;
use crate::signal::{Story, Strength};
use crate::stored::Stored;
use crate::verdict::Pattern;
use crate::{Timestamp, signal};

/// The price of taking the best of several factors, nats (study: `max S − ln #`).
const LN_5: f64 = 1.609_437_912_434_100_3;
const LN_3: f64 = 1.098_612_288_668_109_8;

/// The linear moment is never taken for less than this in a logarithm (study: 1e-4).
const LN_FANO_MIN: f64 = 1e-4;

/// Bits by which silence stays under the alarm; learning rests for it all the same.
const UNDER_ALARM: f64 = 1e-3;

/// What the volume says after a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Just before the call,
    pub(crate) before: Strength,
    /// and after it.
    pub(crate) now: Strength,
    /// Where the strongest evidence stands; none while nothing stands out.
    pub(crate) at: Option<Place>,
}

impl From<Strongest> for Reading {
    fn from(s: Strongest) -> Self {
        Self { before: s.before, now: s.now, at: s.at }
    }
}

/// Whose evidence it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The scale's upward or downward group, and the factor that wins in it.
    Up(usize, usize),
    Down(usize, usize),
    /// Whole days against the anchor.
    Ramp,
}

impl Place {
    /// The tail that calibrates it.
    pub(super) fn tail(self) -> Option<usize> {
        match self {
            Self::Up(k, _) => Some(2 * k),
            Self::Down(k, _) => Some(2 * k + 1),
            Self::Ramp => None,
        }
    }
}

static LN_CELLS: LazyLock<[f64; CELLS_PER_HOUR as usize + 1]> =
    LazyLock::new(|| std::array::from_fn(|i| log(i as f64)));

/// The strongest evidence so far, on the way through the groups.
struct Strongest {
    before: Strength,
    now: Strength,
    at: Option<Place>,
}

impl<S: Stored, C: Stored> Volume<S, C> {
    /// How counts scatter in the window of scale `k` that is open until the end of `cell`: between two scales, both moments
    /// are interpolated in the logarithm of time, or a short burst in a long window would be scored with the long
    /// window's dispersion (study §1).
    pub(super) fn shape(&self, k: usize) -> Shape {
        let own = self.scales[k].shape();
        let open = i64::from(into_hour(self.cell) % CELLS[k] as u32) + 1;
        if open == CELLS[k] {
            return own;
        }
        let below = (0..k).rev().find(|j| CELLS[*j] <= open).unwrap_or(0);
        let at = |cells: i64| LN_CELLS[cells as usize];
        let w = (at(open) - at(CELLS[below])) / (at(CELLS[below + 1]) - at(CELLS[below]));
        let [a, b] = [below, below + 1].map(|j| &self.scales[j].scatter);
        let [ln_relative, ln_relative_b, ln_fano, ln_fano_b] =
            ln([a.relative(), b.relative(), a.fano().max(LN_FANO_MIN), b.fano().max(LN_FANO_MIN)]);
        Shape {
            relative: own.relative.max(exp(ln_relative + w * (ln_relative_b - ln_relative))),
            fano: exp(ln_fano + w * (ln_fano_b - ln_fano)).max(self.scales[k].clumps.fano()),
        }
    }

    /// Counts one call at `ts` (call [`Volume::advance`] first) and reads what it changes.
    pub(crate) fn count(&mut self, ts: Timestamp, ctx: Context<'_>, tally: &mut VolumeTally) -> Reading {
        if self.rest.cells == 1 && self.rest.is_silence() {
            self.accept(ctx, tally);
        }
        if self.room > 0 && self.out == 0 {
            self.room -= 1;
            self.fresh += 1;
            return self.strongest_of_days().into();
        }
        self.flush();
        let mut strongest = self.strongest_of_days();
        let (mut room, more) = (u32::MAX, self.expected_in_cell(into_cell(ts)));
        for k in 0..SCALES {
            let after = self.scales[k].n.saturating_add(1);
            if !self.is_out(2 * k) && after >= self.scales[k].quiet {
                self.scales[k].quiet = self.quiet(k, more);
            }
            room = room.min(if !self.is_out(2 * k) && after < self.scales[k].quiet {
                self.scales[k].quiet - 1 - after
            } else {
                self.count_up(k, more, ctx, tally, &mut strongest)
            });
            if self.is_out(2 * k + 1) {
                self.count_down(k, more, ctx, &mut strongest);
            }
        }
        self.fresh = 1;
        self.flush();
        self.room = room;
        self.answer(&strongest, ctx);
        strongest.into()
    }

    /// Under how many calls the open window of scale `k` says nothing upward, whenever in it they come. Most calls of most
    /// agents need no more than that, which takes no logarithm.
    fn quiet(&self, k: usize, more: Expected) -> u32 {
        let scale = &self.scales[k];
        let now = scale.expected(more);
        let sums = self.sums(k);
        let highest = sums.up.iter().map(|s| s.get()).fold(0.0, f64::max);
        let shape = scale.shape_at_most().at(now.high);
        let least = (THRESHOLD + LN_5 - highest) / ratio::most_per_event(now.high, shape);
        if least >= f64::from(scale.n) + 2.0 {
            return least as u32;
        }
        // Until the window ends the shape is at least that of the widest of what it is interpolated from now, for it grows
        // with the mean, and a shorter scale that gets wider says so; and at most that of its own scatter alone.
        let mut widest = scale.shape_at_most();
        for shorter in &self.scales[..=k] {
            widest.relative = widest.relative.max(shorter.scatter.relative());
            widest.fano = widest.fano.max(shorter.scatter.fano()).max(LN_FANO_MIN);
        }
        let shapes = (widest.at(now.mean), shape);
        Lines::up_between(now.high, shapes).least_count(|i| sums.up[i].get(), THRESHOLD + LN_5)
    }

    /// The mean of the whole window of scale `k` that is open now, and what its lower edge is nowhere above.
    fn expected_at_end(&self, k: usize) -> Expected {
        let left = CELLS[k] as u32 - into_hour(self.cell) % CELLS[k] as u32;
        self.scales[k].expected(self.hour.middle().over(f64::from(left) / CELLS_PER_MINUTE as f64))
    }

    /// One call more on scale `k`, upward. Gives how many more may come in this cell before another look.
    fn count_up(
        &mut self,
        k: usize,
        more: Expected,
        ctx: Context<'_>,
        tally: &mut VolumeTally,
        strongest: &mut Strongest,
    ) -> u32 {
        let n = self.scales[k].n;
        let after = n.saturating_add(1);
        let (scale, of_scale) = (self.scales[k], self.sums(k));
        let sums = |i: usize| of_scale.up[i].get();
        let (expected, at_end) = (scale.expected(more), scale.expected(self.expected_in_cell(1.0)));
        let shape = self.shape(k);
        let (r, r_end) = (shape.at(expected.mean), shape.at(at_end.mean));
        let room = |lines: Lines<5>| {
            let lines = lines.while_shape_grows(expected.high, r, r_end);
            let least = lines.least_count(sums, THRESHOLD + LN_5);
            (after < least).then(|| least - 1 - after)
        };
        if !self.is_out(2 * k)
            && let Some(room) = room(Lines::up_bound(expected.high, r))
        {
            return room;
        }
        let lines = Lines::up(expected.high, r);
        let (sum_before, _) = lines.best(sums, f64::from(n));
        let (sum, i) = lines.best(sums, f64::from(after));
        if self.is_out(2 * k) {
            strongest.before(self.strength_up(k, sum_before, (f64::from(n), expected.high, r), ctx));
        }
        self.look(2 * k, sum - LN_5, ctx, tally);
        if self.is_out(2 * k) {
            let strength = self.strength_up(k, sum, (f64::from(after), expected.high, r), ctx);
            strongest.now(strength, Place::Up(k, i));
            return 0;
        }
        room(lines).unwrap_or(0)
    }

    /// One call more on scale `k`, downward: it can only calm.
    fn count_down(&mut self, k: usize, more: Expected, ctx: Context<'_>, strongest: &mut Strongest) {
        let (scale, sums) = (self.scales[k], self.sums(k));
        let expected = scale.expected(more);
        let r = self.shape(k).at(expected.mean);
        let n = f64::from(scale.n);
        let lines = Lines::down(expected.low, r);
        let (before, _) = lines.best(|i| sums.down[i].get(), n);
        let (sum, i) = lines.best(|i| sums.down[i].get(), n + 1.0);
        strongest.before(self.strength(2 * k + 1, before - LN_3, ctx));
        strongest.now(self.strength(2 * k + 1, sum - LN_3, ctx), Place::Down(k, i));
    }

    /// The timer: what silence says grows without calls, and excursions end without them. The windows of the first `closed`
    /// scales have just been closed.
    pub(super) fn look_at_end_of_cell(&mut self, closed: usize, ctx: Context<'_>, tally: &mut VolumeTally) {
        let mut strongest = Strongest { before: Strength::CALM, now: Strength::CALM, at: None };
        for k in 0..SCALES {
            let is_quiet = k == 0 || self.still & (1 << k) != 0 && !self.is_out(2 * k + 1);
            if is_quiet && !self.is_out(2 * k) {
                continue;
            }
            let (scale, sums) = (self.scales[k], self.sums(k));
            let (expected, n) = (scale.expected(Expected::default()), f64::from(scale.n));
            if self.is_out(2 * k) {
                let r = self.shape(k).at(expected.mean);
                let (sum, i) = Lines::up(expected.high, r).best(|i| sums.up[i].get(), n);
                self.look(2 * k, sum - LN_5, ctx, tally);
                if self.is_out(2 * k) {
                    strongest.now(self.strength_up(k, sum, (n, expected.high, r), ctx), Place::Up(k, i));
                }
            }
            if is_quiet {
                continue;
            }
            if k >= closed && !self.is_out(2 * k + 1) && self.is_still(k) {
                self.still |= 1 << k;
                continue;
            }
            let highest = sums.down.iter().map(|s| s.get()).fold(0.0, f64::max);
            // With as many calls as the lower edge expects, and of a window that has not begun, no downward ratio is above zero.
            if !self.is_out(2 * k + 1) && n >= expected.low && highest <= THRESHOLD + LN_3 {
                continue;
            }
            let (m, r) = (expected.low, self.shape(k).at(expected.mean));
            let reach = Lines::down_bound(m, r).best(|i| sums.down[i].get(), n).0;
            if self.is_out(2 * k + 1) || reach > THRESHOLD + LN_3 {
                let (sum, i) = Lines::down(m, r).best(|i| sums.down[i].get(), n);
                self.look(2 * k + 1, sum - LN_3, ctx, tally);
                if self.is_out(2 * k + 1) {
                    strongest.now(self.strength(2 * k + 1, sum - LN_3, ctx), Place::Down(k, i));
                }
            }
        }
        self.answer(&strongest, ctx);
    }

    /// Whether scale `k` has nothing to say downward if not a call more comes in its window.
    fn is_still(&self, k: usize) -> bool {
        let (scale, sums, at_end) = (&self.scales[k], self.sums(k), self.expected_at_end(k));
        let highest = sums.down.iter().map(|s| s.get()).fold(0.0, f64::max);
        // Of a Poisson process without a call the rarest rate says nine tenths of what was expected, and no other law more.
        if highest + at_end.low <= THRESHOLD + LN_3 {
            return true;
        }
        let lines = Lines::down_at_most(at_end.low, scale.shape_at_most().at(at_end.mean));
        lines.best(|i| sums.down[i].get(), 0.0).0 <= THRESHOLD + LN_3
    }

    /// Shows group `g` its evidence.
    fn look(&mut self, g: usize, evidence: f64, ctx: Context<'_>, tally: &mut VolumeTally) {
        self.tails[kept_at(g)].raise(evidence, group(g));
        if self.tails[kept_at(g)].ends(evidence, group(g)) {
            // Under suspicion excursions teach nothing; the one that raised the alarm is kept for the verdict.
            if self.is_resting() {
                self.tails[kept_at(g)].forget();
            } else {
                self.end_excursion(g, ctx, tally);
            }
        }
        self.out = self.out & !(1 << g) | u8::from(self.tails[kept_at(g)].is_out()) << g;
    }

    pub(super) fn is_out(&self, g: usize) -> bool {
        self.out & (1 << g) != 0
    }

    pub(super) fn rule(&self, g: usize, ctx: Context<'_>) -> Rule {
        let (days, peers) = (self.age_days(), &ctx.peers.tails[g]);
        self.tails[kept_at(g)].rule(group(g), days, exp(-days / SETTLING_DAYS), peers).widened(ctx.widening)
    }

    pub(super) fn strength(&self, g: usize, evidence: f64, ctx: Context<'_>) -> Strength {
        let rule = self.rule(g, ctx);
        let strength = rule.strength(evidence);
        // Silence is at most a watch (design: detection, "absence"), however long it lasts.
        let most = if g % 2 == 1 { ctx.alarm.level - UNDER_ALARM } else { f64::INFINITY };
        Strength { bits: strength.bits.min((most + strength.looks).max(0.0)), ..strength }
    }

    /// How strong the upward evidence of scale `k` is whose best sum is `sum`, with `n` calls where `m` were expected at most.
    ///
    /// What a tail has learned of excursions by day says nothing of two calls in ten seconds of the night: the same two stand as much
    /// higher as less was expected, and come as often as chance brings them.
    pub(super) fn strength_up(
        &self,
        k: usize,
        sum: f64,
        (n, m, r): (f64, f64, f64),
        ctx: Context<'_>,
    ) -> Strength {
        let strength = self.strength(2 * k, sum - LN_5, ctx);
        if k >= BRIEF || n > FEW {
            return strength;
        }
        let before = self.sums(k).up.iter().map(|s| s.get()).fold(0.0, f64::max);
        let windows_per_day = CELLS_PER_DAY as f64 / CELLS[k] as f64;
        let bits = (before + ratio::most_of_any(n, m, r)) / LN_2;
        let by_chance = Strength::new(bits, GROUPS * windows_per_day);
        if by_chance.level() < strength.level() { by_chance } else { strength }
    }

    /// What the anchored test has to say; it moves once a day.
    fn strongest_of_days(&self) -> Strongest {
        let evidence = self.ramp.evidence().0;
        if evidence <= 0.0 {
            return Strongest { before: Strength::CALM, now: Strength::CALM, at: None };
        }
        let days = Strength::new(evidence / LN_2, ramp::LOOKS_PER_DAY);
        Strongest { before: days, now: days, at: Some(Place::Ramp) }
    }

    /// Where an alarm is due, learning rests.
    fn answer(&mut self, strongest: &Strongest, ctx: Context<'_>) {
        if let Some(at) = strongest.at
            && strongest.now.level() >= ctx.alarm.level - 2.0 * UNDER_ALARM
        {
            self.begin_rest(at);
        }
    }

    /// For how long the evidence has been above zero.
    pub(super) fn deviation_cells(&self, at: Place) -> i64 {
        let open = |k: usize| self.cell.rem_euclid(CELLS[k]) + 1;
        match at {
            Place::Up(k, i) => i64::from(self.sums(k).up_age[i]) * CELLS[k] + open(k),
            Place::Down(k, i) => i64::from(self.sums(k).down_age[i]) * CELLS[k] + open(k),
            Place::Ramp => i64::from(self.ramp.evidence().1) * CELLS_PER_DAY,
        }
    }

    /// The strongest evidence at `ts`, as of the calls seen so far; [`Volume::advance`] has been called.
    pub(crate) fn level_at(&self, ts: Timestamp, ctx: Context<'_>) -> (Strength, Option<Place>) {
        let mut strongest = self.strongest_of_days();
        if self.out == 0 {
            return (strongest.now, strongest.at);
        }
        let more = self.expected_in_cell(into_cell(ts));
        for k in 0..SCALES {
            let (scale, sums) = (self.scales[k], self.sums(k));
            let (expected, n) = (scale.expected(more), f64::from(scale.n) + f64::from(self.fresh));
            let r = self.shape(k).at(expected.mean);
            if self.is_out(2 * k) {
                let (sum, i) = Lines::up(expected.high, r).best(|i| sums.up[i].get(), n);
                strongest.now(self.strength_up(k, sum, (n, expected.high, r), ctx), Place::Up(k, i));
            }
            if self.is_out(2 * k + 1) {
                let (sum, i) = Lines::down(expected.low, r).best(|i| sums.down[i].get(), n);
                strongest.now(self.strength(2 * k + 1, sum - LN_3, ctx), Place::Down(k, i));
            }
        }
        (strongest.now, strongest.at)
    }

    /// At least how many times as many calls as may be normal in a whole minute, ten or an hour have come in the open one,
    /// where the evidence at `at` is that the agent calls more; else 1. Of an agent that was not seen for a day nobody knows
    /// what is normal, but by its manifest.
    pub(crate) fn jump(&self, at: Option<Place>, ctx: Context<'_>) -> f64 {
        let is_known = self.age_cells() >= CELLS_PER_DAY || ctx.declared_per_hour.is_some();
        if !is_known || !matches!(at, Some(Place::Up(..))) {
            return 1.0;
        }
        let most = |k: usize| self.hour.middle().over(CELLS[k] as f64 / CELLS_PER_MINUTE as f64).high;
        (1..SCALES).map(|k| self.scales[k].jump(most(k))).fold(1.0, f64::max)
    }

    /// The numbers behind the evidence at `at`, or behind none.
    pub(crate) fn story(&self, at: Option<Place>, ts: Timestamp, ctx: Context<'_>) -> Story {
        let age_hours = self.age_cells() as f64 / CELLS_PER_HOUR as f64;
        let history = signal::history(age_hours, self.hour.own.get(), ctx.has_peers);
        // Where nothing stands out the minute tells how things are.
        let k = match at {
            Some(Place::Up(k, _) | Place::Down(k, _)) => k,
            None => 1,
            Some(Place::Ramp) => {
                let day = self.ramp.today();
                return Story {
                    pattern: Pattern::Ramp,
                    observed: day.calls,
                    expected: day.expected,
                    low: 0.0,
                    high: day.allowed,
                    window_ms: 86_400_000,
                    since: ts - CELL * u32::try_from(self.deviation_cells(Place::Ramp)).unwrap_or(0),
                    history,
                };
            }
        };
        let expected = self.scales[k].expected(self.expected_in_cell(into_cell(ts)));
        Story {
            pattern: match at {
                Some(Place::Up(..)) => Pattern::MoreCalls,
                Some(Place::Down(..)) => Pattern::FewerCalls,
                _ => Pattern::AsUsual,
            },
            observed: f64::from(self.scales[k].n) + f64::from(self.fresh),
            expected: expected.mean,
            low: expected.low,
            high: expected.high,
            window_ms: CELLS[k].unsigned_abs() * CELL.as_millis() as u64,
            since: ts - CELL * at.map_or(0, |at| u32::try_from(self.deviation_cells(at)).unwrap_or(0)),
            history,
        }
    }

    /// The count nearest to that in the window of `at` with which this and all other windows that are open would have stayed
    /// under `level`, the family's own: so many calls less, or for silence more, as the strictest of them asks.
    pub(crate) fn quiet_at(&self, at: Option<Place>, ts: Timestamp, level: f64, ctx: Context<'_>) -> f64 {
        let more = self.expected_in_cell(into_cell(ts));
        let out = |way: usize| (0..SCALES).filter(move |k| self.is_out(2 * k + way));
        let is_quiet = |g: usize, n: u32| {
            let (scale, sums) = (&self.scales[g / 2], self.sums(g / 2));
            let (expected, n) = (scale.expected(more), f64::from(n));
            let r = self.shape(g / 2).at(expected.mean);
            if g.is_multiple_of(2) {
                let sum = Lines::up(expected.high, r).best(|i| sums.up[i].get(), n).0;
                let strength = || self.strength_up(g / 2, sum, (n, expected.high, r), ctx);
                sum - LN_5 <= THRESHOLD || strength().level() < level
            } else {
                let evidence = Lines::down(expected.low, r).best(|i| sums.down[i].get(), n).0 - LN_3;
                evidence <= THRESHOLD || self.strength(g, evidence, ctx).level() < level
            }
        };
        match at {
            Some(Place::Up(k, _)) => {
                // Evidence that stands without a single call in the window was there before it.
                let too_many = |k: usize| {
                    let n = self.scales[k].n;
                    n - last_true(0, n, |n| is_quiet(2 * k, n))
                };
                f64::from(self.scales[k].n.saturating_sub(out(0).map(too_many).max().unwrap_or(0)))
            }
            Some(Place::Down(k, _)) => {
                let too_few = |k: usize| {
                    let (n, most) = (self.scales[k].n, self.scales[k].expected(more).high as u32);
                    let is_loud = |more: u32| !is_quiet(2 * k + 1, n.saturating_add(more));
                    if is_loud(0) { last_true(0, most, is_loud) + 1 } else { 0 }
                };
                f64::from(self.scales[k].n) + f64::from(out(1).map(too_few).max().unwrap_or(0))
            }
            Some(Place::Ramp) => self.ramp.today().allowed,
            None => f64::from(self.scales[1].n) + f64::from(self.fresh),
        }
    }
}

/// The largest of `low..=high` for which `holds`, which from some place on does not; `low` where it never does.
fn last_true(low: u32, high: u32, holds: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (low, high.saturating_add(1));
    while low + 1 < high {
        let middle = low.midpoint(high);
        if holds(middle) { low = middle } else { high = middle }
    }
    low
}

impl Strongest {
    fn before(&mut self, s: Strength) {
        self.before = self.before.max(s);
    }

    fn now(&mut self, s: Strength, at: Place) {
        if s.level() > self.now.level() {
            (self.now, self.at) = (s, Some(at));
        }
    }
}
