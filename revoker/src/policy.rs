//! How much evidence asks for which answer. Pure: no clock, no store, and nothing is done here.

pub mod approval;
pub mod risk;
pub mod when;

use std::sync::Arc;

use detector::{
    BrokenRule, Budgets, EffectiveAttestation, Kind, MicroBits, Timestamp, Verdict, VerdictId, VerdictRecord,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::when::{Facts, When};
use crate::config::{OnRule, PolicyConfig};
use crate::hex::hex;
use crate::restraint::{Answer, Restraint, Withholding};
use crate::whom::Named;

/// Independent witnesses that must be over the watch budget before a revocation, unless the jump is large (design: detection,
/// "Combination").
const FAMILIES_MIN: u8 = 2;

/// Times what may be normal from which one family is enough to revoke (same source).
const JUMP_MIN: f32 = 5.0;

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

/// What an agent in a cohort incident does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InCohort {
    /// Volume and timing say no more than the incident does.
    Shared,
    /// It goes much further than the others.
    Beyond,
}

/// What policy needs to know of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// Which verdict this is.
    pub verdict: VerdictId,
    /// What happened.
    pub kind: Kind,
    /// When the call was made, event time.
    pub ts: Timestamp,
    /// The agent's level of evidence after the call.
    pub level: MicroBits,
    /// What of it the agent shares with no cohort: all of it outside of one ([`detector::Cohort::own`]).
    pub own: MicroBits,
    /// What a cohort incident is to it, where the agent is in one.
    pub cohort: Option<InCohort>,
    /// What this call added to it.
    pub added: MicroBits,
    /// Independent witnesses over the watch budget.
    pub families: u8,
    /// How many times as many calls as may be normal.
    pub jump: f32,
    /// What the identity is worth.
    pub attestation: EffectiveAttestation,
    /// The rule that the call broke.
    pub rule: Option<BrokenRule>,
    /// Whether all that tells who calls says that it is the agent itself.
    pub is_vouched: bool,
    /// A human approved this very call; what it adds has been answered for.
    pub admitted: bool,
    /// The place of the policy's rule that decides.
    pub when: Option<u16>,
}

impl Evidence {
    /// What the verdict says, for a call that nobody has approved.
    pub fn of(record: &VerdictRecord) -> Self {
        Self::new(record.kind, &record.verdict)
    }

    /// The same of a verdict on something of this kind.
    pub fn new(kind: Kind, v: &Verdict) -> Self {
        Self {
            verdict: v.id,
            kind,
            ts: v.ts,
            level: within(v.level),
            own: within(v.cohort.map_or(v.level, |cohort| cohort.own.min(v.level))),
            cohort: v.cohort.map(|c| if c.is_beyond { InCohort::Beyond } else { InCohort::Shared }),
            added: within(v.added),
            families: v.families,
            jump: v.jump,
            attestation: v.attestation,
            rule: v.rule,
            is_vouched: v.vouches_for_caller(),
            admitted: false,
            when: None,
        }
    }

    /// Whether more than one signal's level speaks for a revocation: another family, or a jump so large that it needs none.
    /// What a cohort does speaks for nothing that one of its agents did. Where all that tells who calls says that it is the agent itself,
    /// layers diverge, and families that all speak of what it does are a person's to judge, if one can be asked.
    pub fn is_witnessed(&self, may_ask: bool) -> bool {
        let is_confirmed = self.families >= FAMILIES_MIN && !(self.is_vouched && may_ask);
        self.cohort != Some(InCohort::Shared) && (is_confirmed || self.jump >= JUMP_MIN)
    }
}

/// The operator's choices, as one immutable value with a name. Cloning it is cheap.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    choices: Arc<Choices>,
    withholding: Withholding,
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

    /// The operator's budgets.
    pub fn budgets(&self) -> Budgets {
        self.choices.budgets
    }

    /// What the evidence asks for, where `answered` bits of its level have been answered for by a human: the more of what
    /// its level and the rule it broke ask for.
    ///
    /// What an agent shares with its cohort watches it and asks for no more: the incident is told once for all of them.
    ///
    /// A revocation by level needs the level, a second witness and an identity that a log line cannot forge; one by rule needs the identity. Without one of them a human is asked instead.
    pub fn demand(&self, evidence: &Evidence, answered: MicroBits) -> Demand {
        self.by_level(evidence, answered).max(self.by_rule(evidence)).max(self.floor(evidence))
    }

    fn by_rule(&self, evidence: &Evidence) -> Demand {
        let Some(rule) = evidence.rule else { return Demand::None };
        asked(self.choices.config.rules.of(rule.kind), evidence)
    }

    fn floor(&self, evidence: &Evidence) -> Demand {
        let least = self.rule_of(evidence).and_then(|rule| rule.at_least).filter(|_| !evidence.admitted);
        least.map_or(Demand::None, |least| asked(least, evidence))
    }

    /// The evidence of a verdict on an agent of this declared group, with the rule that decides about it.
    pub fn evidence(&self, record: &VerdictRecord, group: Option<&str>) -> Evidence {
        let config = self.config();
        let when = config.when.first(&Facts::of(record, group), &config.risk);
        Evidence { when, ..Evidence::of(record) }
    }

    /// The rule that decides about this evidence, if one does.
    pub fn rule_of(&self, evidence: &Evidence) -> Option<&When> {
        self.config().when.get(evidence.when?)
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

/// What an answer that is asked for comes to: nobody is revoked whose identity a log line can forge.
fn asked(answer: OnRule, evidence: &Evidence) -> Demand {
    match answer {
        OnRule::Alert => Demand::Watch,
        OnRule::Revoke if evidence.attestation.allows_automatic_revocation() => Demand::Revoke,
        OnRule::StepUp | OnRule::Revoke => Demand::StepUp,
    }
}

/// Within what reads back from JSON (±1,000 bits): a verdict that says more says no more than that here.
pub(crate) fn within(bits: MicroBits) -> MicroBits {
    MicroBits::from_bits(bits.as_bits())
}

fn version(budgets: Budgets, config: &PolicyConfig) -> String {
    // JSON of two plain structs cannot fail; were it ever to, the name would still tell this policy from others.
    let text = serde_json::to_string(&(budgets, config)).unwrap_or_else(|e| e.to_string());
    let hash = Sha256::digest(text.as_bytes());
    hex(&hash[..6])
}

#[cfg(test)]
mod tests {
    use detector::{ActorKind, Attestation, Cohort, Layers, Pattern, Trust};

    use super::*;
    use crate::testing::{at, damning, looping, policy, record};

    /// Level, families, jump and attestation to what they ask for.
    fn demand(bits: f64, families: u8, jump: f32, attestation: Attestation) -> Demand {
        let mut evidence = Evidence::of(&record(1, at(0), "mailer", bits));
        (evidence.families, evidence.jump) = (families, jump);
        evidence.attestation = EffectiveAttestation::new(attestation, Attestation::Platform);
        policy().demand(&evidence, MicroBits::ZERO)
    }

    #[test]
    fn a_revocation_needs_level_witness_and_attestation() {
        use Attestation::{Key, Network, Token};
        // Budgets of 7 days, 90 days and 10 years are 2.8, 6.5 and 11.8 bits.
        assert_eq!(demand(2.7, 2, 9.0, Token), Demand::None);
        assert_eq!(demand(2.9, 2, 9.0, Token), Demand::Watch);
        assert_eq!(demand(6.6, 2, 9.0, Token), Demand::StepUp);
        assert_eq!(demand(11.9, 2, 1.0, Token), Demand::Revoke);
        assert_eq!(demand(11.9, 1, 5.0, Key), Demand::Revoke);
        assert_eq!(demand(11.9, 1, 4.9, Key), Demand::StepUp);
        assert_eq!(demand(500.0, 2, 9.0, Network), Demand::StepUp);
        assert_eq!(demand(500.0, 2, f32::NAN, Network), Demand::StepUp);
    }

    #[test]
    fn what_the_agent_itself_does_asks_a_person_but_for_a_multitude() {
        let demand_by = |policy: Policy, layers, is, jump| {
            let mut record = damning(1, at(0), "mailer");
            (record.verdict.layers, record.verdict.actor.is, record.verdict.jump) = (layers, is, jump);
            policy.demand(&Evidence::of(&record), MicroBits::ZERO)
        };
        let demand = |layers, is, jump| demand_by(policy(), layers, is, jump);
        let itself = Layers {
            identity: Trust::Agrees,
            context: Trust::Agrees,
            runtime: Trust::Agrees,
            behaviour: Trust::Doubts,
            oversight: Trust::Silent,
        };
        assert_eq!(demand(itself, ActorKind::Legitimate, 1.0), Demand::StepUp);
        assert_eq!(demand(itself, ActorKind::Legitimate, 100.0), Demand::Revoke);
        // A person at the agent's own machine, by the pace of the calls.
        assert_eq!(demand(itself, ActorKind::Unclear, 1.0), Demand::Revoke);
        for runtime in [Trust::Silent, Trust::Doubts] {
            assert_eq!(demand(Layers { runtime, ..itself }, ActorKind::Legitimate, 1.0), Demand::Revoke);
        }
        assert_eq!(demand(Layers::default(), ActorKind::Unclear, 1.0), Demand::Revoke);
        // Where nobody can be asked there is no question in its place.
        let full = policy().withholding(Demand::StepUp, Restraint::Full);
        assert_eq!(demand_by(full, itself, ActorKind::Legitimate, 1.0), Demand::Revoke);
    }

    #[test]
    fn a_broken_rule_asks_for_what_the_operator_said_whatever_the_level() {
        use Attestation::{Network, Token};
        let demand = |rules, bits, attestation| {
            let mut evidence = Evidence::of(&looping(1, at(0), "mailer"));
            (evidence.level, evidence.own) = (MicroBits::from_bits(bits), MicroBits::from_bits(bits));
            evidence.attestation = EffectiveAttestation::new(attestation, Attestation::Platform);
            let config = PolicyConfig { rules: OnRule::into(rules), ..PolicyConfig::default() };
            Policy::new(Budgets::default(), config).demand(&evidence, MicroBits::from_bits(50.0))
        };
        assert_eq!(policy().config().rules, OnRule::StepUp.into());
        assert_eq!(demand(OnRule::Alert, -4.0, Token), Demand::Watch);
        assert_eq!(demand(OnRule::Alert, 57.0, Token), Demand::StepUp);
        assert_eq!(demand(OnRule::StepUp, -4.0, Token), Demand::StepUp);
        assert_eq!(demand(OnRule::StepUp, -4.0, Network), Demand::StepUp);
        assert_eq!(demand(OnRule::Revoke, -4.0, Token), Demand::Revoke);
        assert_eq!(demand(OnRule::Revoke, -4.0, Network), Demand::StepUp);
    }

    #[test]
    fn what_a_cohort_shares_watches_and_asks_for_no_more_and_what_is_beyond_it_does() {
        let demand = |bits: f64, own: f64, is_beyond, families| {
            let mut record = record(1, at(0), "mailer", bits);
            let own = MicroBits::from_bits(own);
            record.verdict.families = families;
            record.verdict.cohort = Some(Cohort {
                incident: 1,
                pattern: Pattern::MoreCalls,
                since: at(0),
                agents: 34,
                exposed: 40,
                factor: 5.0,
                own,
                is_beyond,
            });
            let demand = |evidence| policy().demand(&evidence, MicroBits::ZERO);
            let shared = demand(Evidence::of(&record));
            record.verdict.rule = looping(1, at(0), "mailer").verdict.rule;
            assert_eq!(demand(Evidence::of(&record)), shared.max(Demand::StepUp), "a rule is a rule");
            shared
        };
        assert_eq!(demand(40.0, -4.0, false, 1), Demand::Watch);
        assert_eq!(demand(2.0, -4.0, false, 1), Demand::None);
        // Endpoints of its own ask, and the group's volume is no second witness of theirs.
        assert_eq!(demand(40.0, 7.0, false, 2), Demand::StepUp);
        assert_eq!(demand(40.0, 40.0, false, 2), Demand::StepUp);
        assert_eq!(demand(40.0, 40.0, true, 2), Demand::Revoke);
    }

    #[test]
    fn what_was_answered_for_does_not_count() {
        let evidence = Evidence::of(&record(1, at(0), "mailer", 12.0));
        let demand = |answered| policy().demand(&evidence, MicroBits::from_bits(answered));
        assert_eq!([demand(0.0), demand(6.0), demand(12.0)], [Demand::StepUp, Demand::Watch, Demand::None]);
    }

    #[test]
    fn the_version_names_the_choices() {
        let other = PolicyConfig { on_expiry: crate::config::OnExpiry::Revoke, ..PolicyConfig::default() };
        let other = Policy::new(Budgets::default(), other);
        assert_eq!(policy().version().len(), 12);
        assert_eq!(policy().version(), policy().with_paused(true).version());
        assert_ne!(policy().version(), other.version());
    }
}
