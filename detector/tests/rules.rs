//! What the rules promise of a detector as a whole; what each counts is tested beside it.

use std::num::NonZeroU32;
use std::time::Duration;

use detector::{
    BrokenRule, Call, Detector, DetectorConfig, Kind, Manifest, MicroBits, RuleKind, Timestamp, Verdict,
};
use proptest::prelude::*;

const MINUTE: Duration = Duration::from_mins(1);

fn start() -> Timestamp {
    Timestamp::from_millis(1_740_000_000_000)
}

fn manifest(ceiling: u32, repeats: Option<u32>) -> Manifest {
    Manifest {
        agent_id: "agent".into(),
        calls_per_minute_max: NonZeroU32::new(ceiling),
        repeats_per_minute_max: repeats,
        ..Manifest::default()
    }
}

fn detector(manifests: &[Manifest]) -> Detector {
    Detector::new(DetectorConfig::default(), manifests)
}

/// A call whose arguments are known where `args` is given.
fn call(ts: Timestamp, endpoint: &str, args: Option<u32>) -> Call<'_> {
    let mut call = Call::new("event", ts, "agent", endpoint);
    call.args_digest = args.map(|args| format!("sha256:{args}").into());
    call
}

fn broken(detector: &mut Detector, call: &Call<'_>) -> Option<BrokenRule> {
    detector.observe(call).and_then(|verdict| verdict.rule)
}

/// The first of a number of calls, every `gap`, that breaks a rule, counted from 1.
fn cut_off<'a>(
    detector: &mut Detector,
    gap: Duration,
    calls: impl Iterator<Item = (&'a str, Option<u32>)>,
) -> Option<(usize, BrokenRule)> {
    let mut ts = start();
    calls.enumerate().find_map(|(i, (endpoint, args))| {
        ts = ts + gap;
        broken(detector, &call(ts, endpoint, args)).map(|rule| (i + 1, rule))
    })
}

#[test]
fn the_same_call_is_cut_off_at_the_default_for_what_is_known_of_it() {
    let (same, gap) = (std::iter::repeat_n(("search", Some(1)), 5_000), Duration::from_millis(1));
    let (n, rule) = cut_off(&mut detector(&[]), gap, same.clone()).unwrap();
    assert_eq!((n, rule.kind, rule.observed, rule.limit), (301, RuleKind::RepeatedCall, 301, 300));
    assert_eq!(rule.to_string(), "the same call 301 times within a minute; 300 is the limit");

    let unknown = std::iter::repeat_n(("search", None), 5_000);
    assert_eq!(cut_off(&mut detector(&[]), gap, unknown.clone()).unwrap().0, 3_001);
    // The manifest's own limit holds for both, 0 is none, and different arguments are different calls.
    let own = |repeats| detector(&[manifest(0, Some(repeats))]);
    assert_eq!(cut_off(&mut own(20), gap, same.clone()).unwrap().0, 21);
    assert_eq!(cut_off(&mut own(20), gap, unknown).unwrap().0, 21);
    assert_eq!(cut_off(&mut own(0), gap, same), None);
    assert_eq!(cut_off(&mut detector(&[]), gap, (0..4_000).map(|i| ("search", Some(i)))), None);
}

#[test]
fn a_loop_among_four_other_calls_is_cut_off_as_if_it_were_alone() {
    let others = |i: usize| (["a", "b", "c", "d"][i % 4], None);
    let calls = (0..2_000).map(|i| if i % 2 == 0 { ("search", Some(1)) } else { others(i / 2) });
    let (n, rule) = cut_off(&mut detector(&[]), Duration::from_millis(5), calls).unwrap();
    assert_eq!((n, rule.observed), (601, 301));
}

#[test]
fn a_rule_adds_no_bits_and_none_are_taken_for_it() {
    let (mut free, mut bound) = (detector(&[]), detector(&[manifest(5, Some(3))]));
    for i in 0..40 {
        let call = call(start() + Duration::from_secs(i), "search", Some(1));
        let (free, bound) = (free.observe(&call).unwrap(), bound.observe(&call).unwrap());
        assert!(bound.rule.is_some() == (i >= 3) && free.rule.is_none());
        assert!(bound.is_exact());
        assert_eq!(Verdict { rule: None, ..bound }, free);
    }
}

#[test]
fn a_persons_approval_begins_every_count_anew() {
    let mut detector = detector(&[manifest(50, Some(10))]);
    let search = call(start(), "search", Some(1));
    let mut until_broken = |n| {
        (1..=n).find(|_| broken(&mut detector, &search).is_some()).ok_or_else(|| {
            let mut feedback = search.clone();
            feedback.kind = Kind::Feedback;
            assert_eq!(detector.observe(&feedback), None);
        })
    };
    assert_eq!(until_broken(10), Err(()));
    assert_eq!(until_broken(20), Ok(11));
}

#[test]
fn only_calls_count_and_an_outcome_is_the_second_half_of_one() {
    let mut detector = detector(&[manifest(10, Some(10))]);
    for i in 0..10 {
        for kind in [Kind::Request, Kind::Outcome, Kind::Heartbeat, Kind::TaskEnd] {
            let mut call = call(start() + Duration::from_secs(i), "search", Some(1));
            call.kind = kind;
            assert!(detector.observe(&call).is_none_or(|verdict| verdict.rule.is_none()));
        }
    }
    let last = call(start() + Duration::from_secs(10), "search", Some(1));
    let rule = broken(&mut detector, &last).unwrap();
    assert_eq!((rule.kind, rule.observed), (RuleKind::RateCeiling, 11));
    assert_eq!(rule.to_string(), "11 calls within a minute; 10 is the limit");
}

#[test]
fn calls_of_one_breach_say_when_it_began_and_a_minute_later_it_is_another() {
    let mut detector = detector(&[manifest(2, None)]);
    let mut since = |second| {
        broken(&mut detector, &call(start() + Duration::from_secs(second), "search", None))
            .map(|rule| rule.since.since(start()).as_secs())
    };
    let seen = [0, 10, 20, 30, 85, 89, 90].map(&mut since);
    assert_eq!(seen, [None, None, Some(20), Some(20), None, Some(89), Some(89)]);
}

#[test]
fn a_forged_date_buys_no_forgiveness() {
    let mut detector = detector(&[manifest(5, None)]);
    let now = start() + Duration::from_hours(1);
    broken(&mut detector, &call(now, "search", None));
    let late = (1..=5).map(|i| broken(&mut detector, &call(now - i * MINUTE, "search", None)));
    assert_eq!(late.map(|rule| rule.is_some()).collect::<Vec<_>>(), [false, false, false, false, true]);
}

/// Gap to the previous call in milliseconds, and which call; in bursts and with pauses.
fn calls() -> impl Strategy<Value = Vec<(u64, u32)>> {
    let gap = prop_oneof![8 => 0..3_000_u64, 1 => 20_000..90_000_u64];
    prop::collection::vec((gap, prop_oneof![2 => Just(0_u32), 1 => 0..20_u32]), 1..250)
}

fn verdicts(detector: &mut Detector, calls: &[(u64, u32)], ts: &mut Timestamp) -> Vec<Verdict> {
    let mut step = |&(gap, args): &(u64, u32)| {
        *ts = *ts + Duration::from_millis(gap);
        detector.observe(&call(*ts, "search", Some(args)))
    };
    calls.iter().filter_map(&mut step).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_ceiling_is_exact_from_the_first_call(calls in calls(), limit in 1..60_u32) {
        let verdicts = verdicts(&mut detector(&[manifest(limit, Some(0))]), &calls, &mut start());
        for (i, verdict) in verdicts.iter().enumerate() {
            let minute = verdicts[..=i].iter().filter(|v| verdict.ts.since(v.ts) < MINUTE).count();
            prop_assert_eq!(verdict.rule.is_some(), minute > limit as usize, "{} calls", minute);
            let told = verdict.rule.map(|rule| (rule.kind, rule.observed, rule.limit, rule.window_ms));
            let wanted = (RuleKind::RateCeiling, u64::from(limit) + 1, u64::from(limit), 60_000);
            prop_assert!(told.is_none_or(|told| told == wanted), "{:?}", told);
        }
    }

    #[test]
    fn a_snapshot_in_the_middle_changes_no_rule(calls in calls(), cut in 0.0..1.0_f64) {
        let (manifests, cut) = ([manifest(30, Some(12))], (calls.len() as f64 * cut) as usize);
        let (mut whole, mut ts) = (detector(&manifests), start());
        let wanted = verdicts(&mut whole, &calls, &mut ts);
        let (mut first, mut ts) = (detector(&manifests), start());
        let mut got = verdicts(&mut first, &calls[..cut], &mut ts);
        let snapshot = postcard::to_stdvec(&first).unwrap();
        let mut second: Detector = postcard::from_bytes(&snapshot).unwrap();
        prop_assert!(postcard::to_stdvec(&second).unwrap() == snapshot);
        second.reconfigure(DetectorConfig::default(), &manifests);
        got.extend(verdicts(&mut second, &calls[cut..], &mut ts));
        prop_assert!(got == wanted);
    }

    /// Which of several calls of the same instant is read first is the accident of a queue.
    #[test]
    fn the_order_within_an_instant_changes_no_count(
        groups in prop::collection::vec((0..9_000_u64, prop::collection::vec(0..5_u32, 1..9)), 1..40),
    ) {
        let read = |turn: bool, manifest: Manifest| {
            let (mut detector, mut ts) = (detector(&[manifest]), start());
            let mut counted = Vec::new();
            for (gap, mut group) in groups.clone() {
                ts = ts + Duration::from_millis(gap);
                if turn {
                    group.reverse();
                }
                let rules = group.iter().map(|args| broken(&mut detector, &call(ts, "e", Some(*args))));
                let mut rules: Vec<_> = rules.map(|rule| rule.map(|rule| rule.observed)).collect();
                rules.sort_unstable();
                counted.push(rules);
            }
            counted
        };
        prop_assert_eq!(read(false, manifest(30, Some(0))), read(true, manifest(30, Some(0))));
        prop_assert_eq!(read(false, manifest(0, Some(6))), read(true, manifest(0, Some(6))));
    }

    #[test]
    fn evidence_stays_what_it_was(calls in calls()) {
        let free = verdicts(&mut detector(&[]), &calls, &mut start());
        let bound = verdicts(&mut detector(&[manifest(5, Some(3))]), &calls, &mut start());
        for (free, bound) in free.into_iter().zip(bound) {
            prop_assert!(bound.parts.iter().map(|p| p.bits).sum::<MicroBits>() == bound.level);
            prop_assert_eq!(Verdict { rule: None, ..bound }, Verdict { rule: None, ..free });
        }
    }
}
