//! A verdict's way through: from memory where nothing changes, through a transaction where something does.

use std::sync::Arc;

use detector::{EffectiveAttestation, Kind, MicroBits, Position, Timestamp, VerdictRecord};

use super::Inner;
use super::apply::{Case, Ran};
use super::decision::{Admission, Decision};
use super::memory::worth_keeping;
use super::write::{Write, is_calmed};
use crate::agent::{AgentKey, CaseId};
use crate::lifecycle::{Input, step};
use crate::policy::{Demand, Evidence, Policy};
use crate::reach::Reach;
use crate::restraint::Restraint;
use crate::standing::Standing;
use crate::store::{StoreError, agents, approvals, handled};
use crate::whom::Named;

/// What one transaction takes at most, so that nobody waits long for their turn to write.
const TOGETHER_MAX: usize = 256;

/// What the revoker hears of an agent.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A verdict.
    Verdict(Arc<VerdictRecord>),
    /// A log says at this position how a call ended: the agent got so many bytes more.
    Got(AgentKey, u64, Position),
    /// A task of an agent has ended.
    TaskEnded {
        /// Whose.
        agent: AgentKey,
        /// The record that says so.
        event_id: String,
        /// What that is worth.
        attestation: EffectiveAttestation,
    },
}

impl Inner {
    /// Takes the first of what is heard; where that takes a transaction, which is a sync, all that follows and can join it. Gives what
    /// was decided on each that was taken: nothing, where it is no verdict.
    pub(super) fn hear(&self, heard: &[Heard], now: Timestamp) -> Result<Vec<Option<Decision>>, StoreError> {
        let from_memory = match heard.first() {
            None => return Ok(Vec::new()),
            Some(Heard::Verdict(record)) => {
                let evidence = self.evidence(record, now);
                self.trusted(record, &evidence).or_else(|| self.quietly(record, &evidence, now)).map(Some)
            }
            Some(other) => (!self.concerns(other)).then_some(None),
        };
        if let Some(decision) = from_memory {
            return Ok(vec![decision]);
        }
        self.write(|w| {
            let mut decided = Vec::new();
            for next in heard.iter().take(TOGETHER_MAX) {
                if w.has_ended_for(next) {
                    break;
                }
                decided.push(w.hear(next, now)?);
            }
            Ok(decided)
        })
    }

    /// What the verdict says to this installation.
    fn evidence(&self, record: &VerdictRecord, now: Timestamp) -> Evidence {
        let purposes = self.purposes();
        let group = purposes.groups.of(record.issuer.as_deref(), &record.agent_id);
        let mut evidence = self.memory().policy().evidence(record, group);
        self.place_part(record, &mut evidence);
        // Only whom a log cannot make up: names that anybody can write down must not raise a cap that goes by them.
        if evidence.attestation.allows_automatic_revocation() {
            self.crowd.saw(record.issuer.as_deref(), &record.agent_id, now);
        }
        evidence
    }

    /// Whether it may change anything.
    fn concerns(&self, heard: &Heard) -> bool {
        match heard {
            Heard::Verdict(_) => true,
            Heard::Got(agent, bytes, _) => {
                let memory = self.memory();
                let held = memory.get(agent.issuer.as_deref(), &agent.agent_id);
                *bytes > 0 && held.is_some_and(|held| matches!(held.live, Standing::Challenged(_)))
            }
            Heard::TaskEnded { agent, attestation, .. } => self.ends_with_task(agent, *attestation),
        }
    }

    /// Nothing is held against the agent and nothing is to be: the way of nearly every call.
    fn trusted(&self, record: &VerdictRecord, evidence: &Evidence) -> Option<Decision> {
        let memory = self.memory();
        let nothing = evidence.gone.is_none()
            && memory.get(record.issuer.as_deref(), &record.agent_id).is_none()
            && memory.policy().demand(evidence, MicroBits::ZERO) == Demand::None
            && !memory.is_recent(evidence.verdict);
        nothing.then(|| decision(record, &Standing::Trusted))
    }

    /// A standing that only remembers a little more than before.
    fn quietly(&self, record: &VerdictRecord, evidence: &Evidence, now: Timestamp) -> Option<Decision> {
        // Writers are kept out, so that none changes the standing between the look and the note.
        let _writer = self.store.writer();
        let mut memory = self.memory_mut();
        let held = memory.get(record.issuer.as_deref(), &record.agent_id)?;
        // A request on probation may be one that a human approved, which only the store knows.
        let asks = evidence.kind == Kind::Request && matches!(held.live, Standing::Probation(_));
        if asks || memory.is_recent(evidence.verdict) || held.live.due().is_some_and(|due| due <= now) {
            return None;
        }
        let (agent, at) = (agent_of(record), record.beside.position.as_ref());
        let reach = memory.reach(&agent);
        if reach.is_none() && at.is_some() {
            return None;
        }
        let input = Input::Verdict { evidence: *evidence, fresh: CaseId::random() };
        let (issuer, agent_id) = (record.issuer.as_deref(), record.agent_id.as_str());
        let purposes = self.purposes();
        let who = Named { issuer, agent_id, group: purposes.groups.of(issuer, agent_id) };
        let policy = memory.policy_for(&who, now);
        let is_late = is_calmed(&held.live) && says_nothing(&policy, evidence);
        let counts_not = |(at, reach): (_, &Reach)| reach.covers(at) || (is_late && reach.is_before(at));
        if at.zip(reach).is_some_and(counts_not) {
            return Some(decision(record, &held.live));
        }
        let (live, effects) = step(&held.live, &input, now, &policy);
        if !effects.is_empty() || live.name() != held.live.name() || worth_keeping(&held.kept, &live) {
            return None;
        }
        if held.live.acting() != live.acting() {
            self.exposures.changed(&agent, (&held.live, &live), Some(record.verdict.ts), now);
        }
        memory.recall(record.issuer.as_deref(), &record.agent_id, live);
        if let Some(at) = at {
            memory.extend_reach(&agent, at);
        }
        Some(decision(record, &live))
    }
}

impl Write<'_> {
    fn hear(&mut self, heard: &Heard, now: Timestamp) -> Result<Option<Decision>, StoreError> {
        match heard {
            Heard::Verdict(record) => {
                let evidence = self.inner.evidence(record, now);
                let is_as_before = !self.changed.contains_key(&agent_of(record));
                match self.inner.trusted(record, &evidence).filter(|_| is_as_before) {
                    Some(decision) => Ok(Some(decision)),
                    None => self.handle(record, evidence, now).map(Some),
                }
            }
            Heard::Got(agent, bytes, at) => self.got(agent, (*bytes, at), now).map(|()| None),
            Heard::TaskEnded { agent, event_id, .. } if self.inner.concerns(heard) => {
                self.task_ended(agent, event_id, now).map(|()| None)
            }
            Heard::TaskEnded { .. } => Ok(None),
        }
    }

    /// Whether this transaction has ended access of whom this speaks of, or of a part of them: it is read against that, which the
    /// memory knows once it is committed.
    fn has_ended_for(&self, heard: &Heard) -> bool {
        if self.ended.is_empty() && self.lifted.is_empty() {
            return false;
        }
        let agent = match heard {
            Heard::Verdict(record) => &agent_of(record),
            Heard::Got(agent, ..) | Heard::TaskEnded { agent, .. } => agent,
        };
        let mut ended =
            self.ended.iter().map(|(agent, ..)| agent).chain(self.lifted.iter().map(|(agent, _)| agent));
        ended.any(|ended| ended == agent)
    }

    fn got(
        &mut self,
        agent: &AgentKey,
        (bytes, at): (u64, &Position),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let is_asked = matches!(self.standing(agent), Standing::Challenged(_));
        if bytes == 0 || !is_asked || !self.count(agent, Some(at), false)? {
            return Ok(());
        }
        let policy = self.policy_for(agent, now);
        let input = Input::Outcome { bytes };
        self.run(&Case { agent, input: &input, record: None, policy: &policy, txn: None, now }).map(drop)
    }

    fn handle(
        &mut self,
        record: &VerdictRecord,
        mut evidence: Evidence,
        now: Timestamp,
    ) -> Result<Decision, StoreError> {
        if let Some(decision) = handled::get(&self.tx, evidence.verdict)? {
            return Ok(decision);
        }
        let agent = agent_of(record);
        let policy = self.policy_for(&agent, now).ending(self.ends(&agent)?);
        self.settle(&agent, &policy, now)?;
        let says_nothing = says_nothing(&policy, &evidence);
        if !self.count(&agent, record.beside.position.as_ref(), says_nothing)? {
            return Ok(decision(record, &self.standing(&agent)));
        }
        // Approved in answer to evidence, or asked for before there was any.
        if matches!(self.standing(&agent), Standing::Probation(_)) || record.kind == Kind::Request {
            evidence.admitted = approvals::admitted(&self.tx, &record.event_id)?.is_some();
        }
        let mut record = record.clone();
        record.verdict.rule = evidence.rule;
        record.verdict.layers.oversight = self.standing(&agent).oversight();
        let input = Input::Verdict { evidence, fresh: CaseId::random() };
        let case =
            Case { agent: &agent, input: &input, record: Some(&record), policy: &policy, txn: None, now };
        let Ran { changed, alert, let_through } = self.run(&case)?;
        let decision = Decision { alert, let_through, ..decision(&record, &self.standing(&agent)) };
        if changed {
            handled::put(&self.tx, &decision, now)?;
            self.handled.push(evidence.verdict);
            self.make_room(now)?;
        } else if self.standing(&agent) == Standing::Trusted && !self.changed.contains_key(&agent) {
            // Nothing is held against it, so there is nothing to count.
            self.reached.remove(&agent);
        }
        Ok(decision)
    }

    /// The policy for this agent as of now. Where as many questions are open as there may be, new ones are not asked, of agents
    /// that are not being asked about yet.
    pub(super) fn policy_for(&self, agent: &AgentKey, now: Timestamp) -> Policy {
        let memory = self.inner.memory();
        let policy = memory.policy_for(&self.inner.purposes().groups.named(agent), now);
        let full = memory.challenged() + self.challenged >= self.inner.limits.challenged_max as usize;
        drop(memory);
        if full && !matches!(self.standing(agent), Standing::Challenged(_)) {
            metrics::counter!("tocsin_challenges_full_total").increment(1);
            return policy.withholding(Demand::StepUp, Restraint::Full);
        }
        policy
    }

    fn make_room(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let most = self.inner.limits.watched_max;
        if self.inner.memory().watched() < most as usize {
            return Ok(());
        }
        let dropped = agents::drop_watched(&self.tx, most.div_ceil(10))?;
        self.audit(None, "watch.dropped", &serde_json::json!({ "agents": dropped.len() }), now)?;
        for agent in dropped {
            self.changed.insert(agent, None);
        }
        Ok(())
    }
}

/// Whether it is a call that is nothing to anybody.
fn says_nothing(policy: &Policy, evidence: &Evidence) -> bool {
    evidence.gone.is_none()
        && evidence.kind == Kind::Call
        && policy.demand(evidence, MicroBits::ZERO) == Demand::None
}

fn agent_of(record: &VerdictRecord) -> AgentKey {
    AgentKey::new(record.issuer.as_deref(), &record.agent_id)
}

fn decision(record: &VerdictRecord, standing: &Standing) -> Decision {
    Decision {
        verdict: record.verdict.id,
        agent: agent_of(record),
        admission: Admission::of(standing),
        alert: None,
        let_through: None,
    }
}
