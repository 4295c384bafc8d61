//! More runaways at once than may be revoked: the caps hold, what is held back is asked about and listed, and persons are not held up.

use std::collections::BTreeSet;

use crate::support::feed::post_until_taken;
use crate::support::fleet::text;
use crate::support::gate::{Agent, operate};
use crate::support::prove;
use crate::support::stage::Stage;
use crate::support::tocsin::Tocsin;

const RUNAWAYS: usize = 8;
/// What a fleet of fewer than 120 may lose in a day.
const CAP: usize = 5;

#[test]
fn a_fleet_that_runs_away_is_revoked_up_to_the_cap_and_asked_about_from_there() {
    let stage = Stage::new();
    let tocsin = Tocsin::start(stage.path(), &stage.settings("[policy.governor]\nenabled = true\n"));
    let bursts: Vec<_> = (0..RUNAWAYS)
        .map(|i| {
            let name: &'static str = Box::leak(format!("runaway-{i}").into_boxed_str());
            Agent::with_history(&tocsin, name).burst(900)
        })
        .collect();
    for call in 0..900 {
        let lines: Vec<String> = bursts.iter().map(|burst| burst[call].clone()).collect();
        post_until_taken(&tocsin.url("/v1/calls"), &lines);
    }
    let told = |kind: &str| -> BTreeSet<String> {
        let seen = stage.receiver.recorded().into_iter().filter(|e| e["type"] == kind);
        seen.map(|e| text(&e["data"], "subject")).collect()
    };
    let held = stage.wait("as many revocations as the cap allows", || {
        let withheld = tocsin.look("/v1/agents?withheld=true")["rows"].as_array()?.clone();
        let is_all = told("agent.access.revoked").len() == CAP && withheld.len() == RUNAWAYS - CAP;
        is_all.then_some(withheld)
    });
    for row in &held {
        assert_eq!((&row["standing"], &row["would"]), (&"challenged".into(), &"revoke".into()), "{row}");
        assert_eq!(row["withheld"]["cap"], "fleet_per_day", "{row}");
    }
    let fleet = tocsin.look("/v1/status")["governor"][2].clone();
    assert_eq!(
        (&fleet["cap"], &fleet["used"], &fleet["limit"]),
        (&"fleet_per_day".into(), &CAP.into(), &CAP.into())
    );
    let revoked = told("agent.access.revoked").len() as f64;
    prove::row(
        "8 that run away at once with the governor on: revoked without a person",
        revoked,
        [revoked; 2],
        "5, the cap, which the alerts of the others name",
        true,
        "governor::",
    );
    let name = text(&held[0]["agent"], "agent_id");
    operate(&tocsin, "revoke", &name);
    stage.wait("the revocation by hand", || told("agent.access.revoked").contains(&name).then_some(()));
}
