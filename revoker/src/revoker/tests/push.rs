//! Answers by an identity provider, and for one.

use std::time::Duration;

use super::*;
use crate::approval::{
    Action, ApproverName, Asked, BindingCode, Digest, Outcome, Refusal, Status, disable, enrol,
};
use crate::config::PolicyConfig;
use crate::effect::CHANNEL;
use crate::policy::Policy;
use crate::revoker::{ChannelError, PushError, PushedBy, Setup};
use crate::testing::{at, setup};

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
    let refused = revoker.push_answered(&approval, Some(by("sub-1")), at(2)).await.unwrap();
    assert_eq!(refused, Some(Outcome::Refused(Refusal::NotNamed)));
    let late = revoker.push_answered(&approval, Some(by("Sub-1")), at(2)).await.unwrap();
    assert_eq!(late, Some(Outcome::Refused(Refusal::Over)));
    assert!(matches!(revoker.push(&approval, "Dana", at(3)).await, Err(PushError::Before(_))));

    let approval = revoker.ask(asked("book"), at(3)).await.unwrap().approval;
    revoker.push(&approval, "Dana", at(3)).await.unwrap();
    assert_eq!(
        revoker.push_answered(&approval, Some(by("Sub-1")), at(4)).await.unwrap(),
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
    let refused = revoker.push_answered(&weak, Some(by("Sub-1")), at(1)).await.unwrap();
    assert_eq!(refused, Some(Outcome::Refused(Refusal::StrongerFactor)));
    assert_eq!(
        revoker.push_answered(&weak, None, at(1)).await.unwrap(),
        Some(Outcome::Settled),
        "a no is one"
    );

    // Nobody answers: it lapses, and that is no denial.
    let lapses = asks("book", 1).await;
    assert_eq!(revoker.pushes_due(at(5_000)).await.unwrap().0, Vec::new());
    assert_eq!(revoker.approval(lapses.id).await.unwrap().unwrap().status(at(5_000)), Status::Expired);

    let gone = asks("send", 5_000).await;
    disable(&revoker, ApproverName::new("Dana").unwrap(), "test".into(), at(5_001)).await.unwrap();
    let refused = revoker.push_answered(&gone, None, at(5_002)).await.unwrap();
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
