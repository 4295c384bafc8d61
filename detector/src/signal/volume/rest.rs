//! Under suspicion learning rests, until a person rules on it or a day is over.

use super::read::Place;
use super::{
    ADOPTED_SHARE, CELL, CELLS_PER_HOUR, Context, NO_TAIL, RESEED_MAX, RESEED_MIN, REST, Rest, TAILS, Tail,
    Volume, VolumeTally, cell_of, group, in_windows, into_cell, kept_at,
};
use crate::Timestamp;
use crate::stored::Stored;

impl<S: Stored, C: Stored> Volume<S, C> {
    /// Learning rests since an alarm.
    pub(crate) fn is_resting(&self) -> bool {
        self.rest.cells > 0
    }

    /// The family has raised an alarm: what began it teaches nothing, and learning rests.
    pub(super) fn begin_rest(&mut self, place: Place) {
        if self.is_resting() {
            return;
        }
        self.pending.strike((self.deviation_cells(place) / CELLS_PER_HOUR) as usize + 1);
        self.rest = Rest {
            cells: (REST.as_secs() / CELL.as_secs()) as u16,
            tail: place.tail().unwrap_or(TAILS) as u8,
            peak: place.tail().map_or(S::default(), |g| S::put(self.tails[kept_at(g)].peak())),
            ..Rest::default()
        };
    }

    /// What stands out is normal, by a person's word or because nobody said otherwise: the level is where it was seen.
    pub(crate) fn accept(&mut self, ctx: Context<'_>, tally: &mut VolumeTally) {
        self.flush();
        if self.is_resting() {
            self.reseed();
        }
        for g in (0..TAILS).filter(|g| *g != NO_TAIL) {
            let raised = self.is_resting() && usize::from(self.rest.tail) == g;
            if raised {
                self.tails[kept_at(g)].raise(self.rest.peak.get(), group(g));
            }
            if self.tails[kept_at(g)].is_out() && (raised || !self.is_resting()) {
                self.end_excursion(g, ctx, tally);
            } else {
                self.tails[kept_at(g)].forget();
            }
        }
        self.begin_anew(ctx);
    }

    /// No evidence stands, and no window is open.
    fn begin_anew(&mut self, ctx: Context<'_>) {
        self.tails.iter_mut().for_each(Tail::forget);
        (self.rest, self.out, self.still) = (Rest::default(), 0, 0);
        for scale in &mut self.scales {
            // Half of an open window at the old level would be news at the new one.
            scale.begin();
        }
        self.sums = Default::default();
        self.ramp.rest();
        self.begin_hour(ctx);
        self.room = 0;
    }

    /// The agent was changed on purpose. Where its volume stands out the level is where it is seen, and the hours learned
    /// before count less until it has shown itself again, and its counts scatter as peers' do; True then. No excursion of it is its own.
    pub(crate) fn adopt(&mut self, ts: Timestamp, ctx: Context<'_>) -> bool {
        self.flush();
        let ratio = self.ratio_seen(ts, ctx);
        if let Some(ratio) = ratio {
            self.level.set(ratio, self.hour.base.get());
            self.ramp.accept(ratio);
            self.season.fade(ADOPTED_SHARE);
            let expected = in_windows(self.season.overall(ctx.prior()) * ratio);
            self.scales = std::array::from_fn(|k| ctx.scale(k, expected[k]));
            self.pending.strike(usize::MAX);
            // Of this hour a part was lived at the old level.
            self.is_partial = true;
        }
        self.begin_anew(ctx);
        ratio.is_some()
    }

    /// How many times its profile the agent makes, where that stands out: while learning rested, or in the window that stands out
    /// where more was expected in that.
    fn ratio_seen(&self, ts: Timestamp, ctx: Context<'_>) -> Option<f64> {
        let level = self.hour.level.get();
        let at = self.level_at(ts, ctx).1;
        let of_day = at == Some(Place::Ramp);
        let window = at.and_then(Place::tail).map(|g| {
            let scale = &self.scales[g / 2];
            (f64::from(scale.n), scale.expected_by_profile() + self.expected_in_cell(into_cell(ts)).mean)
        });
        let rest = self.is_resting().then(|| (self.rest.calls.get(), self.rest.expected.get()));
        let seen = [window, rest].into_iter().flatten().max_by(|a, b| a.1.total_cmp(&b.1));
        match seen {
            Some((calls, expected)) if expected > 0.0 => {
                Some(level * (calls / expected).clamp(RESEED_MIN, RESEED_MAX))
            }
            _ => of_day.then_some(level),
        }
    }

    /// Since when something stands out, where it does.
    pub(crate) fn stands_since(&self, ts: Timestamp, ctx: Context<'_>) -> Option<Timestamp> {
        let deviating = self.level_at(ts, ctx).1.map(|at| self.deviation_cells(at));
        let rested = REST.as_secs() / CELL.as_secs() - u64::from(self.rest.cells);
        let deviating = deviating.map(|cells| u64::try_from(cells).unwrap_or(0));
        let cells = deviating.max(self.is_resting().then_some(rested))?;
        Some(ts - CELL * u32::try_from(cells).unwrap_or(u32::MAX))
    }

    /// What was done since `began` was not the agent: none of it is learned, and the level stays what it was.
    pub(crate) fn disown(&mut self, began: Timestamp, ctx: Context<'_>) {
        self.flush();
        let hours = self.cell.div_euclid(CELLS_PER_HOUR) - cell_of(began).div_euclid(CELLS_PER_HOUR);
        self.pending.strike(usize::try_from(hours).unwrap_or(0));
        self.is_partial = true;
        self.ramp.forget_day();
        self.begin_anew(ctx);
    }

    /// The level is what it was while learning rested.
    pub(super) fn reseed(&mut self) {
        let (calls, expected) = (self.rest.calls.get(), self.rest.expected.get());
        if expected <= 0.0 {
            return;
        }
        let ratio = self.hour.level.get() * (calls / expected).clamp(RESEED_MIN, RESEED_MAX);
        let rested = (REST.as_secs() / CELL.as_secs()) as f64 - f64::from(self.rest.cells);
        self.level.reseed(ratio, self.hour.base.get(), rested / CELLS_PER_HOUR as f64);
        if self.ramp.evidence().0 > 0.0 {
            self.ramp.accept(ratio);
        } else {
            self.ramp.fall(ratio);
        }
    }

    pub(super) fn end_excursion(&mut self, g: usize, ctx: Context<'_>, tally: &mut VolumeTally) {
        let alarm = self.rule(g, ctx).evidence_once_in(ctx.alarm.days);
        self.tails[kept_at(g)].end_among(&mut tally.tails[g], group(g), alarm);
    }
}
