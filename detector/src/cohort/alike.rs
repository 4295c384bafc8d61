//! What many agents begin to call, or to call with, at once: a deploy brings an endpoint, a client or a model to all that it reaches.
//!
//! The test is that of rates, for each value by itself: where as many agents as that would come over the watch budget for anything
//! by chance once in a hundred years, that they all do for the same is rarer yet. Agents that each begin to call something else
//! share nothing.

use std::collections::VecDeque;

use arrayvec::ArrayVec;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use super::crowd::{Begun, Crowd, Moment, Open};
use super::{Cohort, CohortIncident, Member, NAMED_MAX, SLOTS_MAX, Speaker, WINDOW, hour_of, kind_of};
use crate::combine::{CONTEXT, ENDPOINT, Score};
use crate::hash::hash64;
use crate::route::Routes;
use crate::stored::in_order;
use crate::{MicroBits, Part, Pattern, Signal};

/// Values that are counted at once; the one that fewest began with makes room.
const COUNTED_MAX: usize = 64;
/// Agents that began last, of whom those that make an incident are named.
const RECENT_MAX: usize = 2 * NAMED_MAX;
/// Incidents that go on at once, and values of one of them.
const OPEN_MAX: usize = 8;
const VALUES_MAX: usize = 8;
/// An agent that begins with more values than that within a day is no part of anybody's deploy.
const BEGUN_MAX: usize = 4;
const DAY_SLOTS: u32 = 24 * WINDOW as u32;
/// Agents that began lately; beyond, one more is told of by itself.
const DEVIANTS_MAX: usize = 65_536;
/// What a call must add to be what brought its agent over the watch budget, and by how much an agent's level may exceed that at
/// which what is shared left it: others' calls beside it surprise a little more or less.
const EVIDENT: MicroBits = MicroBits::from_micros(50_000);
const LEEWAY: MicroBits = MicroBits::from_micros(1_000_000);
/// A name is told up to so many bytes.
const NAME_MAX: usize = 128;

/// What an agent begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum What {
    /// It calls this.
    Endpoint(u64),
    /// It calls with this.
    Client(u64),
    Model(u64),
    /// Its caller is another than it was in what no deploy brings.
    Else,
}

impl What {
    fn family(self) -> usize {
        if matches!(self, Self::Endpoint(_)) { ENDPOINT } else { CONTEXT }
    }

    fn place(self) -> usize {
        usize::from(self.family() == CONTEXT)
    }

    /// What this call may begin with, by what stands out.
    fn of(family: usize, parts: &[Part], who: &Speaker<'_>) -> Self {
        let (call, hash) = (who.act.call, |text: &str| hash64(&[text]));
        let first = parts.iter().find(|p| p.signal == Signal::Context).map(|p| p.pattern);
        let told = match first {
            _ if family == ENDPOINT => Some(Self::Endpoint(who.act.endpoint)),
            Some(Pattern::NewUserAgent) => call.user_agent.as_deref().map(hash).map(Self::Client),
            Some(Pattern::NewModel) => call.model.as_deref().map(hash).map(Self::Model),
            _ => None,
        };
        told.unwrap_or(Self::Else)
    }

    fn pattern(self) -> Pattern {
        match self {
            Self::Endpoint(_) => Pattern::Foreign,
            Self::Client(_) => Pattern::NewUserAgent,
            Self::Model(_) => Pattern::NewModel,
            Self::Else => Pattern::AsUsual,
        }
    }

    /// What it is called by people, in the call that begins with it.
    fn name(self, who: &Speaker<'_>) -> Box<str> {
        let call = who.act.call;
        let text = match self {
            Self::Endpoint(_) => who.act.routes.shown(call).unwrap_or_else(|| call.endpoint.to_string()),
            Self::Client(_) => call.user_agent.as_deref().unwrap_or_default().to_owned(),
            Self::Model(_) => call.model.as_deref().unwrap_or_default().to_owned(),
            Self::Else => String::new(),
        };
        text[..text.floor_char_boundary(NAME_MAX)].into()
    }
}

/// Of which families all that is over the watch budget is shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) endpoint: bool,
    pub(super) client: bool,
}

impl Shares {
    /// Whether what the agent calls, or by what, is over the watch budget beside this.
    pub(super) fn leaves_more(self, score: &Score, watch: MicroBits) -> bool {
        let families = [(ENDPOINT, self.endpoint), (CONTEXT, self.client)];
        let is_over = |family: usize| score.parts.get(family).is_some_and(|part| part.level >= watch);
        families.into_iter().any(|(family, is_shared)| !is_shared && is_over(family))
    }
}

/// How many began with a value, by slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Count {
    what: What,
    starts: [u32; WINDOW],
}

/// An agent that began with a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Start {
    what: What,
    slot: u32,
    member: Member,
}

/// What an agent has begun with in a day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Deviant {
    begun: ArrayVec<(What, u32), BEGUN_MAX>,
    /// When it began with more than are kept.
    strayed: Option<u32>,
    /// In which way it was last over by how much it calls, and when.
    rate: Option<(usize, u32)>,
    /// The slot in which it was last over, and the levels at which these values left endpoints and the caller.
    over: u32,
    highest: [MicroBits; 2],
}

impl Deviant {
    /// A day later what it began with is no news, but for what an incident holds.
    fn forget(&mut self, slot: u32, open: &[Shared]) {
        let is_late = |at: u32| slot.saturating_sub(at) <= DAY_SLOTS;
        self.begun.retain(|begun| is_late(begun.1) || open.iter().any(|shared| shared.holds(begun)));
        self.strayed = self.strayed.filter(|at| is_late(*at));
    }

    fn has(&self, what: What) -> bool {
        self.begun.iter().any(|(begun, _)| *begun == what)
    }

    /// Whether it was over by its rate in the hour before `slot` too, and in this way.
    fn is_over_by(&self, kind: usize, slot: u32) -> bool {
        self.rate.is_some_and(|(over, at)| over == kind && slot.saturating_sub(at) <= WINDOW as u32)
    }

    /// Whether it began with `what` since `from`.
    fn began(&self, what: What, from: u32) -> bool {
        self.begun.iter().any(|begun| begun.0 == what && begun.1 >= from)
    }

    fn of(&self, family: usize) -> impl Iterator<Item = &(What, u32)> {
        self.begun.iter().filter(move |(what, _)| what.family() == family)
    }

    /// It may begin with a value. Whether it does, which it does once.
    fn begins(&mut self, what: What, slot: u32) -> bool {
        if self.has(what) {
            return false;
        }
        if self.of(what.family()).next().is_none() {
            self.highest[what.place()] = MicroBits::ZERO;
        }
        let begins = self.begun.try_push((what, slot)).is_ok();
        if !begins {
            self.strayed = Some(slot);
        }
        begins
    }
}

/// An incident of values that goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Shared {
    values: ArrayVec<What, VALUES_MAX>,
    open: Open,
}

impl Shared {
    /// Whether the agent began with one of its values, as the others did and not before the first of them.
    fn has(&self, deviant: &Deviant) -> bool {
        deviant.begun.iter().any(|begun| self.holds(begun))
    }

    fn holds(&self, (what, at): &(What, u32)) -> bool {
        self.values.contains(what) && *at >= self.open.from && self.open.is_at_it(*at)
    }
}

/// Who begins with which values, and the incidents they make. Bounded whatever happens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Alike {
    counts: Vec<Count>,
    recent: VecDeque<Start>,
    #[serde(serialize_with = "in_order")]
    deviants: HashMap<u64, Deviant, FxBuildHasher>,
    open: Vec<Shared>,
    /// How often an agent began alone; faded.
    began: f64,
}

impl Alike {
    /// So many slots have passed.
    pub(super) fn pass(&mut self, slots: usize) {
        let Self { counts, open, began, .. } = self;
        for Count { what, starts } in counts.iter_mut() {
            if !open.iter().any(|shared| shared.values.contains(what)) {
                *began += starts[WINDOW - slots..].iter().copied().map(f64::from).sum::<f64>();
            }
            starts.rotate_right(slots % WINDOW);
            starts[..slots].fill(0);
        }
        counts.retain(|count| count.starts.iter().any(|n| *n > 0));
    }

    /// An hour ends with `slot` that went to `last`, and with it the incidents that no longer hold.
    pub(super) fn close_hour(&mut self, slot: u32, last: u32, exposed: u32, fade: f64) -> Vec<Open> {
        self.began *= fade;
        let is_over = |shared: &mut Shared| shared.open.close_hour(slot, last, exposed);
        let over = self.open.extract_if(.., is_over).map(|shared| shared.open).collect();
        let open = &self.open;
        self.deviants.retain(|_, deviant| {
            deviant.forget(slot, open);
            slot.saturating_sub(deviant.over) <= SLOTS_MAX
                && !(deviant.begun.is_empty() && deviant.strayed.is_none())
        });
        over
    }

    /// The incident that goes on of this value.
    fn incident_of(&self, what: What) -> Option<&Open> {
        let shared = self.open.iter().find(|shared| shared.values.contains(&what))?;
        Some(&shared.open)
    }

    /// See [`Crowd::yield_to`].
    pub(super) fn yield_to(&mut self, fleet: &Self) {
        for shared in &mut self.open {
            let mut theirs = shared.values.iter().filter_map(|what| fleet.incident_of(*what));
            shared.open.is_part |= theirs.any(|open| shared.open.from >= open.from);
        }
    }

    /// Incidents that go on.
    pub(super) fn open(&self) -> impl Iterator<Item = &Open> {
        self.open.iter().map(|shared| &shared.open)
    }

    /// Whether both are part of an incident that goes on.
    pub(super) fn are_together(&self, one: u64, other: u64) -> bool {
        let (Some(one), Some(other)) = (self.deviants.get(&one), self.deviants.get(&other)) else {
            return false;
        };
        self.open.iter().any(|shared| shared.has(one) && shared.has(other))
    }

    /// Paths have other names.
    pub(super) fn rename(&mut self, routes: &Routes) {
        let counted = self.counts.iter_mut().map(|count| &mut count.what);
        let recent = self.recent.iter_mut().map(|start| &mut start.what);
        let begun = self.deviants.values_mut().flat_map(|d| d.begun.iter_mut().map(|(what, _)| what));
        let values = self.open.iter_mut().flat_map(|shared| shared.values.iter_mut());
        for what in counted.chain(recent).chain(begun).chain(values) {
            if let What::Endpoint(endpoint) = what {
                *endpoint = routes.now(*endpoint);
            }
        }
    }

    /// One more began with a value; how many did so by slot.
    fn count(&mut self, what: What, slot: u32, who: &Speaker<'_>) -> [u32; WINDOW] {
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Start { what, slot, member: who.into() });
        let at = self.counts.iter().position(|count| count.what == what).unwrap_or_else(|| {
            if self.counts.len() >= COUNTED_MAX {
                let began = |count: &Count| count.starts.iter().fold(0_u32, |sum, n| sum.saturating_add(*n));
                let fewest = (0..COUNTED_MAX).min_by_key(|at| began(&self.counts[*at]));
                self.counts.remove(fewest.unwrap_or(0));
            }
            self.counts.push(Count { what, starts: [0; WINDOW] });
            self.counts.len() - 1
        });
        let starts = &mut self.counts[at].starts;
        starts[0] = starts[0].saturating_add(1);
        *starts
    }

    /// The incident of most agents that began with `what` since `from`, as one deploy may bring several values; it has that one too
    /// from here on. How many agents are new in it.
    fn same(&mut self, what: What, from: u32) -> Option<(&mut Open, u32)> {
        let Self { deviants, open, .. } = self;
        let began = |d: &&Deviant| d.began(what, from);
        open.iter_mut().find_map(|shared| {
            let all = deviants.values().filter(began).count() as u32;
            let both = deviants.values().filter(began).filter(|d| shared.has(d)).count() as u32;
            if shared.values.is_full() || !shared.open.is_at_it(from) || 2 * both <= all {
                return None;
            }
            shared.values.push(what);
            shared.open.from = from.min(shared.open.from);
            Some((&mut shared.open, all - both))
        })
    }

    /// The number of the incident of most of those `agents` that are over by another rate of this kind.
    pub(super) fn of_rate(&self, kind: usize, slot: u32, agents: u32) -> Option<u32> {
        let both = |shared: &Shared| {
            self.deviants.values().filter(|d| d.is_over_by(kind, slot) && shared.has(d)).count() as u32
        };
        let same = self.open.iter().find(|shared| shared.open.is_at_it(slot) && 2 * both(shared) > agents);
        same.map(|shared| shared.open.told.incident)
    }
}

impl Crowd {
    /// What an agent that is over the watch budget shares of what it calls and by what, and of which families that is all.
    pub(super) fn hear_acts(
        &mut self,
        who: &Speaker<'_>,
        score: &Score,
        now: &mut Moment<'_>,
        fleet: Option<&Self>,
    ) -> (Option<Cohort>, Shares) {
        let (slot, watch) = (now.slot, now.watch);
        let level = |family: usize| score.parts.get(family).map_or(MicroBits::ZERO, |part| part.level);
        let over = [ENDPOINT, CONTEXT].into_iter().filter(|family| level(*family) >= watch);
        let Alike { deviants, open, .. } = &mut self.alike;
        let is_full = deviants.len() >= DEVIANTS_MAX;
        let deviant = match deviants.entry(who.key) {
            Entry::Occupied(kept) => kept.into_mut(),
            Entry::Vacant(place) if !is_full && over.clone().next().is_some() => {
                place.insert(Deviant::default())
            }
            Entry::Vacant(_) => return <_>::default(),
        };
        deviant.forget(slot, open);
        deviant.rate = kind_of(&score.parts, watch).map(|kind| (kind, slot)).or(deviant.rate);
        let last = std::mem::replace(&mut deviant.over, slot);
        let mut begun = ArrayVec::<What, 2>::new();
        for family in over.clone() {
            let what = What::of(family, &score.parts, who);
            let (level, rose) = (level(family), score.rose[family]);
            let rises = rose >= EVIDENT && (family == CONTEXT || level - rose < watch);
            if (rises || family == ENDPOINT && who.act.is_first) && deviant.begins(what, slot) {
                begun.push(what);
            }
            if deviant.has(what) {
                let highest = &mut deviant.highest[what.place()];
                *highest = level.max(*highest);
            }
        }
        for (i, what) in begun.iter().enumerate().filter(|(_, what)| **what != What::Else) {
            self.begins_with(*what, &begun[i + 1..], who, now, fleet);
        }
        self.shared(who, score, over, hour_of(last) != hour_of(slot))
    }

    /// What it shares with the incidents that go on, in which it is for the first time in this hour or not.
    fn shared(
        &mut self,
        who: &Speaker<'_>,
        score: &Score,
        over: impl Iterator<Item = usize>,
        is_first: bool,
    ) -> (Option<Cohort>, Shares) {
        let Alike { deviants, open, .. } = &mut self.alike;
        let Some(deviant) = deviants.get(&who.key) else { return <_>::default() };
        let (mut shares, mut cohort) = (Shares::default(), None);
        for family in over {
            let level = score.parts[family].level;
            let highest = deviant.highest[usize::from(family == CONTEXT)];
            let of_client = |p: &Part| matches!(p.pattern, Pattern::NewUserAgent | Pattern::NewModel);
            let is_of_client = || score.parts.iter().filter(|p| p.signal == Signal::Context).all(of_client);
            let mut begun = deviant.of(family).peekable();
            let Some(&&first) = begun.peek() else { continue };
            let is_shared = begun.all(|begun| open.iter().any(|shared| shared.holds(begun)))
                && deviant.strayed.is_none()
                && level <= highest + LEEWAY
                && (family == ENDPOINT || is_of_client());
            if !is_shared {
                continue;
            }
            *(if family == ENDPOINT { &mut shares.endpoint } else { &mut shares.client }) = true;
            let Some(its) = open.iter_mut().find(|shared| shared.holds(&first)) else { continue };
            if cohort.is_none() {
                its.open.deviating = its.open.deviating.saturating_add(u32::from(is_first));
                cohort = Some(its.open.told.cohort(false));
            }
        }
        (cohort, shares)
    }

    /// One more begins with `what`, and with `more` by the same call. Are they too many for chance?
    fn begins_with(
        &mut self,
        what: What,
        more: &[What],
        who: &Speaker<'_>,
        now: &mut Moment<'_>,
        fleet: Option<&Self>,
    ) {
        let slot = now.slot;
        let starts = self.alike.count(what, slot, who);
        let Alike { deviants, open, recent, .. } = &mut self.alike;
        if let Some(shared) = open.iter_mut().find(|shared| shared.values.contains(&what)) {
            // With another of its values it is in it already.
            let is_held = |begun: &&(What, u32)| shared.holds(begun) && !more.contains(&begun.0);
            let held = deviants.get(&who.key).map_or(0, |d| d.begun.iter().filter(is_held).count());
            if held == 1 {
                shared.open.told.join(who.into());
            }
            return;
        }
        if fleet.and_then(|fleet| fleet.alike.incident_of(what)).is_some_and(|open| open.is_at_it(slot)) {
            return;
        }
        let members = recent.iter().filter(|start| start.what == what);
        let members: Vec<_> = members.map(|start| (start.slot, start.member.clone())).collect();
        let Some(Begun { from, told }) = self.incident(&starts, self.alike.began, now) else { return };
        let members = members.into_iter().filter(|(slot, _)| *slot >= from).map(|(_, member)| member);
        if let Some((open, more)) = self.alike.same(what, from) {
            open.told.of.push(what.name(who));
            open.told.take_in(more, members);
            return;
        }
        if self.alike.open.len() >= OPEN_MAX {
            return;
        }
        // What most of an incident of rates begin with is of that incident.
        let began = || self.alike.deviants.values().filter(|d| d.began(what, from));
        let all = began().count();
        let of_rate = (0..self.open.len()).find(|kind| {
            self.open[*kind].as_ref().is_some_and(|open| open.is_at_it(slot))
                && 2 * began().filter(|d| d.is_over_by(*kind, slot)).count() > all
        });
        let same = of_rate.and_then(|kind| self.open[kind].as_mut());
        let is_part = same.is_some();
        let incident = same.map_or(told.incident, |open| {
            open.told.of.push(what.name(who));
            open.told.incident
        });
        *now.incidents = incident.max(*now.incidents);
        let members = members.take(NAMED_MAX).collect();
        let of = vec![what.name(who)];
        let group = fleet.and(who.group).map(|(_, name)| name.into());
        let told = CohortIncident { incident, pattern: what.pattern(), members, of, group, ..told };
        let open = Open { told, from, held: slot, deviating: 0, is_part };
        self.alike.open.push(Shared { values: ArrayVec::from_iter([what]), open });
    }
}
