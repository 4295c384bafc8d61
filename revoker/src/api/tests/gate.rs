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

#[tokio::test]
async fn while_a_human_is_asked_a_few_reads_go_on_and_nothing_of_the_evidence() {
    let world = World::new().await;
    let ask = async |event: &str, endpoint: &str, level: f64| {
        let mut line = line(event, "billing", level);
        line["endpoint"] = endpoint.into();
        world.send(Ask::gate(&line)).await
    };
    assert_eq!(ask("e1", "read_mail", 9.0).await.status, 401);
    for (event, endpoint) in [("e2", "read_mail"), ("e3", "send_email"), ("e4", "summarize")] {
        assert_eq!(ask(event, endpoint, 0.0).await.status, 401, "{endpoint}");
    }
    // What adds to the evidence waits too, and waits from then on.
    assert_eq!(ask("e5", "list_files", 1.0).await.status, 401);
    assert_eq!(ask("e6", "list_files", 0.0).await.status, 401);
    let room = crate::policy::envelope::EnvelopeConfig::default();
    for n in 0..room.calls {
        let answer = ask(&format!("read-{n}"), "read_calendar", 0.0).await;
        assert_eq!(answer.status, 200);
        let told = &answer.json()["restricted"];
        assert_eq!((&told["calls"], &told["bytes"]), (&(room.calls - 1 - n).into(), &room.bytes.into()));
    }
    // The same record again is the same call, and is not carried out twice.
    assert_eq!(ask("read-0", "read_calendar", 0.0).await.status, 401);
    assert_eq!(ask("read-more", "read_calendar", 0.0).await.status, 401);
}
