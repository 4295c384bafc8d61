//! An agent that stops calling, and logs that stop coming.

use std::time::Duration;

use detector::{
    Budgets, Call, Detector, DetectorConfig, Kind, Pattern, Signal, Timestamp, Verdict, VerdictRecord,
};

const START: Timestamp = Timestamp::from_millis(1_740_355_200_000);
const TICK: Duration = Duration::from_secs(10);

/// Agents that call about once a minute from one source, minute by minute.
struct Log {
    detector: Detector,
    minute: u32,
    said: Vec<VerdictRecord>,
    verdicts: Vec<Verdict>,
}

impl Log {
    fn new() -> Self {
        let detector = Detector::new(DetectorConfig::default(), &[]);
        Self { detector, minute: 0, said: Vec::new(), verdicts: Vec::new() }
    }

    fn now(&self) -> Timestamp {
        START + Duration::from_mins(u64::from(self.minute))
    }

    fn call(&mut self, agent: &'static str, ts: Timestamp) {
        let mut call = Call::new(format!("{agent}-{}", ts.as_micros()), ts, agent, "list");
        call.source = Some("proxy".into());
        self.verdicts.extend(self.detector.observe(&call));
        self.said.extend(self.detector.said());
    }

    fn tick(&mut self) {
        for i in 0..6 {
            self.detector.tick(self.now() + TICK * i);
        }
        self.said.extend(self.detector.said());
    }

    /// So many minutes in which these agents call, some seconds into each, and the source beats.
    fn run(&mut self, minutes: u32, agents: &[&'static str], beats: bool) {
        for _ in 0..minutes {
            if beats {
                let mut heartbeat = Call::new(format!("h{}", self.minute), self.now(), "", "");
                (heartbeat.kind, heartbeat.source) = (Kind::Heartbeat, Some("proxy".into()));
                assert_eq!(self.detector.observe(&heartbeat), None);
            }
            for agent in agents {
                let into = (self.minute.wrapping_mul(2_654_435_761) >> 16) % 50;
                self.call(agent, self.now() + Duration::from_secs(u64::from(into)));
            }
            self.tick();
            self.minute += 1;
        }
    }
}

const DAY: u32 = 24 * 60;

#[test]
fn silence_is_said_once_and_is_a_watch() {
    let mut log = Log::new();
    log.run(4 * DAY, &["a", "b"], false);
    assert_eq!(log.said, []);
    let last = log.now();
    log.run(DAY, &["b"], false);
    let [record] = &log.said[..] else { panic!("{:?}", log.said) };
    let (budgets, v) = (Budgets::default(), &record.verdict);
    assert_eq!((record.kind, &*record.agent_id, v.version), (Kind::Silence, "a", 1));
    assert!(v.level >= budgets.watch() && v.level < budgets.step_up(), "{}", v.level);
    assert!(v.ts.since(last) < Duration::from_hours(3), "only at {}", v.ts);
    assert!(v.is_exact());
    let part = v.part(Signal::Volume).unwrap();
    assert_eq!((part.pattern, part.observed), (Pattern::FewerCalls, 0.0));
    assert!(part.expected > 5.0 && part.quiet_at >= 1.0, "{part:?}");
    assert!(record.reasons()[0].contains("only 0 calls"), "{:?}", record.reasons());

    // Its next call ends it, and a new silence is a new verdict.
    log.run(2 * DAY, &["a", "b"], false);
    assert_eq!(log.said.len(), 1, "{:?}", log.said);
    log.run(DAY, &["b"], false);
    let ids: Vec<_> = log.said.iter().map(|r| (&*r.agent_id, &r.event_id, r.verdict.version)).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1] && ids[1].0 == "a", "{ids:?}");
}

#[test]
fn a_late_call_amends_what_was_said() {
    let mut log = Log::new();
    log.run(4 * DAY, &["a", "b"], false);
    let before = log.now();
    log.run(DAY, &["b"], false);
    let [said] = log.said.clone().try_into().unwrap_or_else(|said| panic!("{said:?}"));
    // The logs of its first minutes come late, in their order: as long as the rest is still a silence, it stands.
    let mut minutes = 0;
    while log.said.len() == 1 {
        minutes += 1;
        log.call("a", before + Duration::from_mins(minutes));
        assert!(before + Duration::from_mins(minutes) < said.verdict.ts, "a silence that nothing amends");
    }
    let [_, amended] = log.said.clone().try_into().unwrap_or_else(|said| panic!("{said:?}"));
    assert_eq!((&amended.event_id, amended.verdict.version), (&said.event_id, 2));
    assert_ne!(amended.verdict.id, said.verdict.id);
    assert_eq!(amended.verdict.ts, said.verdict.ts);
    assert!(amended.verdict.level < Budgets::default().watch(), "{}", amended.verdict.level);
    // What was said is amended once.
    log.call("a", before + Duration::from_mins(minutes + 1));
    assert_eq!(log.said.len(), 2);
}

#[test]
fn while_a_source_is_late_its_agents_are_not_silent() {
    let mut log = Log::new();
    log.run(4 * DAY, &["a", "b"], true);
    assert_eq!(log.detector.late_sources(log.now()), []);
    let last = log.now();
    // Nothing comes from the source, while others keep time going.
    log.run(DAY / 2, &[], false);
    let late = log.detector.late_sources(log.now());
    assert_eq!(late.iter().map(|l| &*l.source).collect::<Vec<_>>(), ["proxy"]);
    assert!(late[0].since < last);
    assert_eq!(log.said, []);
    // It comes back: the time without logs was no silence, and is not learned as one.
    log.verdicts.clear();
    log.run(DAY, &["a", "b"], true);
    let loudest = log.verdicts.iter().map(|v| v.level).max().unwrap();
    assert!(loudest < Budgets::default().watch(), "{loudest}");
    assert_eq!(log.said, []);
    // One that stays away while the source is alive is silent.
    log.run(DAY, &["b"], true);
    assert_eq!(log.said.iter().map(|r| &*r.agent_id).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_snapshot_within_a_silence_says_nothing_twice() {
    for cut in [1, 30, 120, 600] {
        let mut log = Log::new();
        log.run(4 * DAY, &["a", "b"], true);
        log.run(cut, &["b"], true);
        let snapshot = postcard::to_stdvec(&log.detector).unwrap();
        log.detector = postcard::from_bytes(&snapshot).unwrap();
        log.detector.reconfigure(DetectorConfig::default(), &[]);
        log.run(DAY, &["b"], true);
        assert_eq!(log.said.len(), 1, "cut after {cut} minutes: {:?}", log.said);
    }
}
