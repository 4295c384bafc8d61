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
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU16;

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

/// A peer group's number, from 1 to 65,535, after which no group is new. Groups keep theirs from one clustering to the next, and none has that of one that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(NonZeroU16);

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Group {
    id: GroupId,
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
    /// In order of their numbers, and the last number that was given.
    groups: Vec<Group>,
    last: u16,
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
        self.groups.iter().find(|group| group.id == id)
    }

    fn found(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| group.name.is_none())
    }

    /// One more group, which is the last; not where there are enough.
    fn add(&mut self, name: Option<Box<str>>) -> Option<&mut Group> {
        if self.groups.len() >= GROUPS_MAX {
            return None;
        }
        self.last = self.last.checked_add(1)?;
        let id = GroupId(NonZeroU16::new(self.last)?);
        self.groups.push(Group {
            id,
            name,
            agents: 0,
            centre: Centre::default(),
            model: GroupModel::default(),
        });
        self.groups.last_mut()
    }

    /// What an agent of `group` is compared with, and whose that is: none for the fleet's.
    pub(crate) fn model_of(&self, group: Option<GroupId>) -> (Option<GroupId>, &SessionModel) {
        let its = group
            .filter(|id| self.found_speak || !self.is_found(*id))
            .and_then(|id| Some((Some(id), self.group(id)?.model.speaks()?)));
        its.unwrap_or((None, &self.fleet))
    }

    /// What a group is called: by manifests, else by its number.
    pub(crate) fn name_of(&self, id: GroupId) -> String {
        let name = self.group(id).and_then(|group| group.name.as_deref());
        name.map_or_else(|| id.to_string(), str::to_owned)
    }

    /// All groups' models, to learn.
    pub(crate) fn models_mut(&mut self) -> impl Iterator<Item = (GroupId, &mut GroupModel)> {
        self.groups.iter_mut().map(|group| (group.id, &mut group.model))
    }

    /// Endpoints that are one now.
    /// Works out what no snapshot holds.
    pub(crate) fn take_stock(&mut self) {
        self.fleet.take_stock();
        self.groups.iter_mut().for_each(|group| group.model.take_stock());
    }

    pub(crate) fn rename(&mut self, news: &[Renamed], routes: &Routes) {
        self.fleet.rename(news, routes);
        for group in &mut self.groups {
            group.model.rename(news, routes);
            group.centre.rename(routes);
        }
        self.count_vocabulary();
    }

    /// The groups that manifests name: these are kept, and those that no manifest names any more go. Of names beyond 16 the last are
    /// in no group.
    pub(crate) fn declare<'a>(&mut self, names: impl Iterator<Item = &'a str>, found_speak: bool) {
        self.found_speak = found_speak;
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(GROUPS_MAX);
        let is_named = |name: &str| names.binary_search(&name).is_ok();
        self.groups.retain(|group| group.name.as_deref().is_none_or(is_named));
        for name in names {
            if self.named(name).is_none() {
                self.make_room();
                self.add(Some(name.into()));
            }
        }
    }

    /// Where there are as many groups as may be, the found one of fewest agents goes.
    fn make_room(&mut self) {
        let least = self.found().map(|group| (group.agents, group.id)).min();
        if let Some((_, id)) = least.filter(|_| self.groups.len() >= GROUPS_MAX) {
            self.groups.retain(|group| group.id != id);
        }
    }

    /// The group of this name.
    pub(crate) fn named(&self, name: &str) -> Option<GroupId> {
        self.groups.iter().find(|group| group.name.as_deref() == Some(name)).map(|group| group.id)
    }

    /// Whether an agent may be in it by what it does: a declared one is for those who are declared.
    fn is_found(&self, id: GroupId) -> bool {
        self.group(id).is_some_and(|group| group.name.is_none())
    }

    /// Takes up the groups that were found among `sample`: labels by agent, none for those that are in no group. A group keeps its
    /// number and what it has learned where most of its agents still are.
    fn regroup(&mut self, sample: &[Sampled], labels: &[Option<u8>]) {
        self.groupings = self.groupings.wrapping_add(1);
        let kept = self.kept(sample, labels);
        self.groups.retain(|group| group.name.is_some() || kept.contains(&Some(group.id)));
        for (label, id) in kept.into_iter().enumerate() {
            let its =
                || sample.iter().zip(labels).filter(|(_, l)| l.is_some_and(|l| usize::from(l) == label));
            let agents = its().count() as u32;
            let group = match id {
                Some(id) => self.groups.iter_mut().find(|group| group.id == id),
                None if agents > 0 => self.add(None),
                None => None,
            };
            if let Some(group) = group {
                (group.agents, group.centre) = (agents, Centre::of(its().map(|(s, _)| s)));
            }
        }
        self.count_vocabulary();
    }

    fn count_vocabulary(&mut self) {
        let mut known: Vec<u64> = self.groups.iter().flat_map(|group| group.centre.endpoints()).collect();
        known.sort_unstable();
        known.dedup();
        self.vocabulary = known.len() as u32;
    }

    /// For each new label the found group most of whose agents it has; of several that of which it has most.
    fn kept(&self, sample: &[Sampled], labels: &[Option<u8>]) -> Vec<Option<GroupId>> {
        let count = labels.iter().flatten().max().map_or(0, |most| usize::from(*most) + 1);
        let mut kept: Vec<Option<(u32, GroupId)>> = vec![None; count];
        for &Group { id, .. } in self.found() {
            let (mut common, mut all) = (vec![0; count], 0);
            for (_, label) in sample.iter().zip(labels).filter(|(agent, _)| agent.group == Some(id)) {
                all += 1;
                if let Some(label) = label {
                    common[usize::from(*label)] += 1;
                }
            }
            for (kept, n) in kept.iter_mut().zip(common) {
                if 2 * n > all && kept.is_none_or(|(most, _)| n > most) {
                    *kept = Some((n, id));
                }
            }
        }
        kept.into_iter().map(|kept| kept.map(|(_, id)| id)).collect()
    }

    /// Whether there are groups that were found.
    fn has_found_some(&self) -> bool {
        self.found().next().is_some()
    }

    /// Groups that may be found beside those that are declared.
    fn found_max(&self) -> usize {
        GROUPS_MAX - (self.groups.len() - self.found().count())
    }

    pub(crate) fn status(&self) -> Vec<PeerGroupStatus> {
        let of = |group: &Group| PeerGroupStatus {
            id: group.id,
            name: group.name.as_deref().map(Into::into),
            agents: group.agents,
            sessions: group.model.calibrated_by(),
            speaks: self.model_of(Some(group.id)).0.is_some(),
        };
        self.groups.iter().map(of).collect()
    }
}
