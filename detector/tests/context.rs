//! Failures, requests and times that are not the agent's own reach a verdict, with their numbers.

#![expect(clippy::expect_used, reason = "a test ends where its ground gives way, and says where")]

use std::time::Duration;

use detector::{Budgets, Call, Detector, DetectorConfig, Kind, Part, Pattern, Signal, Timestamp, Verdict};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// A full hour.
const START: Timestamp = Timestamp::from_millis(1_740_355_200_000);
const AGENTS: usize = 12;
const DAYS: u64 = 40;
const ROUND: Duration = Duration::from_mins(15);
/// Whom something befalls, in how many calls and how often.
const VICTIM: usize = 3;
const CALLS: u32 = 30;
const EVERY: Duration = Duration::from_mins(6);
const A_HOUR: usize = 10;
/// What the bins that hold all usual requests (1 to 4 KiB) and times (64 to 256 ms) are told by: their middles.
const USUAL_BYTES: f64 = 2_047.0;
const USUAL_MS: f64 = 127.0;

/// Agents that call four times an hour and fail once in a hundred calls.
#[derive(Clone)]
struct Fleet {
    detector: Detector,
    dice: Xoshiro256PlusPlus,
    ts: Timestamp,
    calls: u64,
}

impl Fleet {
    fn settled() -> Self {
        let detector = Detector::new(DetectorConfig::default(), &[]);
        let mut fleet = Self { detector, dice: Xoshiro256PlusPlus::seed_from_u64(8), ts: START, calls: 0 };
        for round in 0..DAYS as u32 * 96 {
            for agent in 0..AGENTS {
                let at = START + ROUND * round + Duration::from_secs(60 * agent as u64);
                let verdict = fleet.call(agent, at, |_| {});
                assert!(context(&verdict).level < Budgets::default().step_up(), "{verdict:?}");
            }
        }
        fleet.ts = START + ROUND * (DAYS as u32 * 96);
        fleet
    }

    fn call(&mut self, agent: usize, after: Timestamp, change: impl FnOnce(&mut Call<'_>)) -> Verdict {
        self.calls += 1;
        self.ts = after + Duration::from_millis(self.dice.random_range(0..50_000));
        self.detector.tick(self.ts);
        let mut call = Call::new(format!("c{}", self.calls), self.ts, format!("agent-{agent}"), "read_file");
        call.status = Some(if self.dice.random_bool(0.01) { 503 } else { 200 });
        call.bytes_in = Some(self.dice.random_range(1_100..4_000));
        call.latency_ms = Some(self.dice.random_range(70.0..250.0));
        change(&mut call);
        self.detector.observe(&call).expect("a call has a verdict")
    }

    /// Three hours of the victim's calls, each changed by its place.
    fn befalls(&self, change: impl Fn(u32, &mut Call<'_>)) -> Vec<Verdict> {
        let (mut fleet, from) = (self.clone(), self.ts);
        (0..CALLS).map(|i| fleet.call(VICTIM, from + EVERY * i, |call| change(i, call))).collect()
    }
}

fn context(verdict: &Verdict) -> Part {
    *verdict.part(Signal::Context).expect("context speaks")
}

/// What context says of the first verdict over the step-up budget, and which that is; all are exact.
fn found(verdicts: &[Verdict], pattern: Pattern) -> (usize, Part) {
    assert!(verdicts.iter().all(Verdict::is_exact));
    let step_up = Budgets::default().step_up();
    let is_found = |v: &Verdict| context(v).pattern == pattern && context(v).level >= step_up;
    let at = verdicts.iter().position(is_found).expect("it is found");
    (at, context(&verdicts[at]))
}

fn is_quiet(verdicts: &[Verdict]) -> bool {
    verdicts.iter().all(|v| context(v).level < Budgets::default().watch())
}

#[test]
fn calls_that_fail_are_counted_by_the_hour_and_denials_are_not_among_them() {
    let fleet = Fleet::settled();
    // It makes as many calls, and they go as they did.
    assert!(is_quiet(&fleet.befalls(|_, call| call.status = Some(200))));
    for statuses in [[429, 429], [503, 500]] {
        let verdicts = fleet.befalls(|i, call| call.status = Some(statuses[i as usize % 2]));
        let (at, part) = found(&verdicts, Pattern::Failing);
        // All of this hour, of which one in a hundred would have.
        let calls = (at % A_HOUR + 1) as f64;
        assert_eq!((at / A_HOUR, part.observed), (1, calls));
        assert!((0.003 * calls..0.03 * calls).contains(&part.expected), "{part:?}");
        assert_eq!(
            (part.since, part.quiet_at),
            (verdicts[0].ts.floor_to(Duration::from_secs(1)), part.expected)
        );
        assert_eq!(part.window_ms, verdicts[at].ts.since(part.since).as_millis() as u64);
    }
    let denied = fleet.befalls(|_, call| call.status = Some(403));
    // Nobody in this fleet ever was: the first denial asks nobody, the next ones do.
    assert!((1..4).contains(&found(&denied, Pattern::Denied).0));
    assert!(denied.iter().all(|v| context(v).pattern != Pattern::Failing));
}

#[test]
fn failures_that_are_told_later_count_as_those_told_with_the_call() {
    let mut fleet = Fleet::settled();
    let from = fleet.ts;
    let verdicts: Vec<Verdict> = (0..CALLS)
        .map(|i| {
            let at = from + EVERY * i;
            let asked = fleet.call(VICTIM, at, |call| (call.kind, call.status) = (Kind::Request, None));
            let mut outcome = Call::new(format!("o{i}"), fleet.ts, format!("agent-{VICTIM}"), "read_file");
            (outcome.kind, outcome.status) = (Kind::Outcome, Some(502));
            fleet.detector.observe(&outcome);
            asked
        })
        .collect();
    let (at, part) = found(&verdicts, Pattern::Failing);
    // Of the request that the verdict is on nobody knows yet.
    assert_eq!((at / A_HOUR, part.observed), (1, (at % A_HOUR) as f64));
}

#[test]
fn large_requests_and_slow_calls_are_found_by_their_own_pattern_and_size() {
    let fleet = Fleet::settled();
    assert!(is_quiet(&fleet.befalls(|_, _| {})));
    let sends = fleet.befalls(|_, call| call.bytes_in = Some(50_000_000));
    let waits = fleet.befalls(|_, call| call.latency_ms = Some(90_000.0));
    for (verdicts, pattern, observed, expected) in [
        (sends, Pattern::LargeRequests, 50_000_000.0, USUAL_BYTES),
        (waits, Pattern::Slow, 90_000.0, USUAL_MS),
    ] {
        let (at, part) = found(&verdicts, pattern);
        assert!(at < 6, "{pattern:?} {at}");
        assert_eq!((part.observed, part.expected, part.quiet_at), (observed, expected, expected));
        assert_eq!(part.since, verdicts[0].ts.floor_to(Duration::from_secs(1)));
    }
    // Smaller and faster calls carry nothing away.
    let less = fleet.befalls(|_, call| (call.bytes_in, call.latency_ms) = (Some(3), Some(0.5)));
    assert!(is_quiet(&less), "{less:?}");
}
