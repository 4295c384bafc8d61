//! How time goes by: cell by cell, in runs where nothing is called, and over what nobody knows.

use super::{
    CELLS, CELLS_PER_DAY, CELLS_PER_HOUR, CELLS_PER_MINUTE, CELLS_PER_WEEK, Context, DECLARED_DAYS,
    IDLE_CELLS_MAX, SCALES, TEACHES_FROM_DAYS, UPWARD, Volume, VolumeTally, cell_of, hour_of_week, into_hour,
    is_weekend,
};
use crate::Timestamp;
use crate::source::Outage;
use crate::stored::Stored;

impl<S: Stored, C: Stored> Volume<S, C> {
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
        let (resting, teaches, fading) = (self.is_resting(), self.teaches_scatter(), self.fading());
        let withheld = self.is_withheld(ctx);
        let mut is_wider = false;
        for (k, length) in CELLS.into_iter().enumerate() {
            let scale = &mut self.scales[k];
            if k >= scales {
                scale.expose(minute.over(minutes(cells)));
                continue;
            }
            let windows = cells / length;
            scale.expose(minute.over(minutes(length)));
            if let Some(of_scale) = k.checked_sub(1) {
                self.sums[of_scale].close(windows, scale, scale.shape());
            }
            if teaches && self.out & (1 << (2 * k)) == 0 {
                scale.teach(0.0, windows as f64, &mut tally.scatter[k]);
            }
            if !resting {
                scale.learn_idle(&fading.idle[k][windows as usize], withheld);
            }
            is_wider |= scale.begin();
        }
        if is_wider {
            self.scales.iter_mut().for_each(|scale| scale.quiet = 0);
        }
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
            self.close_window(k, ctx, tally);
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
                if self.rest.is_silence() {
                    // No calls are no new normal: an agent that is off for weeks comes back as what it was.
                    self.rest.expected = S::default();
                } else {
                    self.accept(ctx, tally);
                }
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

    fn close_window(&mut self, k: usize, ctx: Context<'_>, tally: &mut VolumeTally) {
        let withheld = self.is_withheld(ctx);
        let (resting, excursion) = (self.is_resting(), self.is_out(2 * k));
        if self.teaches_scatter() && !excursion {
            let scale = &self.scales[k];
            scale.teach(f64::from(scale.n), 1.0, &mut tally.scatter[k]);
        }
        let fading = self.fading();
        let scale = &mut self.scales[k];
        if let Some(of_scale) = k.checked_sub(1) {
            self.sums[of_scale].close(1, scale, scale.shape());
        }
        if !resting {
            scale.learn(fading.once[k], excursion, withheld);
        }
        let is_wider = scale.begin();
        self.still &= !(1 << k);
        if is_wider {
            self.scales[k..].iter_mut().for_each(|longer| longer.quiet = 0);
        }
    }

    fn teaches_scatter(&self) -> bool {
        self.age_days() >= TEACHES_FROM_DAYS && !self.is_resting()
    }

    /// Calls that stand out from a declared rate teach a young agent nothing: with so little of its own past an attack would
    /// explain itself within hours, and what is declared is known better than that.
    fn is_withheld(&self, ctx: Context<'_>) -> bool {
        ctx.declared_per_hour.is_some() && self.out & UPWARD != 0 && self.age_days() < DECLARED_DAYS
    }

    fn close_hour(&mut self, ctx: Context<'_>, tally: &mut VolumeTally) {
        let (ended, age_hours) = (self.cell / CELLS_PER_HOUR - 1, self.age_cells() / CELLS_PER_HOUR);
        let is_partial = std::mem::take(&mut self.is_partial);
        if !is_partial {
            self.ramp.expose(self.hour.base.get() * self.share_of_hour(ended));
            self.ramp.count(f64::from(self.hour_calls));
            self.compare_types(f64::from(self.hour_calls));
        }
        if self.cell % CELLS_PER_DAY == 0 {
            let shape = 1.0 / self.scales[SCALES - 1].scatter.relative();
            self.ramp.close_day(shape, self.age_days(), self.is_resting());
        }
        if is_weekend(hour_of_week(ended)) != is_weekend(hour_of_week(ended + 1)) {
            self.off = 0;
        }
        self.pending
            .push(f64::from(self.hour_calls), self.is_resting() || is_partial || self.is_withheld(ctx));
        self.hour_calls = 0;
        while let Some((ago, calls)) = self.pending.pop(age_hours) {
            if let Some(calls) = calls {
                self.learn_hour(ended - ago, calls, ctx.prior());
                tally.add_hour(self.season.overall(ctx.prior()));
            }
        }
        // How far the hours lie apart moves slowly once there are many.
        let ends_day = self.cell % CELLS_PER_DAY == 0;
        if ends_day || age_hours.count_ones() == 1 {
            let apart = self.season.compare(ctx.prior(), self.scatter());
            if ends_day && self.teaches_scatter() {
                tally.add_day(apart);
            }
        }
        self.begin_hour(ctx);
    }
}
