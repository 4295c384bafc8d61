//! A verdict's way through: from memory where nothing changes, through a transaction where something does.

use detector::{Kind, MicroBits, Timestamp, VerdictRecord};

use super::Inner;
use super::apply::{Case, Ran};
use super::decision::{Admission, Decision};
use super::memory::worth_keeping;
use super::write::Write;
use crate::agent::{AgentKey, CaseId};
use crate::lifecycle::{Input, step};
use crate::policy::{Demand, Evidence, Policy};
use crate::restraint::Restraint;
use crate::standing::Standing;
use crate::store::{StoreError, agents, approvals, handled};
use crate::whom::Named;

impl Inner {
    pub(super) fn handle(&self, record: &VerdictRecord, now: Timestamp) -> Result<Decision, StoreError> {
        let purposes = self.purposes();
        let group = purposes.groups.of(record.issuer.as_deref(), &record.agent_id);
        let mut evidence = self.memory().policy().evidence(record, group);
        self.place_part(record, &mut evidence);
        // Only whom a log cannot make up: names that anybody can write down must not raise a cap that goes by them.
        if evidence.attestation.allows_automatic_revocation() {
            self.crowd.saw(record.issuer.as_deref(), &record.agent_id, now);
        }
        self.learn_kin(record, now)?;
        if let Some(decision) = self.trusted(record, &evidence) {
            return Ok(decision);
        }
        if let Some(decision) = self.quietly(record, &evidence, now) {
            return Ok(decision);
        }
        self.write(|w| w.handle(record, evidence, now))
    }

    pub(super) fn got(&self, agent: &AgentKey, bytes: u64, now: Timestamp) -> Result<(), StoreError> {
        let stands = self.memory().get(agent.issuer.as_deref(), &agent.agent_id).map(|held| held.live);
        if bytes == 0 || !matches!(stands, Some(Standing::Challenged(_))) {
            return Ok(());
        }
        self.write(|w| {
            let policy = w.policy_for(agent, now);
            let input = Input::Outcome { bytes };
            w.run(&Case { agent, input: &input, record: None, policy: &policy, txn: None, now }).map(drop)
        })
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
        let input = Input::Verdict { evidence: *evidence, fresh: CaseId::random() };
        let (issuer, agent_id) = (record.issuer.as_deref(), record.agent_id.as_str());
        let purposes = self.purposes();
        let who = Named { issuer, agent_id, group: purposes.groups.of(issuer, agent_id) };
        let (live, effects) = step(&held.live, &input, now, &memory.policy_for(&who, now));
        if !effects.is_empty() || live.name() != held.live.name() || worth_keeping(&held.kept, &live) {
            return None;
        }
        memory.recall(record.issuer.as_deref(), &record.agent_id, live);
        Some(decision(record, &live))
    }
}

impl Write<'_> {
    fn handle(
        &mut self,
        record: &VerdictRecord,
        mut evidence: Evidence,
        now: Timestamp,
    ) -> Result<Decision, StoreError> {
        if let Some(decision) = handled::get(&self.tx, evidence.verdict)? {
            return Ok(decision);
        }
        let agent = AgentKey::new(record.issuer.as_deref(), &record.agent_id);
        let policy = self.policy_for(&agent, now).ending(self.ends(&agent)?);
        self.settle(&agent, &policy, now)?;
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
            self.handled = Some(evidence.verdict);
            self.make_room(now)?;
        }
        Ok(decision)
    }

    /// The policy for this agent as of now. Where as many questions are open as there may be, new ones are not asked, of agents
    /// that are not being asked about yet.
    pub(super) fn policy_for(&self, agent: &AgentKey, now: Timestamp) -> Policy {
        let memory = self.inner.memory();
        let policy = memory.policy_for(&self.inner.purposes().groups.named(agent), now);
        let full = memory.challenged() >= self.inner.limits.challenged_max as usize;
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

fn decision(record: &VerdictRecord, standing: &Standing) -> Decision {
    Decision {
        verdict: record.verdict.id,
        agent: AgentKey::new(record.issuer.as_deref(), &record.agent_id),
        admission: Admission::of(standing),
        alert: None,
        let_through: None,
    }
}
