//! Tokens from before a revocation, used after the agent was given its access back.

use std::num::NonZeroU32;
use std::time::Duration;

use detector::{Manifest, MicroBits, RuleKind};

use super::*;
use crate::revoker::Setup;
use crate::testing::{at, open_ungoverned, record, request, setup};

/// A normal call with a token issued then.
fn with_token(n: u32, s: i64, issued: i64) -> VerdictRecord {
    let mut record = record(n, at(s), "mailer", 0.0);
    record.verdict.added = MicroBits::ZERO;
    record.beside.token_iat = Some(at(issued));
    record
}

/// Revoked at 100 and given back at 200, each by hand.
async fn given_back(revoker: &Revoker) {
    let said = || ("ann".to_owned(), "because".to_owned());
    revoker.revoke(agent("mailer"), said().0, said().1, at(100)).await.unwrap();
    revoker.reinstate(agent("mailer"), said().0, said().1, at(200)).await.unwrap();
}

#[tokio::test]
async fn an_accepted_call_with_one_breaks_a_rule_and_clocks_may_differ() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open_ungoverned(folder.path());
    assert_eq!(handle(&revoker, &with_token(1, 50, 10)).admission, Admission::Go);
    given_back(&revoker).await;
    let revoker = reopened(folder.path(), revoker);
    assert_eq!(revoker.voided(&agent("mailer"), Some(at(99))), Some(at(100)));
    assert_eq!(revoker.voided(&agent("mailer"), Some(at(100))), None);
    assert_eq!(revoker.voided(&agent("other"), Some(at(99))), None);

    // A new token, one that is old by less than clocks may differ, a call from before the revocation that is read late, and a request
    // that a gate refuses accuse nobody.
    let mut asks = request(4, at(230), "mailer", 0.0);
    asks.beside.token_iat = Some(at(50));
    for harmless in [with_token(2, 210, 150), with_token(3, 220, 96), with_token(6, 90, 50), asks] {
        let decision = handle(&revoker, &harmless);
        assert_eq!((standing(&revoker, "mailer"), decision.alert), ("probation", None), "{harmless:?}");
    }
    let decision = handle(&revoker, &with_token(5, 240, 50));
    assert!(is_challenged(&decision), "{decision:?}");
    let alert = decision.alert.unwrap();
    assert_eq!(
        alert.reasons.first().map(String::as_str),
        Some("rule: a token issued 50 s before the agent's access was last ended"),
    );
}

#[tokio::test]
async fn a_rule_that_began_later_is_told_first_and_a_new_revocation_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open_ungoverned(folder.path());
    given_back(&revoker).await;
    let mut looping = crate::testing::looping(1, at(300), "mailer");
    looping.beside.token_iat = Some(at(50));
    let reasons = handle(&revoker, &looping).alert.unwrap().reasons;
    assert!(reasons[0].contains("301 times"), "{reasons:?}");
    assert_eq!(looping.verdict.rule.map(|rule| rule.kind), Some(RuleKind::RepeatedCall));

    revoker.revoke(agent("mailer"), "ann".to_owned(), "again".to_owned(), at(310)).await.unwrap();
    assert!(revoker.lifted().is_empty(), "every token is void, and the standing says so");
}

#[tokio::test]
async fn it_is_listed_for_as_long_as_tokens_live_and_then_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let declared = |name: &str, s| Manifest {
        agent_id: name.to_owned(),
        issuer: agent(name).issuer,
        token_lifetime_max_s: NonZeroU32::new(s),
        ..Manifest::default()
    };
    let manifests = vec![declared("long", 7_200), declared("short", 60)];
    let hour = Duration::from_hours(1);
    let open = |token_lifetime_max| {
        let setup = Setup { manifests: manifests.clone(), token_lifetime_max, ..setup(&["idp"]) };
        crate::testing::open_as(folder.path(), setup)
    };
    let revoker = open(hour);
    for name in ["mailer", "long", "short"] {
        let said = || ("ann".to_owned(), "because".to_owned());
        revoker.revoke(agent(name), said().0, said().1, at(100)).await.unwrap();
        revoker.reinstate(agent(name), said().0, said().1, at(200)).await.unwrap();
    }
    drop(revoker);
    // What is set later counts for those that are given their access back later.
    let revoker = open(hour * 24);
    let listed = async |now: i64| {
        while revoker.sweep(at(now)).await.unwrap() {}
        let (_, rows) = revoker.revocations(0, 10).await.unwrap();
        rows.into_iter().map(|row| row.agent.agent_id).collect::<Vec<_>>()
    };
    assert_eq!(listed(200 + 3_600).await, ["mailer", "long", "short"]);
    assert_eq!(listed(200 + 3_601).await, ["long"], "its manifest says that its tokens live longer");
    assert_eq!(revoker.lifted()[&agent("long")].at, at(200));
    assert_eq!(listed(200 + 7_200).await, ["long"]);
    assert_eq!(listed(200 + 7_201).await, Vec::<String>::new());
}
