//! What many agents begin to do at once is one incident, not as many alarms: a deploy, the end of a month, or an attack
//! on all of them.
//!
//! An agent's own past cannot know its first month end; that a fifth of the fleet departs from its past in the same hour
//! can be known. How rarely they would do so by chance is what their levels say: each is over the watch budget once in so
//! many days. Time is where event time stood when a call came ([`Cohorts::tick`]), so a forged date joins nothing.

mod incident;
#[cfg(test)]
mod tests;

use std::time::Duration;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

pub use self::incident::{Cohort, CohortIncident, Member};
use crate::combine::Score;
use crate::memory::Presence;
use crate::monitor::poisson;
use crate::{MicroBits, Part, Pattern, Signal, Timestamp};

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

/// What agents can have in common. Endpoints are told by themselves: one that nobody calls is news whoever else calls it.
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
}

impl Open {
    /// Whether enough of the group deviated lately.
    fn is_at_it(&self, slot: u32) -> bool {
        slot.saturating_sub(self.held) <= AT_IT_SLOTS
    }
}

/// Who speaks.
pub(crate) struct Speaker<'a> {
    presence: &'a Presence,
    issuer: Option<&'a str>,
    agent_id: &'a str,
    jump: f32,
}

impl<'a> Speaker<'a> {
    /// An agent under an issuer, with its [`crate::Verdict::jump`].
    pub(crate) fn new(presence: &'a Presence, issuer: Option<&'a str>, agent_id: &'a str, jump: f32) -> Self {
        Self { presence, issuer, agent_id, jump }
    }
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
        let kind = kind_of(&score.parts, watch).filter(|_| who.presence.is_settled())?;
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
        let own = if is_beyond { score.level } else { not_shared(&score.parts) };
        Some(open.told.cohort(own, is_beyond))
    }

    /// Whether both are part of an incident that goes on.
    pub(crate) fn are_together(&self, one: &Kin, other: &Kin) -> bool {
        let numbers = self.open.iter().map(|open| open.as_ref().map(|open| open.told.incident));
        numbers.zip(one.part_of.iter().zip(&other.part_of)).any(|(n, (a, b))| n == Some(*a) && a == b)
    }

    /// Incidents that go on, and the last that are over.
    pub(crate) fn incidents(&self) -> impl Iterator<Item = &CohortIncident> {
        self.over.iter().chain(self.open.iter().flatten().map(|open| &open.told))
    }

    /// How many there have been.
    pub(crate) fn count(&self) -> u32 {
        self.incidents
    }

    /// One more begins to deviate, as it may have done `before`. Are they too many for chance?
    fn begins(&mut self, kind: usize, before: u32, who: &Speaker<'_>, score: &Score, watch: MicroBits) {
        let (slot, exposed) = (self.slot, self.exposed());
        self.starts[kind][0] = self.starts[kind][0].saturating_add(1);
        let recent = &mut self.recent[kind];
        if recent.is_full() {
            recent.remove(0);
        }
        recent.push(Start { slot, member: who.into(), times: times(&score.parts) });
        let factor = factor(recent);
        if let Some(open) = &mut self.open[kind] {
            if before < open.from && open.is_at_it(slot) {
                open.told.join(who);
            }
            open.told.factor = factor;
            return;
        }
        let agents = self.starts[kind].iter().fold(0_u32, |sum, &n| sum.saturating_add(n));
        let by_chance = f64::from(exposed) * self.begin_per_hour(watch);
        let chance = poisson::at_least(f64::from(agents), by_chance);
        if agents < AGENTS_MIN || f64::from(agents) < SHARE_MIN * f64::from(exposed) || chance > CHANCE_MAX {
            return;
        }
        self.incidents = self.incidents.saturating_add(1);
        let first = self.starts[kind].iter().rposition(|&n| n > 0).unwrap_or(0) as u32;
        let from = slot.saturating_sub(first);
        let members = self.recent[kind].iter().filter(|start| start.slot >= from);
        let told = CohortIncident {
            incident: self.incidents,
            pattern: PATTERNS[kind],
            since: time_of(from),
            seen: time_of(slot),
            until: None,
            agents,
            exposed,
            by_chance,
            chance,
            factor,
            members: members.map(|start| start.member.clone()).collect(),
        };
        self.open[kind] = Some(Open { told, from, held: slot, deviating: 0 });
    }

    /// How often an agent begins to deviate alone: as often as the budget says, or as it was seen where that is more.
    fn begin_per_hour(&self, watch: MicroBits) -> f64 {
        let allowed = libm::exp2(-watch.as_bits()) / 24.0;
        allowed * ((self.began + 1.0) / (self.lived_hours * allowed + 1.0)).max(1.0)
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
        for place in &mut self.open {
            let Some(open) = place else { continue };
            open.told.exposed = open.told.exposed.max(exposed);
            if f64::from(std::mem::take(&mut open.deviating)) >= HOLDING_SHARE * f64::from(exposed) {
                open.held = self.slot;
            }
            if slot - open.held <= HOLDS_SLOTS && slot - open.from <= SLOTS_MAX {
                continue;
            }
            if let Some(open) = place.take() {
                if self.over.is_full() {
                    self.over.remove(0);
                }
                self.over.push(CohortIncident { until: Some(time_of(slot)), ..open.told });
            }
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

/// The level of what comes neither of another rate nor of another pace; what a line does is not its group's either.
fn not_shared(parts: &[Part]) -> MicroBits {
    let is_own = |p: &&Part| match p.signal {
        Signal::Volume => p.is_of_line(),
        Signal::LookElsewhere => false,
        Signal::Timing => !follows(p.pattern),
        Signal::Endpoint | Signal::Context => true,
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
