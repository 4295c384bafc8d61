//! What evidence asks for.

use detector::{ActorKind, Attestation, Cohort, EffectiveAttestation, Layers, Pattern, Trust};

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
