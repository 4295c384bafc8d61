use super::*;
use crate::bench::recording::Rows;
use clap::ValueEnum;

const SEED: u64 = 5;

#[test]
fn the_same_seed_gives_the_same_minutes_and_a_clone_goes_on_alike() {
    for &fleet in Fleet::value_variants() {
        let minutes = |seed| {
            let mut source = Source::new(fleet, seed, 3, STUDY_RATES);
            (0..3 * DAY).map(|_| source.next_minute()).collect::<Vec<_>>()
        };
        assert!(minutes(SEED) == minutes(SEED), "{fleet:?}");
        assert!(minutes(SEED) != minutes(SEED + 1) || fleet == Fleet::OnOff, "{fleet:?}");
        let mut source = Source::new(fleet, SEED, 3, STUDY_RATES);
        for _ in 0..DAY {
            source.next_minute();
        }
        let mut copy = source.clone();
        assert!((0..DAY).all(|_| source.next_minute() == copy.next_minute()), "{fleet:?}");
    }
}

/// Over 30 agents and four weeks (50 for agents that idle for weeks) the calls are what the law says.
#[test]
fn fleets_call_as_often_as_they_claim() {
    use Fleet::{Cron, Hawkes, Holiday, Missing, Nb, OnOff, Pareto, Poisson, Season, SeasonOu, Sessions};
    for fleet in [Poisson, Nb, Season, SeasonOu, Sessions, Hawkes, Cron, Pareto, OnOff, Missing, Holiday] {
        let days = if fleet == OnOff { 350 } else { 28 };
        let ratio = |agent| {
            let mut source = Source::new(fleet, SEED, agent, (1.0, 4.0));
            let calls: u64 = (0..days * DAY).map(|_| u64::from(source.next_minute().count)).sum();
            calls as f64 / f64::from(days * DAY) / source.mean_rate()
        };
        let mean = (0..30).map(ratio).sum::<f64>() / 30.0;
        assert!((mean - 1.0).abs() < 0.08, "{}: {mean:.3} of what it claims", fleet.name());
    }
}

#[test]
fn what_changes_changes_by_what_it_says() {
    let rates = |fleet, agent| {
        let mut source = Source::new(fleet, SEED, agent, (2.0, 4.0));
        (0..56 * DAY).map(|_| source.next_minute().rate).collect::<Vec<_>>()
    };
    let week = |rates: &[f64], n: u32| {
        let from = (n * 7 * DAY) as usize;
        rates[from..from + 7 * DAY as usize].iter().sum::<f64>()
    };
    let grow = rates(Fleet::Grow, 0);
    assert!((week(&grow, 4) / week(&grow, 0) - 2.0).abs() < 0.01);
    let deploy = rates(Fleet::Deploy, 1);
    let factor = week(&deploy, 7) / week(&deploy, 0);
    assert!([0.33, 0.5, 2.0, 3.0].iter().any(|f| (f - factor).abs() < 0.01), "{factor}");
    let month = rates(Fleet::MonthEnd, 2);
    let day = |n: u32| month[(n * DAY) as usize..((n + 1) * DAY) as usize].iter().sum::<f64>();
    // 30 January is a Friday and day 25; the Friday before is day 18.
    assert!((day(25) / day(18) - 5.0).abs() < 0.01 && (day(24) / day(17) - 1.0).abs() < 0.01);
}

#[test]
fn attacks_multiply_the_calls() {
    for fleet in [Fleet::Poisson, Fleet::Season, Fleet::Cron] {
        for factor in [0.0, 1.5, 5.0, 20.0] {
            let mut dice = stream(SEED, fleet.name(), 0, Purpose::Attack);
            let (mut usual, mut attacked) = (0_u64, 0_u64);
            for agent in 0..20 {
                let mut source = Source::new(fleet, SEED, agent, (1.0, 4.0));
                for _ in 0..7 * DAY {
                    let minute = source.next_minute();
                    usual += u64::from(minute.count);
                    attacked += u64::from(source.multiplied(minute, factor, factor, &mut dice));
                }
            }
            let ratio = attacked as f64 / usual as f64;
            assert!((ratio - factor).abs() <= 0.02 * factor, "{}: x{factor} gave x{ratio:.3}", fleet.name());
        }
    }
}

/// All of a row's events are played, or their share; an attacker's come on top, and a copy goes on alike.
#[test]
fn a_recording_is_played_row_by_row() {
    let counts = [6_000, 0, 600];
    let recording = Arc::new(Recording::of(Rows::Hour, counts.repeat(8)));
    let play = |one_in: u32, factor: f64| {
        let mut source = Source::recorded(&recording, 0, one_in, "x", SEED, 0);
        let mut dice = stream(SEED, "x", 0, Purpose::Attack);
        let mut hours = [0_u32; 3];
        for minute in 0..180 {
            assert_eq!(source.is_awake(), minute / 60 != 1);
            assert_eq!(source.clone().next_minute(), source.clone().next_minute());
            let usual = source.next_minute();
            hours[minute / 60] += source.multiplied(usual, factor, factor, &mut dice);
        }
        hours
    };
    assert_eq!(play(1, 1.0), counts);
    assert_eq!(play(1, 0.0), [0; 3]);
    let near = |hours: [u32; 3], want: [f64; 3]| {
        let off = |(&n, want): (&u32, f64)| (f64::from(n) - want).abs() <= 4.0 * want.sqrt();
        assert!(hours.iter().zip(want).all(off), "{hours:?} for {want:?}");
    };
    near(play(10, 1.0), [600.0, 0.0, 60.0]);
    near(play(10, 5.0), [3_000.0, 0.0, 300.0]);
}
