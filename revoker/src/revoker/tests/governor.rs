//! Under caps: what is held back is recorded, listed, tried anew, and a person's at any time.

use detector::Manifest;

use super::*;
use crate::governor::{Cap, Governed};
use crate::policy::Demand;
use crate::restraint::Restraint;
use crate::revoker::Setup;
use crate::store::Page;
use crate::testing::{at, damning, open_ungoverned, record, setup, stronger};

fn governed(decision: &Decision) -> Option<Governed> {
    match decision.alert.as_ref()?.withheld? {
        Restraint::Governor(governed) => Some(governed),
        _ => None,
    }
}

fn revoked(decision: &Decision) -> bool {
    matches!(decision.admission, Admission::Revoked { .. })
}

#[test]
fn a_flood_of_decoys_holds_up_no_true_hijack() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    let (mut hit, mut asked, mut told) = (0, 0, 0);
    for n in 0..1_000 {
        // Two witnesses and 14 to 18 bits each, where 11.8 ask for a revocation.
        let decoy = stronger(damning(n, at(0), &format!("decoy-{n}")), 14.0 + f64::from(n % 5));
        let decision = handle(&revoker, &decoy);
        hit += usize::from(revoked(&decision));
        asked += usize::from(is_challenged(&decision));
        told += usize::from(decision.admission == Admission::Go && decision.alert.is_some());
        if n == 700 {
            let hijack = handle(&revoker, &stronger(damning(5_000, at(0), "hijacked"), 40.0));
            assert!(revoked(&hijack), "{hijack:?}");
        }
    }
    assert_eq!(hit + asked + told, 1_000);
    assert!(hit <= 10 && asked <= 120, "{hit} revoked, {asked} asked about");
    let page = Page::new(1_000, None);
    let held = tokio::runtime::Runtime::new().unwrap().block_on(revoker.held_back(page)).unwrap();
    assert_eq!(held.len(), 1_000 - hit);
}

#[tokio::test]
async fn past_the_cap_a_question_past_its_cap_an_alert_and_both_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    for n in 0..1_000 {
        handle(&revoker, &record(1_000 + n, at(0), &format!("agent-{n}"), 0.0));
    }
    let decisions: Vec<_> =
        (0..200).map(|n| handle(&revoker, &damning(n, at(0), &format!("agent-{n}")))).collect();
    // Evidence as strong as this may use all of both caps.
    let firsts = [0, 10, 130].map(|n: usize| decisions[n].clone());
    assert!(revoked(&firsts[0]) && is_challenged(&firsts[1]) && firsts[2].admission == Admission::Go);
    assert_eq!(decisions.iter().filter(|d| revoked(d)).count(), 10);
    assert_eq!(decisions.iter().filter(|d| is_challenged(d)).count(), 120);
    let caps = firsts.each_ref().map(|d| governed(d).map(|g| (g.cap, g.limit, g.used)));
    let asked = Some((Cap::RevocationsPerMinute, 10, 10));
    assert_eq!(caps, [None, asked, Some((Cap::ChallengesPerMinute, 120, 120))]);
    let alert = firsts[1].alert.clone().unwrap();
    assert_eq!((alert.action.as_str(), alert.would_have), ("challenge", Some(Demand::Revoke)));
    insta::assert_snapshot!(alert.reasons.last().unwrap(), @"would have been revoked: the cap of 10 automatic revocations a minute has room for 10 on evidence as strong as this, and 10 were made");
    let audit = revoker.audit_of(agent("agent-10"), Page::new(1, None)).await.unwrap();
    assert_eq!(audit[0].body["to"]["withheld"]["cap"], "revocations_per_minute");

    // The same again changes nothing more, a restart opens no cap, and a person is not held up.
    let before = counts(folder.path());
    assert_eq!(handle(&revoker, &damning(300, at(1), "agent-10")).alert, None);
    let revoker = reopened(folder.path(), revoker);
    assert!(is_challenged(&handle(&revoker, &damning(301, at(2), "agent-10"))));
    assert_eq!(counts(folder.path()), before);
    let (by, because) = ("ann".to_owned(), "because".to_owned());
    revoker.revoke(agent("agent-10"), by, because, at(3)).await.unwrap();
    // Once there is room again whoever goes on is revoked after all; that the fleet is large outlived the restart.
    assert!(revoked(&handle(&revoker, &damning(302, at(70), "agent-11"))));
    revoker.verify_audit(Vec::new()).await.unwrap();
}

#[test]
fn a_deploy_over_two_fifths_of_a_group_takes_no_more_than_its_share_down() {
    let folder = tempfile::tempdir().unwrap();
    let manifests: Vec<_> = (0..50)
        .map(|n| Manifest {
            agent_id: format!("member-{n}"),
            group: Some("invoicing".to_owned()),
            ..Manifest::default()
        })
        .collect();
    let setup = Setup { manifests, ..setup(&["idp"]) };
    let revoker = crate::testing::open_as(folder.path(), setup);
    for n in 0..1_000 {
        handle(&revoker, &record(n, at(n.into()), &format!("agent-{n}"), 0.0));
    }
    let hit = (0..20).filter(|n| {
        let ts = at(2_000 + i64::from(*n) * 30);
        revoked(&handle(&revoker, &damning(2_000 + n, ts, &format!("member-{n}"))))
    });
    assert_eq!(hit.count(), 12);
    assert!(revoked(&handle(&revoker, &damning(3_000, at(2_700), "agent-1"))));
}

#[test]
fn without_the_governor_all_are_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open_ungoverned(folder.path());
    assert!((0..300).all(|n| revoked(&handle(&revoker, &damning(n, at(0), &format!("agent-{n}"))))));
}
