//! The gate when something is wrong: whatever it is, the answer is no, and says why.

use super::support::{Ask, RECORD_BYTES_MAX, Trouble, World, line};
use crate::api::GateError;

#[tokio::test]
async fn only_the_role_gate_may_ask() {
    let world = World::new().await;
    let record = line("e1", "billing", 0.0);
    let nobody = world.send(Ask::post("/v1/gate", &record)).await;
    insta::assert_snapshot!(nobody.told(&[]));
    let operator = world.send(Ask::post("/v1/gate", &record).bearer("soc")).await;
    insta::assert_snapshot!(operator.told(&[]));
    for path in ["/v1/approvals/apr_00000000000000000000000000000000", "/v1/approvals/x", "/v1/approvals/%ff"]
    {
        assert_eq!(world.send(Ask::get(path)).await.status, 401);
        assert_eq!(world.send(Ask::get(path).bearer("soc")).await.status, 403);
        assert_eq!(world.send(Ask::get(path).bearer("gateway")).await.status, 404);
    }
}

#[tokio::test]
async fn a_record_that_is_none_is_refused_with_its_field() {
    let world = World::new().await;
    let mut nameless = line("e1", "billing", 0.0);
    nameless.as_object_mut().unwrap().remove("agent_id");
    let refused = world.send(Ask::gate(&nameless)).await;
    assert_eq!((refused.status, &refused.json()["field"]), (400, &"agent_id".into()));

    let mut done = line("e1", "billing", 0.0);
    done["kind"] = "call".into();
    insta::assert_snapshot!(world.send(Ask::gate(&done)).await.told(&[]));

    let mut long = line("e1", "billing", 0.0);
    long["args_digest"] = "x".repeat(RECORD_BYTES_MAX).into();
    let refused = world.send(Ask::gate(&long)).await;
    assert_eq!((refused.status, &refused.json()["type"]), (413, &"urn:tocsin:problem:bad_record".into()));
}

#[tokio::test]
async fn a_gate_that_cannot_decide_says_no() {
    let world = World::new().await;
    let troubles = [
        GateError::Busy { retry_after_s: 3 },
        GateError::Unavailable { reason: "disk full".to_owned(), retry_after_s: 5 },
        GateError::Conflict { event_id: "e1".to_owned() },
    ];
    let mut told = Vec::new();
    for trouble in troubles {
        world.trouble(Some(Trouble::Fails(trouble)));
        told.push(world.gate("e1", "billing", 0.0).await.told(&[]));
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn half_a_resumption_is_none() {
    let world = World::new().await;
    let record = line("e1", "billing", 0.0);
    let grant = ["e30"; 3].join(".");
    let only_grant = world.send(Ask::gate(&record).header("Tocsin-Grant", &grant)).await;
    insta::assert_snapshot!(only_grant.told(&[]));
    for (grant, resume) in [("x", "r"), (grant.as_str(), ""), (grant.as_str(), "two words")] {
        let refused = world.send(Ask::gate(&record).resuming(grant, resume)).await;
        assert_eq!(refused.status, 400, "{grant} {resume}");
    }
    let unknown = world.send(Ask::gate(&record).resuming(&grant, "r")).await;
    assert_eq!((unknown.status, &unknown.json()["reason"]), (401, &"unknown".into()));
}

#[tokio::test]
async fn other_methods_are_told_which_do() {
    let world = World::new().await;
    for (path, allowed) in [("/v1/gate", "POST"), ("/v1/alerts", "GET,HEAD")] {
        let refused = if allowed == "POST" { Ask::get(path) } else { Ask::post(path, &line("e", "a", 0.0)) };
        let refused = world.send(refused.bearer("gateway")).await;
        assert_eq!((refused.status, refused.header("allow")), (405, allowed));
        assert_eq!(refused.json()["type"], "urn:tocsin:problem:method");
    }
}
