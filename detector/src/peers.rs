//! Peer groups: an agent's sessions are compared with those of agents that do the same work.
//!
//! Groups are found by k-means over what agents' sessions hold, nightly or when a tenth of the agents is new, from one published
//! version of the fleet to a later one; in between an agent joins a group by the posterior of its own sessions (endpoint study §4).
//! Each group has a session model of its own. Where it knows too few sessions, and for agents of no group, the fleet's speaks.

mod cluster;
mod features;
mod grouping;
mod membership;
mod posterior;

use std::fmt;
use std::num::NonZeroU8;

use serde::{Deserialize, Serialize};

pub(crate) use self::grouping::Grouping;
use self::grouping::Sampled;
pub(crate) use self::membership::Membership;
pub use self::membership::{Belonging, GroupMove};
use self::posterior::Centre;
use crate::route::{Renamed, Routes};
use crate::signal::session::{GroupModel, SessionModel};

/// The most groups.
const GROUPS_MAX: usize = 16;
/// Fewer agents are no group: the sessions of three or four are one agent's habits, and what it does otherwise one day stands out
/// among them (ARCHITECTURE.md).
const AGENTS_MIN: usize = 8;

/// A peer group's number, from 1 to 16. Groups keep theirs from one clustering to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(NonZeroU8);

impl GroupId {
    /// By its place, from 0.
    fn at(place: usize) -> Option<Self> {
        NonZeroU8::new(u8::try_from(place).ok()?.checked_add(1)?).map(Self)
    }

    fn place(self) -> usize {
        usize::from(self.0.get()) - 1
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A peer group as people see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerGroupStatus {
    /// Its number.
    pub id: GroupId,
    /// By which manifests name it; none where it was found.
    pub name: Option<String>,
    /// Of the agents that were looked at when groups were last found, those in it; of a declared one none are.
    pub agents: u32,
    /// Normal sessions that calibrate it, 512 at most.
    pub sessions: usize,
    /// Whether its agents are compared with it: before 512 sessions they are with the whole fleet.
    pub speaks: bool,
}

/// One group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Group {
    /// By which manifests name it; none where it was found.
    name: Option<Box<str>>,
    agents: u32,
    centre: Centre,
    model: GroupModel,
}

/// What sessions are compared with: the fleet's, and each group's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Peers {
    pub(crate) fleet: SessionModel,
    /// By place; a place may be free.
    groups: Vec<Option<Group>>,
    /// How often groups were found.
    groupings: u32,
    /// Endpoints that are in a group's centre.
    vocabulary: u32,
    /// Whether groups that were found speak; the operator's, set anew after every restore.
    #[serde(skip)]
    found_speak: bool,
}

impl Peers {
    fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(id.place())?.as_ref()
    }

    fn ids(&self) -> impl Iterator<Item = (GroupId, &Group)> {
        self.groups.iter().enumerate().filter_map(|(place, group)| GroupId::at(place).zip(group.as_ref()))
    }

    /// What an agent of `group` is compared with, and whose that is: none for the fleet's.
    pub(crate) fn model_of(&self, group: Option<GroupId>) -> (Option<GroupId>, &SessionModel) {
        let its = group
            .filter(|id| self.found_speak || !self.is_found(*id))
            .and_then(|id| Some((Some(id), self.group(id)?.model.speaks()?)));
        its.unwrap_or((None, &self.fleet))
    }

    /// All groups' models, to learn.
    pub(crate) fn models_mut(&mut self) -> impl Iterator<Item = (GroupId, &mut GroupModel)> {
        let groups = self.groups.iter_mut().enumerate();
        groups.filter_map(|(place, group)| GroupId::at(place).zip(group.as_mut().map(|g| &mut g.model)))
    }

    /// Endpoints that are one now.
    pub(crate) fn rename(&mut self, news: &[Renamed], routes: &Routes) {
        self.fleet.rename(news, routes);
        for group in self.groups.iter_mut().flatten() {
            group.model.rename(news, routes);
            group.centre.rename(routes);
        }
    }

    /// The groups that manifests name: these are kept, and those that no manifest names any more go. Of names beyond 16 the last are
    /// in no group.
    pub(crate) fn declare<'a>(&mut self, names: impl Iterator<Item = &'a str>, found_speak: bool) {
        self.found_speak = found_speak;
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(GROUPS_MAX);
        for group in &mut self.groups {
            let is_gone = |g: &Group| g.name.as_deref().is_some_and(|name| !names.contains(&name));
            if group.as_ref().is_some_and(is_gone) {
                *group = None;
            }
        }
        for name in names {
            if self.named(name).is_none() {
                let place = self.free_place();
                self.groups[place] = Some(Group { name: Some(name.into()), ..Group::default() });
            }
        }
    }

    /// A place that nothing stands in, or else the found group of fewest agents does.
    fn free_place(&mut self) -> usize {
        if let Some(free) = self.groups.iter().position(Option::is_none) {
            return free;
        }
        if self.groups.len() < GROUPS_MAX {
            self.groups.push(None);
            return self.groups.len() - 1;
        }
        let found = self.groups.iter().enumerate().filter_map(|(place, group)| {
            group.as_ref().filter(|g| g.name.is_none()).map(|g| (g.agents, place))
        });
        found.min().map_or(0, |(_, place)| place)
    }

    /// The group of this name.
    pub(crate) fn named(&self, name: &str) -> Option<GroupId> {
        self.ids().find(|(_, group)| group.name.as_deref() == Some(name)).map(|(id, _)| id)
    }

    /// Whether an agent may be in it by what it does: a declared one is for those who are declared.
    fn is_found(&self, id: GroupId) -> bool {
        self.group(id).is_some_and(|group| group.name.is_none())
    }

    /// Takes up the groups that were found among `sample`: labels by agent, none for those that are in no group. A group that most
    /// of its agents were in before keeps its number and what it has learned.
    fn regroup(&mut self, sample: &[Sampled], labels: &[Option<u8>]) {
        self.groupings = self.groupings.wrapping_add(1);
        let kept = self.kept_places(sample, labels);
        let mut old = std::mem::take(&mut self.groups);
        old.resize(GROUPS_MAX, None);
        let is_kept = |place: &usize| kept.contains(&Some(*place));
        let mut free: Vec<usize> = (0..GROUPS_MAX)
            .rev()
            .filter(|place| !is_kept(place) && old[*place].as_ref().is_none_or(|g| g.name.is_none()))
            .collect();
        let mut new: Vec<Option<Group>> =
            old.iter().map(|group| group.clone().filter(|g| g.name.is_some())).collect();
        for (label, place) in kept.into_iter().enumerate() {
            let its =
                || sample.iter().zip(labels).filter(|(_, l)| l.is_some_and(|l| usize::from(l) == label));
            let agents = its().count() as u32;
            if agents == 0 {
                continue;
            }
            let model =
                place.and_then(|place| old[place].take()).map(|group| group.model).unwrap_or_default();
            let Some(place) = place.or_else(|| free.pop()) else { continue };
            new[place] = Some(Group { name: None, agents, centre: Centre::of(its().map(|(s, _)| s)), model });
        }
        while new.last().is_some_and(Option::is_none) {
            new.pop();
        }
        self.groups = new;
        let mut known: Vec<u64> = self.groups.iter().flatten().flat_map(|g| g.centre.endpoints()).collect();
        known.sort_unstable();
        known.dedup();
        self.vocabulary = known.len() as u32;
    }

    /// For each new label the place of the found group with which it has most agents in common, where it has any.
    fn kept_places(&self, sample: &[Sampled], labels: &[Option<u8>]) -> Vec<Option<usize>> {
        let count = labels.iter().flatten().max().map_or(0, |most| usize::from(*most) + 1);
        let mut common = vec![[0_u32; GROUPS_MAX]; count];
        for (agent, label) in sample.iter().zip(labels) {
            if let (Some(label), Some(group)) = (label, agent.group.filter(|id| self.is_found(*id))) {
                common[usize::from(*label)][group.place()] += 1;
            }
        }
        let mut kept = vec![None; count];
        let pairs = |(label, row): (usize, &[u32; GROUPS_MAX])| {
            row.iter().enumerate().map(|(place, n)| (*n, label, place)).collect::<Vec<_>>()
        };
        let mut pairs: Vec<_> = common.iter().enumerate().flat_map(pairs).filter(|(n, ..)| *n > 0).collect();
        pairs.sort_unstable_by_key(|&(n, label, place)| (std::cmp::Reverse(n), label, place));
        for (_, label, place) in pairs {
            if kept[label].is_none() && !kept.contains(&Some(place)) {
                kept[label] = Some(place);
            }
        }
        kept
    }

    /// Whether there are groups that were found.
    fn has_found_some(&self) -> bool {
        self.ids().any(|(_, group)| group.name.is_none())
    }

    /// Groups that may be found beside those that are declared.
    fn found_max(&self) -> usize {
        GROUPS_MAX - self.groups.iter().flatten().filter(|group| group.name.is_some()).count()
    }

    pub(crate) fn status(&self) -> Vec<PeerGroupStatus> {
        let of = |(id, group): (GroupId, &Group)| PeerGroupStatus {
            id,
            name: group.name.as_deref().map(Into::into),
            agents: group.agents,
            sessions: group.model.calibrated_by(),
            speaks: self.model_of(Some(id)).0.is_some(),
        };
        self.ids().map(of).collect()
    }
}
