//! Four eyes, and what a cohort does to its members.

use detector::{Budgets, Cohort, Manifest, Pattern};

use super::*;
use crate::config::PolicyConfig;
use crate::fleetwide::{FleetCommand, Unconfirmed};
use crate::policy::{Demand, Policy};
use crate::restraint::Restraint;
use crate::revoker::{ApplyError, Person, Setup};
use crate::testing::{at, damning, record, setup};
use crate::whom::Scope;

fn person(name: &str) -> Person {
    Person { name: name.to_owned(), by: format!("{name} via soc") }
}

fn because() -> String {
    "because".to_owned()
}

/// Four tills, one of them by its name alone, and an agent beside them.
fn tills(folder: &Path) -> Revoker {
    let manifest = |n: u32, issuer: Option<&str>| Manifest {
        agent_id: format!("till-{n}"),
        issuer: issuer.map(str::to_owned),
        group: Some("tills".to_owned()),
        ..Manifest::default()
    };
    let idp = Some("https://idp.example");
    let manifests = vec![manifest(0, idp), manifest(1, idp), manifest(2, idp), manifest(3, None)];
    let config = PolicyConfig { pause_takes_two: true, ..PolicyConfig::default() };
    let policy = Policy::new(Budgets::default(), config);
    crate::testing::open_as(folder, Setup { policy, manifests, ..setup(&["idp"]) })
}

fn group(name: &str) -> FleetCommand {
    FleetCommand::RevokeGroup { group: name.to_owned() }
}

#[tokio::test]
async fn a_group_is_revoked_by_two_persons_at_once_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = tills(folder.path());
    let none = revoker.propose(group("no such"), person("ann"), because(), at(0)).await;
    assert!(matches!(none, Err(ApplyError::NoGroup)));
    revoker.revoke(agent("till-1"), "ann".to_owned(), because(), at(0)).await.unwrap();
    handle(&revoker, &record(1, at(0), "till-3", 3.0));
    let proposal = revoker.propose(group("tills"), person("ann"), because(), at(0)).await.unwrap();
    assert_eq!(standing(&revoker, "till-0"), "trusted");

    drop(revoker);
    let revoker = tills(folder.path());
    let confirm =
        |name: &'static str, s| revoker.confirm(proposal.id.clone(), person(name), because(), at(s));
    assert!(matches!(confirm(" Ann", 1).await, Err(ApplyError::Unconfirmed(Unconfirmed::SamePerson))));
    assert!(matches!(confirm("bob", 1_800).await, Err(ApplyError::Unconfirmed(Unconfirmed::None))));
    // Two by issuer; the one by name as it is named, and under the issuer that the record knows.
    assert_eq!(confirm("bob", 2).await.unwrap().revoked, 4);
    assert_eq!(["till-0", "till-1", "till-2", "till-3"].map(|name| standing(&revoker, name)), ["revoked"; 4]);
    assert!(matches!(confirm("bob", 3).await, Err(ApplyError::Unconfirmed(Unconfirmed::None))));
    assert_eq!(revoker.proposals(at(3)).await.unwrap(), []);
    let told = revoker.audit_of(agent("till-0"), crate::store::Page::new(1, None)).await.unwrap();
    assert_eq!(told[0].body["input"]["by"], "ann via soc and bob via soc");
    revoker.verify_audit(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn where_policy_says_so_everything_is_paused_by_two() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = tills(folder.path());
    let alone = revoker.pause(Scope::default(), None, "ann".to_owned(), because(), at(0)).await;
    assert!(matches!(alone, Err(ApplyError::TakesTwo)));
    revoker.pause(Scope::agent(&agent("mailer")), None, "ann".to_owned(), because(), at(0)).await.unwrap();
    let pause = FleetCommand::Pause { until: Some(at(60)) };
    let proposal = revoker.propose(pause, person("ann"), because(), at(0)).await.unwrap();
    revoker.confirm(proposal.id, person("bob"), because(), at(1)).await.unwrap();
    assert_eq!(handle(&revoker, &damning(1, at(2), "other")).admission, Admission::Go);
    assert!(matches!(handle(&revoker, &damning(2, at(60), "other")).admission, Admission::Revoked { .. }));
}

#[test]
fn one_deviation_of_two_fifths_of_a_group_revokes_nobody_and_asks_about_each() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = tills(folder.path());
    for n in 0..20 {
        let mut verdict = damning(n, at(i64::from(n) * 30), &format!("member-{n}"));
        verdict.verdict.cohort = Some(Cohort {
            incident: 1,
            pattern: Pattern::MoreCalls,
            since: at(0),
            agents: 20,
            exposed: 50,
            factor: 5.0,
            own: verdict.verdict.level,
            is_beyond: true,
        });
        let decision = handle(&revoker, &verdict);
        assert!(is_challenged(&decision));
        let alert = decision.alert.unwrap();
        assert_eq!((alert.would_have, alert.withheld), (Some(Demand::Revoke), Some(Restraint::Cohort)));
    }
}
