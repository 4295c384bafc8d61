//! The register: what persons put on record of agents. It decides nothing and changes no standing.

use std::collections::BTreeMap;

use detector::Timestamp;
use serde_json::json;

use super::Revoker;
use super::apply::ApplyError;
use super::operate::said;
use crate::agent::AgentKey;
use crate::store::db;
use crate::store::register::{self, Accountable, Registration, Signature};
use crate::store::{Page, StoreError, agents};

/// Names of an entry, at most.
const APPROVERS_MAX: usize = 100;

impl Revoker {
    /// Puts an agent on record with those who answer for it.
    pub async fn register(
        &self,
        agent: AgentKey,
        accountable: Accountable,
        by: String,
        reason: String,
        now: Timestamp,
    ) -> Result<Registration, ApplyError> {
        said(&by, &reason)?;
        let few = [&accountable.owner, &accountable.sponsor].into_iter().flatten();
        let are_names = few.chain(&accountable.approvers).all(|name| said(name, &reason).is_ok());
        if !are_names || accountable.approvers.len() > APPROVERS_MAX {
            return Err(ApplyError::Names { max: APPROVERS_MAX });
        }
        self.write(move |w| {
            let body = json!({ "by": by, "reason": reason, "accountable": accountable });
            register::register(w.tx(), &agent, &accountable, &Signature { at: now, by })?;
            w.audit(Some(&agent), "agent.registered", &body, now)?;
            entry(w.tx(), &agent)
        })
        .await
    }

    /// Puts on record that a person looked at an agent and, where it has one, at this edition of its manifest.
    pub async fn review(
        &self,
        agent: AgentKey,
        manifest: Option<String>,
        by: String,
        reason: String,
        now: Timestamp,
    ) -> Result<Registration, ApplyError> {
        said(&by, &reason)?;
        if let Some(manifest) = &manifest {
            said(manifest, &reason)?;
        }
        self.write(move |w| {
            let body = json!({ "by": by, "reason": reason, "manifest": manifest });
            register::review(w.tx(), &agent, manifest.as_deref(), &Signature { at: now, by })?;
            w.audit(Some(&agent), "agent.reviewed", &body, now)?;
            entry(w.tx(), &agent)
        })
        .await
    }

    /// What is on record of one agent.
    pub async fn registration(&self, agent: AgentKey) -> Result<Option<Registration>, StoreError> {
        self.read(move |db| register::of(db, &agent)).await
    }

    /// All that is on record.
    pub async fn registrations(&self) -> Result<Vec<Registration>, StoreError> {
        self.read(register::all).await
    }

    /// The agents that a manifest or the register names, by issuer and name, and who answers for each.
    pub async fn accountable_agents(&self) -> Result<Vec<(AgentKey, Accountable)>, StoreError> {
        let entries = self.registrations().await?;
        let purposes = self.inner.purposes();
        let mut said: BTreeMap<AgentKey, Accountable> =
            purposes.people.agents().map(|agent| (agent, Accountable::default())).collect();
        said.extend(entries.into_iter().map(|entry| (entry.agent, entry.accountable)));
        let of = |(agent, recorded)| {
            let people = purposes.people.of(&agent, recorded);
            (agent, people)
        };
        Ok(said.into_iter().map(of).collect())
    }

    /// Agents that are not plainly trusted, last changed first, at most so many.
    pub async fn standings_up_to(&self, rows_max: usize) -> Result<Vec<agents::StandingRow>, StoreError> {
        let (mut rows, mut cursor) = (Vec::new(), None);
        while rows.len() < rows_max {
            let part = self.standings(Page::new(Page::LIMIT_MAX, cursor)).await?;
            let Some(last) = part.last() else { break };
            cursor = Some(last.cursor);
            rows.extend(part);
        }
        rows.truncate(rows_max);
        Ok(rows)
    }
}

fn entry(tx: &db::Transaction<'_>, agent: &AgentKey) -> Result<Registration, ApplyError> {
    let entry = register::of(tx, agent)?;
    entry.ok_or_else(|| StoreError::damaged("an entry of the register that was just written is gone").into())
}
