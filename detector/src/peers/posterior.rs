//! To which group an agent's sessions say it belongs (endpoint study §4): a Dirichlet-multinomial over the endpoints that sessions
//! held, with one agent's few sessions against what the agents of a group do on average.

use std::collections::BTreeMap;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use super::grouping::Sampled;
use super::{GROUPS_MAX, GroupId, Peers};
use crate::route::Routes;

/// However many sessions an agent had, it speaks as if they were so many: agents of a group differ, and each is no sample of it (study
/// §4: uncapped, 60 sessions an agent make 22 groups of six).
pub(super) const CAP: f64 = 8.0;
/// An agent joins a group from this chance on (study §4).
const JOINS_FROM: f64 = 0.9;
/// Sessions as which a group's average agent speaks. The study has 8 here too; with 32, which is what every agent's counts are of at least,
/// more join after one session (66 in place of 17 % where half of the calls are common), and none a wrong group.
const CENTRE_CAP: f64 = 32.0;
/// What every endpoint has in every group before anything was seen.
const PRIOR: f64 = 0.5;
/// Endpoints of a centre; those that fewest sessions hold are left out.
const CENTRE_MAX: usize = 256;

/// In how many of [`CENTRE_CAP`] sessions an average agent of a group calls each endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Centre {
    /// In order of the endpoint.
    sessions: Vec<(u64, f32)>,
    whole: f64,
}

impl Centre {
    pub(super) fn of<'a>(agents: impl Iterator<Item = &'a Sampled>) -> Self {
        let (mut sums, mut n) = (BTreeMap::<u64, f64>::new(), 0.0);
        for agent in agents {
            n += 1.0;
            for &(endpoint, sessions) in &agent.called {
                *sums.entry(endpoint).or_default() += capped(sessions, agent.sessions, CENTRE_CAP);
            }
        }
        let mut sessions: Vec<(u64, f32)> = sums.into_iter().map(|(e, sum)| (e, (sum / n) as f32)).collect();
        sessions.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        sessions.truncate(CENTRE_MAX);
        sessions.sort_unstable_by_key(|(endpoint, _)| *endpoint);
        let whole = sessions.iter().map(|(_, n)| f64::from(*n)).sum();
        Self { sessions, whole }
    }

    pub(super) fn endpoints(&self) -> impl Iterator<Item = u64> {
        self.sessions.iter().map(|(endpoint, _)| *endpoint)
    }

    fn sessions(&self, endpoint: u64) -> f64 {
        let at = self.sessions.binary_search_by_key(&endpoint, |(e, _)| *e);
        at.map_or(0.0, |at| f64::from(self.sessions[at].1))
    }

    pub(super) fn rename(&mut self, routes: &Routes) {
        let mut now = BTreeMap::<u64, f32>::new();
        for &(endpoint, sessions) in &self.sessions {
            let known = now.entry(routes.now(endpoint)).or_default();
            *known = known.max(sessions);
        }
        self.sessions = now.into_iter().collect();
        self.whole = self.sessions.iter().map(|(_, n)| f64::from(*n)).sum();
    }
}

/// As many of `most` sessions as it was of `all`, if these are more.
fn capped(sessions: u8, all: u8, most: f64) -> f64 {
    f64::from(sessions) * (most / f64::from(all.max(1))).min(1.0)
}

/// ln Γ(a + n) − ln Γ(a) for n that need not be whole.
fn ln_rising(a: f64, n: f64) -> f64 {
    libm::lgamma(a + n) - libm::lgamma(a)
}

/// Chances of the groups, which sum to one with that of none of them.
pub(super) struct Posterior(ArrayVec<(GroupId, f64), GROUPS_MAX>);

impl Posterior {
    /// The group that is likeliest, and its chance; none where a new one is, or there are none.
    pub(super) fn best(&self) -> Option<(GroupId, f64)> {
        let none = 1.0 - self.0.iter().map(|(_, chance)| chance).sum::<f64>();
        let best = self.0.iter().copied().reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.filter(|(_, chance)| *chance > none)
    }

    /// The group that an agent without one joins.
    pub(super) fn joins(&self) -> Option<(GroupId, f64)> {
        self.best().filter(|(_, chance)| *chance >= JOINS_FROM)
    }

    pub(super) fn of(&self, id: GroupId) -> f64 {
        self.0.iter().find(|(known, _)| *known == id).map_or(0.0, |(_, chance)| *chance)
    }
}

impl Peers {
    /// Where an agent belongs that called each of these in so many of `all` sessions. A Chinese restaurant: a group draws by how many
    /// agents are in it, and a new one as a single agent does.
    pub(super) fn posterior(&self, all: u8, called: impl Iterator<Item = (u64, u8)>) -> Posterior {
        // With each what it is worth to a new group, the same for all that there are.
        let called: Vec<(u64, f64, f64)> = called
            .map(|(e, sessions)| (e, capped(sessions, all, CAP)))
            .map(|(e, sessions)| (e, sessions, ln_rising(PRIOR, sessions)))
            .collect();
        let whole: f64 = called.iter().map(|(_, sessions, _)| sessions).sum();
        let base = PRIOR * f64::from(self.vocabulary + 1);
        let new_whole = ln_rising(base, whole);
        let odds = self.found().map(|group| {
            // What its agents never call is as likely as in a new group.
            let its = called.iter().map(|(endpoint, n, new)| (group.centre.sessions(*endpoint), *n, new));
            let more = its.filter(|(known, ..)| *known > 0.0);
            let more: f64 = more.map(|(known, n, new)| ln_rising(PRIOR + known, n) - new).sum();
            let ln = more + new_whole - ln_rising(base + group.centre.whole, whole);
            (group.id, f64::from(group.agents) * libm::exp(ln.clamp(-600.0, 600.0)))
        });
        let mut chances: ArrayVec<(GroupId, f64), GROUPS_MAX> = odds.take(GROUPS_MAX).collect();
        let all = 1.0 + chances.iter().map(|(_, odds)| odds).sum::<f64>();
        chances.iter_mut().for_each(|(_, odds)| *odds /= all);
        Posterior(chances)
    }
}
