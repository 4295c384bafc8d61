//! What manifests declare of agents' lines and lives: who spawns whom, and when an agent ends by itself.

use std::collections::{HashMap, HashSet};

use detector::{Manifest, Timestamp};

use crate::agent::AgentKey;

/// As declared; an agent without an issuer is one under any.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    children: HashMap<String, Vec<AgentKey>>,
    with_task: HashSet<AgentKey>,
    ends: Vec<(AgentKey, Timestamp)>,
}

impl Declared {
    /// By these manifests.
    pub fn by(manifests: &[Manifest]) -> Self {
        let mut declared = Self::default();
        for manifest in manifests {
            let agent = AgentKey::new(manifest.issuer.as_deref(), &manifest.agent_id);
            if let Some(parent) = &manifest.parent {
                declared.children.entry(parent.clone()).or_default().push(agent.clone());
            }
            if manifest.ends_with_task {
                declared.with_task.insert(agent.clone());
            }
            let ends = [manifest.expires, manifest.retired_at].into_iter().flatten().min();
            declared.ends.extend(ends.map(|at| (agent, at)));
        }
        declared
    }

    /// Whom the agent spawns, under its own issuer where their manifests name none.
    pub(crate) fn children(&self, parent: &AgentKey) -> impl Iterator<Item = AgentKey> {
        let named = self.children.get(&parent.agent_id).into_iter().flatten();
        let own = |child: &&AgentKey| {
            child.issuer.is_none() || parent.issuer.is_none() || child.issuer == parent.issuer
        };
        named.filter(own).map(|child| {
            let issuer = child.issuer.as_deref().or(parent.issuer.as_deref());
            AgentKey::new(issuer, &child.agent_id)
        })
    }

    /// Whether the agent lives for one task.
    pub(crate) fn ends_with_task(&self, agent: &AgentKey) -> bool {
        self.with_task.contains(agent) || self.with_task.contains(&AgentKey::new(None, &agent.agent_id))
    }

    /// Those whose declared time is over by now, and since when.
    pub(crate) fn lapsed(&self, now: Timestamp) -> impl Iterator<Item = &(AgentKey, Timestamp)> {
        self.ends.iter().filter(move |(_, at)| *at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    #[test]
    fn children_are_those_of_the_same_issuer() {
        let manifest = |agent: &str, issuer: Option<&str>| Manifest {
            agent_id: agent.to_owned(),
            issuer: issuer.map(str::to_owned),
            parent: Some("planner".to_owned()),
            ..Manifest::default()
        };
        let ends = Manifest {
            ends_with_task: true,
            expires: Some(at(9)),
            retired_at: Some(at(5)),
            ..manifest("c", None)
        };
        let declared = Declared::by(&[manifest("a", Some("i")), manifest("b", Some("j")), ends]);
        let names = |issuer| {
            declared.children(&AgentKey::new(issuer, "planner")).map(|c| c.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(Some("i")), ["a at i", "c at i"]);
        assert_eq!(names(None), ["a at i", "b at j", "c"]);
        assert!(declared.ends_with_task(&AgentKey::new(Some("i"), "c")));
        assert!(!declared.ends_with_task(&AgentKey::new(Some("i"), "a")));
        assert_eq!((declared.lapsed(at(4)).count(), declared.lapsed(at(5)).count()), (0, 1));
    }
}
