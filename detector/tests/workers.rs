//! However many hands score records, and however records are dealt out to them, verdicts and state are the same.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use detector::{
    Baseline, Call, Detector, DetectorConfig, Hands, Kind, Manifest, Names, Observed, Ruling, Timestamp,
    VersionCause, Work,
};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

const START: Timestamp = Timestamp::from_millis(1_740_000_000_000);
const AGENTS: u32 = 60;
/// Records between two ticks.
const STRETCH: usize = 700;
const STRETCHES: usize = 12;
/// One agent calls far too often in the last of them.
const BURST_FROM: usize = 10 * STRETCH;

/// All that may cross agents: paths that turn out to vary, sources that fall silent, what a person ruled, outcomes, ends of
/// tasks, agents that come and go where memory is small.
fn record(dice: &mut Xoshiro256PlusPlus, n: usize, ts: Timestamp, has_lines: bool) -> Call<'static> {
    let is_burst = n > BURST_FROM && n.is_multiple_of(2);
    let agent = if is_burst { 30 } else { dice.random_range(0..AGENTS).min(dice.random_range(0..AGENTS)) };
    let endpoint = match dice.random_range(0..4) {
        0 => format!("https://api.example.com/orders/o{}x/lines", dice.random_range(0..400)),
        1 => format!("GET /reports/{}", dice.random_range(0..60)),
        _ => format!("tool-{}", (agent + dice.random_range(0..5)) % 20),
    };
    let mut call = Call::new(format!("e{n}"), ts, format!("agent-{agent}"), endpoint);
    call.kind = match dice.random_range(0..1_000) {
        0..3 => Kind::Feedback,
        3..40 => Kind::TaskEnd,
        40..200 => Kind::Outcome,
        200..220 => Kind::Heartbeat,
        220..600 => Kind::Request,
        _ => Kind::Call,
    };
    call.ruling = Ruling::ALL[dice.random_range(0..Ruling::ALL.len())];
    call.source = Some(if agent.is_multiple_of(3) { "proxy" } else { "gateway" }.into());
    call.identity.session_id = dice.random_bool(0.7).then(|| format!("s{}", n / 90).into());
    call.identity.parent_agent_id = (has_lines && agent.is_multiple_of(5)).then(|| "agent-1".into());
    call.source_ip = Some([10, 0, dice.random_range(0..3), agent as u8].into());
    call.status = Some(if dice.random_bool(0.1) { 403 } else { 200 });
    call.bytes_out = Some(1 << dice.random_range(0..20));
    call
}

/// Stretches of records, each with the tick that follows it. Every third stretch is hours after the one before: sources were silent.
fn log(seed: u64, has_lines: bool) -> Vec<(Vec<Call<'static>>, Timestamp)> {
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed);
    let (mut ts, mut n) = (START, 0);
    let stretch = |s: usize| {
        if s.is_multiple_of(3) {
            ts = ts + Duration::from_hours(7);
        }
        let calls = (0..STRETCH).map(|_| {
            n += 1;
            let gap_ms = if n > BURST_FROM { 4_000 } else { 40_000 };
            ts = ts + Duration::from_millis(dice.random_range(0..gap_ms));
            let late = Duration::from_secs(dice.random_range(0..30));
            record(&mut dice, n, ts - late, has_lines)
        });
        (calls.collect(), ts)
    };
    (0..STRETCHES).map(stretch).collect()
}

fn detector(agents_max: usize) -> Detector {
    let manifest =
        Manifest { agent_id: "agent-1".into(), endpoints: vec!["tool-1".into()], ..Manifest::default() };
    let config = DetectorConfig { agents_max, keeps_baselines: true, ..DetectorConfig::default() };
    Detector::new(config, &[manifest])
}

/// What a log led to.
struct Outcome {
    observed: Vec<Observed>,
    versions: Vec<Baseline>,
    detector: Detector,
}

impl Outcome {
    fn new(observed: Vec<Observed>, mut detector: Detector) -> Self {
        let versions = detector.baselines();
        Self { observed, versions, detector }
    }
}

/// One record after the other.
fn alone(log: &[(Vec<Call<'_>>, Timestamp)], mut detector: Detector) -> Outcome {
    let mut observed = Vec::new();
    for (calls, tick) in log {
        for call in calls {
            let is_unknown = || detector.agent_state(None, &call.identity.agent_id).is_none();
            let is_moot = call.kind == Kind::Feedback && is_unknown();
            let verdict = detector.observe(call);
            let amended = detector.said().pop().map(Box::new);
            let route = if call.kind.is_call() { detector.route(call) } else { None };
            let line = verdict.as_ref().and_then(|verdict| detector.line_of(call, verdict));
            let misfit = verdict.as_ref().and_then(|verdict| detector.misfit_of(call, verdict));
            let names = Names { route, line, misfit };
            observed.push(Observed { amended, verdict, names, is_moot, ..Observed::default() });
        }
        detector.tick(*tick);
        detector.said();
    }
    Outcome::new(observed, detector)
}

/// So many threads, and how often they were called.
struct Threads(NonZeroUsize, AtomicUsize);

impl Hands for Threads {
    fn number(&self) -> NonZeroUsize {
        self.0
    }

    fn work(&self, all: Vec<Work<'_>>) {
        self.1.fetch_add(1, Ordering::Relaxed);
        std::thread::scope(|scope| {
            for work in all {
                scope.spawn(work);
            }
        });
    }
}

/// The same, dealt out by chance.
fn together(log: &[(Vec<Call<'_>>, Timestamp)], mut detector: Detector, hands: &Threads) -> Outcome {
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(hands.number().get() as u64);
    let mut observed = Vec::new();
    for (calls, tick) in log {
        let mut rest = &calls[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(dice.random_range(1..=STRETCH).min(rest.len()));
            observed.extend(detector.observe_all(now, hands));
            rest = later;
        }
        detector.tick(*tick);
        detector.said();
    }
    Outcome::new(observed, detector)
}

#[test]
fn verdicts_do_not_depend_on_how_many_score() {
    for (seed, agents_max, has_lines) in [(1, 1_000, false), (2, 1_000, true), (3, 40, false)] {
        let log = log(seed, has_lines);
        let expected = alone(&log, detector(agents_max));
        let expected_state = postcard::to_stdvec(&expected.detector).unwrap();
        let templates =
            expected.observed.iter().filter(|o| o.names.route.as_ref().is_some_and(|r| r.contains("{var}")));
        assert!(templates.count() > 50, "paths that vary were learned");
        assert!(expected.observed.iter().any(|o| o.names.misfit.is_some()), "a session stood out");
        let highest = expected.observed.iter().filter_map(|o| o.verdict.as_ref()).map(|v| v.level).max();
        assert!(highest.is_some_and(|level| level.as_bits() > 5.0), "{highest:?}");
        for cause in [VersionCause::Moved, VersionCause::Ruling] {
            assert!(
                expected.versions.iter().filter(|v| v.cause == cause).count() > 5,
                "seed {seed}, {cause:?}"
            );
        }
        for workers in [1, 2, 8] {
            let hands = Threads(NonZeroUsize::new(workers).unwrap(), AtomicUsize::new(0));
            let got = together(&log, detector(agents_max), &hands);
            assert_eq!(got.observed.len(), expected.observed.len());
            for (at, (got, expected)) in got.observed.iter().zip(&expected.observed).enumerate() {
                assert_eq!(got, expected, "record {at}, seed {seed}, {workers} workers");
            }
            assert!(got.versions == expected.versions, "versions, seed {seed}, {workers} workers");
            let state = postcard::to_stdvec(&got.detector).unwrap();
            assert!(state == expected_state, "seed {seed}, {workers} workers");
            // Agents in lines are read one by one, and where memory is full so is each that must come in.
            assert!(workers == 1 || has_lines || agents_max < 1_000 || hands.1.into_inner() > 5);
        }
    }
}
