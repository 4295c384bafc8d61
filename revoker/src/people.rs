//! Who answers for an agent: as its manifest declares, and as persons have put on record.

use std::collections::HashMap;

use detector::Manifest;

use crate::agent::AgentKey;
use crate::store::register::Accountable;

/// The people that manifests name.
#[derive(Clone, Debug, Default)]
pub struct People {
    of: HashMap<String, Vec<(Option<String>, Accountable)>>,
}

impl People {
    /// Those of these manifests.
    pub fn declared(manifests: &[Manifest]) -> Self {
        let mut people = Self::default();
        for manifest in manifests {
            let said = Accountable {
                owner: manifest.owner.clone(),
                sponsor: manifest.sponsor.clone(),
                approvers: manifest.approvers.clone(),
            };
            let issuer = manifest.issuer.clone().filter(|issuer| !issuer.is_empty());
            people.of.entry(manifest.agent_id.clone()).or_default().push((issuer, said));
        }
        people
    }

    /// What is declared of the agent, by a manifest of its own issuer first.
    fn declared_of(&self, agent: &AgentKey) -> Option<&Accountable> {
        let declared = self.of.get(&agent.agent_id)?;
        let under = |wanted: Option<&str>| declared.iter().find(|(issuer, _)| issuer.as_deref() == wanted);
        under(agent.issuer.as_deref()).or_else(|| under(None)).map(|(_, said)| said)
    }

    /// Who answers for the agent: what its manifest says, and where that is silent what is on record.
    pub(crate) fn of(&self, agent: &AgentKey, recorded: Accountable) -> Accountable {
        let declared = self.declared_of(agent).cloned().unwrap_or_default();
        Accountable {
            owner: declared.owner.or(recorded.owner),
            sponsor: declared.sponsor.or(recorded.sponsor),
            approvers: if declared.approvers.is_empty() { recorded.approvers } else { declared.approvers },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_speaks_first_and_the_record_where_it_is_silent() {
        let manifest = |issuer: Option<&str>, owner: Option<&str>, approvers: &[&str]| Manifest {
            agent_id: "a".into(),
            issuer: issuer.map(str::to_owned),
            owner: owner.map(str::to_owned),
            approvers: approvers.iter().map(ToString::to_string).collect(),
            ..Manifest::default()
        };
        let people = People::declared(&[
            manifest(None, Some("anyones"), &["Ann"]),
            manifest(Some("https://idp"), None, &[]),
        ]);
        let recorded =
            Accountable { owner: Some("recorded".into()), sponsor: None, approvers: vec!["Bob".into()] };
        let of = |issuer| people.of(&AgentKey::new(issuer, "a"), recorded.clone());
        assert_eq!(of(Some("https://idp")), recorded);
        assert_eq!((of(None).owner.unwrap(), of(None).approvers), ("anyones".into(), vec!["Ann".to_owned()]));
        assert_eq!(people.of(&AgentKey::new(None, "b"), recorded.clone()), recorded);
    }
}
