//! One search for groups, from the publication that begins it to the one at which it takes effect.
//!
//! What it finds follows from the agents as they were when it began. The work is done in steps, one a tick of event time and what is
//! left at the end, so that no tick is long and how often time is told changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cluster::{Point, k_means, silhouette};
use super::{AGENTS_MIN, GroupId, Peers, features};
use crate::Timestamp;
use crate::profile::Profile;
use crate::profiles::Profiles;
use crate::route::Routes;

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

impl Sampled {
    /// By the names that paths have now.
    fn rename(&mut self, routes: &Routes) {
        let mut now = BTreeMap::<u64, u8>::new();
        for &(endpoint, sessions) in &self.called {
            let known = now.entry(routes.now(endpoint)).or_default();
            *known = sessions.max(*known);
        }
        self.called = now.into_iter().collect();
    }
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
    pub(crate) fn publish(&mut self, watermark: Timestamp, peers: &mut Peers, routes: &Routes) {
        self.asked = true;
        if self.search.as_ref().is_some_and(|search| watermark.since(search.began) >= TAKES)
            && let Some(mut search) = self.search.take()
        {
            while search.step() {}
            search.end(peers, routes);
        }
    }

    /// Begins a search where one is due: a day after the last, or when a tenth of the agents is new; or does a step of the one that is
    /// under way. `profiles`: all agents.
    pub(crate) fn tick(
        &mut self,
        watermark: Timestamp,
        profiles: &Profiles,
        (peers, routes): (&Peers, &Routes),
    ) {
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
        let sample = sample(profiles, peers, routes);
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
fn sample(profiles: &Profiles, peers: &Peers, routes: &Routes) -> Vec<Sampled> {
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
        let mut agent = Sampled { group: profiles[i].group(peers), sessions, called: called.collect() };
        // It may not have called since paths were renamed,
        agent.rename(routes);
        // and of a group that is new not all have had a session with which to join.
        let joins = || Some(peers.posterior(sessions, agent.called.iter().copied()).joins()?.0);
        agent.group = agent.group.or_else(joins);
        agent
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

    /// Its groups are the fleet's from now on, if they are any. Paths that were renamed on the way have told agents apart by their old
    /// names, whenever that was; what groups are known by are those of now.
    fn end(mut self, peers: &mut Peers, routes: &Routes) {
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
        self.sample.iter_mut().for_each(|agent| agent.rename(routes));
        peers.regroup(&self.sample, &labels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Call, peers::GROUPS_MAX};

    #[test]
    fn a_search_ends_with_the_names_that_paths_have_by_then() {
        let mut routes = Routes::default();
        let key = |routes: &mut Routes, path: &str| {
            routes.resolve(&Call::new("e", Timestamp::default(), "a", format!("GET /{path}")), true)
        };
        let trades: [Vec<u64>; 2] = [(0..8), (8..16)].map(|names| {
            names
                .map(|n| key(&mut routes, &format!("orders/n{}/x", ["a", "b"][n / 8].repeat(n + 1))))
                .collect()
        });
        let agent = |i: usize| {
            let called = trades[i / 10].iter().map(|endpoint| (*endpoint, 16)).collect();
            Sampled { group: None, sessions: 32, called }
        };
        let sample = (0..20).map(agent).collect();
        let mut search =
            Search { began: Timestamp::default(), seed: 0, sample, groups_max: 2, tried: Vec::new() };
        assert!(search.step());
        for n in 0..40 {
            key(&mut routes, &format!("orders/m{}/x", "c".repeat(n + 1)));
        }
        assert!(routes.has_news());
        routes.take_news();
        let mut peers = Peers::default();
        search.end(&mut peers, &routes);
        let now = routes.now(trades[0][0]);
        assert_ne!(now, trades[0][0]);
        assert_eq!(routes.now(trades[1][0]), now);
        let centres: Vec<Vec<u64>> = peers.groups.iter().map(|g| g.centre.endpoints().collect()).collect();
        assert_eq!((centres, peers.vocabulary, peers.found_max()), (vec![vec![now]; 2], 1, GROUPS_MAX));
    }
}
