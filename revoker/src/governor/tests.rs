//! Floods, and who is answered first in them.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::testing::{at, prove};

const AGENTS: u32 = 10_000;

fn bits(bits: f64) -> MicroBits {
    MicroBits::from_bits(bits)
}

fn revoke(excess: f64) -> Act<'static> {
    Act { action: Action::Revoke, excess: bits(excess), group: None, agents: AGENTS }
}

fn caps() -> GovernorConfig {
    GovernorConfig::default()
}

#[test]
fn a_lone_revocation_waits_for_nothing() {
    for limit in 1..50 {
        let caps = GovernorConfig { revocations_per_minute: limit.try_into().unwrap(), ..caps() };
        let lone = Act { agents: 0, group: Some(("g", 1)), ..revoke(0.0) };
        assert_eq!(Governor::default().admit(&lone, &caps, at(0)), Ok(()));
    }
}

#[test]
fn ten_thousand_at_once_stop_at_the_cap_and_say_why() {
    let mut governor = Governor::default();
    let admitted = (0..10_000).filter(|_| governor.admit(&revoke(30.0), &caps(), at(0)).is_ok()).count();
    assert_eq!(admitted, 10);
    let governed = governor.admit(&revoke(30.0), &caps(), at(0)).unwrap_err();
    assert_eq!(governed, Governed { cap: Cap::RevocationsPerMinute, limit: 10, room: 10, used: 10 });
    assert_eq!(
        governor.admit(&revoke(0.0), &caps(), at(0)).unwrap_err().to_string(),
        "the cap of 10 automatic revocations a minute has room for 5 on evidence as strong as this, and 10 were made"
    );
    assert!(governor.admit(&revoke(30.0), &caps(), at(59)).is_err());
    assert_eq!(governor.admit(&revoke(30.0), &caps(), at(66)), Ok(()));
}

#[test]
fn a_slow_flood_stops_at_its_share_of_the_fleet_and_of_its_group() {
    let mut governor = Governor::default();
    let few = Act { agents: 200, ..revoke(20.0) };
    let admitted = (0..1_000).filter(|n| governor.admit(&few, &caps(), at(n * 60)).is_ok()).count();
    // 5 % of 200 in any day; 1,000 minutes are less than one.
    assert_eq!(admitted, 10);
    assert_eq!(governor.admit(&few, &caps(), at(60_000)).unwrap_err().cap, Cap::FleetPerDay);
    assert_eq!(governor.admit(&few, &caps(), at(90_100)), Ok(()));

    let mut governor = Governor::default();
    let member = Act { group: Some(("invoicing", 40)), ..revoke(20.0) };
    let admitted = (0..40).filter(|n| governor.admit(&member, &caps(), at(n * 60)).is_ok()).count();
    assert_eq!(admitted, 10);
    assert_eq!(governor.admit(&member, &caps(), at(2_400)).unwrap_err().cap, Cap::GroupPerDay);
    // Another group, and who is of none, are not held up.
    let other = Act { group: Some(("travel", 4)), ..member };
    assert_eq!(
        [governor.admit(&other, &caps(), at(2_400)), governor.admit(&revoke(0.0), &caps(), at(2_400))],
        [Ok(()); 2]
    );
}

#[test]
fn a_clock_that_was_set_back_shuts_no_cap_for_longer_than_its_span() {
    let mut governor = Governor::default();
    while governor.admit(&revoke(30.0), &caps(), at(1_000_000_000)).is_ok() {}
    // What was counted ahead counts until one more is, from then on as of now.
    assert!(governor.admit(&revoke(30.0), &caps(), at(0)).is_err());
    governor.revocations.add(MINUTE, at(0));
    assert_eq!(governor.admit(&revoke(30.0), &caps(), at(66)), Ok(()));
}

#[test]
fn any_number_of_groups_takes_bounded_memory() {
    let mut governor = Governor::default();
    let generous = GovernorConfig { revocations_per_minute: NonZeroU32::MAX, ..caps() };
    for n in 0..2 * GROUPS_MAX {
        let name = format!("g{n}");
        let act = Act { group: Some((&name, 1)), agents: u32::MAX, ..revoke(30.0) };
        governor.admit(&act, &generous, at(0)).unwrap();
    }
    assert_eq!(governor.groups.len(), GROUPS_MAX);
    let act = Act { group: Some(("late", 1)), ..revoke(30.0) };
    governor.admit(&act, &generous, at(100_000)).unwrap();
    assert_eq!(governor.groups.len(), 1);
}

#[test]
fn the_hijack_among_a_thousand_decoys_is_answered_first_wherever_it_comes() {
    let places = prove::scaled(20, 1_000);
    let answered = (0..places)
        .filter(|place| {
            let mut governor = Governor::default();
            let mut hijacked = Err(());
            for n in 0..=1_000_u32 {
                if n == place * (1_000 / places) {
                    let act = Act { agents: u32::MAX, ..revoke(16.0) };
                    hijacked = governor.admit(&act, &caps(), at(0)).map_err(drop);
                } else {
                    // Refused from the sixth on, all within one second.
                    governor
                        .admit(&Act { agents: u32::MAX, ..revoke(f64::from(n % 10)) }, &caps(), at(0))
                        .ok();
                }
            }
            hijacked.is_ok()
        })
        .count();
    assert_eq!(answered, places as usize);
    let goal = "all answered at once: the hijack is 6 bits over the strongest of 1,000 decoys, the cap is 10 a minute";
    prove::row("a true hijack among 1,000 decoys answered, of placings", answered, goal, "a_thousand_decoys");
}

proptest! {
    #[test]
    fn decoys_never_hold_up_a_true_hijack_that_is_a_step_stronger(
        limit in 2_u32..60,
        decoys in prop::collection::vec((0.0..10.0_f64, 0_i64..3), 1_000),
        place in 0_usize..1_000,
    ) {
        let caps = GovernorConfig { revocations_per_minute: limit.try_into().unwrap(), ..caps() };
        let step = FULL.as_bits() / f64::from(limit / 2);
        let strongest = decoys.iter().fold(0.0, |max: f64, (bits, _)| max.max(*bits));
        let (mut governor, mut now) = (Governor::default(), 0);
        for (n, (excess, after)) in decoys.iter().enumerate() {
            now += after;
            if n == place {
                let hijack = Act { agents: u32::MAX, ..revoke((strongest + step).min(FULL.as_bits())) };
                // Where the step leads past the end of the scale all of the cap is open to it, and to none of them.
                prop_assert_eq!(governor.admit(&hijack, &caps, at(now)), Ok(()));
            }
            // A share of a fleet this large is no bound here.
            governor.admit(&Act { agents: u32::MAX, ..revoke(*excess) }, &caps, at(now)).ok();
        }
    }

    #[test]
    fn no_stretch_of_a_span_holds_more_than_its_cap_also_over_a_restart(
        acts in prop::collection::vec((0_i64..20, 0.0..40.0_f64, any::<bool>()), 1..400),
    ) {
        let caps = GovernorConfig { fleet_percent_per_day: Percent(1), ..caps() };
        let (mut governor, mut now) = (Governor::default(), at(0));
        let mut admitted = Vec::new();
        for (after, excess, restart) in acts {
            now = now + Duration::from_secs(after.unsigned_abs());
            if restart {
                governor = serde_json::from_str(&serde_json::to_string(&governor).unwrap()).unwrap();
            }
            if governor.admit(&Act { agents: 3_000, ..revoke(excess) }, &caps, now).is_ok() {
                admitted.push(now);
            }
            let within = |span: Duration| admitted.iter().filter(|at| now.since(**at) < span).count();
            prop_assert!(within(Duration::from_mins(1)) <= 10);
            prop_assert!(within(Duration::from_hours(24)) <= 30);
        }
    }

    #[test]
    fn stronger_evidence_never_has_less_room(limit in 1_u32..100, a in -5.0..50.0_f64, more in 0.0..50.0_f64) {
        prop_assert!(room(limit, bits(a)) <= room(limit, bits(a + more)));
        prop_assert!(room(limit, bits(a)) >= limit.div_ceil(2));
        prop_assert_eq!(room(limit, FULL), limit);
    }
}
