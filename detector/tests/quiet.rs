//! What would have kept a verdict quiet does, and a call more does not.

use std::time::Duration;

use detector::{Budgets, Call, Detector, DetectorConfig, Part, Pattern, Signal, Timestamp};
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_millis(1_740_355_200_000);

/// What volume says of a call.
fn volume(detector: &mut Detector, ts: Timestamp) -> Option<Part> {
    detector.observe(&Call::new("c", ts, "a", "usual"))?.part(Signal::Volume).copied()
}

/// What it says of the last of so many at once.
fn burst(detector: &Detector, ts: Timestamp, calls: u64) -> Option<Part> {
    let mut detector = detector.clone();
    (0..calls).filter_map(|_| volume(&mut detector, ts)).last()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn as_many_calls_as_are_quiet_are_no_news_and_one_more_is(
        gaps_s in prop::collection::vec(1..1_200_u64, 200..900),
        calls in 20..400_u64,
    ) {
        let watch = Budgets::default().watch();
        let mut detector = Detector::new(DetectorConfig::default(), &[]);
        let (mut ts, mut level) = (START, None);
        for gap in gaps_s {
            ts = ts + Duration::from_secs(gap);
            detector.tick(ts - Duration::from_secs(30));
            level = volume(&mut detector, ts).map(|part| part.level);
        }
        let loud = burst(&detector, ts, calls).filter(|p| p.level >= watch && p.pattern == Pattern::MoreCalls);
        // What was loud before them no fewer of them would have kept quiet.
        prop_assume!(loud.is_some() && level < Some(watch));
        let loud = loud.unwrap();
        let beyond = (loud.observed - loud.quiet_at) as u64;
        prop_assert!((1..=calls).contains(&beyond), "{:?}", loud);
        let quiet = burst(&detector, ts, calls - beyond);
        prop_assert!(quiet.is_none_or(|part| part.level < watch), "{:?} {:?}", loud, quiet);
        let more = burst(&detector, ts, calls - beyond + 1).unwrap();
        prop_assert!(more.level >= watch, "{:?} {:?}", loud, more);
    }
}
