//! Fleet-wide commands with four eyes: proposed, confirmed by another person, and then done in the same transaction.

use detector::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::apply::{ApplyError, REASON_CHARS_MAX};
use super::operate::said;
use super::write::Write;
use super::{Pause, Revoker};
use crate::agent::AgentKey;
use crate::fleetwide::{FleetCommand, OFFER_STANDS, Proposal, STANDS, WAITING_MAX, confirm};
use crate::lifecycle::Input;
use crate::store::{StoreError, kin, settings};
use crate::whom::Scope;

/// Agents that one command may end: they are one transaction.
const MEMBERS_MAX: usize = 10_000;

/// Who does it, by name and by name and credential.
#[derive(Clone, Debug)]
pub struct Person {
    /// As they are called.
    pub name: String,
    /// The same with the credential they used, for the audit.
    pub by: String,
}

/// What a confirmed command did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Confirmed {
    /// What was proposed.
    #[serde(flatten)]
    pub proposal: Proposal,
    /// Agents whose access ended.
    pub revoked: usize,
    /// It was offered, and now is proposed: another person has to confirm it.
    pub waits: bool,
}

impl Revoker {
    /// Puts a command before a second person.
    pub async fn propose(
        &self,
        command: FleetCommand,
        person: Person,
        reason: String,
        now: Timestamp,
    ) -> Result<Proposal, ApplyError> {
        said(&person.by, &reason)?;
        match &command {
            FleetCommand::Pause { until: Some(until) } if *until <= now => return Err(ApplyError::Past),
            FleetCommand::RevokeAgents { agents } if agents.len() > MEMBERS_MAX => {
                return Err(ApplyError::TooManyMembers);
            }
            FleetCommand::RevokeGroup { group } if self.inner.purposes().groups.size(group).is_none() => {
                return Err(ApplyError::NoGroup);
            }
            _ => {}
        }
        self.write(move |w| {
            let mut waiting = w.proposals(now)?;
            if waiting.len() >= WAITING_MAX {
                return Err(ApplyError::TooManyProposals);
            }
            let id = format!("{:016x}", rand::random::<u64>());
            let Person { name, by } = person;
            let proposal =
                Proposal { id, command, person: name, by, reason, at: now, expires_at: now + STANDS };
            w.audit(None, "command.proposed", &proposal, now)?;
            waiting.push(proposal.clone());
            settings::set_proposals(w.tx(), &waiting)?;
            Ok(proposal)
        })
        .await
    }

    /// Offers the revocation of agents that are in one incident, once: as a group where a manifest makes them one. Two persons may take
    /// it up.
    pub async fn offer(
        &self,
        incident: String,
        agents: Vec<AgentKey>,
        reason: String,
        now: Timestamp,
    ) -> Result<Option<Proposal>, StoreError> {
        let command = self.inner.purposes().groups.shared(&agents).map_or_else(
            || FleetCommand::RevokeAgents { agents: agents.clone() },
            |group| FleetCommand::RevokeGroup { group: group.to_owned() },
        );
        self.write(move |w| {
            let mut waiting = w.proposals(now)?;
            let nobody = AgentKey::new(None, "");
            if waiting.len() >= WAITING_MAX || !kin::is_first(&w.tx, &nobody, &incident, now)? {
                return Ok(None);
            }
            let (id, person) = (format!("{:016x}", rand::random::<u64>()), String::new());
            let by = "tocsin".to_owned();
            let proposal =
                Proposal { id, command, person, by, reason, at: now, expires_at: now + OFFER_STANDS };
            w.audit(None, "command.offered", &proposal, now)?;
            waiting.push(proposal.clone());
            settings::set_proposals(w.tx(), &waiting)?;
            Ok(Some(proposal))
        })
        .await
    }

    /// Commands that wait for a second person.
    pub async fn proposals(&self, now: Timestamp) -> Result<Vec<Proposal>, StoreError> {
        let all = self.read(settings::proposals).await?;
        Ok(all.into_iter().filter(|proposal| now < proposal.expires_at).collect())
    }

    /// Does what another person proposed, once.
    pub async fn confirm(
        &self,
        id: String,
        person: Person,
        reason: String,
        now: Timestamp,
    ) -> Result<Confirmed, ApplyError> {
        said(&person.by, &reason)?;
        self.write(move |w| {
            let mut waiting = w.proposals(now)?;
            let mut proposal = confirm(&waiting, &id, &person.name, now)?.clone();
            waiting.retain(|other| other.id != id);
            if proposal.is_offer() {
                (proposal.person, proposal.by, proposal.reason) = (person.name, person.by, reason);
                w.audit(None, "command.proposed", &proposal, now)?;
                waiting.push(proposal.clone());
                settings::set_proposals(w.tx(), &waiting)?;
                return Ok(Confirmed { proposal, revoked: 0, waits: true });
            }
            settings::set_proposals(w.tx(), &waiting)?;
            let body = json!({ "proposal": proposal, "by": person.by, "reason": reason });
            w.audit(None, "command.confirmed", &body, now)?;
            let by = format!("{} and {}", proposal.by, person.by);
            let by = by.chars().take(REASON_CHARS_MAX).collect();
            let revoked = w.obey(&proposal, by, now)?;
            Ok(Confirmed { proposal, revoked, waits: false })
        })
        .await
    }
}

impl Write<'_> {
    fn proposals(&self, now: Timestamp) -> Result<Vec<Proposal>, StoreError> {
        let mut waiting = settings::proposals(&self.tx)?;
        waiting.retain(|proposal| now < proposal.expires_at);
        Ok(waiting)
    }

    fn obey(&mut self, proposal: &Proposal, by: String, now: Timestamp) -> Result<usize, ApplyError> {
        let reason = proposal.reason.clone();
        match &proposal.command {
            FleetCommand::Pause { until } => {
                let mut pauses = self.pauses();
                pauses.retain(|pause| !pause.scope.is_all());
                pauses.push(Pause { scope: Scope::default(), by, reason, since: now, until: *until });
                self.set_pauses(pauses)?;
                Ok(0)
            }
            FleetCommand::RevokeGroup { group } => self.revoke_all(self.members(group)?, &by, &reason, now),
            FleetCommand::RevokeAgents { agents } => self.revoke_all(agents.clone(), &by, &reason, now),
        }
    }

    fn revoke_all(
        &mut self,
        agents: Vec<AgentKey>,
        by: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<usize, ApplyError> {
        let mut revoked = 0;
        for agent in agents {
            let input = Input::Revoke { by: by.to_owned(), reason: reason.to_owned() };
            match self.apply(&agent, input, now) {
                Ok(_) => revoked += 1,
                // Revoked or retired before.
                Err(ApplyError::NotAllowed { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(revoked)
    }

    /// Those of the group. A manifest that names no issuer is about its agent under any: under each that the record knows it by.
    fn members(&self, group: &str) -> Result<Vec<AgentKey>, ApplyError> {
        let purposes = self.inner.purposes();
        let groups = &purposes.groups;
        let mut members: Vec<AgentKey> = groups.members(group).collect();
        let memory = self.inner.memory();
        let also = members.iter().filter(|agent| agent.issuer.is_none());
        let also: Vec<AgentKey> = also.flat_map(|agent| memory.named(&agent.agent_id)).collect();
        members.extend(also.into_iter().filter(|agent| groups.named(agent).group == Some(group)));
        members.sort();
        members.dedup();
        if members.len() > MEMBERS_MAX { Err(ApplyError::TooManyMembers) } else { Ok(members) }
    }
}
