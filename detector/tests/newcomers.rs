//! An agent that nobody knows yet, among peers that are known.

use std::time::Duration;

use detector::{Budgets, Call, Detector, DetectorConfig, Pattern, Signal, Timestamp};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

const START: Timestamp = Timestamp::from_millis(1_740_355_200_000);
const PEERS: usize = 20;
/// By then they have made the 100 excursions from which a newcomer's tail is theirs.
const PEERS_DAYS: u64 = 10;
/// Of peers and, at first, of the newcomer: the mean of gaps that come by chance.
const MEAN_S: f64 = 40.0;
/// Calls of its own before it turns, and those it takes to be found.
const OWN: usize = 20;
const FOUND_WITHIN: usize = 50;

#[test]
fn a_newcomer_that_turns_machine_gun_at_its_twentieth_call_is_found_by_its_gaps() {
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(4);
    let mut gap = || -(1.0 - dice.random::<f64>()).ln();
    let mut detector = Detector::new(DetectorConfig::default(), &[]);
    let names: Vec<String> = (0..PEERS).map(|i| format!("peer-{i}")).collect();
    let (mut ts, end) = (START, START + Duration::from_hours(24 * PEERS_DAYS));
    let call = |detector: &mut Detector, agent: &str, ts: Timestamp| {
        detector.tick(ts - Duration::from_secs(10));
        let verdict = detector.observe(&Call::new(format!("{ts}"), ts, agent, "read")).unwrap();
        *verdict.part(Signal::Timing).unwrap()
    };
    loop {
        ts = ts + Duration::from_secs_f64(gap() * MEAN_S / PEERS as f64);
        if ts >= end {
            break;
        }
        let who = (gap() * 1e6) as usize % PEERS;
        call(&mut detector, &names[who], ts);
    }
    let (watch, step_up) = (Budgets::default().watch(), Budgets::default().step_up());
    for _ in 0..OWN {
        ts = ts + Duration::from_secs_f64(gap() * MEAN_S);
        assert!(call(&mut detector, "newcomer", ts).level < watch);
    }
    // Gaps of 20 to 200 ms.
    let found = (1..=FOUND_WITHIN).find(|_| {
        ts = ts + Duration::from_secs_f64(0.02 + 0.18 * (1.0 - (-gap()).exp()));
        let part = call(&mut detector, "newcomer", ts);
        part.level >= step_up && part.pattern == Pattern::MachineGun
    });
    assert!(found.is_some(), "not within {FOUND_WITHIN} calls");
}
