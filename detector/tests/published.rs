//! What agents teach each other takes effect with a version: every minute while the fleet is young, then every hour.

#![expect(clippy::expect_used, reason = "a test ends where its ground gives way, and says where")]

use std::time::Duration;

use detector::{Call, Detector, DetectorConfig, Signal, Timestamp, Verdict};

/// Ten past a full hour, and seconds.
const START: Timestamp = Timestamp::from_millis(1_740_355_812_000);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const STEP: Duration = Duration::from_secs(10);

struct Fleet {
    detector: Detector,
    now: Timestamp,
}

impl Fleet {
    fn new() -> Self {
        let mut detector = Detector::new(DetectorConfig::default(), &[]);
        detector.tick(START);
        Self { detector, now: START }
    }

    fn call(&mut self, agent: &str, endpoint: &str) -> Verdict {
        let call = Call::new(format!("{} {agent} {endpoint}", self.now), self.now, agent, endpoint);
        self.detector.observe(&call).expect("a call has a verdict")
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.detector.tick(self.now);
    }
}

/// How many boundaries of event time lie between the start and `now`.
fn versions(now: Timestamp) -> u32 {
    let whole = |ts: Timestamp, width: Duration| {
        ts.floor_to(width).since(START.floor_to(width)).as_secs() / width.as_secs()
    };
    // An hour after its first instant the fleet is young no more, and that minute is still one of its own.
    let grown = (START + HOUR).floor_to(MINUTE) + MINUTE;
    let minutes = whole(now.min(grown), MINUTE);
    let hours = if now < grown { 0 } else { whole(now, HOUR) - whole(grown, HOUR) };
    (minutes + hours) as u32
}

#[test]
fn a_version_lives_a_minute_in_the_first_hour_and_an_hour_after_it_and_verdicts_name_theirs() {
    let mut fleet = Fleet::new();
    for _ in 0..6 * HOUR.as_secs() / STEP.as_secs() {
        fleet.pass(STEP);
        let verdict = fleet.call("a", "usual");
        let in_force = fleet.detector.model();
        assert_eq!((verdict.model, in_force), (versions(fleet.now), versions(fleet.now)), "{}", fleet.now);
    }
    assert_eq!(fleet.detector.model(), 61 + 5);
    // However many boundaries pass at once, what was taught is published once.
    fleet.pass(HOUR * 30);
    assert_eq!(fleet.call("a", "usual").model, 61 + 6);
}

#[test]
fn what_one_agent_teaches_others_read_at_the_next_version_and_no_sooner() {
    for young in [true, false] {
        let mut taught = Fleet::new();
        let (age, every) = if young { (MINUTE * 5, MINUTE) } else { (HOUR * 3, HOUR) };
        while taught.now < START + age {
            taught.pass(STEP);
            taught.call("teacher", "usual");
            taught.call("reader", "usual");
        }
        while taught.now.since(taught.now.floor_to(every)) > STEP {
            taught.pass(STEP);
        }
        let mut untaught = Fleet { detector: taught.detector.clone(), now: taught.now };
        taught.call("teacher", "new");
        untaught.call("teacher", "usual");
        // What is said of the same call in both.
        let asked = |fleet: &Fleet| {
            let mut fork = Fleet { detector: fleet.detector.clone(), now: fleet.now };
            fork.call("reader", "new")
        };
        let next = taught.now.floor_to(every) + every;
        let before = taught.detector.model();
        while taught.now + STEP < next {
            taught.pass(STEP);
            untaught.pass(STEP);
            assert_eq!(asked(&taught), asked(&untaught));
            assert_eq!(asked(&taught).model, before);
        }
        taught.pass(STEP);
        untaught.pass(STEP);
        let [taught, untaught] = [&taught, &untaught].map(asked);
        assert_eq!((taught.model, untaught.model), (before + 1, before + 1));
        let endpoint = |verdict: &Verdict| verdict.part(Signal::Endpoint).copied().expect("it speaks");
        assert_ne!(endpoint(&taught), endpoint(&untaught));
    }
}
