//! Ten thousand agents whose evidence asks for a revocation at once, under the caps that nobody changed: what leaves, what is asked, and
//! what the others are told, down to the receiver.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use detector::VerdictRecord;
use serde_json::json;

use super::*;
use crate::governor::FULL;
use crate::revoker::{Decision, Heard};
use crate::testing::{policy, prove, stronger};

/// The caps of a minute.
const REVOCATIONS: usize = 10;
const QUESTIONS: usize = 120;

/// Whose evidence only just asks for a revocation, of ten. They come first, which is the worst order for the tenth.
const DECOYS: u32 = 9;

fn name(n: u32) -> String {
    format!("agent-{n}")
}

fn standing(revoker: &Revoker, n: u32) -> &'static str {
    revoker.standing(Some("https://idp.example"), &name(n)).name()
}

/// What all of them do at once: evidence a bit over the budget, and of the last tenth as far over it as the caps look.
fn flood(agents: u32, first: u32, now: Timestamp) -> Vec<VerdictRecord> {
    let barely = policy().budgets().revoke().as_bits() + 1.0;
    let excess = |n: u32| if is_decoy(n, agents) { 0.0 } else { FULL.as_bits() };
    (0..agents).map(|n| stronger(damning(first + n, now, &name(n)), barely + excess(n))).collect()
}

fn is_decoy(n: u32, agents: u32) -> bool {
    n < agents / 10 * DECOYS
}

fn hear(revoker: &Revoker, records: &[VerdictRecord], now: Timestamp) -> Vec<Decision> {
    let heard = |record: &VerdictRecord| Heard::Verdict(Arc::new(record.clone()));
    let (mut queue, mut told) = (records.iter().map(heard).collect::<VecDeque<_>>(), Vec::new());
    revoker.hear(&mut queue, now, |_, decision| told.push(decision)).unwrap();
    told
}

/// How many each answer was given to: to decoys, and to the others.
type Given = BTreeMap<&'static str, [usize; 2]>;

/// Looks each agent up in the audit: what was done, and where that is less than its evidence asks for, why.
async fn audited(revoker: &Revoker, agents: u32) -> Given {
    let mut given = Given::new();
    for n in 0..agents {
        let agent = AgentKey::new(Some("https://idp.example"), &name(n));
        let standing = standing(revoker, n);
        let audit = revoker.audit_of(agent, Page::new(20, None)).await.unwrap();
        let to = audit.iter().map(|entry| &entry.body["to"]).find(|to| to.is_object()).unwrap();
        let why = match standing {
            "revoked" => json!([null, null]),
            "challenged" => json!(["revocations_per_minute", REVOCATIONS]),
            "watched" => json!(["challenges_per_minute", QUESTIONS]),
            other => panic!("{n} is {other}"),
        };
        assert_eq!(json!([to["withheld"]["cap"], to["withheld"]["limit"]]), why, "{n} {standing}: {to}");
        given.entry(standing).or_default()[usize::from(!is_decoy(n, agents))] += 1;
    }
    given
}

#[tokio::test]
async fn of_thousands_at_once_the_cap_is_revoked_the_next_are_asked_about_and_all_others_told_why() {
    let agents: u32 = prove::scaled(1_000, 10_000);
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start(&[]).await);
    let running = run(folder.path(), &[("idp", &receiver)], quick(9));
    // Long enough ago that the next minute is over as well.
    let (revoker, now) = (running.revoker.clone(), system_time() - Duration::from_mins(3));
    // They are known before: a share of them is what a day may take.
    let calm: Vec<_> = (0..agents).map(|n| record(n, now, &name(n), 0.0)).collect();
    hear(&revoker, &calm, now);

    let began = Instant::now();
    let decisions = hear(&revoker, &flood(agents, agents, now), now);
    let events = REVOCATIONS + QUESTIONS;
    soon(receiver.wait_for(events)).await;
    let seconds = began.elapsed().as_secs_f64();

    let given = audited(&revoker, agents).await;
    // Half of the cap was kept for evidence that is stronger; of the other somewhat less, since what barely asks for a revocation is more
    // than what barely asks for a question.
    assert_eq!((given["revoked"], given["challenged"]), ([5, 5], [79, 41]), "{given:?}");
    assert_eq!(given["watched"].iter().sum::<usize>(), agents as usize - events);
    // All others have an alert that says so in words.
    let why = |decision: &Decision| decision.alert.clone().unwrap().reasons.pop().unwrap();
    insta::assert_snapshot!(why(decisions.last().unwrap()), @"would have been revoked: the cap of 120 automatic questions a minute has room for 120 on evidence as strong as this, and 120 were made");
    let withheld =
        decisions.iter().map(why).filter(|why| why.starts_with("would have been revoked: the cap of"));
    assert_eq!(withheld.count(), agents as usize - REVOCATIONS);
    let told = |kind: &str| receiver.seen().iter().filter(|seen| seen.json()["type"] == kind).count();
    assert_eq!((told("agent.access.revoked"), told("agent.challenged")), (REVOCATIONS, QUESTIONS));

    // Within the minute nobody goes beyond it who goes on; after it as many again.
    hear(&revoker, &flood(agents, 2 * agents, now), now);
    assert_eq!(audited(&revoker, agents).await, given);
    let next = now + Duration::from_secs(66);
    hear(&revoker, &flood(agents, 3 * agents, next), next);
    let ended = (0..agents).filter(|n| standing(&revoker, *n) == "revoked").count();
    assert_eq!(ended, 2 * REVOCATIONS);
    running.stop().await;

    let (goal, test) = (
        "10, the cap: 5 of the strongest tenth, which came last; 120 asked about, all others told why",
        "of_thousands_at_once",
    );
    let what = format!("{agents} revocations at once with the governor on");
    prove::row_on_record(&format!("{what}: done"), given["revoked"].iter().sum::<usize>(), goal, test);
    prove::row_on_record(&format!("{what}: s until all is decided and told"), seconds, "", test);
}
