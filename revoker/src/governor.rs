//! How much may be done automatically at once. Pure: state and time are arguments.
//!
//! A fault that looks like an attack (a deploy, an outage, a decoy flood) must not take the fleet down while people sleep, and must not
//! let a true hijack wait. So automatic revocations are counted per minute, and per day against the fleet and each declared group;
//! past a cap the answer is a question, and past the cap on questions an alert. What persons do is never counted or held up.
//!
//! Strongest evidence first, without anybody waiting to be ranked: the weakest evidence that asks for an answer may use half of
//! its cap, and each bit more opens more of the other half, all of it at [`FULL`]. Decoys can use up only the part that is open to
//! evidence as weak as theirs; what is a step of that half stronger than all of them finds room at once.

mod window;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use detector::{MicroBits, Timestamp};
use serde::{Deserialize, Serialize};

use self::window::{DAY, MINUTE, Window};

/// Bits over the budget from which evidence may use a whole cap: a million times rarer than what barely asks.
pub const FULL: MicroBits = MicroBits::from_micros(20_000_000);

/// Revocations a day that no share makes fewer, or a small fleet would have none: of the fleet, and of one group.
const FLEET_MIN: u32 = 5;
const GROUP_MIN: u32 = 3;

/// Groups counted at once. One more begins as if its members were of no group.
const GROUPS_MAX: usize = 4_096;

/// The section `[policy.governor]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GovernorConfig {
    /// Whether there are caps at all.
    pub enabled: bool,
    /// Automatic revocations in any minute.
    pub revocations_per_minute: NonZeroU32,
    /// Automatic questions in any minute.
    pub challenges_per_minute: NonZeroU32,
    /// Automatic revocations in any day, percent of the attested agents that called lately.
    pub fleet_percent_per_day: Percent,
    /// Automatic revocations in any day, percent of the agents whose manifests declare the same group.
    pub group_percent_per_day: Percent,
}

impl Default for GovernorConfig {
    fn default() -> Self {
        const TEN: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
        Self {
            enabled: true,
            revocations_per_minute: TEN,
            challenges_per_minute: NonZeroU32::MIN.saturating_add(119),
            fleet_percent_per_day: Percent(5),
            group_percent_per_day: Percent(25),
        }
    }
}

/// A share, 1 to 100 percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

/// The number is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a percentage from 1 to 100")]
pub struct PercentError(u8);

impl TryFrom<u8> for Percent {
    type Error = PercentError;
    fn try_from(percent: u8) -> Result<Self, PercentError> {
        if (1..=100).contains(&percent) { Ok(Self(percent)) } else { Err(PercentError(percent)) }
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> u8 {
        percent.0
    }
}

impl Percent {
    fn of(self, agents: u32) -> u32 {
        let part = u64::from(agents) * u64::from(self.0) / 100;
        u32::try_from(part).unwrap_or(u32::MAX)
    }
}

/// One of the caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cap {
    /// Revocations in a minute.
    RevocationsPerMinute,
    /// Questions in a minute.
    ChallengesPerMinute,
    /// Revocations in a day, of the fleet.
    FleetPerDay,
    /// Revocations in a day, of one group.
    GroupPerDay,
}

impl Cap {
    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RevocationsPerMinute => "revocations_per_minute",
            Self::ChallengesPerMinute => "challenges_per_minute",
            Self::FleetPerDay => "fleet_per_day",
            Self::GroupPerDay => "group_per_day",
        }
    }
}

/// A cap that left no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Governed {
    /// Which.
    pub cap: Cap,
    /// How many it allows in all.
    pub limit: u32,
    /// How many of these are open to evidence as strong as this.
    pub room: u32,
    /// How many were done.
    pub used: u32,
}

impl fmt::Display for Governed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, room, used, .. } = self;
        let what = match self.cap {
            Cap::RevocationsPerMinute => "automatic revocations a minute",
            Cap::ChallengesPerMinute => "automatic questions a minute",
            Cap::FleetPerDay => "automatic revocations a day in the fleet",
            Cap::GroupPerDay => "automatic revocations a day in its group",
        };
        write!(
            f,
            "the cap of {limit} {what} has room for {room} on evidence as strong as this, and {used} were made"
        )
    }
}

/// What is about to be done automatically.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// End access.
    Revoke,
    /// Ask a person.
    Challenge,
}

/// One thing that is about to be done, and to whom.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// What.
    pub action: Action,
    /// Bits of evidence over the budget that asks for it.
    pub excess: MicroBits,
    /// The agent's declared group and how many agents declare it.
    pub group: Option<(&'a str, u32)>,
    /// Attested agents that called lately.
    pub agents: u32,
}

/// What was done lately. Kept with the standings, in the same transactions: a restart opens no cap anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Governor {
    revocations: Window,
    challenges: Window,
    fleet: Window,
    groups: BTreeMap<String, Window>,
}

impl Governor {
    /// Counts the act where every cap has room for it; else says which has none, and counts nothing.
    pub fn admit(&mut self, act: &Act<'_>, caps: &GovernorConfig, now: Timestamp) -> Result<(), Governed> {
        if !caps.enabled {
            return Ok(());
        }
        if act.action == Action::Challenge {
            let used = self.challenges.used(MINUTE, now);
            has_room(Cap::ChallengesPerMinute, caps.challenges_per_minute.get(), used, act.excess)?;
            self.challenges.add(MINUTE, now);
            return Ok(());
        }
        let used = self.revocations.used(MINUTE, now);
        has_room(Cap::RevocationsPerMinute, caps.revocations_per_minute.get(), used, act.excess)?;
        has_room(Cap::FleetPerDay, fleet_limit(caps, act.agents), self.fleet.used(DAY, now), act.excess)?;
        let group = act.group.filter(|(name, _)| self.counts(name, now));
        if let Some((name, agents)) = group {
            let limit = caps.group_percent_per_day.of(agents).max(GROUP_MIN);
            let used = self.groups.get(name).map_or(0, |window| window.used(DAY, now));
            has_room(Cap::GroupPerDay, limit, used, act.excess)?;
            self.groups.entry(name.to_owned()).or_default().add(DAY, now);
        }
        self.revocations.add(MINUTE, now);
        self.fleet.add(DAY, now);
        Ok(())
    }

    /// How many were done under each cap that is the whole house's, and how many it allows.
    pub fn usage(&self, caps: &GovernorConfig, agents: u32, now: Timestamp) -> [(Cap, u32, u32); 3] {
        [
            (
                Cap::RevocationsPerMinute,
                self.revocations.used(MINUTE, now),
                caps.revocations_per_minute.get(),
            ),
            (Cap::ChallengesPerMinute, self.challenges.used(MINUTE, now), caps.challenges_per_minute.get()),
            (Cap::FleetPerDay, self.fleet.used(DAY, now), fleet_limit(caps, agents)),
        ]
    }

    /// Whether this group is counted; forgets those without a revocation in a day where there is no room.
    fn counts(&mut self, group: &str, now: Timestamp) -> bool {
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(group) {
            self.groups.retain(|_, window| window.used(DAY, now) > 0);
        }
        self.groups.len() < GROUPS_MAX || self.groups.contains_key(group)
    }
}

fn fleet_limit(caps: &GovernorConfig, agents: u32) -> u32 {
    caps.fleet_percent_per_day.of(agents).max(FLEET_MIN)
}

fn has_room(cap: Cap, limit: u32, used: u32, excess: MicroBits) -> Result<(), Governed> {
    let room = room(limit, excess);
    if used < room { Ok(()) } else { Err(Governed { cap, limit, room, used }) }
}

/// How many of `limit` are open to evidence so far over its budget: at least one, and at [`FULL`] all.
fn room(limit: u32, excess: MicroBits) -> u32 {
    let half = limit / 2;
    let missing = (FULL - excess).min(FULL).max(MicroBits::ZERO).as_micros();
    let reserved = (i64::from(half) * missing + FULL.as_micros() - 1).div_euclid(FULL.as_micros());
    limit - u32::try_from(reserved).unwrap_or(half).min(half)
}

#[cfg(test)]
mod tests;
