//! What many agents begin to do at once is one incident, not as many alarms: a deploy, the end of a month, or an attack
//! on all of them.
//!
//! An agent's own past cannot know its first month end; that a fifth of the fleet departs from its past in the same hour
//! can be known. How rarely they would do so by chance is what their levels say: each is over the watch budget once in so
//! many days. Time is where event time stood when a call came ([`Cohorts::tick`]), so a forged date joins nothing.

mod alike;
mod incident;
#[cfg(test)]
mod tests;

use std::time::Duration;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use self::alike::{Alike, Shares};
pub use self::incident::{Cohort, CohortIncident, Member};
use crate::combine::Score;
use crate::memory::Presence;
use crate::monitor::poisson;
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
/// So rarely does chance bring as many. Asked whenever an agent begins to deviate; hours that share no slot are 8,766 a
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

/// Which agents begin to deviate, and the incidents they make. Bounded whatever happens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cohorts {
    slot: u32,
    /// Settled agents that called in this hour and in the two before.
    active: [u32; HOURS],
    /// By kind, how many began to deviate in this slot and those before.
    starts: [[u32; WINDOW]; KINDS],
    recent: [ArrayVec<Start, NAMED_MAX>; KINDS],
    /// Hours that settled agents were there, and how often one of them began to deviate alone; both faded.
    lived_hours: f64,
    began: f64,
    open: [Option<Open>; KINDS],
    alike: Alike,
    over: ArrayVec<CohortIncident, TOLD_MAX>,
    incidents: u32,
}

/// An agent that began to deviate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Start {
    slot: u32,
    member: Member,
    /// Times what was expected.
    times: f32,
}

/// An incident that goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Open {
    told: CohortIncident,
    from: u32,
    /// The last slot in which enough of the group deviated, and how many do in this hour.
    held: u32,
    deviating: u32,
    /// Whether it is part of another, whose number it has: what the same agents did at once is one.
    is_part: bool,
}

impl Open {
    /// Whether enough of the group deviated lately.
    fn is_at_it(&self, slot: u32) -> bool {
        slot.saturating_sub(self.held) <= AT_IT_SLOTS
    }

    /// An hour ends with `slot` that went to `last`. Whether the incident is over.
    fn close_hour(&mut self, slot: u32, last: u32, exposed: u32) -> bool {
        self.told.exposed = self.told.exposed.max(exposed);
        if f64::from(std::mem::take(&mut self.deviating)) >= HOLDING_SHARE * f64::from(exposed) {
            self.held = last;
        }
        slot - self.held > HOLDS_SLOTS || slot - self.from > SLOTS_MAX
    }
}

/// An incident that is seen, and the slot of the first of it.
struct Begun {
    from: u32,
    told: CohortIncident,
}

/// Who speaks: an agent under an issuer, with its [`crate::Verdict::jump`].
pub(crate) struct Speaker<'a> {
    pub(crate) presence: &'a Presence,
    /// By which it is known here.
    pub(crate) key: u64,
    pub(crate) issuer: Option<&'a str>,
    pub(crate) agent_id: &'a str,
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
        let passed = ((slot - self.slot) as usize).min(WINDOW);
        for (starts, open) in self.starts.iter_mut().zip(&self.open) {
            if open.is_none() {
                self.began += starts[WINDOW - passed..].iter().copied().map(f64::from).sum::<f64>();
            }
            starts.rotate_right(passed % WINDOW);
            starts[..passed].fill(0);
        }
        self.alike.pass(passed);
        let hours = hour_of(slot) - hour_of(self.slot);
        if hours > 0 {
            self.close_hour(slot, libm::exp(-f64::from(hours) / MEMORY_HOURS));
            let passed = (hours as usize).min(HOURS);
            self.active.rotate_right(passed % HOURS);
            self.active[..passed].fill(0);
        }
        self.slot = slot;
    }

    /// An agent calls.
    pub(crate) fn see(&mut self, kin: &mut Kin, presence: &Presence) {
        let hour = hour_of(self.slot);
        if kin.active != hour && presence.is_settled() {
            kin.active = hour;
            self.active[0] = self.active[0].saturating_add(1);
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
        let by_rate = self.hear_rate(kin, who, score, watch);
        let (by_acts, is_shared) = self.hear_acts(who, score, watch);
        let cohort = by_rate.or(by_acts)?;
        let own = if cohort.is_beyond {
            score.level
        } else {
            not_shared(&score.parts, by_rate.is_some(), is_shared)
        };
        // Who does anything else that is over the budget has that to answer for, and is not one of many.
        (by_rate.is_some() || own < watch).then_some(Cohort { own, ..cohort })
    }

    /// What it shares of how much it calls.
    fn hear_rate(
        &mut self,
        kin: &mut Kin,
        who: &Speaker<'_>,
        score: &Score,
        watch: MicroBits,
    ) -> Option<Cohort> {
        let kind = kind_of(&score.parts, watch)?;
        let last = std::mem::replace(&mut kin.over[kind], self.slot);
        if self.slot.saturating_sub(last) > WINDOW as u32 {
            let before = std::mem::replace(&mut kin.since[kind], self.slot);
            self.begins(kind, before, who, score, watch);
        }
        let open = self.open[kind].as_mut()?;
        if kin.since[kind] < open.from {
            // It was at it before the others were.
            return None;
        }
        if hour_of(last) != hour_of(self.slot) {
            open.deviating = open.deviating.saturating_add(1);
        }
        if open.is_at_it(self.slot) {
            kin.part_of[kind] = open.told.incident;
        }
        if kin.part_of[kind] != open.told.incident {
            // The others have done with it.
            return None;
        }
        let is_beyond = kind == UP && who.jump > BEYOND * open.told.factor.min(FACTOR_MAX);
        Some(open.told.cohort(is_beyond))
    }

    /// Whether both are part of an incident that goes on.
    pub(crate) fn are_together(&self, one: (u64, &Kin), other: (u64, &Kin)) -> bool {
        let numbers = self.open.iter().map(|open| open.as_ref().map(|open| open.told.incident));
        let mut by_rate = numbers.zip(one.1.part_of.iter().zip(&other.1.part_of));
        by_rate.any(|(n, (a, b))| n == Some(*a) && a == b) || self.alike.are_together(one.0, other.0)
    }

    /// Paths have other names.
    pub(crate) fn rename(&mut self, routes: &Routes) {
        self.alike.rename(routes);
    }

    /// Incidents that go on, and the last that are over.
    pub(crate) fn incidents(&self) -> impl Iterator<Item = &CohortIncident> {
        let open = self.open.iter().flatten().chain(self.alike.open());
        self.over.iter().chain(open.filter(|open| !open.is_part).map(|open| &open.told))
    }

    /// How many there have been.
    pub(crate) fn count(&self) -> u32 {
        self.incidents
    }

    /// One more begins to deviate, as it may have done `before`. Are they too many for chance?
    fn begins(&mut self, kind: usize, before: u32, who: &Speaker<'_>, score: &Score, watch: MicroBits) {
        let slot = self.slot;
        self.starts[kind][0] = self.starts[kind][0].saturating_add(1);
        let recent = &mut self.recent[kind];
        if recent.is_full() {
            recent.remove(0);
        }
        recent.push(Start { slot, member: who.into(), times: times(&score.parts) });
        let factor = factor(recent);
        if let Some(open) = &mut self.open[kind] {
            if before < open.from && open.is_at_it(slot) {
                open.told.join(who.into());
            }
            open.told.factor = factor;
            return;
        }
        let Some(Begun { from, told }) = self.incident(&self.starts[kind], self.began, watch) else { return };
        let same = self.alike.of_rate(kind, slot, told.agents);
        let incident = same.unwrap_or(told.incident);
        self.incidents = self.incidents.max(incident);
        let members = self.recent[kind].iter().filter(|start| start.slot >= from);
        let members = members.map(|start| start.member.clone()).collect();
        let told = CohortIncident { incident, pattern: PATTERNS[kind], factor, members, ..told };
        self.open[kind] = Some(Open { told, from, held: slot, deviating: 0, is_part: same.is_some() });
    }

    /// The incident that so many are, where they began by slot and would alone as often as some `began`, if they are too many for chance.
    fn incident(&self, starts: &[u32; WINDOW], began: f64, watch: MicroBits) -> Option<Begun> {
        let exposed = self.exposed();
        let agents = starts.iter().fold(0_u32, |sum, &n| sum.saturating_add(n));
        if agents < AGENTS_MIN || f64::from(agents) < SHARE_MIN * f64::from(exposed) {
            return None;
        }
        let by_chance = f64::from(exposed) * self.begin_per_hour(began, watch);
        let chance = poisson::at_least(f64::from(agents), by_chance);
        if chance > CHANCE_MAX {
            return None;
        }
        let first = starts.iter().rposition(|&n| n > 0).unwrap_or(0) as u32;
        let from = self.slot.saturating_sub(first);
        let told = CohortIncident {
            incident: self.incidents.saturating_add(1),
            pattern: Pattern::AsUsual,
            since: time_of(from),
            seen: time_of(self.slot),
            until: None,
            agents,
            exposed,
            by_chance,
            chance,
            factor: 1.0,
            members: Vec::new(),
            of: Vec::new(),
        };
        Some(Begun { from, told })
    }

    /// How often an agent begins to deviate alone: as often as the budget says, or as it was seen where that is more.
    fn begin_per_hour(&self, began: f64, watch: MicroBits) -> f64 {
        let allowed = libm::exp2(-watch.as_bits()) / 24.0;
        allowed * ((began + 1.0) / (self.lived_hours * allowed + 1.0)).max(1.0)
    }

    /// Settled agents that called lately: a fleet that has just gone to rest is still there.
    fn exposed(&self) -> u32 {
        self.active.iter().copied().max().unwrap_or(0)
    }

    /// An hour ends with `slot`, and with it the incidents that no longer hold; so much is left of what was counted.
    fn close_hour(&mut self, slot: u32, fade: f64) {
        let exposed = self.exposed();
        self.lived_hours = (self.lived_hours + f64::from(self.active[0])) * fade;
        self.began *= fade;
        let places = self.open.iter_mut().filter_map(|place| {
            place.as_mut()?.close_hour(slot, self.slot, exposed).then(|| place.take())?
        });
        let over: Vec<Open> = places.chain(self.alike.close_hour(slot, self.slot, exposed, fade)).collect();
        for open in over.into_iter().filter(|open| !open.is_part) {
            if self.over.is_full() {
                self.over.remove(0);
            }
            self.over.push(CohortIncident { until: Some(time_of(slot)), ..open.told });
        }
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

/// The median of them, so that it takes half of those that joined last to move it anywhere.
fn factor(recent: &[Start]) -> f32 {
    let mut times: ArrayVec<f32, NAMED_MAX> = recent.iter().map(|start| start.times).collect();
    times.sort_unstable_by(f32::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(1.0)
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
