//! Who is ended with an agent: whom it spawned, planned before anything is done.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError};

use detector::{MicroBits, Timestamp, VerdictRecord};
use serde::Serialize;
use serde_json::json;

use super::apply::{ApplyError, Case};
use super::operate::said;
use super::write::Write;
use super::{Inner, Revoker};
use crate::agent::{AgentKey, Txn};
use crate::config::Cascade;
use crate::effect::{Cause, ENDINGS};
use crate::lifecycle::Input;
use crate::policy::Demand;
use crate::standing::Standing;
use crate::store::db::Connection;
use crate::store::{StoreError, kin};

/// Agents that one cascade may end: they are one transaction.
const MEMBERS_MAX: usize = 1_000;
/// Children that a message names.
const NAMED_MAX: usize = 8;
/// Pairs remembered, so that only new ones are written.
const KNOWN_MAX: usize = 65_536;

/// What ending an agent would do to one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// Which.
    pub agent: AgentKey,
    /// Who spawned it; none of the agent itself.
    pub parent: Option<AgentKey>,
    /// How that is known: `manifest` or `calls`.
    pub known_by: Option<&'static str>,
    /// Where it stands.
    pub standing: &'static str,
    /// Why nothing is done to it; none where its access ends.
    pub excepted: Option<String>,
    /// Who is told, in their order; those of the escalation list that stand by, last.
    pub targets: Vec<String>,
}

impl Inner {
    /// Learns who spawned whom, of callers that a log line cannot make up.
    pub(super) fn learn_kin(&self, record: &VerdictRecord, now: Timestamp) -> Result<(), StoreError> {
        let Some(parent) =
            record.beside.parent_agent_id.as_deref().filter(|parent| *parent != record.agent_id)
        else {
            return Ok(());
        };
        if !record.verdict.attestation.allows_automatic_revocation() {
            return Ok(());
        }
        let mut hasher = DefaultHasher::new();
        (&record.issuer, &record.agent_id, parent).hash(&mut hasher);
        let pair = hasher.finish();
        let known = || self.kin_known.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&pair) {
            return Ok(());
        }
        let child = AgentKey::new(record.issuer.as_deref(), &record.agent_id);
        self.write(|w| kin::learn(&w.tx, &child, parent, now))?;
        let mut known = known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(pair);
        Ok(())
    }
}

impl Inner {
    fn children(
        &self,
        db: &Connection,
        parent: &AgentKey,
    ) -> Result<Vec<(AgentKey, &'static str)>, StoreError> {
        let purposes = self.purposes();
        let declared = purposes.declared.children(parent).map(|child| (child, "manifest"));
        let limit = u32::try_from(MEMBERS_MAX + 1).unwrap_or(u32::MAX);
        let seen = kin::children(db, parent, limit)?.into_iter().map(|child| (child, "calls"));
        Ok(declared.chain(seen).collect())
    }

    /// Whom the agent spawned, in words.
    pub(super) fn spawned(&self, db: &Connection, agent: &AgentKey) -> Result<Option<String>, StoreError> {
        let mut children: Vec<_> =
            self.children(db, agent)?.into_iter().map(|(child, _)| child.agent_id).collect();
        children.sort();
        children.dedup();
        let more = match children.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        children.truncate(NAMED_MAX);
        Ok((!children.is_empty()).then(|| format!("it spawned {}{more}", children.join(", "))))
    }
}

impl Revoker {
    /// What ending the agent and whom it spawned would do, agent by agent.
    pub async fn plan(
        &self,
        agent: AgentKey,
        cascade: Cascade,
        now: Timestamp,
    ) -> Result<Vec<Planned>, ApplyError> {
        self.write(move |w| w.plan(&agent, cascade, now)).await
    }

    /// Whom the agent spawned, in words.
    pub async fn spawned(&self, agent: AgentKey) -> Result<Option<String>, StoreError> {
        let inner = Arc::clone(&self.inner);
        self.read(move |db| inner.spawned(db, &agent)).await
    }

    /// Does it, as one story, and says what was done.
    pub async fn revoke_with(
        &self,
        agent: AgentKey,
        cascade: Cascade,
        by: String,
        reason: String,
        now: Timestamp,
    ) -> Result<Vec<Planned>, ApplyError> {
        said(&by, &reason)?;
        self.write(move |w| {
            let plan = w.plan(&agent, cascade, now)?;
            w.apply(&agent, Input::Revoke { by: by.clone(), reason: reason.clone() }, now)?;
            let txn = w.held(&agent).map_or_else(Txn::random, |held| held.txn);
            for planned in plan.iter().skip(1).filter(|planned| planned.excepted.is_none()) {
                let policy = w.policy_for(&planned.agent, now);
                w.settle(&planned.agent, &policy, now)?;
                let input = Input::Revoke { by: by.clone(), reason: reason.clone() };
                let (agent, txn) = (&planned.agent, Some(&txn));
                w.run(&Case { agent, input: &input, record: None, policy: &policy, txn, now })?;
            }
            w.audit_in(&txn, Some(&agent), "revocation.cascaded", &json!({ "plan": plan }), now)?;
            Ok(plan)
        })
        .await
    }
}

impl Write<'_> {
    /// The agent and, as far as the cascade goes, whom it spawned: nearest first, each once.
    fn plan(&self, agent: &AgentKey, cascade: Cascade, now: Timestamp) -> Result<Vec<Planned>, ApplyError> {
        let mut plan = vec![self.planned(agent, None, now)?];
        plan[0].excepted = plan[0].excepted.take().filter(|_| has_ended(&self.standing(agent)));
        for (child, parent, known_by) in self.line(agent, cascade)? {
            plan.push(self.planned(&child, Some((parent, known_by)), now)?);
        }
        Ok(plan)
    }

    fn line(
        &self,
        agent: &AgentKey,
        cascade: Cascade,
    ) -> Result<Vec<(AgentKey, AgentKey, &'static str)>, ApplyError> {
        let (mut line, mut seen, mut open) =
            (Vec::new(), HashSet::from([agent.clone()]), VecDeque::from([agent.clone()]));
        if cascade == Cascade::None {
            return Ok(line);
        }
        while let Some(parent) = open.pop_front() {
            for (child, known_by) in self.inner.children(&self.tx, &parent)? {
                if !seen.insert(child.clone()) {
                    continue;
                }
                if line.len() >= MEMBERS_MAX {
                    return Err(ApplyError::TooManyMembers);
                }
                if cascade == Cascade::Descendants {
                    open.push_back(child.clone());
                }
                line.push((child, parent.clone(), known_by));
            }
        }
        Ok(line)
    }

    fn planned(
        &self,
        agent: &AgentKey,
        parent: Option<(AgentKey, &'static str)>,
        now: Timestamp,
    ) -> Result<Planned, StoreError> {
        let standing = self.standing(agent);
        let withheld = self.policy_for(agent, now).withholds(Demand::Revoke);
        let excepted = if has_ended(&standing) {
            Some(format!("it is {} already", standing.name()))
        } else {
            withheld.map(|why| why.to_string())
        };
        let mut told: Vec<_> = self.routes(agent)?;
        told.retain(|route| route.enforces && route.wants(ENDINGS[0], agent));
        told.sort_by_key(|route| route.rank);
        let targets = told.into_iter().map(|route| route.name).collect();
        let (parent, known_by) = parent.unzip();
        Ok(Planned { agent: agent.clone(), parent, known_by, standing: standing.name(), excepted, targets })
    }

    /// Where policy says so, whoever the agent spawned ends with it, under the governor's caps; who is excepted is named.
    pub(super) fn cascade_of(
        &mut self,
        case: &Case<'_>,
        (from, to): (&Standing, &Standing),
        txn: &Txn,
    ) -> Result<(), StoreError> {
        let cascade = case.policy.config().cascade;
        // A command says itself whether it cascades, and a cascade is planned whole at its head.
        let is_head = match case.input {
            Input::Revoke { .. } | Input::Retire { .. } => false,
            Input::Ended { cause, .. } => *cause != Cause::Parent,
            _ => true,
        };
        if cascade == Cascade::None || !is_head || has_ended(from) || !has_ended(to) {
            return Ok(());
        }
        let line = match self.line(case.agent, cascade) {
            Ok(line) => line,
            Err(ApplyError::Store(e)) => return Err(e),
            Err(e) => {
                let body = json!({ "excepted": e.to_string() });
                return self
                    .audit_in(txn, Some(case.agent), "revocation.cascaded", &body, case.now)
                    .map(drop);
            }
        };
        let strength = match case.input {
            Input::Verdict { evidence, .. } => evidence.own,
            _ => MicroBits::ZERO,
        };
        let because = format!("{}, which spawned it, was ended", case.agent);
        let mut plan = Vec::new();
        for (child, parent, known_by) in line {
            let mut planned = self.planned(&child, Some((parent, known_by)), case.now)?;
            if planned.excepted.is_none() {
                let input = Input::Ended { cause: Cause::Parent, because: because.clone(), strength };
                let policy = self.policy_for(&child, case.now);
                let (agent, txn) = (&child, Some(txn));
                self.run(&Case { agent, input: &input, record: None, policy: &policy, txn, now: case.now })?;
                if !has_ended(&self.standing(&child)) {
                    planned.excepted = Some("a cap on automatic revocations is used up".to_owned());
                }
            }
            plan.push(planned);
        }
        if plan.is_empty() {
            return Ok(());
        }
        self.audit_in(txn, Some(case.agent), "revocation.cascaded", &json!({ "plan": plan }), case.now)
            .map(drop)
    }
}

fn has_ended(standing: &Standing) -> bool {
    matches!(standing, Standing::Revoked(_) | Standing::Retired(_))
}
