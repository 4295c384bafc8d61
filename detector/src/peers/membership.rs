//! In which group an agent is, and how it comes there.

use serde::{Deserialize, Serialize};

use super::{GroupId, Peers};
use crate::Timestamp;
use crate::detector::Detector;
use crate::profile::{Key, Profile};
use crate::signal::session::Ended;

/// An agent leaves its group for one that is so many times as likely (study §4),
const MOVES_FROM: f64 = 20.0;
/// once that has been so for so many days. Until then it stays with the old one: whoever drifts into a group that asks less of it is
/// held to what it was for a week. To hold it to both would be no stricter in that week, and cost a second model at every call.
const MOVES_AFTER_DAYS: u16 = 7;
/// Sessions after each of which an agent of no group is looked at; later that is done once a search.
const YOUNG: u8 = 8;
const DAY_MS: i64 = 86_400_000;

/// An agent's place among its peers. 8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    /// The day on which it began to be like those in `to`; where there is none, that on which it came into `group`, or 0 where it has
    /// wavered since.
    since: u16,
    group: Option<GroupId>,
    to: Option<GroupId>,
    /// The search after which it was last looked at.
    checked: u8,
}

/// An agent has come into a group, or changed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupMove {
    /// Under which issuer.
    pub issuer: Option<String>,
    /// Which agent.
    pub agent_id: String,
    /// The group it was in; none for one that had none.
    pub from: Option<GroupId>,
    /// The group it is in now.
    pub to: GroupId,
    /// How likely that one is by what the agent's sessions held, 0 to 1.
    pub chance: f64,
}

/// Where an agent belongs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Belonging {
    /// The group with which it is compared, as far as that knows enough sessions; none while that is the whole fleet.
    pub group: Option<GroupId>,
    /// The day on which it came into that, event time; none where a manifest says so, or where it has been about to leave since.
    pub since: Option<Timestamp>,
    /// The name by which a manifest puts it there.
    pub declared: Option<String>,
    /// The group it is likest to, and the chance of that, 0 to 1; none where it is like none of them.
    pub likeliest: Option<(GroupId, f64)>,
    /// The group into which it moves if it stays like that one.
    pub moving_to: Option<GroupId>,
}

impl Membership {
    /// Looks where the agent belongs, after a session on `day`. Gives the group it left, if any, and the chance of the one it came to.
    fn look(&mut self, day: u16, agent: &Profile, peers: &Peers) -> Option<(Option<GroupId>, f64)> {
        self.group = self.group.filter(|id| peers.is_found(*id));
        let (sessions, called) = agent.endpoints.counted_sessions();
        let is_young = self.group.is_none() && sessions <= YOUNG;
        let version = peers.groupings as u8;
        if version == self.checked && !is_young && self.to.is_none() {
            return None;
        }
        self.checked = version;
        let posterior = peers.posterior(sessions, called);
        let likeliest = posterior.best();
        let Some(group) = self.group else {
            self.to = None;
            let (id, chance) = posterior.joins()?;
            (self.group, self.since) = (Some(id), day);
            return Some((None, chance));
        };
        let is_better =
            |(id, chance): &(GroupId, f64)| *id != group && *chance > MOVES_FROM * posterior.of(group);
        let Some((id, chance)) = likeliest.filter(is_better) else {
            self.stay();
            return None;
        };
        if self.to != Some(id) {
            (self.to, self.since) = (Some(id), day);
        }
        // A date before the first is of an agent that time was told falsely of, and does not count.
        if day.saturating_sub(self.since) <= MOVES_AFTER_DAYS {
            return None;
        }
        (self.group, self.to, self.since) = (Some(id), None, day);
        Some((Some(group), chance))
    }

    fn stay(&mut self) {
        if self.to.take().is_some() {
            self.since = 0;
        }
    }
}

impl Profile {
    /// The agent's peer group: the declared one, else that which it was found to be in.
    pub(crate) fn group(&self, peers: &Peers) -> Option<GroupId> {
        match self.declared.group() {
            Some(name) => peers.named(name),
            None => self.membership.group.filter(|id| peers.is_found(*id)),
        }
    }

    /// A session of the agent ended. What it held counts only as far as it would teach: under suspicion, or while an agent drifts,
    /// nobody moves, and what has begun begins anew.
    pub(crate) fn belong(&mut self, ended: &Ended, peers: &Peers) -> Option<GroupMove> {
        // A newcomer has no past that a move could hide.
        let is_new = !self.presence.is_established() && self.membership.group.is_none();
        let Some(called) = ended.called.as_deref().filter(|_| !self.suspect || is_new) else {
            self.membership.stay();
            return None;
        };
        self.endpoints.count_session(called);
        if self.declared.group().is_some() {
            return None;
        }
        // By event time as it stood: dates that calls claim bring no move nearer.
        let day = (self.presence.seen().as_millis() / DAY_MS).clamp(0, i64::from(u16::MAX)) as u16;
        let mut membership = self.membership;
        let moved = membership.look(day, self, peers);
        self.membership = membership;
        let (from, chance) = moved?;
        let (issuer, agent_id) = (self.name.issuer().map(Into::into), self.name.agent_id().into());
        Some(GroupMove { issuer, agent_id, from, to: membership.group?, chance })
    }
}

impl Detector {
    /// To which peer group an agent belongs; none for one that was never seen.
    pub fn group_of(&self, issuer: Option<&str>, agent_id: &str) -> Option<Belonging> {
        let (peers, p) = (&self.state.fleet.published.sessions, &self.state.profiles);
        let p = &p[self.find(Key::new(issuer, agent_id))?];
        let (sessions, called) = p.endpoints.counted_sessions();
        let group = p.group(peers);
        let Membership { since, to, .. } = p.membership;
        let is_found = group.is_some() && p.declared.group().is_none() && to.is_none();
        let joined = (is_found && since > 0).then_some(since);
        Some(Belonging {
            group,
            since: joined.map(|day| Timestamp::from_millis(i64::from(day) * DAY_MS)),
            declared: p.declared.group().map(Into::into),
            likeliest: peers.posterior(sessions, called).best(),
            moving_to: to,
        })
    }

    /// The peer groups there are.
    pub fn groups(&self) -> Vec<super::PeerGroupStatus> {
        self.state.fleet.published.sessions.status()
    }

    /// Agents that came into a group or changed it since this was asked last, in order; of very many the first.
    pub fn take_group_moves(&mut self) -> Vec<GroupMove> {
        self.state.lanes.iter_mut().flat_map(|lane| std::mem::take(&mut lane.moves)).collect()
    }

    /// Event time has reached `watermark`: groups are searched for, if it is time.
    pub(crate) fn look_for_groups(&mut self, watermark: Timestamp) {
        let fleet = &mut self.state.fleet;
        let published = &fleet.published;
        fleet.grouping.tick(watermark, &self.state.profiles, (&published.sessions, &published.routes));
    }
}
