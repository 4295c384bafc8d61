//! An agent that nobody knows yet, among peers that are known.

use std::time::Duration;

use detector::{Budgets, Call, Detector, DetectorConfig, Manifest, Pattern, Signal, Timestamp};
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

/// Agents of which `rate` gives the calls an hour at an hour since the start: peers from then on, and so many newcomers, one
/// every hour, whose manifests declare `declared`; each of these is attacked by `factor` at an age of 12 minutes. Gives after how
/// many hours each was asked about by its volume, of those that were within two days.
fn asked_about(declared: f64, factor: f64, rate: impl Fn(f64) -> f64) -> Vec<f64> {
    const NEWCOMERS: usize = 20;
    const AGE_HOURS: f64 = 0.2;
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(7);
    let names: Vec<String> = (0..PEERS + NEWCOMERS).map(|i| format!("agent-{i}")).collect();
    let arrives = |agent: usize| {
        agent.checked_sub(PEERS).map_or(0.0, |newcomer| 24.0 * PEERS_DAYS as f64 + newcomer as f64)
    };
    let manifests: Vec<Manifest> = names[PEERS..]
        .iter()
        .map(|name| Manifest {
            agent_id: name.clone(),
            calls_per_hour: Some(declared),
            ..Manifest::default()
        })
        .collect();
    let mut calls = Vec::new();
    for agent in 0..names.len() {
        let arrival = arrives(agent);
        let end = if agent < PEERS { arrives(names.len() - 1) } else { arrival } + 48.0;
        let mut at = arrival;
        while at < end {
            calls.push((at, agent));
            let many = if agent >= PEERS && at - arrival >= AGE_HOURS { factor } else { 1.0 };
            // A rate that is cut to its share of the highest (Lewis and Shedler's thinning).
            let most = many * (0..24).map(|hour| rate(f64::from(hour))).fold(0.0, f64::max);
            loop {
                at += -(1.0 - dice.random::<f64>()).ln() / most;
                if dice.random::<f64>() * most <= many * rate(at) {
                    break;
                }
            }
        }
    }
    calls.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut detector = Detector::new(DetectorConfig::default(), &manifests);
    let mut asked = vec![None; names.len()];
    for (at, agent) in calls {
        let ts = START + Duration::from_secs_f64(at * 3_600.0);
        detector.tick(ts - Duration::from_secs(10));
        let verdict = detector.observe(&Call::new(format!("{agent} {at}"), ts, &names[agent], "read"));
        let level = verdict.and_then(|v| Some(v.part(Signal::Volume)?.level));
        if agent >= PEERS && level.is_some_and(|level| level >= Budgets::default().step_up()) {
            asked[agent].get_or_insert(at - arrives(agent) - AGE_HOURS);
        }
    }
    asked.into_iter().flatten().collect()
}

#[test]
fn a_newcomer_that_makes_five_times_what_it_declared_is_asked_about_however_slow_it_is() {
    let mut asked = asked_about(6.0, 5.0, |_| 6.0);
    asked.sort_by(f64::total_cmp);
    assert!(asked.len() >= 18 && asked[10] < 5.0, "{asked:?}");
}

#[test]
fn a_newcomer_that_works_by_day_as_its_peers_do_keeps_to_what_it_declared_on_average() {
    let by_day = |hour: f64| if (8.0..17.0).contains(&(hour % 24.0)) { 60.0 } else { 6.0 };
    let asked = asked_about((9.0 * 60.0 + 15.0 * 6.0) / 24.0, 1.0, by_day);
    assert!(asked.len() <= 1, "{asked:?}");
}
