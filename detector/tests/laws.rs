//! Laws that hold for every stream of calls.

use std::time::Duration;

use detector::{
    Attestation, Call, Detector, DetectorConfig, EffectiveAttestation, Manifest, Part, Signal, Timestamp,
    Verdict,
};
use proptest::prelude::*;

/// Gap to the previous call in milliseconds, agent, endpoint.
type Step = (u64, u8, u8);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let gap = prop_oneof![80 => 0..2_000_u64, 40 => 0..600_000_u64, 1 => 0..400_000_000_u64];
    prop::collection::vec((gap, 0..4_u8, 0..40_u8), 1..300)
}

fn config(agents_max: usize) -> DetectorConfig {
    DetectorConfig { agents_max, ..DetectorConfig::default() }
}

fn manifests() -> Vec<Manifest> {
    vec![Manifest {
        agent_id: "agent-1".into(),
        endpoints: vec!["e1".into(), "e2".into()],
        calls_per_hour: Some(30.0),
        ..Manifest::default()
    }]
}

fn feed(detector: &mut Detector, steps: &[Step], from: usize, ts: &mut Timestamp) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (i, (gap, agent, endpoint)) in steps.iter().enumerate() {
        *ts = *ts + Duration::from_millis(*gap);
        let mut call =
            Call::new(format!("c{}", from + i), *ts, format!("agent-{agent}"), format!("e{endpoint}"));
        call.attestation = EffectiveAttestation::new(Attestation::Key, Attestation::Token);
        // Context changes now and then, and some calls are denied or carry much.
        call.source_ip = Some([10, 0, endpoint % 7, *agent].into());
        call.user_agent = Some(format!("client/{}", endpoint / 13).into());
        call.status = Some(if endpoint % 11 == 0 { 403 } else { 200 });
        call.bytes_out = Some(1 << (endpoint % 24));
        verdicts.extend(detector.observe(&call));
        detector.tick(*ts - Duration::from_secs(30));
    }
    verdicts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn parts_sum_exactly_and_every_call_has_a_finite_verdict(steps in steps()) {
        let mut detector = Detector::new(config(3), &manifests());
        let mut ts = Timestamp::from_millis(1_740_000_000_000);
        let verdicts = feed(&mut detector, &steps, 0, &mut ts);
        prop_assert_eq!(verdicts.len(), steps.len());
        prop_assert!(detector.agents() <= 3);
        for v in verdicts {
            prop_assert!(v.is_exact(), "{:?}", v);
            for p in &v.parts {
                prop_assert!(p.observed.is_finite() && p.expected.is_finite() && p.quiet_at.is_finite(), "{:?}", p);
                prop_assert_eq!(p.history.prior + p.history.peers + p.history.own, 1_000);
            }
            prop_assert_eq!(v.attestation.get(), Attestation::Token);
        }
    }

    #[test]
    fn a_snapshot_in_the_middle_changes_no_later_verdict(steps in steps(), cut in 0.0..1.0_f64) {
        let start = Timestamp::from_millis(1_740_000_000_000);
        let (mut whole, mut ts) = (Detector::new(config(100), &manifests()), start);
        let expected = feed(&mut whole, &steps, 0, &mut ts);

        let cut = (steps.len() as f64 * cut) as usize;
        let (mut first, mut ts) = (Detector::new(config(100), &manifests()), start);
        let mut got = feed(&mut first, &steps[..cut], 0, &mut ts);
        let (held, snapshot) = (first.snapshot(), postcard::to_stdvec(&first).unwrap());
        // What is held stays as it was, and the detector goes on as without.
        let gone_on = feed(&mut first, &steps[cut..], cut, &mut { ts });
        prop_assert!(gone_on == expected[got.len()..]);
        prop_assert!(postcard::to_stdvec(&held).unwrap() == snapshot);
        let mut second: Detector = postcard::from_bytes(&snapshot).unwrap();
        prop_assert!(postcard::to_stdvec(&second).unwrap() == snapshot);
        second.reconfigure(config(100), &manifests());
        got.extend(feed(&mut second, &steps[cut..], cut, &mut ts));
        prop_assert!(got == expected);
    }
}

/// Microseconds since the epoch of what a source may say: any year of the calendar, its ends, and times that go back.
fn instants() -> impl Strategy<Value = Vec<(i64, u8)>> {
    let (year_1, year_9999, now) = (-62_135_596_800_000_000, 253_402_300_799_999_999, 1_740_000_000_000_000);
    let instant = prop_oneof![
        8 => now..now + 60_000_000_i64,
        4 => now..now + 86_400_000_000_i64,
        1 => year_1..year_9999,
        1 => prop::sample::select(vec![year_1, -1, 0, 1, year_9999]),
    ];
    prop::collection::vec((instant, 0..4_u8), 1..60)
}

fn finite(verdict: &Verdict) -> bool {
    let numbers =
        |p: &Part| [p.observed, p.expected, p.low, p.high, p.quiet_at].iter().all(|x| x.is_finite());
    verdict.parts.iter().all(numbers) && verdict.jump.is_finite() && verdict.is_exact()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_the_clock_and_the_manifest_say_every_number_is_finite(instants in instants()) {
        let declared = [1e-9, 1e12, f64::NAN].into_iter().enumerate();
        let manifests: Vec<Manifest> = declared
            .map(|(i, rate)| Manifest {
                agent_id: format!("agent-{i}"),
                calls_per_hour: Some(rate),
                ..Manifest::default()
            })
            .collect();
        let mut detector = Detector::new(config(100), &manifests);
        for (i, (micros, agent)) in instants.into_iter().enumerate() {
            let (ts, agent) = (Timestamp::from_micros(micros), format!("agent-{agent}"));
            let verdict = detector.observe(&Call::new(format!("c{i}"), ts, &*agent, "e")).unwrap();
            prop_assert!(finite(&verdict), "{:?}", verdict);
            let mut silence = detector.silence(None, &agent).unwrap();
            prop_assert!(detector.level_in(&mut silence, ts).as_bits().is_finite());
            detector.tick(ts);
        }
    }

    /// Which of several calls of the same instant is read first is the accident of a queue.
    #[test]
    fn the_order_within_an_instant_changes_neither_volume_nor_timing(
        groups in prop::collection::vec((0..600_000_u64, prop::collection::vec(0..40_u8, 1..6)), 1..60),
    ) {
        let read = |turn: bool| {
            let mut detector = Detector::new(config(100), &manifests());
            let mut ts = Timestamp::from_millis(1_740_000_000_000);
            let mut seen = Vec::new();
            for (gap, mut endpoints) in groups.clone() {
                ts = ts + Duration::from_millis(gap);
                if turn {
                    endpoints.reverse();
                }
                for e in endpoints {
                    let verdict = detector.observe(&Call::new("c", ts, "agent-1", format!("e{e}"))).unwrap();
                    seen.extend([Signal::Volume, Signal::Timing].map(|signal| {
                        let part = verdict.part(signal).unwrap();
                        (part.level, part.observed.to_bits(), part.expected.to_bits())
                    }));
                }
            }
            seen
        };
        prop_assert_eq!(read(false), read(true));
    }
}

#[test]
fn settings_come_from_the_operator_not_from_the_snapshot() {
    let mut ts = Timestamp::from_millis(1_740_000_000_000);
    let steps: Vec<Step> = (0..20).map(|i| (1_000, i, 1)).collect();
    let mut detector = Detector::new(config(100), &[]);
    feed(&mut detector, &steps, 0, &mut ts);
    let mut restored: Detector = postcard::from_bytes(&postcard::to_stdvec(&detector).unwrap()).unwrap();
    restored.reconfigure(config(5), &manifests());
    feed(&mut restored, &[(1_000, 77, 1)], 20, &mut ts);
    assert!(restored.agents() <= 5, "{}", restored.agents());
}

#[test]
fn what_calls_add_is_what_the_level_rises_by() {
    let start = Timestamp::from_millis(1_740_000_000_000);
    let mut detector = Detector::new(config(100), &[]);
    let mut ts = start;
    // One agent, one endpoint, one second apart: nothing fades and no window ends within a minute.
    let verdicts = feed(&mut detector, &[(0, 1, 1); 20], 0, &mut ts);
    for pair in verdicts.windows(2) {
        assert_eq!(pair[0].level + pair[1].added, pair[1].level, "{pair:?}");
    }
}

/// What an agent does that calls so often at each hour of the week, from a Monday on; the highest level of every hour.
fn week_by_week(days: std::ops::Range<u32>, per_hour: impl Fn(u32, u32) -> f64) -> Vec<f64> {
    let start = Timestamp::from_millis(1_740_355_200_000);
    let (mut detector, mut seed) = (Detector::new(config(10), &[]), 7_u64);
    let mut highest = Vec::new();
    for hour in 0..days.end * 24 {
        let (mut most, mut hour_s, rate) = (f64::NEG_INFINITY, 0.0, per_hour(hour / 24, hour % 24));
        loop {
            // A linear congruential generator (Knuth, TAOCP 2, 3.3.4) and exponential gaps.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            hour_s -= ((seed >> 11) as f64 / 9_007_199_254_740_992.0).max(1e-12).ln() / rate * 3_600.0;
            if hour_s >= 3_600.0 {
                break;
            }
            let ts = start + Duration::from_secs_f64(f64::from(hour) * 3_600.0 + hour_s);
            detector.tick(ts - Duration::from_secs(30));
            let verdict = detector.observe(&Call::new(format!("{seed}"), ts, "a", "usual"));
            most = most.max(verdict.map_or(f64::INFINITY, |v| v.level.as_bits()));
        }
        if hour >= days.start * 24 {
            highest.push(most);
        }
    }
    highest
}

const WEEKDAY: f64 = 300.0;
const WEEKEND: f64 = 90.0;

fn usual(day: u32) -> f64 {
    if day % 7 >= 5 { WEEKEND } else { WEEKDAY }
}

#[test]
fn the_first_weekend_is_no_news() {
    let step_up = detector::Budgets::default().step_up().as_bits();
    let levels = week_by_week(0..8, |day, _| usual(day));
    assert!(levels.iter().all(|&level| level < step_up), "{levels:?}");
}

#[test]
fn a_saturday_may_be_a_weekday_from_the_start_and_not_in_the_afternoon() {
    let step_up = detector::Budgets::default().step_up().as_bits();
    let saturday = 26;
    let worked =
        week_by_week(saturday..saturday + 1, |day, _| if day == saturday { WEEKDAY } else { usual(day) });
    assert!(worked.iter().all(|&level| level < step_up), "{worked:?}");
    let stolen = week_by_week(saturday..saturday + 1, |day, hour| {
        if day == saturday && hour >= 15 { WEEKDAY } else { usual(day) }
    });
    assert!(stolen[..15].iter().all(|&level| level < step_up) && stolen[15] >= step_up, "{stolen:?}");
}

#[test]
fn what_was_accepted_in_the_middle_of_an_hour_is_no_news_in_the_rest_of_it() {
    let (mut detector, mut ts) = (Detector::new(config(10), &[]), Timestamp::from_millis(1_740_355_200_000));
    let (accepted, step_up) = (
        ts + Duration::from_hours(11 * 24) + Duration::from_mins(30),
        detector::Budgets::default().step_up(),
    );
    let (mut highest, mut is_accepted) = ([detector::MicroBits::ZERO; 2], false);
    while ts < accepted + Duration::from_mins(29) {
        let gap_s = if ts < accepted - Duration::from_hours(24) { 60 } else { 3 };
        ts = ts + Duration::from_secs(gap_s);
        detector.tick(ts - Duration::from_secs(30));
        let mut call = Call::new(format!("{ts}"), ts, "a", "usual");
        if ts >= accepted && !is_accepted {
            (is_accepted, call.kind) = (true, detector::Kind::Feedback);
        }
        let level = detector.observe(&call).map(|v| v.part(Signal::Volume).unwrap().level);
        let highest = &mut highest[usize::from(is_accepted)];
        *highest = level.map_or(*highest, |level| level.max(*highest));
    }
    assert!(highest[0] >= step_up && highest[1] < step_up, "{highest:?}");
}

#[test]
fn the_first_agents_of_a_fleet_are_no_intruders() {
    let watch = detector::Budgets::default().watch();
    let (mut detector, start) = (Detector::new(config(100), &[]), Timestamp::from_millis(1_740_355_200_000));
    for i in 0..1_200_u64 {
        let (agent, ts) = (i % 20, start + Duration::from_millis(50 * i));
        detector.tick(start);
        // Three endpoints of its own, more and less often.
        let endpoint = format!("e{agent}-{}", [0, 0, 0, 1, 1, 2][(i / 20 % 6) as usize]);
        let verdict =
            detector.observe(&Call::new(format!("{i}"), ts, format!("a{agent}"), endpoint)).unwrap();
        assert!(verdict.level < watch, "call {i}: {verdict:?}");
    }
}

/// The largest jump of the verdicts on `burst` seconds' worth of calls, one every `gap_s`, by an agent that has called
/// every two hours for so many.
fn jump_after(hours: u64, declared: bool, burst: u64, gap_s: u64) -> f32 {
    let manifest = Manifest { agent_id: "a".into(), calls_per_hour: Some(0.5), ..Manifest::default() };
    let mut detector =
        Detector::new(config(10), if declared { std::slice::from_ref(&manifest) } else { &[] });
    let start = Timestamp::from_millis(1_740_355_200_000);
    let calls = (0..hours / 2).map(|i| start + Duration::from_hours(2 * i));
    let burst =
        (0..burst / gap_s).map(|i| start + Duration::from_hours(hours) + Duration::from_secs(i * gap_s));
    calls.chain(burst).fold(1.0, |most, ts| {
        detector.tick(ts - Duration::from_secs(30));
        let verdict = detector.observe(&Call::new(format!("{ts}"), ts, "a", "usual"));
        verdict.map_or(f32::NAN, |v| v.jump).max(most)
    })
}

#[test]
fn a_few_calls_are_no_flood_however_rare_the_agent_and_nobody_knows_a_newcomer() {
    // Five calls in ten seconds where half a one is usual in an hour: ten times that, and no multitude.
    assert_eq!(jump_after(240, false, 10, 2).to_bits(), 1.0_f32.to_bits());
    assert!(jump_after(240, false, 60, 1) >= 5.0);
    assert_eq!(jump_after(20, false, 60, 1).to_bits(), 1.0_f32.to_bits());
    assert!(jump_after(20, true, 60, 1) >= 5.0);
}
