//! Shadow, protection and pauses: one way to withhold an answer, and it is always said what would have been done.

use super::*;
use crate::config::PolicyConfig;
use crate::lifecycle::Input;
use crate::policy::{Demand, Policy};
use crate::restraint::{Restraint, Would};
use crate::revoker::{ApplyError, Setup};
use crate::testing::{at, damning, record, request, setup};
use crate::whom::Scope;

fn with(folder: &Path, policy: &str) -> Revoker {
    let config: PolicyConfig = serde_json::from_str(policy).unwrap();
    let policy = Policy::new(detector::Budgets::default(), config);
    crate::testing::open_as(folder, Setup { policy, ..setup(&["idp"]) })
}

fn would(revoker: &Revoker, name: &str) -> Would {
    revoker.standing(Some("https://idp.example"), name).would()
}

fn withheld(demand: Demand, by: Restraint) -> Would {
    Would { demand: Some(demand), withheld: Some(by) }
}

async fn pause(revoker: &Revoker, scope: Scope, until: Option<i64>) {
    let (by, because) = ("ann".to_owned(), "because".to_owned());
    revoker.pause(scope, until.map(at), by, because, at(0)).await.unwrap();
}

#[test]
fn in_shadow_all_but_the_last_step_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = with(folder.path(), r#"{"shadow": true}"#);
    let alert = handle(&revoker, &damning(1, at(0), "mailer")).alert.unwrap();
    assert_eq!((alert.shadow, alert.would_have), (true, Some(Demand::Revoke)));
    assert_eq!(alert.reasons.last().unwrap(), "would have been revoked: this is done in shadow only");
    assert_eq!(would(&revoker, "mailer"), withheld(Demand::Revoke, Restraint::Shadow));
    handle(&revoker, &record(2, at(0), "other", 9.0));
    assert_eq!(would(&revoker, "other"), withheld(Demand::StepUp, Restraint::Shadow));
    assert_eq!(events(folder.path()), Vec::<String>::new());
    assert_eq!(count(folder.path(), "revocations") + count(folder.path(), "approvals"), 0);
}

#[test]
fn with_revocations_alone_in_shadow_a_person_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = with(folder.path(), r#"{"shadow": ["revoke"], "on_expiry": "revoke"}"#);
    assert!(is_challenged(&handle(&revoker, &damning(1, at(0), "mailer"))));
    assert_eq!(events(folder.path()), ["agent.challenged"]);
    // Nor does it end when nobody answers.
    assert!(is_challenged(&handle(&revoker, &damning(2, at(901), "mailer"))));
    assert_eq!(would(&revoker, "mailer"), withheld(Demand::Revoke, Restraint::Shadow));
}

#[tokio::test]
async fn who_is_protected_is_revoked_by_persons_alone_and_can_always_ask_again() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = with(folder.path(), r#"{"protected": [{"agent": "billing-*"}], "on_expiry": "revoke"}"#);
    for n in 0..5 {
        let decision = handle(&revoker, &damning(n, at(i64::from(n) * 1_000), "billing-1"));
        assert!(is_challenged(&decision), "{decision:?}");
    }
    while revoker.tick(at(9_000)).await.unwrap() {}
    assert_eq!(would(&revoker, "billing-1"), withheld(Demand::Revoke, Restraint::Protected));
    let asked = handle(&revoker, &request(9, at(10_000), "billing-1", 40.0));
    assert!(matches!(asked.admission, Admission::Challenged { until, .. } if until > at(10_000)));
    assert!(matches!(handle(&revoker, &damning(10, at(0), "mailer")).admission, Admission::Revoked { .. }));
    let revoke = Input::Revoke { by: "ann".to_owned(), reason: "because".to_owned() };
    let by_hand = revoker.write(move |w| w.apply(&agent("billing-1"), revoke, at(10_001))).await.unwrap();
    assert_eq!(by_hand.standing.name(), "revoked");
}

#[tokio::test]
async fn a_pause_holds_for_whom_it_names_and_until_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = open(folder.path());
    pause(&revoker, Scope::agent(&agent("mailer")), Some(100)).await;
    let nobody = Scope { group: Some("no such".to_owned()), ..Scope::default() };
    pause(&revoker, nobody.clone(), None).await;
    handle(&revoker, &damning(1, at(99), "mailer"));
    assert_eq!(would(&revoker, "mailer"), withheld(Demand::Revoke, Restraint::Paused));
    assert!(matches!(handle(&revoker, &damning(2, at(99), "other")).admission, Admission::Revoked { .. }));

    let revoker = reopened(folder.path(), revoker);
    assert_eq!(revoker.pauses().len(), 2);
    // Its time is over whether or not anybody has noticed.
    assert!(matches!(handle(&revoker, &damning(3, at(100), "mailer")).admission, Admission::Revoked { .. }));
    revoker.tick(at(100)).await.unwrap();
    assert_eq!(revoker.pauses().iter().map(|p| &p.scope).collect::<Vec<_>>(), [&nobody]);

    let issuer = Scope { issuer: Some("https://idp.example".to_owned()), ..Scope::default() };
    pause(&revoker, issuer.clone(), None).await;
    assert_eq!(handle(&revoker, &damning(4, at(101), "third")).admission, Admission::Go);
    // A resume of everything ends no narrower pause.
    let (by, because) = (|| "ann".to_owned(), || "because".to_owned());
    revoker.unpause(Scope::default(), by(), because(), at(102)).await.unwrap();
    assert_eq!(handle(&revoker, &damning(5, at(103), "third")).admission, Admission::Go);
    revoker.unpause(issuer, by(), because(), at(104)).await.unwrap();
    assert!(matches!(handle(&revoker, &damning(6, at(105), "third")).admission, Admission::Revoked { .. }));
    let past = revoker.pause(Scope::default(), Some(at(1)), by(), because(), at(106)).await;
    assert!(matches!(past, Err(ApplyError::Past)));
    revoker.verify_audit(Vec::new()).await.unwrap();
}
