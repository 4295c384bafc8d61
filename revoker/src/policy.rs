//! How much evidence asks for which answer. Pure: no clock, no store, and nothing is done here.

pub mod approval;
mod blame;
pub mod envelope;
mod evidence;
pub mod night;
pub mod risk;
pub mod when;

use std::sync::Arc;

use detector::{Budgets, Kind, MicroBits, Timestamp, VerdictRecord};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::blame::Blame;
use self::envelope::Place;
pub(crate) use self::evidence::within;
pub use self::evidence::{Evidence, Gone, Harm, InCohort};
use self::risk::Risk;
use self::when::{Facts, When};
use crate::config::{OnExpiry, OnRule, PolicyConfig, WhileAsked};
use crate::hex::hex;
use crate::part::{KINDS, PartKind};
use crate::restraint::{Answer, Restraint, Withholding};
use crate::standing::{Challenge, Phase};
use crate::whom::Named;

/// What a piece of evidence asks for, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// Nothing.
    None,
    /// Keep an eye on the agent.
    Watch,
    /// A human must approve before the agent goes on.
    StepUp,
    /// Access must end.
    Revoke,
}

impl Demand {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Watch => "watch",
            Self::StepUp => "step_up",
            Self::Revoke => "revoke",
        }
    }
}

/// The operator's choices, as one immutable value with a name. Cloning it is cheap.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    choices: Arc<Choices>,
    withholding: Withholding,
    /// Which kinds of part can be ended alone, by [`PartKind`].
    ends: [bool; KINDS],
}

#[derive(Debug, PartialEq)]
struct Choices {
    budgets: Budgets,
    config: PolicyConfig,
    version: String,
}

impl Policy {
    /// A policy from the operator's budgets and settings. Automatic action is not paused.
    pub fn new(budgets: Budgets, config: PolicyConfig) -> Self {
        let version = version(budgets, &config);
        let shadow = config.shadow;
        let policy = Self {
            choices: Arc::new(Choices { budgets, config, version }),
            withholding: Withholding::default(),
            ends: [false; KINDS],
        };
        let shadowed = [(Demand::StepUp, shadow.step_up), (Demand::Revoke, shadow.revoke)];
        shadowed
            .into_iter()
            .filter(|(_, is)| *is)
            .fold(policy, |policy, (demand, _)| policy.withholding(demand, Restraint::Shadow))
    }

    /// The same policy as it is for this agent.
    #[must_use]
    pub fn for_agent(self, who: &Named<'_>) -> Self {
        if self.choices.config.protected.iter().any(|whom| whom.covers(who)) {
            return self.withholding(Demand::Revoke, Restraint::Protected);
        }
        self
    }

    /// The same policy with automatic action paused or not: a paused policy watches and records what it would have
    /// done. What persons ask for is not automatic.
    #[must_use]
    pub fn with_paused(self, paused: bool) -> Self {
        if !paused {
            return self;
        }
        self.withholding(Demand::StepUp, Restraint::Paused).withholding(Demand::Revoke, Restraint::Paused)
    }

    /// The same policy where one answer may not be given automatically: the next weaker one is, and what would have been done
    /// is recorded.
    #[must_use]
    pub fn withholding(mut self, demand: Demand, why: Restraint) -> Self {
        self.withholding.add(demand, why);
        self
    }

    /// The same policy where all who are told that access ended can end these kinds of part alone.
    #[must_use]
    pub fn ending(self, ends: [bool; KINDS]) -> Self {
        Self { ends, ..self }
    }

    /// The narrowest part of its agent that all the evidence covers while others call as ever, and whether it can be ended alone: one
    /// that can, where there is one.
    pub fn narrowest(&self, blame: &Blame, evidence: &Evidence) -> Option<(PartKind, bool)> {
        let from = self.config().narrowest;
        let covers = |kind: &PartKind| from.allows(*kind) && blame.is_all_of(*kind, evidence);
        let mut kinds = PartKind::ALL.into_iter().filter(covers);
        let able = kinds.clone().find(|kind| self.ends[*kind as usize]);
        able.map(|kind| (kind, true)).or_else(|| kinds.next().map(|kind| (kind, false)))
    }

    /// Whether nothing at all is done automatically.
    pub fn paused(&self) -> bool {
        self.withholding.of(Demand::Revoke) == Some(Restraint::Paused)
    }

    /// What withholds this answer, if anything does.
    pub fn withholds(&self, demand: Demand) -> Option<Restraint> {
        self.withholding.of(demand)
    }

    /// What is done about a demand, where the demand itself may be withheld.
    pub fn answer(&self, demand: Demand) -> Answer {
        self.withholding.answer(demand)
    }

    /// Names budgets and settings: the same choices have the same name. 12 hexadecimal digits.
    pub fn version(&self) -> &str {
        &self.choices.version
    }

    /// The operator's settings.
    pub fn config(&self) -> &PolicyConfig {
        &self.choices.config
    }

    /// What becomes of a question that lapses at this time.
    pub fn on_expiry(&self, lapses: Timestamp) -> OnExpiry {
        let PolicyConfig { night, on_expiry, .. } = self.config();
        night.as_ref().and_then(|night| night.on_expiry(lapses)).unwrap_or(*on_expiry)
    }

    /// The operator's budgets.
    pub fn budgets(&self) -> Budgets {
        self.choices.budgets
    }

    /// What the evidence asks for, where `answered` bits of its level have been answered for by a human: the more of what
    /// its level and the rule it broke ask for.
    ///
    /// What an agent shares with its cohort watches it, and asks about what it would write at a gate; the incident is told once for
    /// all of them.
    ///
    /// A revocation by level needs the level, a second witness and an identity that a log line cannot forge; one by rule needs the identity. Without one of them a human is asked instead.
    pub fn demand(&self, evidence: &Evidence, answered: MicroBits) -> Demand {
        self.by_level(evidence, answered)
            .max(self.by_rule(evidence))
            .max(self.floor(evidence))
            .max(by_part(evidence))
            .max(self.by_cohort(evidence, answered))
    }

    /// The same of an agent that was let go on after evidence: what else would be watched is asked about, since a budget of days is
    /// not spent in a few calls.
    pub fn demand_after(&self, evidence: &Evidence, answered: MicroBits) -> Demand {
        let relapses = evidence.own - answered >= self.choices.budgets.watch();
        self.demand(evidence, answered).max(if relapses { Demand::StepUp } else { Demand::None })
    }

    /// The same of one on probation, which is asked about a grave action too that is not the one a human approved.
    pub fn demand_on_probation(
        &self,
        evidence: &Evidence,
        answered: MicroBits,
        approved: Option<Place>,
    ) -> Demand {
        let is_new = evidence.harm == Harm::Grave && !evidence.admitted && approved != Some(evidence.place);
        self.demand_after(evidence, answered).max(if is_new { Demand::StepUp } else { Demand::None })
    }

    /// What of a challenged agent's envelope is left, where this request goes on within it: of a kind that may, and no part of the
    /// evidence.
    pub fn lets_through(&self, challenge: &Challenge, evidence: &Evidence) -> bool {
        let unanswered = challenge.answered.unanswered(evidence);
        evidence.harm == Harm::Safe
            && challenge.phase != Phase::Denied
            && !unanswered.is_evident()
            && !challenge.touched.holds(evidence.place)
            && self.floor(evidence) < Demand::StepUp
            && self.config().envelope.left(challenge.used).fits(evidence.bytes)
    }

    fn by_rule(&self, evidence: &Evidence) -> Demand {
        let Some(rule) = evidence.rule else { return Demand::None };
        asked(self.choices.config.rules.of(rule.kind), evidence)
    }

    /// What many do at once may be an attack on all of them: what any of them asks to do waits for a human, and what only reads goes
    /// on.
    fn by_cohort(&self, evidence: &Evidence, answered: MicroBits) -> Demand {
        let shares = evidence.cohort == Some(InCohort::Shared) && !evidence.admitted;
        let writes = evidence.kind == Kind::Request && evidence.harm != Harm::Safe;
        let deviates = evidence.level - answered >= self.choices.budgets.watch();
        if shares && writes && deviates { Demand::StepUp } else { Demand::None }
    }

    fn floor(&self, evidence: &Evidence) -> Demand {
        let least = self.rule_of(evidence).and_then(|rule| rule.at_least).filter(|_| !evidence.admitted);
        least.map_or(Demand::None, |least| asked(least, evidence))
    }

    /// The least that is done before such a call, whatever the evidence says.
    pub fn least(&self, facts: &Facts<'_>) -> Demand {
        let config = self.config();
        let rule = config.when.first(facts, &config.risk).and_then(|place| config.when.get(place));
        let demand = match rule.and_then(|rule| rule.at_least) {
            None => Demand::None,
            Some(OnRule::Alert) => Demand::Watch,
            Some(OnRule::StepUp | OnRule::Revoke) => Demand::StepUp,
        };
        self.answer(demand).does
    }

    /// The evidence of a verdict on an agent of this declared group, with the rule that decides about it.
    pub fn evidence(&self, record: &VerdictRecord, group: Option<&str>) -> Evidence {
        let config = self.config();
        let when = config.when.first(&Facts::of(record, group), &config.risk);
        let (method, operation) = (record.method.as_deref(), record.operation.as_deref());
        let is_request = record.kind == Kind::Request;
        let asks_about = |risk: &Risk| config.probation_asks.contains(risk);
        let harm = if !is_request {
            Harm::Plain
        } else if config.envelope.holds(&config.risk, method, record.called(), operation) {
            Harm::Safe
        } else if config.risk.of(method, record.called(), operation).iter().any(asks_about) {
            Harm::Grave
        } else {
            Harm::Plain
        };
        Evidence { when, harm, ..Evidence::of(record) }
    }

    /// The rule that decides about this evidence, if one does.
    pub fn rule_of(&self, evidence: &Evidence) -> Option<&When> {
        self.config().when.get(evidence.when?)
    }

    /// What the agent does while a human is asked about this evidence.
    pub fn while_asked(&self, evidence: &Evidence) -> WhileAsked {
        self.rule_of(evidence).and_then(|rule| rule.while_asked).unwrap_or(self.config().while_asked)
    }

    /// The rules that are looked at for a call, in their order, each with the condition that does not fit; the last one decides if it
    /// has none.
    pub fn explain(&self, facts: &Facts<'_>) -> impl Iterator<Item = (&When, Option<&'static str>)> {
        self.config().when.explain(facts, &self.config().risk)
    }

    /// The same policy as it is for this evidence.
    #[must_use]
    pub fn on(&self, evidence: &Evidence) -> Self {
        let mut policy = self.clone();
        if evidence.cohort.is_some() {
            policy = policy.withholding(Demand::Revoke, Restraint::Cohort);
        }
        match self.rule_of(evidence).and_then(|rule| rule.at_most) {
            None | Some(OnRule::Revoke) => policy,
            Some(OnRule::StepUp) => policy.withholding(Demand::Revoke, Restraint::Rule),
            Some(OnRule::Alert) => policy
                .withholding(Demand::StepUp, Restraint::Rule)
                .withholding(Demand::Revoke, Restraint::Rule),
        }
    }

    fn by_level(&self, evidence: &Evidence, answered: MicroBits) -> Demand {
        let (level, own) = (evidence.level - answered, evidence.own - answered);
        // Where no more questions may be open there is none in a revocation's place; the governor's are a matter of minutes.
        let may_ask = self.withholding.of(Demand::StepUp) != Some(Restraint::Full);
        let may_revoke = evidence.is_witnessed(may_ask) && evidence.attestation.allows_automatic_revocation();
        if own >= self.choices.budgets.revoke() && may_revoke {
            Demand::Revoke
        } else if own >= self.choices.budgets.step_up() {
            Demand::StepUp
        } else if level >= self.choices.budgets.watch() {
            Demand::Watch
        } else {
            Demand::None
        }
    }

    /// Whether evidence that grew from `seen` to `level` is so much more that a human should look again.
    pub fn outgrown(&self, seen: MicroBits, level: MicroBits) -> bool {
        level - seen >= self.choices.budgets.step_up()
    }
}

/// Where a part of the agent goes on although its access has ended, ending it alone was not enough.
fn by_part(evidence: &Evidence) -> Demand {
    match evidence.gone {
        Some(Gone::Acts { .. }) => asked(OnRule::Revoke, evidence),
        None | Some(Gone::Idle) => Demand::None,
    }
}

/// What an answer that is asked for comes to: nobody is revoked whose identity a log line can forge.
fn asked(answer: OnRule, evidence: &Evidence) -> Demand {
    match answer {
        OnRule::Alert => Demand::Watch,
        OnRule::Revoke if evidence.attestation.allows_automatic_revocation() => Demand::Revoke,
        OnRule::StepUp | OnRule::Revoke => Demand::StepUp,
    }
}

fn version(budgets: Budgets, config: &PolicyConfig) -> String {
    // JSON of two plain structs cannot fail; were it ever to, the name would still tell this policy from others.
    let text = serde_json::to_string(&(budgets, config)).unwrap_or_else(|e| e.to_string());
    let hash = Sha256::digest(text.as_bytes());
    hex(&hash[..6])
}

#[cfg(test)]
mod tests;
