//! The database goes away and comes back: revocations do not wait for it, and readers miss nothing.

use crate::support::feed::post_until_taken;
use crate::support::gate::{Agent, HISTORY};
use crate::support::stage::Stage;
use crate::support::tocsin::Tocsin;

#[test]
fn revocations_go_on_while_the_engine_is_down_and_readers_miss_nothing() {
    let mut stage = Stage::new();
    let mut tocsin = Tocsin::start(stage.path(), &stage.settings(""));
    let mut agent = Agent::with_history(&tocsin, "runaway");
    stage.engine.kill();

    let burst = agent.burst(900);
    for chunk in burst.chunks(100) {
        post_until_taken(&tocsin.url("/v1/calls"), chunk);
    }
    stage.wait("the revocation at the receiver", || {
        let effects = stage.receiver.effects();
        effects
            .iter()
            .find(|e| e["type"] == "agent.access.revoked" && e["data"]["subject"] == "runaway")
            .map(drop)
    });
    // What is not in the database yet survives the program, too.
    tocsin.kill();
    tocsin.restart();

    stage.engine.restart();
    stage.check_counts((HISTORY + burst.len()) as u64);
    stage.check_effects(&tocsin, &[]);
}
