//! A receiver that fails, stalls, cuts, throttles and dies: what it accepts in the end is every effect, once.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::fleet::text;
use crate::support::gate::operate;
use crate::support::stage::Stage;
use crate::support::tocsin::Tocsin;

#[test]
fn every_effect_arrives_however_the_receiver_behaves() {
    let mut stage = Stage::new();
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(""));

    for (agent, how) in [
        ("fails", json!({ "status": 500, "times": 2 })),
        ("redirects", json!({ "status": 302, "times": 1 })),
        ("throttles", json!({ "status": 429, "retry_after": 1, "times": 1 })),
        ("cuts", json!({ "close": true, "times": 2 })),
        ("stalls", json!({ "hang": true, "times": 1 })),
    ] {
        stage.receiver.behave(&how);
        operate(&tocsin, "revoke", agent);
        stage.check_effects(&tocsin, &[(agent, &["agent.access.revoked"])]);
        let misdeed = how
            .get("status")
            .cloned()
            .unwrap_or_else(|| if how["close"] == true { "close".into() } else { "hang".into() });
        let misdeeds = stage.receiver.recorded().iter().filter(|entry| entry["answered"] == misdeed).count();
        assert_eq!(json!(misdeeds), how["times"], "{agent}: the receiver had its chance to misbehave");
    }

    stage.receiver.kill();
    operate(&tocsin, "revoke", "down");
    tocsin.kill();
    tocsin.restart();
    operate(&tocsin, "reinstate", "down");
    stage.receiver.restart();
    stage.check_effects(&tocsin, &[("down", &["agent.access.revoked", "agent.reinstated"])]);
}

#[test]
fn a_receiver_that_says_gone_is_left_alone_and_an_operator_sees_it() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    stage.receiver.behave(&json!({ "status": 410 }));
    operate(&tocsin, "revoke", "first");
    stage.wait("the target to be disabled", || {
        let disabled = tocsin.look("/v1/targets/disabled");
        (!disabled.as_array().expect("a list").is_empty()).then_some(())
    });
    operate(&tocsin, "revoke", "second");
    let told: Vec<_> =
        stage.receiver.recorded().iter().map(|entry| entry["data"]["subject"].clone()).collect();
    assert_eq!(told, ["first"]);

    stage.receiver.behave(&json!({ "status": 204 }));
    assert!(command(&tocsin, &["effects", "disabled"]).contains("\"target\": \"idp\""));
    command(&tocsin, &["effects", "enable", "idp"]);
    let revoked: &[&str] = &["agent.access.revoked"];
    stage.check_effects(&tocsin, &[("first", revoked), ("second", revoked)]);
}

#[test]
fn what_was_given_up_goes_again_by_hand_under_the_same_id() {
    let mut stage = Stage::new();
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    stage.receiver.kill();
    for agent in ["first", "second", "third"] {
        operate(&tocsin, "revoke", agent);
    }
    tocsin.kill();
    // Three days go by: the last attempt fails.
    let record = rusqlite::Connection::open(stage.path().join("data/revoker.db")).expect("it opens");
    let died = "UPDATE deliveries SET state = 'dead', next_at = 0 WHERE target = 'idp'";
    assert_eq!(record.execute(died, []).expect("it is done"), 3);
    drop(record);
    stage.receiver.restart();
    tocsin.restart();
    let dead = command(&tocsin, &["effects", "list", "--state", "dead"]);
    assert!(dead.lines().filter(|line| line.contains("agent.access.revoked")).count() == 3, "{dead}");
    assert_eq!(
        command(&tocsin, &["effects", "redeliver", "--dead", "--to", "other"]),
        "0 deliveries are sent again\n"
    );
    assert!(stage.receiver.recorded().is_empty(), "nothing goes by itself");
    // Of the third it hears meanwhile that it has its access back, which an old revocation would take away again.
    operate(&tocsin, "reinstate", "third");
    stage.wait("the reinstatement", || (!stage.receiver.recorded().is_empty()).then_some(()));
    let said = command(&tocsin, &["effects", "redeliver", "--dead", "--to", "idp"]);
    let lines: Vec<&str> = said.lines().collect();
    let old = "is not sent: for idp there is newer news of the agent's access, `agent.reinstated`";
    assert!(lines.len() == 2 && lines[0].ends_with(old), "{said}");
    assert_eq!(lines[1], "2 deliveries are sent again");
    stage.wait("the others", || (stage.receiver.recorded().len() >= 3).then_some(()));
    let told = |effect: &Value| (text(&effect["data"], "subject"), text(effect, "type"));
    let of = |agent: &str, news: &str| (agent.to_owned(), format!("agent.{news}"));
    let wanted = [of("third", "reinstated"), of("first", "access.revoked"), of("second", "access.revoked")];
    assert_eq!(stage.receiver.effects().iter().map(told).collect::<BTreeSet<_>>(), wanted.into());
    assert_eq!(command(&tocsin, &["effects", "list", "--state", "dead"]), "none\n");
}

/// What a command prints.
fn command(tocsin: &Tocsin, arguments: &[&str]) -> String {
    let output = tocsin.command(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
