//! Under suspicion learning rests, until a person rules on it or a day is over.

use super::read::Place;
use super::{
    CELL, CELLS_PER_HOUR, Context, RESEED_MAX, RESEED_MIN, REST, Rest, TAILS, Volume, VolumeTally, group,
};
use crate::stored::Stored;

impl<S: Stored, C: Stored> Volume<S, C> {
    /// Learning rests since an alarm.
    pub(crate) fn is_resting(&self) -> bool {
        self.rest.cells > 0
    }

    /// The family has raised an alarm: what began it teaches nothing, and learning rests.
    pub(super) fn begin_rest(&mut self, at: Place) {
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
        for scale in &mut self.scales {
            scale.rest();
            // Half of an open window at the old level would be news at the new one.
            scale.begin();
        }
        self.ramp.rest();
        self.begin_hour(ctx);
        self.room = 0;
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
        self.tails[g].end_among(&mut tally.tails[g], group(g), alarm);
    }
}
