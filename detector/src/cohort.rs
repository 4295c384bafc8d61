//! What many agents begin to do at once is one incident, not as many alarms: a deploy, the end of a month, or an attack
//! on all of them.
//!
//! An agent's own past cannot know its first month end; that a fifth of the fleet departs from its past in the same hour
//! can be known, and that a fifth of a peer group does, which is little of a large fleet. How rarely they would do so by chance is what their levels say: each is over the watch budget once in so
//! many days. Time is where event time stood when a call came ([`Cohorts::tick`]), so a forged date joins nothing.

mod alike;
mod crowd;
mod incident;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use self::alike::Shares;
use self::crowd::{Crowd, Moment};
pub use self::incident::{Cohort, CohortIncident, Member};
use crate::combine::Score;
use crate::memory::Presence;
use crate::peers::GroupId;
use crate::route::Routes;
use crate::{Call, MicroBits, Part, Pattern, Signal, Timestamp};

/// Time moves in slots, and agents that begin to deviate within twelve of them, an hour, do it at once: a change reaches a
/// fleet within minutes, but it takes calls to show it.
const SLOT: Duration = Duration::from_mins(5);
const WINDOW: usize = 12;
/// Who called in this hour or in the two before is there.
const HOURS: usize = 3;
/// Fewer agents are an anecdote, and a smaller share of those that were there is no habit of the group.
const AGENTS_MIN: u32 = 5;
const SHARE_MIN: f64 = 0.2;
/// So rarely does chance bring as many to the fleet, and as rarely to any of its peer groups. Asked whenever an agent begins to deviate; hours that share no slot are 8,766 a
/// year, so chance makes one in about a hundred fleet-years, and not more than one in ten whatever the overlaps.
const CHANCE_MAX: f64 = 1e-6;
/// What was counted fades with this mean life, 30 days.
const MEMORY_HOURS: f64 = 720.0;
/// The group is at it while this share of the agents deviate within an hour, and for two hours more. An incident is over when
/// it has not been for two days: a day after an alarm volume learns again, and then has to settle. After a week it is over
/// anyway: whoever had to know does.
const HOLDING_SHARE: f64 = 0.1;
const AT_IT_SLOTS: u32 = 2 * 12;
const HOLDS_SLOTS: u32 = 48 * 12;
const SLOTS_MAX: u32 = 7 * 24 * 12;
/// An agent that does so many times what the group does goes beyond it; whatever the group does, it counts for no more
/// than ten times the usual, or a mass attack would excuse itself.
const BEYOND: f32 = 2.0;
const FACTOR_MAX: f32 = 10.0;
/// Agents that are named, and of which the typical factor is the median.
const NAMED_MAX: usize = 32;
/// Incidents that are over and still told.
const TOLD_MAX: usize = 16;

/// What agents can have in common in how much they call; what they call and by what is in [`alike`].
const KINDS: usize = 3;
const UP: usize = 0;
const DOWN: usize = 1;
const PACE: usize = 2;
const PATTERNS: [Pattern; KINDS] = [Pattern::MoreCalls, Pattern::FewerCalls, Pattern::OtherPace];

/// What an agent has in common with others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kin {
    /// The hour in which it was counted as there.
    active: u32,
    /// By kind: the slot in which it was last over the watch budget, when that began, and the last incident it was part of
    /// while the group was at it.
    over: [u32; KINDS],
    since: [u32; KINDS],
    part_of: [u32; KINDS],
}

/// Which agents begin to deviate, and the incidents they make: all of them, and those of each peer group. Bounded whatever happens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cohorts {
    slot: u32,
    fleet: Crowd,
    groups: BTreeMap<GroupId, Crowd>,
    over: ArrayVec<CohortIncident, TOLD_MAX>,
    incidents: u32,
}

/// Who speaks: an agent under an issuer, with its [`crate::Verdict::jump`].
pub(crate) struct Speaker<'a> {
    pub(crate) presence: &'a Presence,
    /// By which it is known here.
    pub(crate) key: u64,
    pub(crate) issuer: Option<&'a str>,
    pub(crate) agent_id: &'a str,
    /// Its peer group, and what that is called.
    pub(crate) group: Option<(GroupId, &'a str)>,
    pub(crate) jump: f32,
    pub(crate) act: Act<'a>,
}

/// The call it makes.
#[derive(Clone, Copy)]
pub(crate) struct Act<'a> {
    pub(crate) call: &'a Call<'a>,
    /// What the signals take its endpoint for, and whether the agent has not called that before.
    pub(crate) endpoint: u64,
    pub(crate) is_first: bool,
    /// By which that has a name for people.
    pub(crate) routes: &'a Routes,
}

impl Cohorts {
    /// Event time has reached `watermark`.
    pub(crate) fn tick(&mut self, watermark: Timestamp) {
        let slot = slot_of(watermark);
        if slot <= self.slot {
            return;
        }
        let last = std::mem::replace(&mut self.slot, slot);
        let Self { fleet, groups, .. } = self;
        let crowds = std::iter::once(fleet).chain(groups.values_mut());
        for over in crowds.flat_map(|crowd| crowd.pass(last, slot)) {
            if self.over.is_full() {
                self.over.remove(0);
            }
            self.over.push(CohortIncident { until: Some(time_of(slot)), ..over });
        }
        self.groups.retain(|_, group| !group.is_gone(slot));
    }

    /// Whether an agent that calls is to be counted as there in this hour.
    pub(crate) fn misses(&self, kin: &Kin, presence: &Presence) -> bool {
        kin.active != hour_of(self.slot) && presence.is_settled()
    }

    /// It is counted, in the fleet and in its peer group.
    pub(crate) fn see(&mut self, kin: &mut Kin, group: Option<GroupId>) {
        kin.active = hour_of(self.slot);
        self.fleet.see(self.slot);
        if let Some(group) = group {
            self.groups.entry(group).or_default().see(self.slot);
        }
    }

    /// An agent is over the watch budget; gives what it shares with others.
    ///
    /// An agent that is not settled neither makes a cohort nor is excused by one: names cost nothing.
    pub(crate) fn hear(
        &mut self,
        kin: &mut Kin,
        who: &Speaker<'_>,
        score: &Score,
        watch: MicroBits,
    ) -> Option<Cohort> {
        if !who.presence.is_settled() {
            return None;
        }
        let rate = kin.rate(self.slot, &score.parts, watch);
        let Self { slot, fleet, groups, incidents, .. } = self;
        let mut now = Moment { slot: *slot, chance_max: CHANCE_MAX, watch, incidents };
        let of_fleet = fleet.hear((&mut *kin, rate), who, score, &mut now, None);
        for group in groups.values_mut() {
            group.yield_to(fleet);
        }
        now.chance_max /= groups.len().max(1) as f64;
        let its = who.group.and_then(|(id, _)| groups.get_mut(&id));
        let of_group = its.map(|group| group.hear((kin, rate), who, score, &mut now, Some(fleet)));
        let said = of_group.unwrap_or_default().after(of_fleet);
        let cohort = said.by_rate.or(said.by_acts)?;
        let own = if cohort.is_beyond {
            score.level
        } else {
            not_shared(&score.parts, said.by_rate.is_some(), said.shares)
        };
        // Who does anything else that is over the budget has that to answer for, and is not one of many. Only in the first hour, when it
        // is not known yet whether the others' rates change too, another rate or pace is judged by itself, and what is shared is no
        // second witness of it.
        let is_early = self.slot.saturating_sub(slot_of(cohort.since)) <= WINDOW as u32;
        let is_one =
            said.by_rate.is_some() || own < watch || (is_early && !said.shares.leaves_more(score, watch));
        is_one.then_some(Cohort { own, ..cohort })
    }

    /// The fleet and its groups.
    fn crowds(&self) -> impl Iterator<Item = &Crowd> {
        std::iter::once(&self.fleet).chain(self.groups.values())
    }

    /// Whether both are part of an incident that goes on.
    pub(crate) fn are_together(&self, one: (u64, &Kin), other: (u64, &Kin)) -> bool {
        self.crowds().any(|crowd| crowd.are_together(one, other))
    }

    /// Paths have other names.
    pub(crate) fn rename(&mut self, routes: &Routes) {
        self.fleet.rename(routes);
        self.groups.values_mut().for_each(|group| group.rename(routes));
    }

    /// Incidents that go on, and the last that are over.
    pub(crate) fn incidents(&self) -> impl Iterator<Item = &CohortIncident> {
        self.over.iter().chain(self.crowds().flat_map(Crowd::open))
    }

    /// How many there have been.
    pub(crate) fn count(&self) -> u32 {
        self.incidents
    }
}

impl Kin {
    /// By which kind of rate it is over the watch budget, if it is by one, when it was before, and since when where it begins now.
    fn rate(&mut self, slot: u32, parts: &[Part], watch: MicroBits) -> Option<Rate> {
        let kind = kind_of(parts, watch)?;
        let last = std::mem::replace(&mut self.over[kind], slot);
        let begins = slot.saturating_sub(last) > WINDOW as u32;
        let before = begins.then(|| std::mem::replace(&mut self.since[kind], slot));
        Some(Rate { kind, last, before })
    }
}

/// An agent is over the watch budget by how much it calls.
#[derive(Clone, Copy)]
struct Rate {
    kind: usize,
    /// The slot in which it was last,
    last: u32,
    /// and where it begins to be, that in which it began before.
    before: Option<u32>,
}

/// What an agent shares with a crowd.
#[derive(Clone, Copy, Default)]
struct Said {
    by_rate: Option<Cohort>,
    by_acts: Option<Cohort>,
    /// Of which families all that is over the watch budget is shared.
    shares: Shares,
}

impl Said {
    /// What `first` did not say.
    fn after(self, first: Self) -> Self {
        let shares = Shares {
            endpoint: first.shares.endpoint || self.shares.endpoint,
            client: first.shares.client || self.shares.client,
        };
        Self { by_rate: first.by_rate.or(self.by_rate), by_acts: first.by_acts.or(self.by_acts), shares }
    }
}

/// A pace that comes with another rate. A person's and one that is too regular are nobody's deploy.
fn follows(timing: Pattern) -> bool {
    !matches!(timing, Pattern::HumanPaced | Pattern::TooRegular)
}

/// What the evidence of volume and timing, where it is over the watch budget, is of.
fn kind_of(parts: &[Part], watch: MicroBits) -> Option<usize> {
    let of = |signal| parts.iter().find(|p| p.signal == signal);
    let (volume, timing) = (of(Signal::Volume)?, of(Signal::Timing)?);
    match volume.pattern {
        Pattern::MoreCalls | Pattern::Ramp if volume.level >= watch => Some(UP),
        Pattern::FewerCalls if volume.level >= watch => Some(DOWN),
        _ if timing.level < watch || !follows(timing.pattern) => None,
        _ if timing.pattern == Pattern::MachineGun => Some(UP),
        _ if timing.pattern == Pattern::OtherPace
            && !volume.is_of_line()
            && volume.observed > volume.high =>
        {
            Some(UP)
        }
        _ => Some(PACE),
    }
}

/// The level of what the agent does not share: another rate and pace where `by_rate`, and of what it calls and by what where `by_acts`
/// says so; what a line does is not its group's either.
fn not_shared(parts: &[Part], by_rate: bool, by_acts: Shares) -> MicroBits {
    let is_own = |p: &&Part| match p.signal {
        Signal::Volume => !by_rate || p.is_of_line(),
        Signal::LookElsewhere => false,
        Signal::Timing => !by_rate || !follows(p.pattern),
        Signal::Endpoint => !by_acts.endpoint,
        Signal::Context => !by_acts.client,
    };
    parts.iter().filter(is_own).map(|p| p.level).max().unwrap_or(MicroBits::ZERO)
}

/// How many times the expected number of calls came.
fn times(parts: &[Part]) -> f32 {
    let volume = parts.iter().find(|p| p.signal == Signal::Volume && !p.is_of_line());
    volume.map_or(1.0, |p| (p.observed / p.expected.max(f64::MIN_POSITIVE)).clamp(0.0, 1e6) as f32)
}

fn slot_of(ts: Timestamp) -> u32 {
    u32::try_from(ts.as_millis() / SLOT.as_millis() as i64).unwrap_or(0)
}

fn time_of(slot: u32) -> Timestamp {
    Timestamp::from_millis(i64::from(slot) * SLOT.as_millis() as i64)
}

fn hour_of(slot: u32) -> u32 {
    slot / WINDOW as u32
}
