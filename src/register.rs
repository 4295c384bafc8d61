//! The register: every identity that was seen, declared or put on record, with what is wrong about it.
//!
//! It is put together when somebody asks, from the manifests, the revoker's record and the calls in the database, so it says
//! of each agent and kind of finding one thing, however many calls it rests on. Pure: who asks brings all of it.

pub(crate) mod draft;
pub(crate) mod drift;
pub(crate) mod finding;
mod standards;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{BTreeMap, HashMap, HashSet};

use detector::{Manifest, Timestamp};
use ingest::store::AgentSeen;
use revoker::agent::AgentKey;
use revoker::standing::Standing;
use revoker::store::register::{Registration, Signature};
use revoker::store::revocations::Lifted;
use serde::Serialize;
use sha2::{Digest, Sha256};

use finding::Finding;
pub(crate) use tree::Branch;

/// All that is known.
#[derive(Default)]
pub(crate) struct Sources<'a> {
    pub(crate) manifests: &'a [Manifest],
    pub(crate) entries: Vec<Registration>,
    /// Agents that are not plainly trusted, as far as there is room.
    pub(crate) untrusted: Vec<AgentKey>,
    pub(crate) seen: Vec<AgentSeen>,
    /// Agents whose access was given back, and whose older tokens are void.
    pub(crate) lifted: HashMap<AgentKey, Lifted>,
    /// Approvers whose codes count, in lower case.
    pub(crate) enrolled: Vec<String>,
    pub(crate) now: Timestamp,
}

/// What is known of one agent.
#[derive(Default)]
pub(crate) struct Known<'a> {
    pub(crate) manifest: Option<&'a Manifest>,
    pub(crate) entry: Option<Registration>,
    pub(crate) standing: Standing,
    pub(crate) seen: Option<AgentSeen>,
    pub(crate) lifted: Option<Lifted>,
}

/// An agent as operators see it.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) agent: AgentKey,
    purpose: Option<String>,
    owner: Option<String>,
    sponsor: Option<String>,
    approvers: Vec<String>,
    /// The edition of its manifest; none if it has none.
    pub(crate) manifest: Option<String>,
    standing: &'static str,
    registered: Option<Signature>,
    last_review: Option<Timestamp>,
    reviewed_by: Option<String>,
    first_seen: Option<Timestamp>,
    last_seen: Option<Timestamp>,
    calls: u64,
    tokens: u64,
    sessions: u64,
    pub(crate) findings: Vec<Finding>,
}

/// All agents, by issuer and name.
pub(crate) struct Register<'a> {
    manifests: ByAgent<'a>,
    agents: BTreeMap<AgentKey, Known<'a>>,
    enrolled: Vec<String>,
    now: Timestamp,
}

impl<'a> Register<'a> {
    /// `standing`: where an agent stands.
    pub(crate) fn new(sources: Sources<'a>, standing: impl Fn(&AgentKey) -> Standing) -> Self {
        let Sources { manifests: all, entries, untrusted, seen, lifted, enrolled, now } = sources;
        let mut agents: BTreeMap<AgentKey, Known<'a>> = BTreeMap::new();
        for entry in entries {
            let agent = entry.agent.clone();
            agents.entry(agent).or_default().entry = Some(entry);
        }
        for agent in untrusted {
            agents.entry(agent).or_default();
        }
        for seen in seen {
            let agent = AgentKey::new(seen.issuer.as_deref(), &seen.agent_id);
            agents.entry(agent).or_default().seen = Some(seen);
        }
        let manifests = ByAgent::new(all);
        for (agent, known) in &mut agents {
            known.manifest = manifests.of(agent);
            known.lifted = lifted.get(agent).copied();
        }
        let spoken_of: HashSet<*const Manifest> =
            agents.values().filter_map(|known| known.manifest).map(std::ptr::from_ref).collect();
        for manifest in all.iter().filter(|m| !spoken_of.contains(&std::ptr::from_ref(*m))) {
            let agent = AgentKey::new(manifest.issuer.as_deref(), &manifest.agent_id);
            agents.entry(agent).or_default().manifest = Some(manifest);
        }
        for (agent, known) in &mut agents {
            known.standing = standing(agent);
        }
        Self { manifests, agents, enrolled, now }
    }

    /// Every agent.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> {
        self.agents.iter().map(|(agent, known)| self.row(agent, known))
    }

    /// One agent; none where nobody knows it.
    pub(crate) fn of(&self, agent: &AgentKey) -> Option<Row> {
        self.agents.get(agent).map(|known| self.row(agent, known))
    }

    fn row(&self, agent: &AgentKey, known: &Known<'_>) -> Row {
        let Known { manifest, entry, standing, seen, .. } = known;
        let said = entry.as_ref().map(|entry| &entry.accountable);
        let declared = |of: fn(&Manifest) -> &Option<String>| manifest.and_then(|m| of(m).clone());
        let reviewed = entry.as_ref().and_then(|entry| entry.reviewed.as_ref());
        Row {
            agent: agent.clone(),
            purpose: declared(|m| &m.purpose),
            owner: declared(|m| &m.owner).or_else(|| said?.owner.clone()),
            sponsor: declared(|m| &m.sponsor).or_else(|| said?.sponsor.clone()),
            approvers: known.approvers().to_vec(),
            manifest: manifest.map(edition),
            standing: standing.name(),
            registered: entry.as_ref().and_then(|entry| entry.registered.clone()),
            last_review: reviewed.map(|r| r.at).max(manifest.and_then(|m| m.reviewed_at)),
            reviewed_by: reviewed.map(|r| r.by.clone()),
            first_seen: seen.as_ref().map(|seen| seen.first_seen),
            last_seen: seen.as_ref().map(|seen| seen.last_seen),
            calls: seen.as_ref().map_or(0, |seen| seen.calls),
            tokens: seen.as_ref().map_or(0, |seen| seen.tokens),
            sessions: seen.as_ref().map_or(0, |seen| seen.sessions),
            findings: self.findings(agent, known),
        }
    }

    /// The parents of an agent: the declared one, or else those that its calls name.
    fn parents(&self, agent: &AgentKey) -> Vec<AgentKey> {
        let known = self.agents.get(agent);
        let declared = self.manifests.of(agent).and_then(|m| m.parent.as_ref());
        let claimed = known.and_then(|known| known.seen.as_ref()).map_or(&[][..], |seen| &seen.parents);
        let names = declared.map_or(claimed, std::slice::from_ref);
        names.iter().map(|name| AgentKey::new(agent.issuer.as_deref(), name)).collect()
    }

    /// Whether anybody knows this agent, under its issuer or under any.
    fn is_known(&self, agent: &AgentKey) -> bool {
        self.agents.contains_key(agent) || self.manifests.of(agent).is_some()
    }
}

impl Known<'_> {
    fn approvers(&self) -> &[String] {
        let declared = self.manifest.map(|m| &m.approvers[..]).filter(|names| !names.is_empty());
        declared.or(self.entry.as_ref().map(|entry| &entry.accountable.approvers[..])).unwrap_or_default()
    }
}

/// Which edition of a manifest this is: its own number, and a digest of what it says. "v3 5d0c1e2f9a3b"
pub(crate) fn edition(manifest: &Manifest) -> String {
    // JSON of a plain struct cannot fail; were it ever to, the name would still tell this edition from others.
    let text = serde_json::to_string(manifest).unwrap_or_else(|e| e.to_string());
    let digest = Sha256::digest(text).iter().take(6).fold(0_u64, |id, byte| id << 8 | u64::from(*byte));
    manifest.version.map_or_else(|| format!("{digest:012x}"), |version| format!("v{version} {digest:012x}"))
}

/// Manifests by the name of their agent.
pub(crate) struct ByAgent<'a>(HashMap<&'a str, Vec<&'a Manifest>>);

impl<'a> ByAgent<'a> {
    pub(crate) fn new(manifests: &'a [Manifest]) -> Self {
        let mut by_agent: HashMap<&str, Vec<&Manifest>> = HashMap::new();
        for manifest in manifests {
            by_agent.entry(&manifest.agent_id).or_default().push(manifest);
        }
        Self(by_agent)
    }

    /// The agent's, as the detector finds it: of its issuer, else of any.
    pub(crate) fn of(&self, agent: &AgentKey) -> Option<&'a Manifest> {
        let named = self.0.get(agent.agent_id.as_str())?;
        let exact = named.iter().find(|m| m.issuer == agent.issuer);
        exact.or_else(|| named.iter().find(|m| m.issuer.is_none())).copied()
    }
}
