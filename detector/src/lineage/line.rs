//! One line: how much all of it calls, and how many sub-agents are at it.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::combine::Thresholds;
use crate::memory::Presence;
use crate::monitor::Heard;
use crate::signal::volume::{self, Place, Reading, Volume, VolumePrior, VolumeTally};
use crate::signal::{Alarm, Evidence, Story, Strength};
use crate::source::Outage;
use crate::verdict::Pattern;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// By the calls of those below the head.
    pub(super) presence: Presence,
    last: Timestamp,
    calls: Volume,
    /// Sub-agents by the hour: each counts at its first call of an hour.
    children: Volume,
    /// What it has raised lately.
    pub(super) heard: Heard,
}

const _: () = assert!(size_of::<Line>() <= 3_072);

/// What is believed of a line before its own past is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LinePrior {
    calls: VolumePrior,
    children: VolumePrior,
}

/// What lines teach of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LineTally {
    calls: VolumeTally,
    children: VolumeTally,
}

impl LineTally {
    pub(super) fn prior(&self) -> LinePrior {
        LinePrior { calls: self.calls.prior().unsure(), children: self.children.prior().unsure() }
    }
}

impl Default for LinePrior {
    fn default() -> Self {
        LineTally::default().prior()
    }
}

/// What a line is read against.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) prior: &'a LinePrior,
    pub(super) has_peers: bool,
    pub(super) widening: f64,
    /// Where its calls, and the number of its sub-agents, ask a person.
    pub(super) alarms: (Alarm, Alarm),
}

impl<'a> Context<'a> {
    pub(super) fn new(prior: &'a LinePrior, has_peers: bool, widening: f64, thresholds: &Thresholds) -> Self {
        Self { prior, has_peers, widening, alarms: (thresholds.line, thresholds.children) }
    }

    fn calls(&self) -> volume::Context<'a> {
        self.of(&self.prior.calls, self.alarms.0)
    }

    fn children(&self) -> volume::Context<'a> {
        self.of(&self.prior.children, self.alarms.1)
    }

    fn of(&self, peers: &'a VolumePrior, alarm: Alarm) -> volume::Context<'a> {
        let Self { has_peers, widening, .. } = *self;
        volume::Context { peers, has_peers, widening, declared_per_hour: None, alarm }
    }
}

impl Line {
    /// A line first seen at `ts`.
    pub(super) fn new(ts: Timestamp, ctx: Context<'_>) -> Self {
        Self {
            presence: Presence::default(),
            last: ts,
            calls: Volume::new(ts, ctx.calls()),
            children: Volume::new(ts, ctx.children()),
            heard: Heard::default(),
        }
    }

    /// One call more, perhaps the first of its sub-agent in this hour: what there is to say of all calls, and of all sub-agents. A
    /// call that is older than the line's last one counts where the line is.
    pub(super) fn count(
        &mut self,
        ts: Timestamp,
        is_first: bool,
        outages: &[Outage],
        ctx: Context<'_>,
        tally: &mut LineTally,
    ) -> [Evidence; 2] {
        let (from, ts) = (self.last, ts.max(self.last));
        self.last = ts;
        self.calls.advance_through((from, ts), outages, ctx.calls(), &mut tally.calls);
        self.children.advance_through((from, ts), outages, ctx.children(), &mut tally.children);
        let calls = self.calls.count(ts, ctx.calls(), &mut tally.calls);
        let children = if is_first {
            self.children.count(ts, ctx.children(), &mut tally.children)
        } else {
            let (now, at) = self.children.level_at(ts, ctx.children());
            Reading { before: now, now, at }
        };
        [
            evidence(calls, Pattern::LineMoreCalls, |at| self.calls.story(at, ts, ctx.calls())),
            evidence(children, Pattern::ManyChildren, |at| self.children.story(at, ts, ctx.children())),
        ]
    }

    /// The most calls, or sub-agents, that would have stayed under `level`.
    pub(super) fn quiet_at(&self, pattern: Pattern, level: f64, ctx: Context<'_>) -> f64 {
        let (volume, ctx) = match pattern {
            Pattern::ManyChildren => (&self.children, ctx.children()),
            _ => (&self.calls, ctx.calls()),
        };
        volume.quiet_at(volume.level_at(self.last, ctx).1, self.last, level, ctx)
    }

    /// What it shows is normal, by a person's word.
    pub(super) fn accept(&mut self, ctx: Context<'_>, tally: &mut LineTally) {
        self.calls.accept(ctx.calls(), &mut tally.calls);
        self.children.accept(ctx.children(), &mut tally.children);
    }

    /// What it does now is what it was made to do.
    pub(super) fn adopt(&mut self, ctx: Context<'_>) {
        self.calls.adopt(self.last, ctx.calls());
        self.children.adopt(self.last, ctx.children());
    }

    /// What stands out was not its own.
    pub(super) fn disown(&mut self, ctx: Context<'_>) {
        for (volume, ctx) in [(&mut self.calls, ctx.calls()), (&mut self.children, ctx.children())] {
            let began = volume.stands_since(self.last, ctx).unwrap_or(self.last);
            volume.disown(began, ctx);
        }
    }

    /// Whether an alarm of it still waits for a person's word.
    pub(super) fn waits(&self) -> bool {
        self.calls.is_resting() || self.children.is_resting()
    }
}

/// What is more than usual. Of a line that calls less its agents' own silences are told.
fn evidence(reading: Reading, pattern: Pattern, story: impl Fn(Option<Place>) -> Story) -> Evidence {
    let at = reading.at.filter(|at| !matches!(at, Place::Down(..)));
    let (before, now) = at.map_or((Strength::CALM, Strength::CALM), |_| (reading.before, reading.now));
    let story = story(at);
    let pattern = at.map_or(Pattern::AsUsual, |_| pattern);
    Evidence { before, now, story: Story { pattern, ..story } }
}
