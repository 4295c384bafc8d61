//! Who spawned whom.

use std::collections::{BTreeMap, HashSet};

use revoker::agent::AgentKey;
use serde::Serialize;

use super::Register;

/// Generations below an agent that are looked at.
const DEPTH_MAX: usize = 16;

/// An agent in its place. Rows come as a tree is read: a parent, then each of its children with all that is below it.
#[derive(Debug, Serialize)]
pub(crate) struct Branch {
    agent: AgentKey,
    /// By its manifest, or else by its calls; none at the top.
    parent: Option<String>,
    depth: usize,
    /// Agents right below it.
    children: usize,
    calls: u64,
    /// Calls of it and of all below it.
    line_calls: u64,
}

impl Register<'_> {
    /// All lines, or the one that begins with an agent. An agent stands under one parent, and once. Who has neither parent
    /// nor child is in no line; a circle begins with the first of its names.
    pub(crate) fn tree(&self, from: Option<&AgentKey>) -> Vec<Branch> {
        let mut below: BTreeMap<AgentKey, Vec<&AgentKey>> = BTreeMap::new();
        for agent in self.agents.keys() {
            if let Some(parent) = self.parent(agent) {
                below.entry(parent).or_default().push(agent);
            }
        }
        let mut tree = Tree { register: self, below, listed: HashSet::new(), rows: Vec::new() };
        if let Some(from) = from {
            tree.list(from, 0);
            return tree.rows;
        }
        // First whoever stands at a top, then circles, and what hangs off these under them.
        let is_top = |agent: &&AgentKey| self.parent(agent).is_none_or(|p| !self.agents.contains_key(&p));
        let (tops, others): (Vec<&AgentKey>, Vec<&AgentKey>) = self.agents.keys().partition(is_top);
        let (circles, others): (Vec<&AgentKey>, Vec<&AgentKey>) =
            others.into_iter().partition(|agent| self.is_on_circle(agent));
        let is_in_line = |agent: &&AgentKey| tree.below.contains_key(*agent) || self.parent(agent).is_some();
        let all: Vec<&AgentKey> = tops.into_iter().chain(circles).chain(others).filter(is_in_line).collect();
        for agent in all {
            tree.list(agent, 0);
        }
        tree.rows
    }

    /// Whether an agent is among those above itself.
    fn is_on_circle(&self, agent: &AgentKey) -> bool {
        let above = std::iter::successors(self.parent(agent), |above| self.parent(above));
        above.take(DEPTH_MAX).any(|above| above == *agent)
    }

    /// The parent under which an agent stands; of several that its calls name the first by name. Where only a manifest speaks of that one,
    /// under any issuer, it is listed so.
    fn parent(&self, agent: &AgentKey) -> Option<AgentKey> {
        let parent = self.parents(agent).into_iter().min()?;
        let of_any = AgentKey::new(None, &parent.agent_id);
        let is_of_any = !self.agents.contains_key(&parent) && self.agents.contains_key(&of_any);
        Some(if is_of_any { of_any } else { parent })
    }
}

struct Tree<'a> {
    register: &'a Register<'a>,
    below: BTreeMap<AgentKey, Vec<&'a AgentKey>>,
    listed: HashSet<AgentKey>,
    rows: Vec<Branch>,
}

impl Tree<'_> {
    /// Lists an agent and all below it, and gives how many calls those made; none of what is listed already.
    fn list(&mut self, agent: &AgentKey, depth: usize) -> u64 {
        if depth > DEPTH_MAX || !self.listed.insert(agent.clone()) {
            return 0;
        }
        let known = self.register.agents.get(agent);
        let calls = known.and_then(|known| known.seen.as_ref()).map_or(0, |seen| seen.calls);
        let parent = self.register.parent(agent).map(|parent| parent.agent_id);
        let children = self.below.get(agent).cloned().unwrap_or_default();
        let row = self.rows.len();
        let branch = Branch {
            agent: agent.clone(),
            parent,
            depth,
            children: children.len(),
            calls,
            line_calls: calls,
        };
        self.rows.push(branch);
        for child in children {
            let more = self.list(child, depth + 1);
            self.rows[row].line_calls += more;
        }
        self.rows[row].line_calls
    }
}
