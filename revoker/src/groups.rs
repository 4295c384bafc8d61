//! Which agents are declared to be of a group, and how many agents there are.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use detector::{Manifest, Timestamp};

use crate::agent::AgentKey;
use crate::whom::Named;

/// The groups that manifests declare.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    of: HashMap<String, Vec<Membership>>,
    sizes: HashMap<Arc<str>, u32>,
}

impl Groups {
    /// Those of these manifests.
    pub fn declared(manifests: &[Manifest]) -> Self {
        let mut groups = Self::default();
        for manifest in manifests {
            let Some(name) = &manifest.group else { continue };
            let name: Arc<str> = name.as_str().into();
            let issuer = manifest.issuer.clone().filter(|issuer| !issuer.is_empty());
            groups.of.entry(manifest.agent_id.clone()).or_default().push((issuer, Arc::clone(&name)));
            *groups.sizes.entry(name).or_default() += 1;
        }
        groups
    }

    /// The agent's group, by a manifest of its own issuer first.
    pub fn of(&self, issuer: Option<&str>, agent_id: &str) -> Option<&str> {
        let declared = self.of.get(agent_id)?;
        let under = |wanted: Option<&str>| declared.iter().find(|(i, _)| i.as_deref() == wanted);
        under(issuer.filter(|issuer| !issuer.is_empty())).or_else(|| under(None)).map(|(_, group)| &**group)
    }

    /// The agent with its group.
    pub(crate) fn named<'a>(&'a self, agent: &'a AgentKey) -> Named<'a> {
        let (issuer, agent_id) = (agent.issuer.as_deref(), agent.agent_id.as_str());
        Named { issuer, agent_id, group: self.of(issuer, agent_id) }
    }

    /// The agents that declare it, as their manifests name them.
    pub(crate) fn members<'a>(&'a self, group: &'a str) -> impl Iterator<Item = AgentKey> + 'a {
        self.of.iter().flat_map(move |(agent_id, declared)| {
            let of_it = declared.iter().filter(move |(_, name)| &**name == group);
            of_it.map(move |(issuer, _)| AgentKey::new(issuer.as_deref(), agent_id))
        })
    }

    /// The group that all of these agents are of, where there is one.
    pub(crate) fn shared<'a>(&'a self, agents: &[AgentKey]) -> Option<&'a str> {
        let mut groups = agents.iter().map(|agent| self.named(agent).group);
        let first = groups.next()??;
        let size = self.sizes.get_key_value(first).map(|(name, _)| &**name)?;
        groups.all(|group| group == Some(size)).then_some(size)
    }

    /// How many agents declare it; none if no manifest names it.
    pub fn size(&self, group: &str) -> Option<u32> {
        self.sizes.get(group).copied()
    }
}

/// Under which issuer, none standing for any, and of which group.
type Membership = (Option<String>, Arc<str>);

/// Bits of a day's table: 16 KiB, and counts some hundred thousand agents to a percent.
const TABLE_BITS: u32 = 1 << 17;
const DAY: Duration = Duration::from_hours(24);

/// How many agents called lately, by linear counting: today's or yesterday's, whichever are more.
#[derive(Debug)]
pub(crate) struct Crowd {
    days: [Day; 2],
}

#[derive(Debug)]
struct Day {
    number: AtomicI64,
    bits: Vec<AtomicU64>,
}

impl Default for Crowd {
    fn default() -> Self {
        let day = || Day {
            number: AtomicI64::new(i64::MIN),
            bits: (0..TABLE_BITS / u64::BITS).map(|_| AtomicU64::new(0)).collect(),
        };
        Self { days: [day(), day()] }
    }
}

impl Crowd {
    /// An agent called. Who counts calls at midnight on several threads may miss a few; nothing rests on those.
    pub(crate) fn saw(&self, issuer: Option<&str>, agent_id: &str, now: Timestamp) {
        let number = number(now);
        let day = &self.days[usize::from(number.rem_euclid(2) == 1)];
        if day.number.load(Ordering::Relaxed) != number
            && day.number.swap(number, Ordering::Relaxed) != number
        {
            day.bits.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
        let place = place(issuer, agent_id);
        day.bits[(place / u64::BITS) as usize].fetch_or(1 << (place % u64::BITS), Ordering::Relaxed);
    }

    /// How many there are.
    pub(crate) fn agents(&self, now: Timestamp) -> u32 {
        let number = number(now);
        let recent = |day: &&Day| (number - 1..=number).contains(&day.number.load(Ordering::Relaxed));
        self.days.iter().filter(recent).map(Day::agents).max().unwrap_or(0)
    }
}

impl Day {
    fn agents(&self) -> u32 {
        let empty: u32 = self.bits.iter().map(|word| word.load(Ordering::Relaxed).count_zeros()).sum();
        let size = f64::from(TABLE_BITS);
        (-size * (f64::from(empty.max(1)) / size).ln()).round() as u32
    }
}

fn number(now: Timestamp) -> i64 {
    now.as_micros().div_euclid(i64::try_from(DAY.as_micros()).unwrap_or(i64::MAX))
}

fn place(issuer: Option<&str>, agent_id: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    (issuer.unwrap_or_default(), agent_id).hash(&mut hasher);
    (hasher.finish() % u64::from(TABLE_BITS)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    #[test]
    fn a_group_is_its_issuers_and_any_issuers_without_one() {
        let manifest = |agent: &str, issuer: Option<&str>, group: &str| Manifest {
            agent_id: agent.to_owned(),
            issuer: issuer.map(str::to_owned),
            group: Some(group.to_owned()),
            ..Manifest::default()
        };
        let groups = Groups::declared(&[
            manifest("a", None, "any"),
            manifest("a", Some("https://idp"), "own"),
            manifest("b", Some("https://idp"), "own"),
        ]);
        assert_eq!(groups.of(Some("https://idp"), "a"), Some("own"));
        assert_eq!(groups.of(Some("https://other"), "a"), Some("any"));
        assert_eq!((groups.of(None, "a"), groups.of(None, "b")), (Some("any"), None));
        assert_eq!((groups.size("own"), groups.size("none")), (Some(2), None));
    }

    #[test]
    fn agents_are_counted_once_and_for_a_day_or_two() {
        let crowd = Crowd::default();
        assert_eq!(crowd.agents(at(0)), 0);
        for n in 0..20_000 {
            crowd.saw(Some("https://idp"), &format!("agent-{}", n % 10_000), at(n));
        }
        let agents = crowd.agents(at(20_000));
        assert!(agents.abs_diff(10_000) < 200, "{agents}");
        assert_eq!(crowd.agents(at(86_400)), agents);
        crowd.saw(None, "one", at(86_400));
        assert_eq!((crowd.agents(at(86_400)), crowd.agents(at(3 * 86_400))), (agents, 0));
    }
}
