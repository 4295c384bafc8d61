//! One transaction, and the memory that follows it.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

use detector::{Position, Timestamp, VerdictId};
use serde::Serialize;

use super::journal::Entry;
use super::memory::Held;
use super::{Inner, Settled};
use crate::agent::{AgentKey, Txn};
use crate::approval::ApprovalId;
use crate::approval::webauthn::RelyingParty;
use crate::audit::{self, NewEntry};
use crate::connector::Route;
use crate::part::Part;
use crate::reach::Reach;
use crate::standing::Standing;
use crate::store::changes::Change;
use crate::store::db::Transaction;
use crate::store::register::{self, Accountable};
use crate::store::revocations::Lifted;
use crate::store::settings::{self, Pause, Spent};
use crate::store::{StoreError, escalation, reach, ssf, to_json};

/// A transaction under way. What is done with it happens whole or not at all.
pub struct Write<'c> {
    pub(super) tx: Transaction<'c>,
    pub(super) inner: &'c Inner,
    pub(super) changed: HashMap<AgentKey, Option<Held>>,
    /// How far calls count, of agents that were heard of.
    pub(super) reached: HashMap<AgentKey, Reach>,
    /// Verdicts that changed something.
    pub(super) handled: Vec<VerdictId>,
    /// How many agents are challenged now that were not.
    pub(super) challenged: usize,
    /// Parts whose access ended or was given back.
    pub(super) ended: Vec<(AgentKey, Part, Option<Timestamp>)>,
    /// Agents whose access ended (none) or was given back.
    pub(super) lifted: Vec<(AgentKey, Option<Lifted>)>,
    /// The same, and where they stand, for the journal.
    pub(super) journal: Vec<Entry>,
    /// Agents whose declared time was seen to be over.
    pub(super) lapsed: Vec<(AgentKey, Timestamp)>,
    /// Whether a manifest was set.
    pub(super) declared: bool,
    /// Questions that ended.
    pub(super) settled: Vec<ApprovalId>,
    pauses: Option<Vec<Pause>>,
    spent: Option<Spent>,
}

impl Inner {
    /// Runs `f` in one transaction. An error rolls everything back.
    pub(super) fn write<T, E: From<StoreError>>(
        &self,
        f: impl FnOnce(&mut Write<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        // Held until the memory has followed, so that changes reach it in the order of their commits.
        let mut db = self.store.writer();
        let before = db.total_changes();
        let tx = db.transaction().map_err(StoreError::from)?;
        self.catch_up(&tx)?;
        let mut write = Write {
            tx,
            inner: self,
            changed: HashMap::new(),
            reached: HashMap::new(),
            handled: Vec::new(),
            challenged: 0,
            ended: Vec::new(),
            lifted: Vec::new(),
            journal: Vec::new(),
            lapsed: Vec::new(),
            declared: false,
            settled: Vec::new(),
            pauses: None,
            spent: None,
        };
        let answer = f(&mut write)?;
        let Write {
            tx,
            changed,
            reached,
            handled,
            ended,
            lifted,
            journal,
            lapsed,
            declared,
            settled,
            pauses,
            spent,
            ..
        } = write;
        if let Some(spent) = &spent {
            settings::set_spent(&tx, spent)?;
        }
        let touched = tx.total_changes() != before;
        let told = if touched && tx.is_shared() {
            let more = [
                pauses.as_ref().map(|_| Change::Pauses),
                spent.as_ref().map(|_| Change::Spent),
                ended.first().map(|_| Change::Parts),
                declared.then_some(Change::Manifests),
            ];
            let handled = handled.iter().copied().map(Change::Handled);
            Some(self.tell(&tx, &changed, handled.chain(more.into_iter().flatten()))?)
        } else {
            None
        };
        let purposes = if declared { Some(self.purposes_by(&tx)?) } else { None };
        tx.commit().map_err(StoreError::from)?;
        self.journal.add(&journal);
        if let Some(purposes) = purposes {
            self.set_purposes(purposes);
        }
        self.follow(changed, reached, handled, pauses, spent);
        self.memory_mut().set_lapsed(lapsed);
        for (agent, part, not_before) in ended {
            self.memory_mut().set_ended(&agent, part, not_before);
        }
        for (agent, lifted) in lifted {
            self.memory_mut().set_lifted(&agent, lifted);
        }
        if let Some(last) = told {
            self.seen.store(last, Relaxed);
        }
        if touched {
            self.changes.send_modify(|commits| *commits = commits.wrapping_add(1));
        }
        if !settled.is_empty() {
            self.tell_settled(Settled::These(settled.into()));
        }
        Ok(answer)
    }

    fn follow(
        &self,
        changed: HashMap<AgentKey, Option<Held>>,
        reached: HashMap<AgentKey, Reach>,
        handled: Vec<VerdictId>,
        pauses: Option<Vec<Pause>>,
        spent: Option<Spent>,
    ) {
        let mut memory = self.memory_mut();
        for (agent, held) in changed {
            memory.set(&agent, held);
        }
        for (agent, reach) in reached {
            memory.set_reach(agent, reach);
        }
        for verdict in handled {
            memory.remember(verdict);
        }
        if let Some(spent) = spent {
            memory.set_spent(spent);
        }
        if let Some(pauses) = pauses {
            memory.set_pauses(pauses);
        }
    }
}

impl Write<'_> {
    /// The transaction itself, for what this type has no verb for.
    pub fn tx(&self) -> &Transaction<'_> {
        &self.tx
    }

    /// Whoever waits for this question is told once it is written down.
    pub(crate) fn settled(&mut self, question: ApprovalId) {
        self.settled.push(question);
    }

    /// Who relies on passkeys, where they can be used.
    pub(crate) fn relying_party(&self) -> Option<&'_ RelyingParty> {
        self.inner.relying_party.as_ref()
    }

    /// Where the agent stands, as this transaction sees it.
    pub fn standing(&self, agent: &AgentKey) -> Standing {
        self.held(agent).map_or(Standing::Trusted, |held| held.live)
    }

    pub(super) fn held(&self, agent: &AgentKey) -> Option<Held> {
        match self.changed.get(agent) {
            Some(held) => held.clone(),
            None => self.inner.memory().get(agent.issuer.as_deref(), &agent.agent_id).cloned(),
        }
    }

    /// How far the agent's calls count, as this transaction sees it.
    fn reach(&self, agent: &AgentKey) -> Result<Option<Reach>, StoreError> {
        let known = self.reached.get(agent).cloned().or_else(|| self.inner.memory().reach(agent).cloned());
        known.map_or_else(|| reach::of(&self.tx, agent), |reach| Ok(Some(reach)))
    }

    /// Counts the agent's call at this position, which may say nothing against it. False where it counts already, or comes too late to.
    pub(super) fn count(
        &mut self,
        agent: &AgentKey,
        at: Option<&Position>,
        says_nothing: bool,
    ) -> Result<bool, StoreError> {
        let Some(at) = at else { return Ok(true) };
        let (mut reach, standing) = (self.reach(agent)?.unwrap_or_default(), self.standing(agent));
        if reach.covers(at) || (says_nothing && is_calmed(&standing) && reach.is_before(at)) {
            return Ok(false);
        }
        if standing == Standing::Trusted {
            reach.begin(at);
        }
        reach.extend(at);
        self.reached.insert(agent.clone(), reach);
        Ok(true)
    }

    /// What is written down of the agent holds its calls as far as this.
    pub(super) fn keep_reach(&self, agent: &AgentKey, now: Timestamp) -> Result<(), StoreError> {
        self.reach(agent)?.map_or(Ok(()), |reach| reach::put(&self.tx, agent, &reach, now))
    }

    /// Writes an entry into the audit, in the story the agent is in or one of its own.
    pub fn audit(
        &mut self,
        agent: Option<&AgentKey>,
        kind: &str,
        body: &impl Serialize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let txn = agent.and_then(|agent| self.held(agent)).map_or_else(Txn::random, |held| held.txn);
        self.audit_in(&txn, agent, kind, body, now).map(drop)
    }

    pub(crate) fn audit_in(
        &mut self,
        txn: &Txn,
        agent: Option<&AgentKey>,
        kind: &str,
        body: &impl Serialize,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let body = to_json(body)?;
        audit::append(&self.tx, &self.inner.keys, &NewEntry { at: now, txn, agent, kind, body: &body })
    }

    /// Who is told about this agent: the targets of the configuration, and the streams that receivers have made by now.
    pub(super) fn routes(&self, agent: &AgentKey) -> Result<Vec<Route>, StoreError> {
        let mut routes = self.inner.routes.clone();
        routes.extend(ssf::routes(&self.tx, agent)?);
        Ok(routes)
    }

    /// Who answers for this agent.
    pub(super) fn people(&self, agent: &AgentKey) -> Result<Accountable, StoreError> {
        let recorded = register::of(&self.tx, agent)?.map(|entry| entry.accountable);
        Ok(self.inner.purposes().people.of(agent, recorded.unwrap_or_default()))
    }

    /// Whether the target may act on what it is told: one that is configured for people only does not.
    pub(super) fn enforces(&self, target: &str) -> bool {
        self.inner.routes.iter().all(|route| route.name != target || route.enforces)
    }

    /// Whether the target is in the escalation list.
    pub(crate) fn is_ranked(&self, target: &str) -> bool {
        self.inner.routes.iter().any(|route| route.name == target && route.rank.is_some())
    }

    /// Lets the next target of the escalation list take its turn, and says so.
    pub(crate) fn escalate(
        &mut self,
        event_seq: i64,
        (agent, txn): (&AgentKey, &Txn),
        failed: &[String],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if let Some(next) = escalation::escalate(&self.tx, event_seq, now)? {
            self.tell_escalation((agent, txn), failed, &next, now)?;
        }
        Ok(())
    }

    /// What calls that were accepted after access had ended say of the targets that had acknowledged it.
    pub(super) fn disprove(
        &mut self,
        (agent, part, txn): (&AgentKey, Option<&Part>, &Txn),
        call: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let tolerance = self.inner.memory().policy().config().clock_tolerance_s.duration();
        let (refuted, next) =
            escalation::disprove(&self.tx, &self.routes(agent)?, (agent, part), (call, tolerance), now)?;
        if !refuted.is_empty() {
            let body = serde_json::json!({ "targets": refuted, "call": call });
            self.audit_in(txn, Some(agent), "delivery.refuted", &body, now)?;
        }
        match next {
            Some(next) => self.tell_escalation((agent, txn), &refuted, &next, now),
            None => Ok(()),
        }
    }

    fn tell_escalation(
        &mut self,
        (agent, txn): (&AgentKey, &Txn),
        failed: &[String],
        next: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        metrics::counter!("tocsin_escalations_total", "target" => next.to_owned()).increment(1);
        let body = serde_json::json!({ "failed": failed, "next": next });
        self.audit_in(txn, Some(agent), "revocation.escalated", &body, now).map(drop)
    }

    /// What was done automatically of late, as this transaction sees it.
    pub(super) fn spent(&self) -> Spent {
        self.spent.clone().unwrap_or_else(|| self.inner.memory().spent().clone())
    }

    pub(super) fn set_spent(&mut self, spent: Spent) {
        self.spent = Some(spent);
    }

    /// The pauses, as this transaction sees them.
    pub(super) fn pauses(&self) -> Vec<Pause> {
        self.pauses.clone().unwrap_or_else(|| self.inner.memory().pauses().to_vec())
    }

    pub(super) fn set_pauses(&mut self, pauses: Vec<Pause>) -> Result<(), StoreError> {
        settings::set_pauses(&self.tx, &pauses)?;
        self.pauses = Some(pauses);
        Ok(())
    }
}

/// Whether it ends by calls that say nothing.
pub(super) fn is_calmed(standing: &Standing) -> bool {
    matches!(standing, Standing::Watched(_) | Standing::Probation(_))
}
