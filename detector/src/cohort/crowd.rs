//! Agents that are counted together: the fleet, or a peer group of it.

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use super::alike::Alike;
use super::{
    AGENTS_MIN, AT_IT_SLOTS, BEYOND, Cohort, CohortIncident, FACTOR_MAX, HOLDING_SHARE, HOLDS_SLOTS, HOURS,
    KINDS, Kin, MEMORY_HOURS, Member, NAMED_MAX, PATTERNS, Rate, SHARE_MIN, SLOTS_MAX, Said, Speaker, UP,
    WINDOW, hour_of, time_of, times,
};
use crate::combine::Score;
use crate::monitor::poisson;
use crate::route::Routes;
use crate::{MicroBits, Pattern};

/// Who begins to deviate, and the incidents that makes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Crowd {
    /// Settled agents that called in this hour and in the two before.
    active: [u32; HOURS],
    /// The slot in which one last was.
    seen: u32,
    /// By kind, how many began to deviate in this slot and those before.
    starts: [[u32; WINDOW]; KINDS],
    recent: [ArrayVec<Start, NAMED_MAX>; KINDS],
    /// Hours that settled agents were there, and how often one of them began to deviate alone; both faded.
    lived_hours: f64,
    began: f64,
    pub(super) open: [Option<Open>; KINDS],
    pub(super) alike: Alike,
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
pub(super) struct Open {
    pub(super) told: CohortIncident,
    pub(super) from: u32,
    /// The last slot in which enough of the group deviated, and how many do in this hour.
    pub(super) held: u32,
    pub(super) deviating: u32,
    /// Whether it is part of another that is told: what the same agents did at once, whose number it has, or what all the fleet does.
    pub(super) is_part: bool,
}

impl Open {
    /// Whether enough of the group deviated lately.
    pub(super) fn is_at_it(&self, slot: u32) -> bool {
        slot.saturating_sub(self.held) <= AT_IT_SLOTS
    }

    /// An hour ends with `slot` that went to `last`. Whether the incident is over.
    pub(super) fn close_hour(&mut self, slot: u32, last: u32, exposed: u32) -> bool {
        self.told.exposed = self.told.exposed.max(exposed);
        if f64::from(std::mem::take(&mut self.deviating)) >= HOLDING_SHARE * f64::from(exposed) {
            self.held = last;
        }
        slot - self.held > HOLDS_SLOTS || slot - self.from > SLOTS_MAX
    }
}

/// An incident that is seen, and the slot of the first of it.
pub(super) struct Begun {
    pub(super) from: u32,
    pub(super) told: CohortIncident,
}

/// When an agent is heard, and what is asked of chance then.
pub(super) struct Moment<'a> {
    pub(super) slot: u32,
    pub(super) chance_max: f64,
    pub(super) watch: MicroBits,
    /// How many incidents there have been.
    pub(super) incidents: &'a mut u32,
}

impl Crowd {
    /// Time has gone from `last` to `slot`; gives the incidents that are over.
    pub(super) fn pass(&mut self, last: u32, slot: u32) -> Vec<CohortIncident> {
        let passed = ((slot - last) as usize).min(WINDOW);
        for (starts, open) in self.starts.iter_mut().zip(&self.open) {
            if open.is_none() {
                self.began += starts[WINDOW - passed..].iter().copied().map(f64::from).sum::<f64>();
            }
            starts.rotate_right(passed % WINDOW);
            starts[..passed].fill(0);
        }
        self.alike.pass(passed);
        let hours = hour_of(slot) - hour_of(last);
        if hours == 0 {
            return Vec::new();
        }
        let over = self.close_hour(slot, last, libm::exp(-f64::from(hours) / MEMORY_HOURS));
        let passed = (hours as usize).min(HOURS);
        self.active.rotate_right(passed % HOURS);
        self.active[..passed].fill(0);
        over
    }

    /// An agent is there in this hour.
    pub(super) fn see(&mut self, slot: u32) {
        self.seen = slot;
        self.active[0] = self.active[0].saturating_add(1);
    }

    /// Whether nobody has been there for so long that no incident of it can go on.
    pub(super) fn is_gone(&self, slot: u32) -> bool {
        slot.saturating_sub(self.seen) > SLOTS_MAX + WINDOW as u32
    }

    /// What the whole fleet does is no longer told of this group of it.
    pub(super) fn yield_to(&mut self, fleet: &Self) {
        for (own, theirs) in self.open.iter_mut().zip(&fleet.open) {
            if let (Some(own), Some(theirs)) = (own, theirs) {
                own.is_part |= own.from >= theirs.from;
            }
        }
        self.alike.yield_to(&fleet.alike);
    }

    /// An agent is over the watch budget; what it shares with this crowd: the fleet's, or a group's in which what the fleet does at once
    /// begins nothing.
    pub(super) fn hear(
        &mut self,
        (kin, rate): (&mut Kin, Option<Rate>),
        who: &Speaker<'_>,
        score: &Score,
        now: &mut Moment<'_>,
        fleet: Option<&Self>,
    ) -> Said {
        let by_rate = rate.and_then(|rate| self.hear_rate(kin, rate, who, score, now, fleet));
        let (by_acts, shares) = self.hear_acts(who, score, now, fleet);
        Said { by_rate, by_acts, shares }
    }

    /// What it shares of how much it calls.
    fn hear_rate(
        &mut self,
        kin: &mut Kin,
        Rate { kind, last, before }: Rate,
        who: &Speaker<'_>,
        score: &Score,
        now: &mut Moment<'_>,
        fleet: Option<&Self>,
    ) -> Option<Cohort> {
        if let Some(before) = before {
            self.begins((kind, before), who, score, now, fleet);
        }
        let open = self.open[kind].as_mut()?;
        if kin.since[kind] < open.from {
            // It was at it before the others were.
            return None;
        }
        if hour_of(last) != hour_of(now.slot) {
            open.deviating = open.deviating.saturating_add(1);
        }
        if open.is_at_it(now.slot) {
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
    pub(super) fn are_together(&self, one: (u64, &Kin), other: (u64, &Kin)) -> bool {
        let numbers = self.open.iter().map(|open| open.as_ref().map(|open| open.told.incident));
        let mut by_rate = numbers.zip(one.1.part_of.iter().zip(&other.1.part_of));
        by_rate.any(|(n, (a, b))| n == Some(*a) && a == b) || self.alike.are_together(one.0, other.0)
    }

    /// Paths have other names.
    pub(super) fn rename(&mut self, routes: &Routes) {
        self.alike.rename(routes);
    }

    /// Incidents that go on.
    pub(super) fn open(&self) -> impl Iterator<Item = &CohortIncident> {
        let open = self.open.iter().flatten().chain(self.alike.open());
        open.filter(|open| !open.is_part).map(|open| &open.told)
    }

    /// One more begins to deviate, as it may have done `before`. Are they too many for chance?
    fn begins(
        &mut self,
        (kind, before): (usize, u32),
        who: &Speaker<'_>,
        score: &Score,
        now: &mut Moment<'_>,
        fleet: Option<&Self>,
    ) {
        let slot = now.slot;
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
        if fleet.and_then(|fleet| fleet.open[kind].as_ref()).is_some_and(|open| open.is_at_it(slot)) {
            return;
        }
        let Some(Begun { from, told }) = self.incident(&self.starts[kind], self.began, now) else { return };
        let same = self.alike.of_rate(kind, slot, told.agents);
        let incident = same.unwrap_or(told.incident);
        *now.incidents = incident.max(*now.incidents);
        let members = self.recent[kind].iter().filter(|start| start.slot >= from);
        let members = members.map(|start| start.member.clone()).collect();
        let group = fleet.and(who.group).map(|(_, name)| name.into());
        let told = CohortIncident { incident, pattern: PATTERNS[kind], factor, members, group, ..told };
        self.open[kind] = Some(Open { told, from, held: slot, deviating: 0, is_part: same.is_some() });
    }

    /// The incident that so many are, where they began by slot and would alone as often as some `began`, if they are too many for chance.
    pub(super) fn incident(&self, starts: &[u32; WINDOW], began: f64, now: &Moment<'_>) -> Option<Begun> {
        let exposed = self.exposed();
        let agents = starts.iter().fold(0_u32, |sum, &n| sum.saturating_add(n));
        if agents < AGENTS_MIN || f64::from(agents) < SHARE_MIN * f64::from(exposed) {
            return None;
        }
        let by_chance = f64::from(exposed) * self.begin_per_hour(began, now.watch);
        let chance = poisson::at_least(f64::from(agents), by_chance);
        if chance > now.chance_max {
            return None;
        }
        let first = starts.iter().rposition(|&n| n > 0).unwrap_or(0) as u32;
        let from = now.slot.saturating_sub(first);
        let told = CohortIncident {
            incident: now.incidents.saturating_add(1),
            pattern: Pattern::AsUsual,
            since: time_of(from),
            seen: time_of(now.slot),
            until: None,
            agents,
            exposed,
            by_chance,
            chance,
            factor: 1.0,
            members: Vec::new(),
            of: Vec::new(),
            group: None,
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

    /// An hour ends with `slot` that went to `last`, and with it the incidents that no longer hold; so much is left of what was counted.
    fn close_hour(&mut self, slot: u32, last: u32, fade: f64) -> Vec<CohortIncident> {
        let exposed = self.exposed();
        self.lived_hours = (self.lived_hours + f64::from(self.active[0])) * fade;
        self.began *= fade;
        let places = self
            .open
            .iter_mut()
            .filter_map(|place| place.as_mut()?.close_hour(slot, last, exposed).then(|| place.take())?);
        let over: Vec<Open> = places.chain(self.alike.close_hour(slot, last, exposed, fade)).collect();
        over.into_iter().filter(|open| !open.is_part).map(|open| open.told).collect()
    }
}

/// The median of them, so that it takes half of those that joined last to move it anywhere.
fn factor(recent: &[Start]) -> f32 {
    let mut times: ArrayVec<f32, NAMED_MAX> = recent.iter().map(|start| start.times).collect();
    times.sort_unstable_by(f32::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(1.0)
}
