//! What an agent and its sub-agents do together.

use std::collections::BTreeSet;
use std::time::Duration;

use detector::{
    Call, Detector, DetectorConfig, Kind, Manifest, OneHand, Pattern, Signal, Timestamp, Verdict,
};

const HOUR: Duration = Duration::from_hours(1);
/// A Monday's first instant.
const START: Timestamp = Timestamp::from_millis(1_740_355_200_000);
const CHILDREN: u64 = 50;
/// Each of them calls about twice an hour, and so does the planner itself.
const STEP: Duration = Duration::from_secs(10);
const STEPS_PER_HOUR: f64 = 360.0;

/// Between 0 and 1; `SplitMix64`'s finaliser.
fn hash(n: u64) -> f64 {
    let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / 2_f64.powi(53)
}

fn step_up() -> f64 {
    DetectorConfig::default().budgets.step_up().as_bits()
}

/// Who says that the sub-agents are the planner's.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Manifests,
    Calls,
    Nobody,
}

#[derive(Clone)]
struct Town {
    detector: Detector,
    by: By,
    now: Timestamp,
    calls: u64,
    /// Whose line verdicts spoke of.
    heads: BTreeSet<Option<String>>,
}

impl Town {
    fn new(by: By) -> Self {
        let declared = |agent: String, parent: Option<&str>| Manifest {
            agent_id: agent,
            parent: parent.map(Into::into),
            ..Manifest::default()
        };
        let children = (0..CHILDREN).map(|n| declared(child(n), Some("planner")));
        let manifests: Vec<Manifest> = children.filter(|_| by == By::Manifests).collect();
        let detector = Detector::new(DetectorConfig::default(), &manifests);
        Self { detector, by, now: START, calls: 0, heads: BTreeSet::new() }
    }

    /// One whose days have been as usual for two weeks.
    fn settled(by: By) -> Self {
        let mut town = Self::new(by);
        town.play(HOUR * 24 * 14, |_| 1.0);
        town
    }

    fn call(&mut self, agent: &str, parent: Option<&str>) -> Option<Verdict> {
        self.calls += 1;
        let mut call = Call::new(format!("c{}", self.calls), self.now, agent, "usual");
        call.identity.parent_agent_id = parent.map(Into::into);
        let observed = self.detector.observe_all([&call], &OneHand).pop()?;
        let part = observed.verdict.as_ref()?.part(Signal::Volume);
        if part.is_some_and(detector::Part::is_of_line) {
            self.heads.insert(observed.names.line);
        } else {
            assert_eq!(observed.names.line, None);
        }
        observed.verdict
    }

    /// So long, each sub-agent at so many times its usual pace. Verdicts by agent; the planner is the last.
    fn play(&mut self, long: Duration, times: impl Fn(u64) -> f64) -> Vec<(u64, Verdict)> {
        let mut verdicts = Vec::new();
        for _ in 0..long.as_secs() / STEP.as_secs() {
            self.now = self.now + STEP;
            let step = self.now.since(START).as_secs() / STEP.as_secs();
            for agent in 0..=CHILDREN {
                // One call somewhere in each stretch of equal length, so that none is ever busy by chance.
                let stretch = (STEPS_PER_HOUR / 2.0 / times(agent)) as u64;
                let at = step / stretch * stretch
                    + (hash((step / stretch) ^ (agent << 40)) * stretch as f64) as u64;
                if step == at {
                    let parent = (self.by == By::Calls && agent < CHILDREN).then_some("planner");
                    verdicts.extend(self.call(&child(agent), parent).map(|v| (agent, v)));
                }
            }
            self.detector.tick(self.now);
        }
        verdicts
    }
}

fn child(n: u64) -> String {
    if n == CHILDREN { "planner".to_owned() } else { format!("sub-{n}") }
}

/// The highest level that the volume part has in verdicts of a pattern, by agent.
fn seen(verdicts: &[(u64, Verdict)], pattern: Pattern) -> Vec<(u64, f64)> {
    let part =
        |v: &Verdict| v.part(Signal::Volume).filter(|p| p.pattern == pattern).map(|p| p.level.as_bits());
    verdicts.iter().filter_map(|(agent, v)| Some((*agent, part(v)?))).collect()
}

fn highest(levels: &[(u64, f64)]) -> f64 {
    levels.iter().map(|(_, level)| *level).fold(f64::NEG_INFINITY, f64::max)
}

#[test]
fn what_fifty_do_a_little_more_of_is_found_at_their_line() {
    for by in [By::Manifests, By::Calls] {
        let mut town = Town::settled(by);
        assert_eq!(town.detector.lines(), 1);
        let verdicts = town.play(HOUR * 2, |_| 2.0);
        let own = highest(&seen(&verdicts, Pattern::MoreCalls));
        assert!(own < step_up(), "{by:?}: no sub-agent stands out, {own}");
        let line = seen(&verdicts, Pattern::LineMoreCalls);
        assert!(highest(&line) > step_up(), "{by:?}: {}", highest(&line));
        assert!(verdicts.iter().all(|(_, v)| v.is_exact()));
        // A head that is one by others' words alone is not spoken of.
        assert_eq!(line.iter().any(|(agent, _)| *agent == CHILDREN), by == By::Manifests);
        let part = verdicts.iter().rev().find_map(|(_, v)| v.part(Signal::Volume).filter(|p| p.is_of_line()));
        assert_eq!(town.heads, BTreeSet::from([Some("planner".to_owned())]));
        let part = part.unwrap();
        assert!(part.observed > part.quiet_at && part.quiet_at >= part.expected, "{part:?}");
    }
    let mut alone = Town::settled(By::Nobody);
    let verdicts = alone.play(HOUR * 2, |_| 2.0);
    assert_eq!((alone.detector.lines(), seen(&verdicts, Pattern::LineMoreCalls).len()), (0, 0));
    assert!(highest(&seen(&verdicts, Pattern::MoreCalls)) < step_up(), "without a line nobody stands out");
}

#[test]
fn one_busy_sub_agent_is_told_of_itself_and_not_again_of_its_line() {
    let mut town = Town::settled(By::Manifests);
    let verdicts = town.play(HOUR * 6, |agent| if agent == 7 { 60.0 } else { 1.0 });
    let own = seen(&verdicts, Pattern::MoreCalls);
    assert!(own.iter().any(|(agent, level)| *agent == 7 && *level > step_up()));
    let line = highest(&seen(&verdicts, Pattern::LineMoreCalls));
    assert!(line < step_up(), "{line}");
}

#[test]
fn sub_agents_by_the_dozen_are_news_of_the_parent() {
    for by in [By::Manifests, By::Calls] {
        let mut town = Town::settled(by);
        let mut worst = f64::NEG_INFINITY;
        for n in 0..60 {
            town.play(STEP * 6, |_| 1.0);
            let verdict = town.call(&format!("fresh-{n}"), Some("planner"));
            let part = *verdict.as_ref().and_then(|v| v.part(Signal::Volume)).unwrap();
            if part.pattern == Pattern::ManyChildren {
                worst = worst.max(part.level.as_bits());
            }
        }
        // Who was in it stays, though its calls no longer say so.
        town.call("fresh-59", None);
        assert!(town.heads.iter().all(|head| head.as_deref() == Some("planner")), "{:?}", town.heads);
        // Those that manifests put there say nothing of those that only say so, and these are all of them then.
        assert_eq!(worst > step_up(), by == By::Calls, "{by:?}: {worst}");
    }
}

#[test]
fn a_line_survives_a_snapshot_to_the_bit() {
    for by in [By::Manifests, By::Calls] {
        let mut whole = Town::settled(by);
        whole.play(HOUR, |_| 2.0);
        let bytes = postcard::to_stdvec(&whole.detector).unwrap();
        let mut restored = Town { detector: postcard::from_bytes(&bytes).unwrap(), ..whole.clone() };
        restored.detector.reconfigure(DetectorConfig::default(), &manifests_of(by));
        assert_eq!(postcard::to_stdvec(&restored.detector).unwrap(), bytes);
        let (expected, got) = (whole.play(HOUR * 2, |_| 2.0), restored.play(HOUR * 2, |_| 2.0));
        assert!(expected == got && !seen(&got, Pattern::LineMoreCalls).is_empty());
    }
}

fn manifests_of(by: By) -> Vec<Manifest> {
    let declared = |n| Manifest { agent_id: child(n), parent: Some("planner".into()), ..Manifest::default() };
    (0..CHILDREN).filter(|_| by == By::Manifests).map(declared).collect()
}

#[test]
fn a_forged_parent_changes_no_verdict_on_declared_children_or_their_parent() {
    // The same intruder, with and without a word on whose it is.
    let verdicts = [None, Some("planner")].map(|parent| {
        let mut town = Town::settled(By::Manifests);
        let mut verdicts = Vec::new();
        for n in 0..120 {
            verdicts.extend(town.play(STEP * 3, |_| 1.0));
            for _ in 0..20 {
                town.call(&format!("intruder-{}", n % 40), parent);
            }
        }
        (town.detector.lines(), verdicts)
    });
    let [(without, expected), (with, got)] = verdicts;
    assert_eq!((without, with), (1, 2));
    assert!(expected == got);
}

#[test]
fn strangers_circles_and_an_agent_itself_head_no_line() {
    let mut town = Town::settled(By::Nobody);
    for _ in 0..30 {
        town.now = town.now + HOUR;
        town.call("a", Some("nobody"));
        town.call("b", Some("b"));
        town.call("new", None);
        town.detector.tick(town.now);
    }
    town.call("c", Some("also new"));
    assert_eq!(town.detector.lines(), 0);
    // Once each has a past, what is said first holds and does not close a circle.
    town.call("a", Some("b"));
    town.call("b", Some("new"));
    town.call("a", Some("b"));
    let lines = town.detector.lines();
    assert_eq!(lines, 2, "one of `b` and one of `new`");
    town.call("new", Some("a"));
    town.call("new", Some("b"));
    assert_eq!(town.detector.lines(), lines);
    // Under another issuer the same name is nobody's.
    let mut call = Call::new("other", town.now, "d", "usual");
    call.identity.parent_agent_id = Some("planner".into());
    call.identity.issuer = Some("elsewhere".into());
    town.detector.observe(&call);
    assert_eq!(town.detector.lines(), lines);
}

#[test]
fn lines_are_bounded_and_those_that_live_stay() {
    let config = DetectorConfig { agents_max: 40, ..DetectorConfig::default() };
    let mut detector = Detector::new(config, &[]);
    let mut call = |agent: &str, parent: Option<&str>, ts: Timestamp| {
        let mut call = Call::new("c", ts, agent, "usual");
        call.identity.parent_agent_id = parent.map(Into::into);
        detector.observe(&call);
        detector.tick(ts);
        detector.lines()
    };
    let mut ts = START;
    for _ in 0..48 {
        ts = ts + HOUR;
        call("planner", None, ts);
        call("worker", Some("planner"), ts);
    }
    // Every parent here has a past before it is named, and none of them is named twice.
    let mut most = 0;
    for round in 0..8 {
        for _ in 0..30 {
            ts = ts + HOUR;
            for n in 0..18 {
                call(&format!("head-{round}-{n}"), None, ts);
            }
            most = most.max(call("worker", Some("planner"), ts));
            call("planner", None, ts);
        }
        for n in 0..18 {
            most = most.max(call("forger", Some(&format!("head-{round}-{n}")), ts));
        }
    }
    assert_eq!(most, 40);
    // The worker's line has lived through all of it and is not begun anew: it knows how much is usual.
    let mut most = f64::NEG_INFINITY;
    for n in 0..60 {
        ts = ts + Duration::from_secs(10);
        let mut call = Call::new(format!("burst-{n}"), ts, format!("worker-{}", n % 8), "usual");
        call.identity.parent_agent_id = Some("planner".into());
        let verdict = detector.observe(&call).unwrap();
        detector.tick(ts);
        let of_line = |p: &&detector::Part| p.is_of_line();
        most = verdict.parts.iter().filter(of_line).map(|p| p.level.as_bits()).fold(most, f64::max);
    }
    assert!(most > step_up(), "{most}");
}

#[test]
fn one_word_of_a_person_calms_the_whole_line() {
    let mut town = Town::settled(By::Manifests);
    let over = |verdicts: &[(u64, Verdict)]| highest(&seen(verdicts, Pattern::LineMoreCalls)) > step_up();
    assert!(over(&town.play(HOUR * 4, |_| 2.0)));
    let verdicts = town.play(STEP * 60, |_| 2.0);
    let (told, _) = seen(&verdicts, Pattern::LineMoreCalls)[0];
    let mut word = Call::new("word", town.now, child(told), "");
    word.kind = Kind::Feedback;
    town.detector.observe(&word);
    assert!(!over(&town.play(HOUR * 12, |_| 2.0)));
}

#[test]
fn one_false_date_moves_no_line() {
    for (by, ahead) in
        [(By::Manifests, HOUR * 3), (By::Calls, HOUR * 24 * 365), (By::Manifests, HOUR * 24 * 365 * 50)]
    {
        let mut town = Town::settled(by);
        let mut call = Call::new("false", town.now + ahead, child(7), "usual");
        call.identity.parent_agent_id = Some("planner".into());
        town.detector.observe(&call);
        let verdicts: Vec<_> = town.play(HOUR * 6, |_| 1.0).into_iter().filter(|(n, _)| *n != 7).collect();
        assert!(highest(&seen(&verdicts, Pattern::LineMoreCalls)) < step_up(), "{by:?} {ahead:?}");
        // And it is not blind either.
        let verdicts: Vec<_> = town.play(HOUR * 12, |_| 3.0).into_iter().filter(|(n, _)| *n != 7).collect();
        assert!(highest(&seen(&verdicts, Pattern::LineMoreCalls)) > step_up(), "{by:?} {ahead:?}");
    }
}

#[test]
fn what_a_line_does_is_no_witness_against_one_of_its_agents() {
    let mut town = Town::settled(By::Manifests);
    town.play(HOUR * 8, |_| 2.0);
    let mut call = Call::new("foreign", town.now + STEP, child(3), "wire_money");
    call.identity.parent_agent_id = Some("planner".into());
    let verdict = town.detector.observe(&call).unwrap();
    let volume = verdict.part(Signal::Volume).unwrap();
    assert!(volume.is_of_line() && volume.level.as_bits() > step_up(), "{volume:?}");
    let endpoint = verdict.part(Signal::Endpoint).unwrap();
    assert!(endpoint.level >= DetectorConfig::default().budgets.watch(), "{endpoint:?}");
    assert_eq!(verdict.families, 1);
}

#[test]
fn whoever_rules_on_what_the_line_did_rules_for_the_line() {
    for ruling in [detector::Ruling::Deploy, detector::Ruling::Malicious] {
        let mut town = Town::settled(By::Manifests);
        town.play(HOUR * 4, |_| 2.0);
        let verdicts = town.play(STEP * 60, |_| 2.0);
        let (told, _) = seen(&verdicts, Pattern::LineMoreCalls)[0];
        let mut word = Call::new("word", town.now, child(told), "");
        (word.kind, word.ruling) = (Kind::Feedback, ruling);
        town.detector.observe(&word);
        // What was deployed goes on; the thief has gone.
        let goes_on = if ruling == detector::Ruling::Deploy { 2.0 } else { 1.0 };
        let after = highest(&seen(&town.play(HOUR * 3, |_| goes_on), Pattern::LineMoreCalls));
        assert!(after < step_up(), "{ruling:?} {after}");
    }
}
