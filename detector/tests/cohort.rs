//! What many agents begin at once is one incident, and nobody makes one alone.

use std::time::Duration;

use detector::{Call, CohortIncident, Detector, DetectorConfig, Pattern, Signal, Timestamp, Verdict};

const AGENTS: u64 = 12;
/// Days in which all is as usual: a call of each agent about every two minutes.
const USUAL_DAYS: u64 = 8;
const GAP_S: u64 = 120;

/// Plays calls in order and lets time follow.
struct Fleet {
    detector: Detector,
    now: Timestamp,
    calls: u64,
}

impl Fleet {
    fn new() -> Self {
        let detector = Detector::new(DetectorConfig::default(), &[]);
        Self { detector, now: Timestamp::from_millis(1_740_000_000_000), calls: 0 }
    }

    /// One that has lived for more than a week.
    fn settled() -> Self {
        let mut fleet = Self::new();
        fleet.play(Duration::from_hours(24 * USUAL_DAYS), |_| 1.0);
        assert_eq!(fleet.incidents(), []);
        fleet
    }

    fn incidents(&self) -> Vec<CohortIncident> {
        self.detector.cohort_incidents().cloned().collect()
    }

    fn call(&mut self, agent: &str) -> Option<Verdict> {
        self.calls += 1;
        let call = Call::new(format!("c{}", self.calls), self.now, agent, "usual");
        self.detector.observe(&call)
    }

    /// So long, in steps of ten seconds, at so many times the usual pace of each agent.
    fn play(&mut self, long: Duration, times: impl Fn(u64) -> f64) -> Vec<(u64, Verdict)> {
        let mut verdicts = Vec::new();
        for _ in 0..long.as_secs() / 10 {
            self.now = self.now + Duration::from_secs(10);
            for agent in 0..AGENTS {
                let mean = times(agent) * 10.0 / GAP_S as f64;
                let chance = hash(self.now.as_micros() as u64 ^ agent << 40);
                for _ in 0..(mean + chance) as u64 {
                    verdicts.extend(self.call(&format!("agent-{agent}")).map(|verdict| (agent, verdict)));
                }
            }
            self.detector.tick(self.now);
        }
        verdicts
    }

    fn snapshot(&self) -> postcard::Result<Vec<u8>> {
        postcard::to_stdvec(&self.detector)
    }
}

/// Between 0 and 1; `SplitMix64`'s finaliser.
fn hash(n: u64) -> f64 {
    let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / 2_f64.powi(53)
}

fn hours(n: u64) -> Duration {
    Duration::from_hours(n)
}

#[test]
fn nine_of_twelve_that_do_times_five_are_one_incident_and_one_that_does_times_fifty_is_beyond_it() {
    let mut fleet = Fleet::settled();
    let began = fleet.now;
    let verdicts = fleet.play(hours(2), |agent| if agent < 9 { 5.0 } else { 1.0 });
    let incidents = fleet.incidents();
    let [incident] = incidents.as_slice() else { panic!("one incident: {incidents:?}") };
    assert_eq!((incident.pattern, incident.until, incident.exposed), (Pattern::MoreCalls, None, 12));
    assert!((5..=9).contains(&incident.agents) && incident.chance < 1e-6, "{incident:?}");
    assert!(incident.seen.since(began) < hours(1), "{incident:?}");
    assert_eq!(incident.members.len() as u32, incident.agents);
    assert!(
        incident.members.iter().all(|m| m.agent_id.len() == 7 && &*m.agent_id < "agent-9"),
        "{incident:?}"
    );
    assert!((2.0..10.0).contains(&incident.factor), "{incident:?}");

    let shared: Vec<_> = verdicts.iter().filter_map(|(_, v)| v.cohort.map(|cohort| (v, cohort))).collect();
    assert!(shared.len() > 100, "{}", shared.len());
    for (v, cohort) in shared {
        let own = [Signal::Endpoint, Signal::Timing].map(|signal| v.part(signal).unwrap().level);
        assert!(v.is_exact() && cohort.incident == 1 && !cohort.is_beyond, "{v:?}");
        assert!(own.contains(&cohort.own) && cohort.own >= own[0] && cohort.own < v.level, "{v:?}");
    }

    let verdicts = fleet.play(hours(1), |agent| [5.0, 50.0][usize::from(agent == 3)]);
    let beyond = |agent| verdicts.iter().any(|(a, v)| *a == agent && v.cohort.is_some_and(|c| c.is_beyond));
    assert_eq!((0..9).filter(|&agent| beyond(agent)).collect::<Vec<_>>(), [3]);
    let loud = verdicts.iter().filter_map(|(_, v)| Some((v, v.cohort.filter(|c| c.is_beyond)?)));
    assert!(loud.into_iter().all(|(v, cohort)| cohort.own == v.level));
}

#[test]
fn an_incident_ends_when_the_group_is_back() {
    let mut fleet = Fleet::settled();
    fleet.play(hours(1), |agent| if agent < 9 { 5.0 } else { 1.0 });
    assert_eq!(fleet.incidents().len(), 1);
    fleet.play(hours(72), |_| 1.0);
    assert!(fleet.incidents()[0].until.is_some_and(|until| until < fleet.now), "{:?}", fleet.incidents());
}

#[test]
fn one_agent_and_newcomers_make_none_and_who_began_before_the_others_is_not_excused() {
    let mut fleet = Fleet::settled();
    let alone = fleet.play(hours(6), |agent| if agent == 0 { 5.0 } else { 1.0 });
    assert!(alone.iter().any(|(_, v)| v.level > DetectorConfig::default().budgets.step_up()));
    for n in 0..2_000 {
        // A thousand fresh names, each seen at once to make a hundred times what newcomers do.
        fleet.now = fleet.now + Duration::from_millis(500);
        for _ in 0..10 {
            assert_eq!(fleet.call(&format!("fresh-{}", n % 1_000)).unwrap().cohort, None);
        }
        fleet.detector.tick(fleet.now);
    }
    assert_eq!(fleet.incidents(), []);
    let verdicts = fleet.play(hours(1), |agent| if agent < 9 { 5.0 } else { 1.0 });
    assert_eq!(fleet.incidents().len(), 1);
    assert!(verdicts.iter().all(|(agent, v)| *agent != 0 || v.cohort.is_none()));
}

#[test]
fn a_snapshot_in_the_middle_of_an_incident_changes_nothing() {
    let mut whole = Fleet::settled();
    let five = |agent| if agent < 9 { 5.0 } else { 1.0 };
    whole.play(Duration::from_mins(20), five);
    let snapshot = whole.snapshot().unwrap();
    let mut restored =
        Fleet { detector: postcard::from_bytes(&snapshot).unwrap(), now: whole.now, calls: whole.calls };
    restored.detector.reconfigure(DetectorConfig::default(), &[]);
    assert_eq!(restored.snapshot().unwrap(), snapshot);
    let (expected, got) = (whole.play(hours(1), five), restored.play(hours(1), five));
    assert!(expected == got && expected.iter().any(|(_, v)| v.cohort.is_some()));
    assert_eq!(whole.incidents(), restored.incidents());
}
