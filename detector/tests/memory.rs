//! Who is remembered when memory is full.

use std::time::Duration;

use detector::{Call, Detector, DetectorConfig, Part, Signal, Timestamp, Verdict};
use proptest::prelude::*;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// A Monday's first instant.
const START: Timestamp = Timestamp::from_millis(1_740_355_200_000);

fn detector(agents_max: usize) -> Detector {
    Detector::new(DetectorConfig { agents_max, ..DetectorConfig::default() }, &[])
}

/// A call of an agent, whatever its date; it moves no clock.
fn observe(detector: &mut Detector, agent: &str, ts: Timestamp) -> Option<Verdict> {
    detector.observe(&Call::new("c", ts, agent, "read"))
}

/// A call, and event time half a minute behind it.
fn call(detector: &mut Detector, agent: &str, ts: Timestamp) -> Option<Verdict> {
    let verdict = observe(detector, agent, ts);
    detector.tick(ts - Duration::from_secs(30));
    verdict
}

/// What one signal says of the same.
fn part(detector: &mut Detector, agent: &str, ts: Timestamp, signal: Signal) -> Option<Part> {
    call(detector, agent, ts)?.part(signal).copied()
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("agent-{i}")).collect()
}

/// Agents that call every hour for two days, until when.
fn establish(detector: &mut Detector, agents: &[String]) -> Timestamp {
    for hour in 0..48 {
        for agent in agents {
            call(detector, agent, START + HOUR * hour);
        }
    }
    START + HOUR * 47
}

/// Of how many observations each signal of the agent's next verdict speaks: what it remembers.
fn remembered(detector: &mut Detector, agent: &str, ts: Timestamp) -> Vec<Option<u32>> {
    let verdict = call(detector, agent, ts);
    let n = |signal| Some(verdict.as_ref()?.part(signal)?.history.n);
    [Signal::Volume, Signal::Timing, Signal::Endpoint].map(n).to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Ten times as many new names as there are places, each with up to 24 calls, dated now, days ago, days
    /// ahead, or in turn.
    #[test]
    fn a_flood_of_new_identities_evicts_no_active_established_agent(
        agents_max in 2..150_usize,
        fill in 0.0..=1.0_f64,
        calls in prop_oneof![1..20_usize, Just(24)],
        minutes in 1..1_000_u32,
        dates in prop::sample::subsequence(vec![START - DAY, START + DAY * 4], 0..=2),
    ) {
        let most = agents_max - (agents_max / 64).max(1);
        let agents = names(((most as f64 * fill) as usize).max(1));
        let (mut flooded, mut calm) = (detector(agents_max), detector(agents_max));
        let (begin, _) = (establish(&mut flooded, &agents), establish(&mut calm, &agents));
        let flood = 10 * agents_max;
        for i in 0..flood {
            let now = begin + MINUTE * minutes * (i as u32) / (flood as u32);
            for ts in dates.iter().cycle().chain(std::iter::repeat(&now)).take(calls) {
                observe(&mut flooded, &format!("flood-{i}"), *ts);
                prop_assert!(flooded.agents() <= agents_max);
            }
            flooded.tick(now);
        }
        prop_assert!(flooded.evicted() > 8 * agents_max as u64);
        prop_assert_eq!((flooded.compacted(), flooded.dormant()), (0, 0), "a flood leaves nothing behind");
        for agent in &agents {
            let ts = begin + MINUTE * minutes;
            prop_assert_eq!(remembered(&mut flooded, agent, ts), remembered(&mut calm, agent, ts));
        }
    }
}

/// Gap in minutes, agent.
fn steps() -> impl Strategy<Value = Vec<(u32, u8)>> {
    let gap = prop_oneof![200 => 0..60_u32, 10 => 0..600_u32, 1 => 1_440..6_000_u32];
    let agent = prop_oneof![6 => 0..4_u8, 1 => 4..40_u8];
    prop::collection::vec((gap, agent), 200..700)
}

fn feed(detector: &mut Detector, steps: &[(u32, u8)], ts: &mut Timestamp) -> Vec<Verdict> {
    let step = |(gap, agent): &(u32, u8)| {
        *ts = *ts + MINUTE * *gap;
        call(detector, &format!("agent-{agent}"), *ts)
    };
    steps.iter().filter_map(step).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_snapshot_while_agents_come_and_go_changes_no_later_verdict(
        steps in steps(),
        agents_max in 1..6_usize,
        cut in 0.0..1.0_f64,
    ) {
        let (mut whole, mut ts) = (detector(agents_max), START);
        let mut expected = Vec::new();
        for step in &steps {
            expected.extend(feed(&mut whole, std::slice::from_ref(step), &mut ts));
            prop_assert!(whole.agents() <= agents_max && whole.dormant() <= agents_max);
            prop_assert!(whole.compacted() <= whole.evicted());
        }

        let cut = (steps.len() as f64 * cut) as usize;
        let (mut first, mut ts) = (detector(agents_max), START);
        let mut got = feed(&mut first, &steps[..cut], &mut ts);
        let snapshot = postcard::to_stdvec(&first).unwrap();
        let mut second: Detector = postcard::from_bytes(&snapshot).unwrap();
        prop_assert!(postcard::to_stdvec(&second).unwrap() == snapshot);
        second.reconfigure(DetectorConfig { agents_max, ..DetectorConfig::default() }, &[]);
        got.extend(feed(&mut second, &steps[cut..], &mut ts));
        prop_assert!(got == expected);
        prop_assert_eq!((second.compacted(), second.dormant()), (whole.compacted(), whole.dormant()));
        prop_assert!(postcard::to_stdvec(&second).unwrap() == postcard::to_stdvec(&whole).unwrap());
    }
}

/// Calls a minute in the day's eight working hours, and one an hour at night.
fn works_by_day(detector: &mut Detector, agent: &str, days: std::ops::Range<u32>) {
    for minute in days.start * 1_440..days.end * 1_440 {
        let is_day = (9..17).contains(&(minute / 60 % 24));
        if is_day || minute.is_multiple_of(60) {
            call(detector, agent, START + MINUTE * minute);
        }
    }
}

/// A detector that knew an agent for three weeks, did not hear of it for ten days, and is full of others.
fn after_a_rest() -> (Detector, Timestamp) {
    let mut detector = detector(64);
    works_by_day(&mut detector, "worker", 0..21);
    assert_eq!(detector.compacted(), 0);
    let back = START + DAY * 31;
    for name in names(64) {
        call(&mut detector, &name, back - HOUR);
    }
    assert_eq!((detector.evicted(), detector.compacted(), detector.dormant()), (1, 1, 1));
    (detector, back)
}

#[test]
fn who_comes_back_is_expected_to_do_by_day_and_at_night_what_it_did() {
    for (hour, per_hour) in [(3, 1.0), (12, 60.0), (23, 1.0)] {
        let (mut detector, back) = after_a_rest();
        let ts = back + HOUR * hour + Duration::from_secs(1_799);
        let mut restored: Detector = postcard::from_bytes(&postcard::to_stdvec(&detector).unwrap()).unwrap();
        restored.reconfigure(DetectorConfig { agents_max: 64, ..DetectorConfig::default() }, &[]);
        // Nothing was expected of a whole minute before there was one.
        call(&mut detector, "worker", ts - MINUTE);
        let volume = part(&mut detector, "worker", ts, Signal::Volume).unwrap();
        call(&mut restored, "worker", ts - MINUTE);
        let after = part(&mut restored, "worker", ts, Signal::Volume).unwrap();
        assert_eq!(after, volume, "a snapshot keeps who is dormant");
        let ratio = volume.expected * 60.0 / per_hour;
        assert!((0.5..2.0).contains(&ratio), "{hour}: {volume:?}");
        assert!(volume.history.own > 900, "{volume:?}");
        assert_eq!(detector.dormant(), 0, "it is one of those in memory again");
    }
}

/// The highest level of volume in five minutes of so many calls each.
fn highest(detector: &mut Detector, agent: &str, from: Timestamp, per_minute: u32) -> f64 {
    let ts = |i| from + MINUTE / per_minute * i;
    let bits = |i| Some(part(detector, agent, ts(i), Signal::Volume)?.level.as_bits());
    (0..5 * per_minute).filter_map(bits).fold(f64::NEG_INFINITY, f64::max)
}

#[test]
fn a_nights_burst_of_one_who_comes_back_is_judged_against_the_night() {
    let (known, back) = after_a_rest();
    let at = |agent: &str, hour| highest(&mut known.clone(), agent, back + HOUR * hour, 5);
    let (night, day, stranger) = (at("worker", 2), at("worker", 10), at("stranger", 2));
    assert!(night > 6.5 && day < 0.0 && stranger < 0.0, "{night} {day} {stranger}");
    let as_usual = highest(&mut known.clone(), "worker", back + HOUR * 10, 1);
    assert!(as_usual < 0.0, "{as_usual}");
}

#[test]
fn who_has_come_back_is_no_newcomer_to_a_flood() {
    let (mut detector, back) = after_a_rest();
    call(&mut detector, "worker", back);
    for i in 0..640 {
        call(&mut detector, &format!("flood-{i}"), back + MINUTE);
    }
    assert_eq!(detector.compacted(), 1, "once, before it came back");
    let endpoint = part(&mut detector, "worker", back + HOUR, Signal::Endpoint).unwrap();
    assert_eq!(endpoint.history.n, 1, "its profile is the one that its first call back made");
}

#[test]
fn of_the_dormant_the_idlest_are_forgotten_first() {
    let mut detector = detector(2);
    let first_call = |week: u32| START + DAY * 7 * week;
    let names = names(6);
    for (week, name) in (0..).zip(&names) {
        for hour in 0..48 {
            call(&mut detector, name, first_call(week) + HOUR * hour);
        }
    }
    // The last two are in memory, the two before them dormant, and the first two forgotten.
    assert_eq!((detector.agents(), detector.dormant(), detector.compacted()), (2, 2, 4));
    let known = |name: &String| {
        let volume = part(&mut detector.clone(), name, first_call(6), Signal::Volume).unwrap();
        volume.history.own > 900
    };
    let known: Vec<bool> = names[..4].iter().map(known).collect();
    assert_eq!(known, [false, false, true, true]);
}

#[test]
fn only_where_memory_is_too_small_an_active_agent_goes_and_its_week_stays() {
    let mut detector = detector(2);
    let now = establish(&mut detector, &names(2));
    call(&mut detector, "third", now);
    assert_eq!((detector.agents(), detector.compacted(), detector.dormant()), (2, 1, 1));
    call(&mut detector, "fourth", now);
    assert_eq!((detector.agents(), detector.compacted(), detector.evicted()), (2, 1, 2), "the third's place");
}

/// What the README says.
#[test]
fn a_dormant_agent_takes_408_bytes() {
    assert_eq!(Detector::bytes_per_dormant_agent(), 408);
}
