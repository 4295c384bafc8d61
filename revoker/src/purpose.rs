//! What is declared of agents: by the configuration, and by persons since.

use std::collections::HashSet;
use std::sync::Arc;

use detector::Manifest;

use crate::agent::AgentKey;
use crate::declared::Declared;
use crate::groups::Groups;
use crate::people::People;

/// All manifests in force, and what the revoker reads of them. The configuration's go before those that persons set.
#[derive(Clone, Debug, Default)]
pub struct Purposes {
    /// Those of the configuration.
    given: Arc<[Manifest]>,
    /// All of them.
    pub all: Arc<[Manifest]>,
    pub(crate) groups: Groups,
    pub(crate) people: People,
    pub(crate) declared: Declared,
}

/// Whose manifest it is; an empty issuer is none.
pub(crate) fn agent_of(manifest: &Manifest) -> AgentKey {
    AgentKey::new(manifest.issuer.as_deref(), &manifest.agent_id)
}

impl Purposes {
    /// Of these of the configuration, and these that persons set.
    pub(crate) fn new(given: Arc<[Manifest]>, set: impl IntoIterator<Item = Manifest>) -> Self {
        let is_given: HashSet<AgentKey> = given.iter().map(agent_of).collect();
        let set = set.into_iter().filter(|manifest| !is_given.contains(&agent_of(manifest)));
        let all: Arc<[Manifest]> = given.iter().cloned().chain(set).collect();
        let (groups, people) = (Groups::declared(&all), People::declared(&all));
        Self { declared: Declared::by(&all), given, all, groups, people }
    }

    /// The same with these that persons set.
    pub(crate) fn with(&self, set: impl IntoIterator<Item = Manifest>) -> Self {
        Self::new(Arc::clone(&self.given), set)
    }

    /// Whether the configuration holds the agent's manifest.
    pub(crate) fn is_given(&self, agent: &AgentKey) -> bool {
        self.given.iter().any(|manifest| agent_of(manifest) == *agent)
    }
}
