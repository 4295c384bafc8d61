//! A loop is cut off by a rule, whatever the statistics say, and everybody can read which one; a human lets the agent go on,
//! and the rule begins anew.

use std::time::Duration;

use detector::Timestamp;
use serde_json::{Value, json};

use crate::support::gate::{self, Human, ask, page_of};
use crate::support::page::Page;
use crate::support::stage::Stage;
use crate::support::tocsin::{ISSUER, Tocsin};

const NAME: &str = "poller";
/// What its manifest allows of the same call within a minute,
const LIMIT: usize = 20;
/// and what the rule says of one more.
const SAID: &str = "the same call 21 times within a minute; 20 is the limit";
/// Between its calls: the pace that its manifest declares.
const GAP: Duration = Duration::from_millis(1_400);
const SETTINGS: &str = "[[manifests]]
agent_id = \"poller\"
calls_per_hour = 2571.0
repeats_per_minute_max = 20
";

/// An agent that asks for the same again and again, at the pace it is meant to have.
struct Loop {
    began: Timestamp,
    calls: usize,
}

impl Loop {
    /// Asks the gate until it says no, but not for ever: which call that was, counted from 1, and the challenge.
    fn until_challenged(&mut self, tocsin: &Tocsin) -> (usize, Value) {
        for n in 1..=4 * LIMIT {
            let act = json!({
                "event_id": format!("{NAME}-{}", self.calls), "kind": "request", "agent_id": NAME,
                "ts": self.began + GAP * u32::try_from(self.calls).expect("few"),
                "endpoint": "get_order", "resource": "order/17", "args_digest": "sha256:0f", "attestation": "token"
            });
            self.calls += 1;
            let answer = ask(tocsin, &act, None);
            if answer.status == 401 {
                return (n, gate::challenge(&answer));
            }
            answer.expect(200);
        }
        panic!("the same call {} times, and nobody is asked", self.calls);
    }

    /// The event of its last call.
    fn last(&self) -> String {
        format!("{NAME}-{}", self.calls - 1)
    }
}

#[test]
fn a_loop_at_an_honest_pace_is_cut_off_by_the_rule() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings(SETTINGS));
    let dana = Human::enrol(&tocsin, "Dana");
    let mut looping = Loop { began: gate::now() - Duration::from_mins(3), calls: 0 };

    let (calls, challenge) = looping.until_challenged(&tocsin);
    assert_eq!(calls, LIMIT + 1, "the first call too many");
    let alerts = tocsin.look("/v1/alerts?limit=100");
    let alert = &alerts["rows"][0];
    assert_eq!((&alert["event_id"], &alert["action"]), (&looping.last().into(), &"challenge".into()));
    assert_eq!(alert["reasons"][0], format!("rule: {SAID}"), "{alert}");
    assert_eq!(
        (&alert["rule"]["kind"], &alert["rule"]["observed"]),
        (&"repeated_call".into(), &21.into()),
        "{alert}"
    );

    let wanted = looping.last();
    let row = stage.wait("the verdict in the database", || {
        let columns = "rule, toUInt32(rule_observed) AS observed, toUInt32(rule_limit) AS limit, level";
        let sql = format!("SELECT {columns} FROM tocsin.verdicts_once WHERE event_id = '{wanted}'");
        stage.engine.try_number("SELECT count() FROM tocsin.verdicts_once")?;
        stage.engine.rows(&sql).pop()
    });
    assert_eq!(
        (&row["rule"], &row["observed"], &row["limit"]),
        (&"repeated_call".into(), &21.into(), &20.into()),
        "{row}"
    );
    // Nothing learned had a hand in it.
    let step_up = detector::Budgets::default().step_up().as_bits();
    assert!(row["level"].as_f64().expect("bits") < step_up, "{row}");
    let explained = tocsin.command(&["explain", NAME, "--issuer", ISSUER]);
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    for said in [SAID, "rule broken, whatever the level", "at most 20 of the same call in 1 min"] {
        assert!(explained.contains(said), "{said}: {explained}");
    }

    let page = Page::open(&page_of(&tocsin, &challenge));
    assert!(page.shows(SAID), "{}", page.html);
    let number = challenge["binding_code"].as_str().expect("a number");
    let pressed = page.answer("approve", &[("name", dana.name), ("number", number), ("code", &dana.code())]);
    assert_eq!(pressed.status, 303, "{pressed:?}");
    stage.wait("what the human said in the log", || {
        let pending = tocsin.look("/v1/effects?state=pending&limit=1");
        pending["rows"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    let (calls, _) = looping.until_challenged(&tocsin);
    assert_eq!(calls, LIMIT + 1, "counted anew, and cut off anew");
    let types = ["agent.challenged", "agent.challenge.approved", "agent.challenged"];
    stage.check_effects(&tocsin, &[(NAME, &types)]);
    let told = |effect: &Value| effect["data"]["reasons"][0] == format!("rule: {SAID}");
    assert_eq!(stage.receiver.effects().iter().filter(|effect| told(effect)).count(), 2);
    let alerts = tocsin.look("/v1/alerts?limit=100");
    assert_eq!(alerts["rows"].as_array().map(Vec::len), Some(2), "one for each breach: {alerts}");
    let alerts = tocsin.look("/v1/alerts?limit=100");
    assert_eq!(alerts["rows"].as_array().map(Vec::len), Some(2), "one a breach: {alerts}");
}
