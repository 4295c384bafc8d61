//! Who is remembered when memory is full.
//!
//! Names cost nothing, so whoever floods the detector with new ones must push out only those: an agent is dropped by
//! where event time stood when it called, and never by what its calls claim. A date in 2099 keeps nobody in memory and
//! makes nobody else idle.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::combine::Thresholds;
use crate::detector::{Detector, State};
use crate::fleet::Published;
use crate::profile::{Key, Profile};
use crate::profiles::Profiles;
use crate::signal::volume::{Volume, Week};
use crate::stored::in_order;

/// At capacity this share of the profiles goes at once, so that the search is rare.
const EVICT_ONE_IN: usize = 64;
/// An agent that rests for longer than a day has missed a whole turn of its daily habits and is idle.
const IDLE_AFTER: Duration = Duration::from_hours(24);
/// An agent is established once its calls lie a day apart, as a flood that is over sooner cannot have them, and once there
/// are as many of them as its first alarm may teach its peers (20): fewer make no past worth keeping.
const ESTABLISHED_AFTER: Duration = Duration::from_hours(24);
const ESTABLISHED_CALLS: u32 = 20;
/// From then on it has seen every hour of a week once, and what is unusual of it is not that it is new.
const SETTLED_AFTER: Duration = Duration::from_hours(7 * 24);

/// Since when an agent is known and when it called last, by event time as it stood then, and how often it called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Presence {
    since: Timestamp,
    seen: Timestamp,
    calls: u32,
}

/// In which order agents go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Idle,
    Newcomer,
    /// Established, and not idle. If these have to go, memory is too small for the fleet.
    Active,
}

impl Presence {
    /// Whether the agent has a past worth keeping.
    pub(crate) fn is_established(&self) -> bool {
        self.calls >= ESTABLISHED_CALLS && self.seen.since(self.since) >= ESTABLISHED_AFTER
    }

    /// Whether the agent is established and has been known for a week.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_established() && self.seen.since(self.since) >= SETTLED_AFTER
    }

    /// Where event time stood when it called last.
    pub(crate) fn seen(&self) -> Timestamp {
        self.seen
    }

    /// Whether this is its first call.
    pub(crate) fn is_new(&self) -> bool {
        self.calls <= 1
    }

    pub(crate) fn is_silent_for(&self, long: Duration, now: Timestamp) -> bool {
        now.since(self.seen) > long
    }

    /// In which order it goes; the first go first.
    pub(crate) fn order(&self, now: Timestamp) -> (Rank, Timestamp) {
        (self.rank(now), self.seen)
    }

    fn rank(&self, now: Timestamp) -> Rank {
        if now.since(self.seen) > IDLE_AFTER {
            Rank::Idle
        } else if self.is_established() {
            Rank::Active
        } else {
            Rank::Newcomer
        }
    }
}

/// What is left of an established agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dormant {
    presence: Presence,
    week: Arc<Week>,
}

impl Dormant {
    /// Gives it to the agent's new profile. That stays established, so that a flood has no second chance at it; to its
    /// signals it is new but for its usual week.
    pub(crate) fn restore(self, profile: &mut Profile, fleet: &Published, thresholds: &Thresholds) {
        profile.presence = self.presence;
        let ctx = profile.declared.volume(fleet, thresholds);
        profile.volume = Volume::recalled(profile.last, &self.week, ctx);
    }
}

/// Where event time stands, and the agents that had to go.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// The watermark; before the first one, the `ts` of the first call.
    now: Option<Timestamp>,
    #[serde(serialize_with = "in_order")]
    dormant: HashMap<Key, Dormant, FxBuildHasher>,
    evicted: u64,
    compacted: u64,
}

impl Memory {
    /// Event time has reached `watermark`.
    pub(crate) fn tick(&mut self, watermark: Timestamp) {
        self.now = Some(watermark);
    }

    /// Where event time stands; before it was ever told, `ts`.
    pub(crate) fn now(&self, ts: Timestamp) -> Timestamp {
        self.now.unwrap_or(ts)
    }

    /// An agent calls.
    pub(crate) fn see(&mut self, presence: &mut Presence, ts: Timestamp) {
        presence.seen = *self.now.get_or_insert(ts);
        if presence.calls == 0 {
            presence.since = presence.seen;
        }
        presence.calls = presence.calls.saturating_add(1);
    }

    /// What is left of an agent that calls again, if anything is. Take it before making room, which may forget it.
    pub(crate) fn wake(&mut self, key: Key) -> Option<Dormant> {
        self.dormant.remove(&key)
    }

    /// Takes profiles out of memory: the idle, then newcomers, then the others, of each those first that were idle
    /// longest, and of these by place, so that every run takes the same.
    fn evict(&mut self, profiles: &mut Profiles, agents: usize, week: impl Fn(&Profile) -> Week) {
        let now = self.now.unwrap_or_default();
        let order = |(i, p): (usize, &Profile)| (p.presence.order(now), i);
        let mut order: Vec<_> = profiles.iter().enumerate().map(order).collect();
        if agents < order.len() {
            order.select_nth_unstable(agents);
            order.truncate(agents);
        }
        // From behind, since the last profile takes the place of one that goes.
        order.sort_unstable_by_key(|&(_, i)| Reverse(i));
        for (_, i) in order {
            let profile = profiles.swap_remove(i);
            self.evicted += 1;
            if profile.presence.is_established() {
                self.compacted += 1;
                let dormant = Dormant { presence: profile.presence, week: Arc::new(week(&profile)) };
                self.dormant.insert(profile.key, dormant);
            }
        }
    }

    /// Forgets the dormant agents beyond `max`, idle longest first.
    fn forget(&mut self, max: usize) {
        let beyond = self.dormant.len().saturating_sub(max);
        if beyond == 0 {
            return;
        }
        let mut idlest: Vec<_> = self.dormant.iter().map(|(key, d)| (d.presence.seen, *key)).collect();
        idlest.select_nth_unstable(beyond - 1);
        for (_, key) in &idlest[..beyond] {
            self.dormant.remove(key);
        }
    }
}

impl State {
    /// Makes room in memory for `agents` more. While one profile in [`EVICT_ONE_IN`] is idle or a newcomer's, room for
    /// one more costs nobody else a place.
    pub(crate) fn make_room(&mut self, agents: usize) {
        let Self { config, thresholds, profiles, fleet, memory, .. } = self;
        let max = config.agents_max.max(1);
        let beyond = (profiles.len() + agents).saturating_sub(max);
        if beyond > 0 {
            let share = beyond.max(profiles.len() / EVICT_ONE_IN);
            memory.evict(profiles, share, |p| p.volume.week(p.declared.volume(&fleet.published, thresholds)));
        }
        memory.forget(max);
    }
}

impl Detector {
    /// Agents that are remembered by their usual week alone.
    pub fn dormant(&self) -> usize {
        self.state.memory.dormant.len()
    }

    /// Profiles that were taken out of memory so far because it was at its limit,
    pub fn evicted(&self) -> u64 {
        self.state.memory.evicted
    }

    /// and those among them that were compacted to their usual week.
    pub fn compacted(&self) -> u64 {
        self.state.memory.compacted
    }

    /// Bytes that are kept of a dormant agent.
    pub const fn bytes_per_dormant_agent() -> usize {
        size_of::<(Key, Dormant)>() + size_of::<Week>()
    }
}
