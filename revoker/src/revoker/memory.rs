//! Standings in memory, and when what they remember must be written down.
//!
//! A standing itself changes in the store first. What it only remembers (how many normal calls, how high the evidence
//! rose) changes in memory with every call and is written when it has changed by enough, so that a watched agent costs a
//! transaction now and then and not one a call. A crash loses at most that much, and each loss errs on the safe side or
//! within its bound: normal calls are counted again; a calm that was broken is at most [`CALM_LAG`] too old; a human's
//! answer covers at most [`BITS_LAG`] more or less than it did; of what a challenged agent was sent at most [`BYTES_LAG`] is forgotten.
//! What is read again counts where it was lost, and nowhere twice: see [`Reach`].

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use detector::{MicroBits, Position, Timestamp, VerdictId};

use crate::agent::{AgentKey, Txn};
use crate::part::{Names, Part};
use crate::policy::Policy;
use crate::reach::Reach;
use crate::standing::{Calm, Standing, Watch};
use crate::store::agents::StandingRow;
use crate::store::revocations::Lifted;
use crate::store::settings::{Pause, Spent};
use crate::whom::Named;

/// Verdicts that changed something, remembered so that one said again is noticed without asking the store.
pub(super) const RECENT_MAX: u32 = 65_536;

/// Agents of which is remembered how far their calls count: past it of those that are held; the record knows of the others.
pub(super) const REACH_MAX: u32 = 262_144;

/// How many agents may be in a standing that anybody who can forge a name can bring about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Watched agents. Watching restrains nobody, so past it those unchanged for longest are let go; nothing that
    /// restrains an agent is ever dropped.
    pub(crate) watched_max: u32,
    /// Challenged agents. Past it evidence that asks for a human is watched and recorded as "would have": no team
    /// answers this many, and they must not fill the disk.
    pub(crate) challenged_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { watched_max: 100_000, challenged_max: 10_000 }
    }
}

const CALLS_LAG: u32 = 10;
const CALM_LAG: Duration = Duration::from_mins(1);
const BITS_LAG: MicroBits = MicroBits::from_micros(2_000_000);
const BYTES_LAG: u64 = 64 << 10;

/// One agent that is not plainly trusted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    /// Where it stands now.
    pub(super) live: Standing,
    /// What the store holds.
    pub(super) kept: Standing,
    /// The story it is in.
    pub(super) txn: Txn,
}

#[derive(Debug)]
pub(super) struct Memory {
    /// By name first, so that a look-up borrows the call's text; few names exist under several issuers.
    agents: HashMap<String, Vec<(Option<String>, Held)>>,
    /// How far calls count, of agents that are held and of those that were.
    reach: HashMap<AgentKey, Reach>,
    /// Parts of agents whose access has ended, and when.
    ended: HashMap<AgentKey, Vec<(Part, Timestamp)>>,
    /// Agents whose access was given back, and whose older tokens are void.
    lifted: HashMap<AgentKey, Lifted>,
    /// Agents whose declared time was seen to be over; as many as manifests declare.
    lapsed: HashSet<(AgentKey, Timestamp)>,
    watched: usize,
    challenged: usize,
    recent: HashSet<VerdictId>,
    recent_order: VecDeque<VerdictId>,
    policy: Policy,
    pauses: Vec<Pause>,
    spent: Spent,
}

impl Memory {
    pub(super) fn new(
        rows: Vec<StandingRow>,
        recent: Vec<VerdictId>,
        policy: Policy,
        pauses: Vec<Pause>,
        spent: Spent,
    ) -> Self {
        let mut memory = Self {
            agents: HashMap::new(),
            reach: HashMap::new(),
            ended: HashMap::new(),
            lifted: HashMap::new(),
            lapsed: HashSet::new(),
            watched: 0,
            challenged: 0,
            recent: HashSet::new(),
            recent_order: VecDeque::new(),
            policy,
            pauses,
            spent,
        };
        memory.replace(rows);
        for verdict in recent {
            memory.remember(verdict);
        }
        memory
    }

    /// Holds these agents and no others.
    pub(super) fn replace(&mut self, rows: Vec<StandingRow>) {
        self.agents.clear();
        (self.watched, self.challenged) = (0, 0);
        for row in rows {
            self.set(&row.agent, Some(Held { live: row.standing, kept: row.standing, txn: row.txn }));
        }
    }

    pub(super) fn get(&self, issuer: Option<&str>, agent_id: &str) -> Option<&Held> {
        let issuer = issuer.filter(|issuer| !issuer.is_empty());
        self.agents.get(agent_id)?.iter().find(|(i, _)| i.as_deref() == issuer).map(|(_, held)| held)
    }

    /// When access of a part of the agent ended, where it did: of the narrowest of these.
    pub(super) fn ended(
        &self,
        issuer: Option<&str>,
        agent_id: &str,
        names: &Names<'_>,
    ) -> Option<(Part, Timestamp)> {
        if self.ended.is_empty() {
            return None;
        }
        let ended = self.ended.get(&AgentKey::new(issuer, agent_id))?;
        let is_named = |part: &Part| names[part.kind as usize] == Some(part.id.as_str());
        ended.iter().filter(|(part, _)| is_named(part)).min().cloned()
    }

    /// Whether this end of the agent was seen.
    pub(super) fn has_lapsed(&self, agent: &AgentKey, at: Timestamp) -> bool {
        !self.lapsed.is_empty() && self.lapsed.contains(&(agent.clone(), at))
    }

    pub(super) fn set_lapsed(&mut self, lapsed: Vec<(AgentKey, Timestamp)>) {
        self.lapsed.extend(lapsed);
    }

    /// All parts of the agent that have ended, and when.
    pub(super) fn all_ended(&self, agent: &AgentKey) -> Vec<(Part, Timestamp)> {
        self.ended.get(agent).cloned().unwrap_or_default()
    }

    /// How many parts of the agent have ended.
    pub(super) fn ended_parts(&self, agent: &AgentKey) -> usize {
        self.ended.get(agent).map_or(0, Vec::len)
    }

    /// A part of the agent has ended at a time, or is given its access back.
    pub(super) fn set_ended(&mut self, agent: &AgentKey, part: Part, not_before: Option<Timestamp>) {
        let ended = self.ended.entry(agent.clone()).or_default();
        ended.retain(|(other, _)| *other != part);
        ended.extend(not_before.map(|not_before| (part, not_before)));
        if ended.is_empty() {
            self.ended.remove(agent);
        }
    }

    /// These parts have ended and no others.
    pub(super) fn replace_ended(&mut self, parts: Vec<(AgentKey, Part, Timestamp)>) {
        self.ended.clear();
        for (agent, part, not_before) in parts {
            self.set_ended(&agent, part, Some(not_before));
        }
    }

    /// Since when the agent has its access back, where a token issued then is from before it was ended.
    pub(super) fn voided(
        &self,
        issuer: Option<&str>,
        agent_id: &str,
        token_iat: Option<Timestamp>,
    ) -> Option<Lifted> {
        if self.lifted.is_empty() {
            return None;
        }
        let token_iat = token_iat?;
        let lifted = self.lifted.get(&AgentKey::new(issuer, agent_id))?;
        (token_iat < lifted.not_before).then_some(*lifted)
    }

    pub(super) fn lifted(&self) -> &HashMap<AgentKey, Lifted> {
        &self.lifted
    }

    /// The agent's access was given back, or (none) has ended.
    pub(super) fn set_lifted(&mut self, agent: &AgentKey, lifted: Option<Lifted>) {
        match lifted {
            Some(lifted) => self.lifted.insert(agent.clone(), lifted),
            None => self.lifted.remove(agent),
        };
    }

    /// Access of these agents was given back and of no others.
    pub(super) fn replace_lifted(&mut self, agents: Vec<(AgentKey, Lifted)>) {
        self.lifted = agents.into_iter().collect();
    }

    /// The agents of this name that are held, under each of their issuers.
    pub(super) fn named(&self, agent_id: &str) -> Vec<AgentKey> {
        let held = self.agents.get(agent_id).into_iter().flatten();
        held.map(|(issuer, _)| AgentKey::new(issuer.as_deref(), agent_id)).collect()
    }

    /// The agent's standing now stands in the store like this; none is trusted.
    pub(super) fn set(&mut self, agent: &AgentKey, held: Option<Held>) {
        let issuer = agent.issuer.clone().filter(|issuer| !issuer.is_empty());
        let agents = self.agents.entry(agent.agent_id.clone()).or_default();
        let before = agents.iter().position(|(i, _)| *i == issuer).map(|i| agents.swap_remove(i));
        if let Some((_, before)) = before {
            self.watched -= usize::from(matches!(before.live, Standing::Watched(_)));
            self.challenged -= usize::from(matches!(before.live, Standing::Challenged(_)));
        }
        if let Some(held) = held {
            self.watched += usize::from(matches!(held.live, Standing::Watched(_)));
            self.challenged += usize::from(matches!(held.live, Standing::Challenged(_)));
            agents.push((issuer, held));
        } else if agents.is_empty() {
            self.agents.remove(&agent.agent_id);
        }
    }

    /// What a standing remembers has changed; the standing is the same.
    pub(super) fn recall(&mut self, issuer: Option<&str>, agent_id: &str, live: Standing) {
        let issuer = issuer.filter(|issuer| !issuer.is_empty());
        let agents = self.agents.get_mut(agent_id);
        if let Some((_, held)) = agents.and_then(|a| a.iter_mut().find(|(i, _)| i.as_deref() == issuer)) {
            held.live = live;
        }
    }

    /// How far the agent's calls count; none where nothing is or was held against it.
    pub(super) fn reach(&self, agent: &AgentKey) -> Option<&Reach> {
        self.reach.get(agent)
    }

    pub(super) fn set_reach(&mut self, agent: AgentKey, reach: Reach) {
        if self.reach.len() >= REACH_MAX as usize && !self.reach.contains_key(&agent) {
            let mut all = std::mem::take(&mut self.reach);
            all.retain(|agent, _| self.get(agent.issuer.as_deref(), &agent.agent_id).is_some());
            self.reach = all;
        }
        self.reach.insert(agent, reach);
    }

    pub(super) fn extend_reach(&mut self, agent: &AgentKey, at: &Position) {
        if let Some(reach) = self.reach.get_mut(agent) {
            reach.extend(at);
        }
    }

    pub(super) fn forget_reach(&mut self, agent: &AgentKey) {
        self.reach.remove(agent);
    }

    pub(super) fn replace_reach(&mut self, reach: Vec<(AgentKey, Reach)>) {
        self.reach = reach.into_iter().collect();
    }

    pub(super) fn remember(&mut self, verdict: VerdictId) {
        if self.recent.insert(verdict) {
            self.recent_order.push_back(verdict);
        }
        while self.recent_order.len() > RECENT_MAX as usize {
            if let Some(oldest) = self.recent_order.pop_front() {
                self.recent.remove(&oldest);
            }
        }
    }

    pub(super) fn is_recent(&self, verdict: VerdictId) -> bool {
        self.recent.contains(&verdict)
    }

    pub(super) fn watched(&self) -> usize {
        self.watched
    }

    pub(super) fn challenged(&self) -> usize {
        self.challenged
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The policy for this agent as of now.
    pub(super) fn policy_for(&self, who: &Named<'_>, now: Timestamp) -> Policy {
        let paused = self.pauses.iter().any(|pause| pause.holds(now) && pause.scope.covers(who));
        self.policy.clone().with_paused(paused).for_agent(who)
    }

    pub(super) fn pauses(&self) -> &[Pause] {
        &self.pauses
    }

    pub(super) fn spent(&self) -> &Spent {
        &self.spent
    }

    pub(super) fn set_spent(&mut self, spent: Spent) {
        self.spent = spent;
    }

    pub(super) fn set_pauses(&mut self, pauses: Vec<Pause>) {
        self.pauses = pauses;
    }
}

/// Whether a standing remembers so much more (or less) than the store does that it should be written down.
pub(super) fn worth_keeping(kept: &Standing, live: &Standing) -> bool {
    match (kept, live) {
        (Standing::Watched(k), Standing::Watched(l)) => {
            let left = |w: &Watch| w.after_part.map(|answered| answered.left).unwrap_or_default();
            calm_moved(k.calm, l.calm)
                || (k.would, k.touched) != (l.would, l.touched)
                || bits_moved(k.blame.weight(), l.blame.weight())
                || bits_moved(left(k), left(l))
        }
        (Standing::Probation(k), Standing::Probation(l)) => {
            calm_moved(k.calm, l.calm) || k.would != l.would || bits_moved(k.answered.left, l.answered.left)
        }
        (Standing::Challenged(k), Standing::Challenged(l)) => {
            bits_moved(k.peak, l.peak)
                || told(kept) != told(live)
                || l.used.bytes.saturating_sub(k.used.bytes) >= BYTES_LAG
                || (k.attested, k.would, k.phase, k.case, k.until, k.touched, k.used.calls)
                    != (l.attested, l.would, l.phase, l.case, l.until, l.touched, l.used.calls)
        }
        (Standing::Suspended(k), Standing::Suspended(l)) => {
            bits_moved(k.peak, l.peak) || told(kept) != told(live) || k.until != l.until
        }
        (Standing::Revoked(k), Standing::Revoked(l)) => {
            bits_moved(k.peak, l.peak) || told(kept) != told(live) || k.not_before != l.not_before
        }
        (Standing::Retired(_), Standing::Retired(_)) => told(kept) != told(live),
        (kept, live) => kept != live,
    }
}

/// When people were last told that the agent still acts.
fn told(standing: &Standing) -> Option<Timestamp> {
    standing.acting().and_then(|acting| acting.told)
}

fn calm_moved(kept: Calm, live: Calm) -> bool {
    live.calls < kept.calls
        || live.calls - kept.calls >= CALLS_LAG
        || live.since.since(kept.since) >= CALM_LAG
}

fn bits_moved(kept: MicroBits, live: MicroBits) -> bool {
    (live - kept).max(kept - live) >= BITS_LAG
}
