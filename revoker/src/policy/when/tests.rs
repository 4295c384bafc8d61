//! Rules, told as an operator would.

use detector::{EffectiveAttestation, MicroBits};

use super::*;
use crate::config::PolicyConfig;
use crate::effect::{Effect, Event};
use crate::lifecycle::{Input, step};
use crate::policy::{Demand, Evidence, Policy};
use crate::restraint::Restraint;
use crate::standing::Standing;
use crate::testing::{at, damning, record, unattested};

const RULES: &str = r#"{"risk": {"payments": ["s3:Pay*"]}, "when": [
    {"name": "tills may", "agent": "till-*", "risk": ["payments"]},
    {"name": "money", "risk": ["payments"], "at_least": "step_up"},
    {"name": "nights", "hours": ["22:00-06:00"], "time_zone": "Europe/Berlin", "at_most": "step_up"},
    {"name": "guests", "networks": ["192.0.2.0/24"], "attestation_max": "network", "at_least": "step_up"},
    {"name": "lab", "group": "lab", "at_most": "alert"}
]}"#;

fn policy() -> Policy {
    Policy::new(detector::Budgets::default(), serde_json::from_str(RULES).unwrap())
}

/// Which rule decides, what is asked for and what is done.
fn outcome(record: &VerdictRecord, group: Option<&str>) -> (String, Demand, &'static str) {
    let policy = policy();
    let evidence = policy.evidence(record, group);
    let input = Input::Verdict { evidence, fresh: crate::agent::CaseId::new(1) };
    let (after, _) = step(&Standing::Trusted, &input, record.verdict.ts, &policy);
    let demand = policy.demand(&evidence, MicroBits::ZERO);
    (policy.rule_of(&evidence).map_or_else(String::new, |rule| rule.name.clone()), demand, after.name())
}

#[test]
fn the_first_rule_that_fits_decides_and_no_later_one() {
    let pays = |agent: &str, bits| VerdictRecord {
        endpoint: "s3:PayInvoice".to_owned(),
        ..record(1, at(0), agent, bits)
    };
    assert_eq!(outcome(&pays("mailer", 0.0), None), ("money".to_owned(), Demand::StepUp, "challenged"));
    assert_eq!(outcome(&pays("till-7", 0.0), None), ("tills may".to_owned(), Demand::None, "trusted"));
    // A rule that says nothing of an answer leaves it to the evidence.
    assert_eq!(outcome(&pays("till-7", 9.0), None).1, Demand::StepUp);
    // It is 10:00 in Berlin when the tests begin, and 23:30 later.
    assert_eq!(outcome(&damning(1, at(0), "mailer"), None), (String::new(), Demand::Revoke, "revoked"));
    let night = ("nights".to_owned(), Demand::Revoke, "challenged");
    assert_eq!(outcome(&damning(1, at(13 * 3_600 + 1_800), "mailer"), None), night);
    assert_eq!(
        outcome(&damning(1, at(0), "mailer"), Some("lab")),
        ("lab".to_owned(), Demand::Revoke, "watched")
    );

    let mut guest = record(1, at(0), "mailer", 0.0);
    guest.beside.source_ip = Some("192.0.2.7".parse().unwrap());
    assert_eq!(outcome(&guest, None).0, "", "a token is worth more than a network");
    assert_eq!(outcome(&unattested(guest), None), ("guests".to_owned(), Demand::StepUp, "challenged"));
}

#[test]
fn what_a_rule_withholds_is_told_as_such_and_a_floor_revokes_nobody_unattested() {
    let policy = policy();
    let evidence = policy.evidence(&damning(1, at(0), "mailer"), Some("lab"));
    let input = Input::Verdict { evidence, fresh: crate::agent::CaseId::new(1) };
    let (after, effects) = step(&Standing::Trusted, &input, at(0), &policy);
    assert_eq!((after.would().demand, after.would().withheld), (Some(Demand::Revoke), Some(Restraint::Rule)));
    assert!(!effects.iter().any(|e| matches!(e, Effect::Publish(Event::Revoked { .. }))));

    let strict = r#"{"when": [{"name": "all", "at_least": "revoke"}]}"#;
    let strict = Policy::new(detector::Budgets::default(), serde_json::from_str(strict).unwrap());
    let demand = |evidence: &Evidence| strict.demand(evidence, MicroBits::ZERO);
    let quiet = strict.evidence(&record(1, at(0), "mailer", 0.0), None);
    assert_eq!(demand(&quiet), Demand::Revoke);
    assert_eq!(demand(&Evidence { admitted: true, ..quiet }), Demand::None);
    assert_eq!(demand(&Evidence { attestation: EffectiveAttestation::default(), ..quiet }), Demand::StepUp);
    // A silence is nobody's call.
    let silent = VerdictRecord { kind: Kind::Silence, ..record(1, at(0), "mailer", 0.0) };
    assert_eq!(demand(&strict.evidence(&silent, None)), Demand::None);
}

#[test]
fn it_is_said_which_rules_were_looked_at_and_why_they_did_not_fit() {
    let (policy, record) = (policy(), damning(1, at(0), "mailer"));
    let looked: Vec<_> = policy
        .explain(&Facts::of(&record, Some("lab")))
        .map(|(rule, misfit)| format!("{} {}", rule.name, misfit.unwrap_or("fits")))
        .collect();
    assert_eq!(looked, ["tills may risk", "money risk", "nights hours", "guests networks", "lab fits"]);
}

#[test]
fn rules_that_contradict_themselves_or_each_other_are_refused() {
    for (bad, says) in [
        (r#"[{"name": "", "at_most": "alert"}]"#, "1 to 100 bytes"),
        (r#"[{"name": "a", "at_most": "alert", "at_least": "step_up"}]"#, "asks for more"),
        (r#"[{"name": "a"}, {"name": "a"}]"#, "another rule has its name"),
        (r#"[{"name": "a", "time_zone": "UTC"}]"#, "nothing without `hours`"),
        (r#"[{"name": "a", "hours": ["noon"]}]"#, "no time of the week"),
        (r#"[{"name": "a", "risk": ["fun"]}]"#, "unknown variant"),
        (r#"[{"name": "a", "agents": "b"}]"#, "unknown field"),
    ] {
        let error = serde_json::from_str::<PolicyConfig>(&format!(r#"{{"when": {bad}}}"#)).unwrap_err();
        assert!(error.to_string().contains(says), "{bad}: {error}");
    }
}

#[test]
fn a_policy_without_rules_reads_back_and_another_rule_is_another_version() {
    let config: PolicyConfig = serde_json::from_str(RULES).unwrap();
    let again: PolicyConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
    assert_eq!(again, config);
    assert_ne!(policy().version(), crate::testing::policy().version());
}
