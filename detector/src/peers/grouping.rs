//! One search for groups, from the publication that begins it to the one at which it takes effect.
//!
//! What it finds follows from the agents as they were when it began. The work is done in steps, one a tick of event time and what is
//! left at the end, so that no tick is long and how often time is told changes nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cluster::{Point, k_means, silhouette};
use super::{AGENTS_MIN, GroupId, Peers, features};
use crate::Timestamp;
use crate::profile::Profile;

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
    /// What came of two groups, of three and so on.
    tried: Vec<Tried>,
}

/// So many groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tried {
    /// The silhouette and its standard error.
    apart: f64,
    error: f64,
    /// By agent; [`NONE`] of one that nothing tells from others.
    labels: Vec<u8>,
}

const NONE: u8 = u8::MAX;

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
            tried: Vec::new(),
        });
    }
}

/// Established agents, and no more newcomers than these where there are any: names cost nothing. Those that a manifest puts into a
/// group are in it.
fn sample(profiles: &[Profile], peers: &Peers) -> Vec<Sampled> {
    let sampled = |p: &Profile| p.declared.group().is_none() && p.endpoints.counted_sessions().0 > 0;
    let mut known: [Vec<(u64, usize)>; 2] = [Vec::new(), Vec::new()];
    for (i, p) in profiles.iter().enumerate().filter(|(_, p)| sampled(p)) {
        known[usize::from(p.presence.is_established())].push((p.key.hash(), i));
    }
    let [mut newcomers, mut chosen] = known;
    keep_least(&mut chosen, SAMPLE_MAX);
    let room = if chosen.is_empty() { SAMPLE_MAX } else { chosen.len().min(SAMPLE_MAX - chosen.len()) };
    keep_least(&mut newcomers, room);
    chosen.append(&mut newcomers);
    chosen.sort_unstable();
    let of = |(_, i): (u64, usize)| {
        let (sessions, called) = profiles[i].endpoints.counted_sessions();
        let called: Vec<(u64, u8)> = called.collect();
        // Of a group that is new not all have had a session with which to join.
        let joins = || Some(peers.posterior(sessions, called.iter().copied()).joins()?.0);
        Sampled { group: profiles[i].group(peers).or_else(joins), sessions, called }
    };
    chosen.into_iter().map(of).collect()
}

fn keep_least(agents: &mut Vec<(u64, usize)>, most: usize) {
    if agents.len() > most {
        agents.select_nth_unstable(most);
        agents.truncate(most);
    }
}

impl Search {
    /// Tries one number of groups; false where there is no other.
    fn step(&mut self) -> bool {
        let k = self.tried.len() + 2;
        if k > self.groups_max {
            return false;
        }
        let (points, dimensions) = features::points(&self.sample);
        let told: Vec<_> = points.iter().filter(|point| !point.is_zero()).cloned().collect();
        if told.len() <= k {
            self.groups_max = 0;
            return false;
        }
        let labels = k_means(&told, dimensions, k, self.seed);
        let (apart, error) = silhouette(&told, &labels);
        let mut labels = labels.into_iter();
        let label = |point: &Point| if point.is_zero() { NONE } else { labels.next().unwrap_or(NONE) };
        self.tried.push(Tried { apart, error, labels: points.iter().map(label).collect() });
        true
    }

    /// As few groups as lie about as far apart as the best do (the rule of Breiman et al., *Classification and regression trees*, 1984,
    /// with two standard errors): agents of one trade can always be told apart a little further.
    fn chosen(&self) -> Option<&Tried> {
        let best = self.tried.iter().max_by(|a, b| a.apart.total_cmp(&b.apart))?;
        self.tried.iter().find(|tried| tried.apart >= best.apart - 2.0 * best.error)
    }

    /// Its groups are the fleet's from now on, if they are any.
    fn end(self, peers: &mut Peers) {
        let least = SILHOUETTE_MIN * if peers.has_found_some() { 0.5 } else { 1.0 };
        let labels = match self.chosen().filter(|tried| tried.apart >= least) {
            None => vec![None; self.sample.len()],
            Some(Tried { labels, .. }) => {
                let mut agents = [0; NONE as usize + 1];
                for label in labels {
                    agents[usize::from(*label)] += 1;
                }
                let is_group = |label: &u8| *label != NONE && agents[usize::from(*label)] >= AGENTS_MIN;
                labels.iter().map(|label| Some(*label).filter(is_group)).collect()
            }
        };
        peers.regroup(&self.sample, &labels);
    }
}
