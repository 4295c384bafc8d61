//! Tokens, sessions, instances and keys that are ended alone.

use std::collections::HashMap;
use std::time::Duration;

use detector::{BrokenRule, Kind, RuleKind, Timestamp, VerdictRecord};
use serde_json::json;

use super::apply::{ApplyError, Case};
use super::journal::{Entry, Now};
use super::operate::said;
use super::write::Write;
use super::{Inner, Revoker};
use crate::agent::{AgentKey, Txn};
use crate::effect::{Cause, Event};
use crate::lifecycle::Input;
use crate::message::Facts;
use crate::part::{KINDS, Part, PartKind, names_of};
use crate::policy::{Evidence, Gone};
use crate::standing::Standing;
use crate::store::revocations::Lifted;
use crate::store::{StoreError, outbox, revocations};

/// Parts of one agent that may have ended alone. With one more the agent ends: whoever loses so many sessions is not hijacked in one.
pub(super) const PARTS_MAX: usize = 32;

const HOUR_MICROS: i64 = 3_600 * 1_000_000;

impl Inner {
    /// What is known of the call's part of its agent: that its access has ended, or that others of the agent call as ever.
    pub(super) fn place_part(&self, record: &VerdictRecord, evidence: &mut Evidence) {
        let (issuer, agent_id) = (record.issuer.as_deref(), record.agent_id.as_str());
        let tolerance = self.memory().policy().config().clock_tolerance_s.duration();
        if let Some((part, since)) = self.memory().ended(issuer, agent_id, &names_of(record)) {
            let acts = record.kind == Kind::Call && evidence.ts > since + tolerance;
            evidence.gone = Some(if acts { Gone::Acts { kind: part.kind, since } } else { Gone::Idle });
            return;
        }
        let voided = self.memory().voided(issuer, agent_id, record.beside.token_iat);
        match (record.kind, voided) {
            // A gate refuses it, as it does what a part asks whose access has ended.
            (Kind::Request, Some(_)) => evidence.gone = Some(Gone::Idle),
            // One from before the revocation, read late, was made with a token that was good.
            (Kind::Call, Some(lifted)) if evidence.ts > lifted.not_before + tolerance => {
                self.accuse(evidence, record.beside.token_iat, lifted, tolerance);
            }
            _ => {}
        }
        let is_attested = evidence.attestation.allows_automatic_revocation();
        if evidence.is_evident() {
            evidence.company = self.company.others(issuer, agent_id, &evidence.parts, evidence.ts);
        } else if is_attested && record.kind.is_call() {
            self.company.saw(issuer, agent_id, &evidence.parts, evidence.ts);
        }
    }

    /// Somebody accepted a call with a token that is void. Beyond what clocks may differ by it breaks a rule; of two that are broken one is
    /// told as the detector chooses among its own: that whose breach began last, then the one that is answered more strongly.
    fn accuse(
        &self,
        evidence: &mut Evidence,
        issued: Option<Timestamp>,
        lifted: Lifted,
        tolerance: Duration,
    ) {
        let early = issued.map_or(Duration::ZERO, |issued| lifted.not_before.since(issued));
        if early <= tolerance {
            return;
        }
        // Whoever lets the agent go on has answered for that hour, as for other breaches that lie in how an agent stands.
        let hour =
            Timestamp::from_micros(evidence.ts.as_micros() - evidence.ts.as_micros().rem_euclid(HOUR_MICROS));
        let broken = BrokenRule {
            kind: RuleKind::RevokedToken,
            observed: early.as_secs(),
            limit: tolerance.as_secs(),
            window_ms: 0,
            since: hour.max(lifted.at),
        };
        let rules = self.memory().policy().config().rules;
        evidence.rule = evidence
            .rule
            .into_iter()
            .chain([broken])
            .max_by_key(|rule| (rule.since, rules.of(rule.kind) as u8));
    }
}

impl Revoker {
    /// When a token of the agent that was issued then became void, where the agent's access has been given back since.
    pub fn voided(&self, agent: &AgentKey, issued: Option<Timestamp>) -> Option<Timestamp> {
        let voided = self.inner.memory().voided(agent.issuer.as_deref(), &agent.agent_id, issued);
        voided.map(|lifted| lifted.not_before)
    }

    /// Agents whose access was given back, and whose older tokens are void.
    pub fn lifted(&self) -> HashMap<AgentKey, Lifted> {
        self.inner.memory().lifted().clone()
    }

    /// When access of one of these parts of the agent ended, where it did.
    pub fn ended_part(&self, agent: &AgentKey, parts: &[Part]) -> Option<(PartKind, Timestamp)> {
        let mut names = [None; KINDS];
        for part in parts {
            names[part.kind as usize] = Some(part.id.as_str());
        }
        let ended = self.inner.memory().ended(agent.issuer.as_deref(), &agent.agent_id, &names);
        ended.map(|(part, not_before)| (part.kind, not_before))
    }

    /// Parts of the agent whose access has ended alone, and when.
    pub fn ended_parts(&self, agent: &AgentKey) -> Vec<(Part, Timestamp)> {
        self.inner.memory().all_ended(agent)
    }

    /// Ends access of one part of the agent, while its others go on.
    pub async fn revoke_part(
        &self,
        agent: AgentKey,
        part: Part,
        by: String,
        reason: String,
        now: Timestamp,
    ) -> Result<Standing, ApplyError> {
        said(&by, &reason)?;
        self.write(move |w| {
            if !part.is_sound() || w.inner.memory().ended_parts(&agent) >= PARTS_MAX {
                return Err(ApplyError::Part);
            }
            let standing = w.standing(&agent);
            if matches!(standing, Standing::Revoked(_) | Standing::Retired(_)) {
                return Err(ApplyError::NotAllowed { standing: standing.name() });
            }
            if w.has_ended(&agent, &part) {
                return Err(ApplyError::NotThisPart { ended: true });
            }
            let unable = w.tells_of_endings(&agent)?.find(|route| !route.ends(part.kind));
            if let Some(route) = unable {
                return Err(ApplyError::NotAlone { target: route.name, kind: part.kind.as_str() });
            }
            let txn = w.held(&agent).map_or_else(Txn::random, |held| held.txn);
            let end = End { agent: &agent, part: &part, txn: &txn, reasons: &[reason], by: Some(&by), now };
            w.end_part(&end, Cause::Operator, None)?;
            Ok(standing)
        })
        .await
    }

    /// Lets one part of the agent act again.
    pub async fn reinstate_part(
        &self,
        agent: AgentKey,
        part: Part,
        by: String,
        reason: String,
        now: Timestamp,
    ) -> Result<Standing, ApplyError> {
        said(&by, &reason)?;
        self.write(move |w| {
            w.give_back(&agent, &part, &by, reason, now)?;
            Ok(w.standing(&agent))
        })
        .await
    }
}

/// A part whose access ends, or is given back.
struct End<'a> {
    agent: &'a AgentKey,
    part: &'a Part,
    txn: &'a Txn,
    reasons: &'a [String],
    by: Option<&'a str>,
    now: Timestamp,
}

impl Write<'_> {
    /// Which kinds of part all who must be told can end alone.
    pub(super) fn ends(&self, agent: &AgentKey) -> Result<[bool; KINDS], StoreError> {
        if self.inner.memory().ended_parts(agent) >= PARTS_MAX {
            return Ok([false; KINDS]);
        }
        let routes: Vec<_> = self.tells_of_endings(agent)?.collect();
        Ok(PartKind::ALL.map(|kind| routes.iter().all(|route| route.ends(kind))))
    }

    /// The targets that end access as soon as it is decided.
    fn tells_of_endings(
        &self,
        agent: &AgentKey,
    ) -> Result<impl Iterator<Item = crate::connector::Route>, StoreError> {
        const ENDING: &str = crate::effect::ENDINGS[0];
        let agent = agent.clone();
        let routes = self.routes(&agent)?.into_iter();
        Ok(routes.filter(move |route| route.enforces && !route.stands_by() && route.wants(ENDING, &agent)))
    }

    pub(super) fn give_back(
        &mut self,
        agent: &AgentKey,
        part: &Part,
        by: &str,
        reason: String,
        now: Timestamp,
    ) -> Result<(), ApplyError> {
        if !self.has_ended(agent, part) {
            return Err(ApplyError::NotThisPart { ended: false });
        }
        let known = revocations::of(&self.tx, agent, Some(part))?;
        let txn = known.map_or_else(Txn::random, |row| row.txn);
        let longest = self.inner.token_lifetime_max(agent);
        revocations::unrevoke(&self.tx, (agent, Some(part)), now, longest)?;
        self.ended.push((agent.clone(), part.clone(), None));
        let body = json!({ "part": part, "by": by, "reason": reason });
        let seq = self.audit_in(&txn, Some(agent), "part.reinstated", &body, now)?;
        self.journal.push(Entry { seq, agent: agent.clone(), now: Now::GivenBack(part.clone()) });
        let end = End { agent, part, txn: &txn, reasons: &[reason], by: Some(by), now };
        Ok(self.tell_of_part(&end, &Event::Reinstated, None)?)
    }

    /// Ends access of a part as it had ended before.
    pub(super) fn end_again(
        &mut self,
        agent: &AgentKey,
        part: &Part,
        reason: String,
        now: Timestamp,
    ) -> Result<(), ApplyError> {
        if self.has_ended(agent, part) {
            return Ok(());
        }
        let txn = self.held(agent).map_or_else(Txn::random, |held| held.txn);
        let end = End { agent, part, txn: &txn, reasons: &[reason], by: Some("tocsin"), now };
        Ok(self.end_part(&end, Cause::Operator, None)?)
    }

    fn has_ended(&self, agent: &AgentKey, part: &Part) -> bool {
        self.inner.memory().all_ended(agent).iter().any(|(ended, _)| ended == part)
    }

    /// The part that the call of this case is of.
    pub(super) fn end_blamed(
        &mut self,
        case: &Case<'_>,
        kind: PartKind,
        not_before: Timestamp,
        txn: &Txn,
    ) -> Result<(), StoreError> {
        let named = case.record.and_then(|record| Part::new(kind, names_of(record)[kind as usize]?));
        let (Some(part), Some(record)) = (named, case.record) else {
            return Err(StoreError::damaged(format!("a {} ends that no record names", kind.as_str())));
        };
        let reasons = record.reasons();
        let end = End { agent: case.agent, part: &part, txn, reasons: &reasons, by: None, now: not_before };
        debug_assert!(matches!(case.input, Input::Verdict { .. }), "persons name parts themselves");
        self.end_part(&end, Cause::Evidence, Some(record))
    }

    fn end_part(
        &mut self,
        end: &End<'_>,
        cause: Cause,
        record: Option<&VerdictRecord>,
    ) -> Result<(), StoreError> {
        let End { agent, part, txn, now, .. } = *end;
        revocations::revoke(&self.tx, (agent, Some(part)), now, txn)?;
        self.ended.push((agent.clone(), part.clone(), Some(now)));
        let body = json!({ "part": part, "cause": cause, "by": end.by, "reason": end.reasons.first() });
        let seq = self.audit_in(txn, Some(agent), "part.revoked", &body, now)?;
        self.journal.push(Entry { seq, agent: agent.clone(), now: Now::Ended(part.clone()) });
        metrics::counter!("tocsin_parts_ended_total", "kind" => part.kind.as_str()).increment(1);
        self.tell_of_part(end, &Event::Revoked { not_before: now, cause, in_place_of: None }, record)
    }

    fn tell_of_part(
        &mut self,
        end: &End<'_>,
        event: &Event,
        record: Option<&VerdictRecord>,
    ) -> Result<(), StoreError> {
        let policy = self.inner.memory().policy().clone();
        let facts = Facts {
            event,
            agent: end.agent,
            people: &self.people(end.agent)?,
            part: Some(end.part),
            txn: end.txn,
            standing: if record.is_some() { "watched" } else { self.standing(end.agent).name() },
            record,
            reasons: end.reasons,
            approval_url: None,
            carried: None,
            policy: policy.version(),
            at: end.now,
        };
        outbox::publish(&self.tx, &self.routes(end.agent)?, &outbox::fresh_id(), &facts)
    }
}
