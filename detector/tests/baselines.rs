//! Versions of what an agent is like: when they are told, what they say, and what going back to one does.

#![expect(clippy::expect_used, reason = "a test ends where its ground gives way, and says where")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use detector::{
    Baseline, Budgets, Call, Detector, DetectorConfig, Kind, MicroBits, RevertError, Ruling, Timestamp,
    Verdict, VersionCause,
};

const MINUTE: Duration = Duration::from_mins(1);
const DAY_MINUTES: u64 = 24 * 60;

/// One agent that calls about once a minute, and a quiet one beside it.
struct Life {
    detector: Detector,
    now: Timestamp,
    calls: u64,
    told: Vec<Baseline>,
}

impl Life {
    fn new() -> Self {
        let config = DetectorConfig { keeps_baselines: true, ..DetectorConfig::default() };
        let now = Timestamp::from_millis(1_767_571_200_000);
        Self { detector: Detector::new(config, &[]), now, calls: 0, told: Vec::new() }
    }

    /// A record of now, or so many seconds later.
    fn record(&mut self, agent: &str, second: u64, change: impl FnOnce(&mut Call<'_>)) -> Option<Verdict> {
        self.calls += 1;
        let mut call = Call::new(
            self.calls.to_string(),
            self.now + Duration::from_secs(second),
            agent.to_owned(),
            "read",
        );
        call.source_ip = Some(IpAddr::V4(Ipv4Addr::new(198, 51, 1, 1)));
        change(&mut call);
        let verdict = self.detector.observe(&call);
        self.told.append(&mut self.detector.baselines());
        verdict
    }

    /// Minutes with so many calls each; gives the highest level.
    fn live(&mut self, minutes: u64, calls: u64, change: impl Fn(&mut Call<'_>)) -> MicroBits {
        let mut highest = MicroBits::from_bits(-99.0);
        for _ in 0..minutes {
            self.detector.tick(self.now);
            for nth in 0..calls {
                let each = 60 / calls;
                let second = nth * each + self.calls.wrapping_mul(2_654_435_761) / 7 % each;
                let verdict = self.record("a", second, &change).expect("a verdict");
                highest = highest.max(verdict.level);
            }
            if self.now.as_millis() % 3_600_000 == 0 {
                self.record("quiet", 0, |_| {});
            }
            self.now = self.now + MINUTE;
        }
        highest
    }

    fn of(&self, agent: &str) -> Vec<&Baseline> {
        self.told.iter().filter(|version| version.agent_id == agent).collect()
    }
}

fn elsewhere(call: &mut Call<'_>) {
    call.source_ip = Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)));
    call.endpoint = "export".into();
}

#[test]
fn an_agent_that_stays_as_it_is_tells_little_and_one_that_moves_tells_it_the_next_day() {
    let mut life = Life::new();
    life.live(20 * DAY_MINUTES, 1, |_| {});
    let [still, quiet] = ["a", "quiet"].map(|agent| life.of(agent).len());
    assert!((1..=3).contains(&still) && (1..=3).contains(&quiet), "{still} {quiet}");
    life.live(2 * DAY_MINUTES, 2, |call| call.endpoint = ["read", "list"][call.event_id.len() % 2].into());
    let told = life.of("a");
    let last = told.last().expect("it moved");
    assert_eq!((last.cause, told.len() > still), (VersionCause::Moved, true));
    let first = &told[still - 1].summary;
    let name = |key: &str| {
        ["read", "list"].into_iter().find(|n| detector::endpoint_keys(n).any(|k| k == key)).map(str::to_owned)
    };
    assert!(first.changes(first, name).is_empty());
    let changes = first.changes(&last.summary, name).join("; ");
    assert!(changes.contains("list: new, "), "{changes}");
    assert!(last.ts < life.now && last.summary.weekday.len() == 24, "{last:?}");
}

#[test]
fn a_forged_date_ends_no_telling_and_brings_none_about() {
    let mut life = Life::new();
    life.live(3 * DAY_MINUTES, 1, |_| {});
    let told = life.of("a").len();
    for day in 1..40 {
        life.record("a", 0, |call| {
            call.ts = call.ts + Duration::from_hours(24 * 365 * 10 + 24 * day);
            call.endpoint = format!("forged-{day}").into();
        });
    }
    assert_eq!(life.of("a").len(), told, "one day of event time tells once");
    life.live(3 * DAY_MINUTES, 4, |_| {});
    assert!(life.of("a").len() > told, "it has moved since");
}

#[test]
fn going_back_undoes_a_wrong_word_and_misses_no_call() {
    let (mut life, step_up) = (Life::new(), Budgets::default().step_up());
    life.live(20 * DAY_MINUTES, 1, |_| {});
    let before = life.of("a").last().expect("it was told").state.clone();
    assert!(life.live(30, 8, elsewhere) >= step_up);
    life.record("a", 0, |call| (call.kind, call.ruling) = (Kind::Feedback, Ruling::Deploy));
    assert_eq!(life.of("a").last().expect("it was told").cause, VersionCause::Ruling);
    assert!(life.live(2 * DAY_MINUTES, 8, elsewhere) < step_up, "the thief is the agent by now");

    let mut whose = Call::new("revert", life.now, "quiet", "");
    assert_eq!(life.detector.revert(&whose, before.clone()), Err(RevertError::AnotherAgents));
    whose.identity.agent_id = "unheard-of".into();
    assert_eq!(life.detector.revert(&whose, before.clone()), Err(RevertError::Unknown));
    whose.identity.agent_id = "a".into();
    life.detector.revert(&whose, before).expect("it is its own");
    life.told.append(&mut life.detector.baselines());
    assert_eq!(life.of("a").last().expect("it was told").cause, VersionCause::Revert);

    let highest = life.live(DAY_MINUTES, 1, |_| {});
    assert!(highest < step_up, "it is what it was, and days that nobody knows are no silence: {highest}");
    assert!(life.live(30, 8, elsewhere) >= step_up, "the thief is news again");
}

#[test]
fn nothing_is_told_that_nobody_takes() {
    let mut life = Life::new();
    life.detector.reconfigure(DetectorConfig::default(), &[]);
    life.live(3 * DAY_MINUTES, 1, |_| {});
    assert!(life.told.is_empty());
}
