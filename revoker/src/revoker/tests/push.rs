//! Answers by an identity provider, and for one.

use std::time::Duration;

use detector::{Attestation, EffectiveAttestation, Manifest};

use super::*;
use crate::approval::{
    Action, Approval, ApproverName, Asked, BindingCode, Digest, Outcome, Refusal, Status, disable, enrol,
};
use crate::config::PolicyConfig;
use crate::effect::CHANNEL;
use crate::policy::Policy;
use crate::policy::risk::Risk;
use crate::revoker::{ChannelError, PushError, PushedBy, Setup};
use crate::store::pushes::{self, Push};
use crate::store::{StoreError, approvals};
use crate::testing::{at, record, setup};

async fn with(folder: &Path, push_suffices: bool) -> Revoker {
    let mut config = PolicyConfig::default();
    config.approval.push_suffices = push_suffices;
    let policy = Policy::new(detector::Budgets::default(), config);
    let revoker = crate::testing::open_as(folder, Setup { policy, ..setup(&["idp"]) });
    let also = vec!["dana@example.com".to_owned(), "Sub-1".to_owned()];
    enrol(&revoker, ApproverName::new("Dana").unwrap(), also, "test".into(), at(0)).await.unwrap();
    revoker
}

fn asked(act: &str) -> Asked {
    let action = Action {
        issuer: None,
        agent_id: "books".into(),
        instance_id: None,
        endpoint: act.into(),
        method: None,
        operation: None,
        resource: None,
        args_digest: None,
    };
    Asked { action, approver: Some("dana@example.com".into()), by: "test".into(), ..Asked::default() }
}

/// The request to Dana for this question.
async fn of(revoker: &Revoker, approval: &Approval) -> Push {
    let id = approval.id.clone();
    let found = revoker.read(move |db| pushes::of(db, &id, "Dana").map_err(StoreError::from)).await;
    found.unwrap().unwrap()
}

fn by(sub: &str) -> PushedBy {
    PushedBy { iss: "https://idp.example".into(), sub: sub.into(), acr: None, amr: None, auth_time: None }
}

#[tokio::test]
async fn a_push_is_asked_once_and_its_answer_counts_once_from_the_right_person() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = with(folder.path(), true).await;
    let approval = revoker.ask(asked("call"), at(0)).await.unwrap().approval;
    assert!(matches!(revoker.push(&approval, "nobody", at(0)).await, Err(PushError::Nobody)));
    for _ in 0..2 {
        revoker.push(&approval, "DANA@example.com", at(0)).await.unwrap();
    }
    let (due, _) = revoker.pushes_due(at(0)).await.unwrap();
    let [(push, _)] = due.as_slice() else { panic!("{due:?}") };
    assert_eq!((push.login_hint.as_str(), &push.auth_req_id), ("dana@example.com", &None));

    let ping = Digest::of(b"token");
    revoker.push_taken(push, ("r1".into(), Some(ping)), (5, at(30)), at(120)).await.unwrap();
    assert_eq!(revoker.pushes_due(at(1)).await.unwrap(), (Vec::new(), Some(at(30))));
    for (request, token, known) in [("r1", "other", false), ("r2", "token", false), ("r1", "token", true)] {
        assert_eq!(revoker.pinged(request.into(), token, at(1)).await.unwrap(), known, "{request} {token}");
    }
    let (due, _) = revoker.pushes_due(at(1)).await.unwrap();
    assert_eq!((due[0].0.auth_req_id.as_deref(), due[0].0.expires_at), (Some("r1"), at(120)));
    // It was asked, and pings before its "not yet" is written down.
    assert!(revoker.pinged("r1".into(), "token", at(2)).await.unwrap());
    revoker.push_again(&due[0].0, 5, at(32)).await.unwrap();
    let (due, _) = revoker.pushes_due(at(2)).await.unwrap();
    revoker.push_again(&due[0].0, 5, at(32)).await.unwrap();
    assert_eq!(revoker.pushes_due(at(2)).await.unwrap(), (Vec::new(), Some(at(32))));
    // A subject is the same in its exact letters alone; and whatever comes of an answer, it is spent.
    let refused = revoker
        .push_answered((&of(&revoker, &approval).await, &approval), Some(by("sub-1")), at(2))
        .await
        .unwrap();
    assert_eq!(refused, Some(Outcome::Refused(Refusal::NotNamed)));
    let late = revoker
        .push_answered((&of(&revoker, &approval).await, &approval), Some(by("Sub-1")), at(2))
        .await
        .unwrap();
    assert_eq!(late, Some(Outcome::Refused(Refusal::Over)));
    assert!(matches!(revoker.push(&approval, "Dana", at(3)).await, Err(PushError::Before(_))));

    let approval = revoker.ask(asked("book"), at(3)).await.unwrap().approval;
    revoker.push(&approval, "Dana", at(3)).await.unwrap();
    assert_eq!(
        revoker
            .push_answered((&of(&revoker, &approval).await, &approval), Some(by("Sub-1")), at(4))
            .await
            .unwrap(),
        Some(Outcome::Settled)
    );
    let kept = revoker.approval(approval.id).await.unwrap().unwrap();
    assert_eq!(kept.status(at(5)), Status::Approved);
}

#[tokio::test]
async fn what_policy_or_time_or_an_operator_says_goes_before_a_push() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = with(folder.path(), false).await;
    let asks = async |act: &str, s: i64| {
        let approval = revoker.ask(asked(act), at(s)).await.unwrap().approval;
        revoker.push(&approval, "Dana", at(s)).await.unwrap();
        approval
    };
    let weak = asks("call", 0).await;
    let refused =
        revoker.push_answered((&of(&revoker, &weak).await, &weak), Some(by("Sub-1")), at(1)).await.unwrap();
    assert_eq!(refused, Some(Outcome::Refused(Refusal::StrongerFactor)));
    assert_eq!(
        revoker.push_answered((&of(&revoker, &weak).await, &weak), None, at(1)).await.unwrap(),
        Some(Outcome::Settled),
        "a no is one"
    );

    // Nobody answers: it lapses, and that is no denial.
    let lapses = asks("book", 1).await;
    assert_eq!(revoker.pushes_due(at(5_000)).await.unwrap().0, Vec::new());
    assert_eq!(revoker.approval(lapses.id).await.unwrap().unwrap().status(at(5_000)), Status::Expired);

    let gone = asks("send", 5_000).await;
    disable(&revoker, ApproverName::new("Dana").unwrap(), "test".into(), at(5_001)).await.unwrap();
    let refused = revoker.push_answered((&of(&revoker, &gone).await, &gone), None, at(5_002)).await.unwrap();
    assert_eq!(refused, Some(Outcome::Refused(Refusal::NotNamed)));
}

#[tokio::test]
async fn a_provider_is_told_once_what_came_of_its_question() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = with(folder.path(), false).await;
    let number = BindingCode::shown_in("book-12345-4711").unwrap();
    assert_eq!(number.as_str(), "4711");
    let asks =
        |asked: Asked| revoker.ask_for_provider(asked, number.clone(), "of the realm".into(), at(120), at(0));
    let stranger = Asked { approver: Some("nobody".into()), ..asked("sign_in") };
    assert!(matches!(asks(stranger).await, Err(ChannelError::Nobody)));
    let approval = asks(asked("sign_in")).await.unwrap();
    assert_eq!((approval.binding_code.as_str(), approval.expires_at), ("4711", at(120)));
    let kept = revoker.approval(approval.id.clone()).await.unwrap().unwrap();
    assert_eq!(kept.binding_code.as_str(), "4711");
    assert!(matches!(asks(asked("sign_in")).await, Err(ChannelError::Open)));
    let bearer = revoker.bearer_for(approval.id.to_string()).await.unwrap().unwrap();
    assert_eq!(bearer.expose(), b"of the realm");

    let told = async |now| {
        while revoker.tick(now).await.unwrap() {}
        let list = crate::store::outbox::list;
        let page = crate::store::Page::new(100, None);
        let all = revoker.read(move |db| list(db, crate::store::outbox::Which::All, page)).await.unwrap();
        all.into_iter().filter(|row| row.target == CHANNEL).count()
    };
    assert_eq!(told(at(119)).await, 0);
    assert_eq!(told(at(120)).await, 1);
    assert_eq!(told(at(120) + Duration::from_secs(1)).await, 1);
}

/// One with this cap on notices, where three people answer for agents whose names are of the test; the provider knows two of them.
fn asking(folder: &Path, notices_per_hour: u32) -> Revoker {
    let mut config = PolicyConfig::default();
    config.approval.push_suffices = true;
    config.approval.notices_per_hour = notices_per_hour.try_into().unwrap();
    config.approval.two_for = vec![Risk::BulkRead];
    let policy = Policy::new(detector::Budgets::default(), config);
    let manifests = (0..3).map(|n| Manifest {
        agent_id: format!("agent-{n}"),
        approvers: ["Dana", "Eve", "Fay"].map(str::to_owned).to_vec(),
        ..Manifest::default()
    });
    let manifests = manifests.collect();
    crate::testing::open_as(folder, Setup { policy, manifests, pushes: true, ..setup(&["idp"]) })
}

/// Evidence against an agent that nobody vouches for, in an act of this name; the question about it.
async fn challenged(revoker: &Revoker, n: u32, endpoint: &str, bits: f64, s: i64) -> Approval {
    let mut record = record(n, at(s), &format!("agent-{}", n % 10), bits);
    record.endpoint = endpoint.into();
    record.verdict.attestation = EffectiveAttestation::new(Attestation::None, Attestation::None);
    let Admission::Challenged { case, .. } = handle(revoker, &record).admission else { panic!("{n}") };
    let case = case.to_string();
    let found = revoker.read(move |db| approvals::by_case(db, &case).map_err(StoreError::from)).await;
    found.unwrap().unwrap()
}

async fn rings(revoker: &Revoker, s: i64) -> Vec<(String, Push, Approval)> {
    let (due, _) = revoker.pushes_due(at(s)).await.unwrap();
    due.into_iter().map(|(push, approval)| (push.approver.clone(), push, approval)).collect()
}

#[tokio::test]
async fn evidence_has_those_who_are_named_asked_by_push_each_once() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = asking(folder.path(), 2);
    for (name, also) in [("Dana", "Sub-1"), ("Eve", "Sub-2"), ("Zoe", "Sub-3")] {
        let name = ApproverName::new(name).unwrap();
        enrol(&revoker, name, vec![also.to_owned()], "test".into(), at(0)).await.unwrap();
    }
    // A yes takes a passkey: nobody's phone rings.
    let grave = challenged(&revoker, 0, "delete_all", 8.0, 0).await;
    assert!(rings(&revoker, 0).await.is_empty());
    revoker.push(&grave, "Dana", at(0)).await.unwrap();
    let asked = rings(&revoker, 0).await;
    revoker.push_failed(&asked[0].1, "test".into(), at(0)).await.unwrap();

    // It is kept with the question, so no crash loses it; more of the same rings nobody again.
    let question = challenged(&revoker, 1, "export_all", 8.0, 1).await;
    drop(revoker);
    let revoker = asking(folder.path(), 2);
    challenged(&revoker, 11, "export_all", 8.5, 2).await;
    let asked = rings(&revoker, 2).await;
    assert_eq!(asked.iter().map(|(who, ..)| who.as_str()).collect::<Vec<_>>(), ["Dana", "Eve"]);
    assert_eq!(asked[0].2.id, question.id);
    // Whose turn comes later is asked then; who is named and unknown to the provider is not.
    revoker.tick(at(400)).await.unwrap();
    assert_eq!(rings(&revoker, 400).await.len(), 2);
    // Both say yes, each by their own request.
    let of = |n: usize| (&asked[n].1, &asked[n].2);
    let half = revoker.push_answered(of(0), Some(by("Sub-1")), at(401)).await.unwrap();
    let whole = revoker.push_answered(of(1), Some(by("Sub-2")), at(402)).await.unwrap();
    assert_eq!((half, whole), (Some(Outcome::Half), Some(Outcome::Settled)));

    // Past the cap of an hour the question is listed, and rings nobody who was asked so often.
    challenged(&revoker, 2, "summarize", 8.0, 500).await;
    assert!(rings(&revoker, 500).await.is_empty(), "Dana was told of two");
}

#[tokio::test]
async fn a_yes_by_push_covers_no_evidence_that_came_after_it_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let revoker = asking(folder.path(), 9);
    let name = ApproverName::new("Dana").unwrap();
    enrol(&revoker, name, vec!["Sub-1".into()], "test".into(), at(0)).await.unwrap();
    challenged(&revoker, 1, "summarize", 8.0, 1).await;
    let asked = rings(&revoker, 1).await;
    challenged(&revoker, 11, "summarize", 15.0, 2).await;
    let grown = revoker.push_answered((&asked[0].1, &asked[0].2), Some(by("Sub-1")), at(3)).await.unwrap();
    assert_eq!(grown, Some(Outcome::Refused(Refusal::EvidenceGrew)));
}
