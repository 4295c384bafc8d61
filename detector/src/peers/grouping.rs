//! One search for groups, from the publication that begins it to the one at which it takes effect.
//!
//! What it finds follows from the agents as they were when it began. The work is done in steps, one a tick of event time and what is
//! left at the end, so that no tick is long and how often time is told changes nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cluster::{k_means, silhouette};
use super::{AGENTS_MIN, GROUPS_MAX, GroupId, Peers, features};
use crate::Timestamp;
use crate::profile::{Key, Profile};

/// The most agents that are looked at: by hash of their names, so that each is as likely.
const SAMPLE_MAX: usize = 1_024;
/// Fewer agents are not told apart.
const FLEET_MIN: usize = 2 * AGENTS_MIN;
/// Groups that lie no further apart are none, and once there are some, half of that keeps them.
const SILHOUETTE_MIN: f64 = 0.1;
/// What is found is published so long after the search began, so that there is time for its steps.
const TAKES: Duration = Duration::from_hours(1);
const DAY_MS: i64 = 86_400_000;

/// One agent as it was when the search began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sampled {
    pub(super) group: Option<GroupId>,
    /// Sessions that were counted, and of these those with each endpoint.
    pub(super) sessions: u8,
    pub(super) called: Vec<(u64, u8)>,
}

/// A search under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Search {
    began: Timestamp,
    seed: u64,
    sample: Vec<Sampled>,
    groups_max: usize,
    /// How many groups are tried next, and the best so far by silhouette.
    next: usize,
    best: f64,
    labels: Vec<u8>,
}

/// When groups are searched for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Grouping {
    search: Option<Search>,
    /// The day of the last search, and how many agents there were.
    day: i64,
    agents: usize,
    /// A version was published since it was last asked whether one begins.
    asked: bool,
}

impl Grouping {
    /// A version is published. A search that began long enough before takes effect with it.
    pub(crate) fn publish(&mut self, watermark: Timestamp, peers: &mut Peers) {
        self.asked = true;
        if self.search.as_ref().is_some_and(|search| watermark.since(search.began) >= TAKES)
            && let Some(mut search) = self.search.take()
        {
            while search.step() {}
            search.end(peers);
        }
    }

    /// Begins a search where one is due: a day after the last, or when a tenth of the agents is new; or does a step of the one that is
    /// under way. `profiles`: all agents.
    pub(crate) fn tick(&mut self, watermark: Timestamp, profiles: &[Profile], peers: &Peers) {
        if let Some(search) = &mut self.search {
            search.step();
            return;
        }
        if !std::mem::take(&mut self.asked) {
            return;
        }
        let day = watermark.as_millis().div_euclid(DAY_MS);
        let is_grown = profiles.len() > self.agents + self.agents / 10;
        if profiles.len() < FLEET_MIN || (day == self.day && !is_grown) {
            return;
        }
        (self.day, self.agents) = (day, profiles.len());
        let sample = sample(profiles, peers);
        self.search = Some(Search {
            began: watermark,
            seed: u64::from(peers.groupings),
            groups_max: peers.found_max().min(sample.len() / AGENTS_MIN),
            sample,
            next: 2,
            best: f64::NEG_INFINITY,
            labels: Vec::new(),
        });
    }
}

/// Established agents, and no more newcomers than these where there are any: names cost nothing. Those that a manifest puts into a
/// group are in it.
fn sample(profiles: &[Profile], peers: &Peers) -> Vec<Sampled> {
    let sampled = |p: &Profile| p.declared.group().is_none() && p.endpoints.counted_sessions().0 > 0;
    let mut known: [Vec<(u64, Key, usize)>; 2] = [Vec::new(), Vec::new()];
    for (i, p) in profiles.iter().enumerate().filter(|(_, p)| sampled(p)) {
        known[usize::from(p.presence.is_established())].push((p.key.hash(), p.key, i));
    }
    known.iter_mut().for_each(|agents| agents.sort_unstable());
    let [mut newcomers, mut chosen] = known;
    chosen.truncate(SAMPLE_MAX);
    let room = if chosen.is_empty() { SAMPLE_MAX } else { chosen.len().min(SAMPLE_MAX - chosen.len()) };
    newcomers.truncate(room);
    chosen.append(&mut newcomers);
    chosen.sort_unstable();
    let of = |(_, _, i): (u64, Key, usize)| {
        let (sessions, called) = profiles[i].endpoints.counted_sessions();
        Sampled { group: profiles[i].group(peers), sessions, called: called.collect() }
    };
    chosen.into_iter().map(of).collect()
}

impl Search {
    /// Tries one number of groups; false where there is no other.
    fn step(&mut self) -> bool {
        if self.next > self.groups_max.min(GROUPS_MAX) {
            return false;
        }
        let (points, dimensions) = features::points(&self.sample);
        let told: Vec<_> = points.iter().filter(|point| !point.is_zero()).cloned().collect();
        if told.len() <= self.next {
            self.next = usize::MAX;
            return false;
        }
        let labels = k_means(&told, dimensions, self.next, self.seed);
        let apart = silhouette(&told, &labels);
        if apart > self.best {
            let mut labels = labels.into_iter();
            let label = |point: &super::cluster::Point| if point.is_zero() { None } else { labels.next() };
            self.best = apart;
            self.labels = points.iter().map(label).map(|label| label.unwrap_or(u8::MAX)).collect();
        }
        self.next += 1;
        true
    }

    /// Its groups are the fleet's from now on, if they are any.
    fn end(self, peers: &mut Peers) {
        let had_some = peers.ids().any(|(_, group)| group.name.is_none());
        if self.labels.is_empty() || self.best < SILHOUETTE_MIN * if had_some { 0.5 } else { 1.0 } {
            return peers.regroup(&[], &[]);
        }
        let agents = |label: u8| self.labels.iter().filter(|l| **l == label).count();
        let is_group = |label: &u8| *label != u8::MAX && agents(*label) >= AGENTS_MIN;
        let labels: Vec<Option<u8>> = self.labels.iter().map(|l| Some(*l).filter(is_group)).collect();
        peers.regroup(&self.sample, &labels);
    }
}
