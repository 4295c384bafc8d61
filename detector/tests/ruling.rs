//! What becomes of an agent of which a person said that it was changed on purpose, or that it was not itself.

#![expect(clippy::expect_used, reason = "a test ends where its ground gives way, and says where")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use std::time::Duration;

use detector::{
    Budgets, Call, Detector, DetectorConfig, FleetHealth, Grade, Kind, MicroBits, Pattern, Ruling, Signal,
    Timestamp, Verdict,
};

const AGENTS: usize = 8;
const DAY: Duration = Duration::from_hours(24);

/// Agents that call by chance, 60 times an hour each, from a network of their own.
#[derive(Clone)]
struct Fleet {
    detector: Detector,
    now: Timestamp,
    seed: u64,
    calls: u64,
}

impl Fleet {
    fn after(days: u32) -> Self {
        let detector = Detector::new(DetectorConfig::default(), &[]);
        let mut fleet = Self { detector, now: Timestamp::from_millis(1_767_571_200_000), seed: 7, calls: 0 };
        fleet.live(DAY * days, |_, _| {});
        fleet
    }

    /// One of a fortnight; made once.
    fn grown() -> Self {
        static GROWN: LazyLock<Fleet> = LazyLock::new(|| Fleet::after(14));
        GROWN.clone()
    }

    fn unit(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn call(&mut self, agent: usize, change: impl FnOnce(&mut Call<'_>)) -> Option<Verdict> {
        self.calls += 1;
        let endpoint = ["read", "read", "list"][(self.calls % 3) as usize];
        let mut call = Call::new(self.calls.to_string(), self.now, format!("agent-{agent}"), endpoint);
        call.source_ip = Some(IpAddr::V4(Ipv4Addr::new(198, 51, agent as u8, 1)));
        call.user_agent = Some("worker/1.4".into());
        change(&mut call);
        self.detector.observe(&call)
    }

    fn rule(&mut self, agent: usize, ruling: Ruling) {
        let word = (Kind::Feedback, ruling, "".into());
        let verdict = self.call(agent, |call| (call.kind, call.ruling, call.endpoint) = word);
        assert_eq!(verdict, None);
    }

    /// Time goes by for all; `see` gets the verdicts.
    fn live(&mut self, time: Duration, mut see: impl FnMut(usize, &Verdict)) {
        self.live_with(
            time,
            [1.0; AGENTS],
            |_, _| {},
            |agent, verdict| {
                see(agent, verdict);
                false
            },
        );
    }

    /// Each agent at so many times its rate, with calls as `change` makes them, until `see` has enough. True if it had.
    fn live_with(
        &mut self,
        time: Duration,
        rates: [f64; AGENTS],
        change: impl Fn(usize, &mut Call<'_>),
        mut see: impl FnMut(usize, &Verdict) -> bool,
    ) -> bool {
        let end = self.now + time;
        let whole: f64 = rates.iter().sum();
        while self.now < end {
            let gap_s = -60.0 / whole * self.unit().max(1e-9).ln();
            self.now = self.now + Duration::from_micros((gap_s * 1e6) as u64);
            self.detector.tick(self.now);
            let (mut which, mut agent) = (self.unit() * whole, 0);
            while which > rates[agent] && agent + 1 < AGENTS {
                which -= rates[agent];
                agent += 1;
            }
            let verdict = self.call(agent, |call| change(agent, call)).expect("a verdict");
            if see(agent, &verdict) {
                return true;
            }
        }
        false
    }
}

fn at(agent: usize, rate: f64) -> [f64; AGENTS] {
    std::array::from_fn(|a| if a == agent { rate } else { 1.0 })
}

/// From an unknown network, to an endpoint that nobody calls.
fn theft(call: &mut Call<'_>) {
    call.source_ip = Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)));
    call.user_agent = Some("curl/8.5".into());
    call.endpoint = "export_all".into();
}

fn patterns(verdict: &Verdict) -> Vec<Pattern> {
    let parts = verdict.parts.iter().filter(|p| matches!(p.signal, Signal::Context | Signal::Endpoint));
    parts.map(|p| p.pattern).collect()
}

fn level(verdict: &Verdict, signal: Signal) -> MicroBits {
    verdict.part(signal).expect("it speaks").level
}

fn watch(detector: &Detector) -> FleetHealth {
    detector.fleet_health().into_iter().find(|h| h.grade == Grade::Watch).expect("it is monitored")
}

/// A person who lets one act of an incident go on has said nothing of the others.
#[test]
fn an_act_that_was_let_go_on_is_learned_and_what_else_the_incident_brought_is_not() {
    let to = |endpoint: &'static str| move |call: &mut Call<'_>| call.endpoint = endpoint.into();
    let levels_after = |act: &'static str| {
        let mut fleet = Fleet::grown();
        for _ in 0..3 {
            fleet.call(2, to("export_all"));
            fleet.call(2, to("delete_all"));
        }
        let word = (Kind::Feedback, Ruling::Benign, act.into());
        fleet.call(2, |call| (call.kind, call.ruling, call.endpoint) = word);
        fleet.live(Duration::from_hours(3), |_, _| {});
        ["export_all", "delete_all"].map(|endpoint| {
            let verdict = fleet.clone().call(2, to(endpoint)).expect("a verdict");
            level(&verdict, Signal::Endpoint)
        })
    };
    let ([of_all, also_of_all], [of_act, beside]) = (levels_after(""), levels_after("export_all"));
    assert_eq!(of_all, also_of_all);
    assert!(beside > of_act.max(of_all) + MicroBits::from_bits(3.0), "{of_all} {of_act} {beside}");
}

#[test]
fn after_an_attack_the_thief_is_news_again_and_after_a_benign_word_it_is_not() {
    let mut fleet = Fleet::grown();
    let first = [2, 3].map(|agent| fleet.call(agent, theft).expect("a verdict"));
    assert_eq!(patterns(&first[0])[1..], [Pattern::NewNetwork, Pattern::NewUserAgent]);
    for _ in 0..40 {
        fleet.call(2, theft);
        fleet.call(3, theft);
    }
    fleet.rule(2, Ruling::Malicious);
    fleet.rule(3, Ruling::Benign);
    let (mut calm, step_up) = (Vec::new(), Budgets::default().step_up());
    fleet.live(DAY, |agent, verdict| calm.push((agent, verdict.level)));
    let highest = |agent| calm.iter().filter(|(a, _)| *a == agent).map(|(_, level)| *level).max();
    assert!(highest(2) < Some(step_up), "its own network is its own: {:?}", highest(2));
    let again = [2, 3].map(|agent| fleet.call(agent, theft).expect("a verdict"));
    assert_eq!(patterns(&again[0])[1..], [Pattern::NewNetwork, Pattern::NewUserAgent], "{again:?}");
    // The news of the other agent was its own, and its peers have learned that there is such.
    assert!(
        level(&again[0], Signal::Context) > level(&first[0], Signal::Context) - MicroBits::from_bits(3.0)
    );
    assert!(again[0].level >= step_up && again[1].level < step_up, "{again:?}");
    assert!(!patterns(&again[1]).contains(&Pattern::NewNetwork), "{again:?}");
}

#[test]
fn after_a_deploy_the_new_level_is_usual_at_once_and_five_times_that_is_not() {
    let (mut fleet, step_up) = (Fleet::grown(), Budgets::default().step_up());
    let deployed = |agent: usize, call: &mut Call<'_>| {
        if agent == 5 {
            theft(call);
        }
    };
    assert!(fleet.live_with(DAY, at(5, 5.0), deployed, |agent, v| {
        agent == 5 && level(v, Signal::Volume) >= step_up
    }));
    // Until somebody answers.
    fleet.live_with(Duration::from_mins(30), at(5, 5.0), deployed, |_, _| false);
    fleet.rule(5, Ruling::Deploy);
    let mut highest = MicroBits::from_bits(-99.0);
    fleet.live_with(DAY * 3, at(5, 5.0), deployed, |agent, verdict| {
        highest = if agent == 5 { highest.max(verdict.level) } else { highest };
        false
    });
    assert!(highest < step_up, "{highest}");
    let began = fleet.now;
    assert!(fleet.live_with(DAY, at(5, 25.0), deployed, |agent, v| agent == 5 && v.level >= step_up));
    assert!(fleet.now.since(began) < Duration::from_mins(30), "{began} {}", fleet.now);
}

#[test]
fn the_hours_of_an_attack_are_no_part_of_what_the_agent_is() {
    let mut fleet = Fleet::grown();
    let step_up = Budgets::default().step_up();
    let expected = |fleet: &mut Fleet| {
        let verdict = fleet.call(4, |_| {}).expect("a verdict");
        let volume = verdict.part(Signal::Volume).expect("it speaks");
        volume.expected / volume.window_ms as f64 * 3_600_000.0
    };
    fleet.live_with(Duration::from_hours(6), at(4, 6.0), |_, _| {}, |_, _| false);
    fleet.rule(4, Ruling::Malicious);
    let mut highest = MicroBits::from_bits(-99.0);
    fleet.live(DAY * 3, |agent, verdict| {
        highest = if agent == 4 { highest.max(verdict.level) } else { highest };
    });
    assert!(highest < step_up, "{highest}");
    // In the middle of a minute nearly nothing is expected yet: wait for the end of one.
    while fleet.now.as_millis() % 60_000 < 55_000 {
        fleet.now = fleet.now + Duration::from_secs(1);
    }
    let per_hour = expected(&mut fleet);
    assert!((40.0..80.0).contains(&per_hour), "{per_hour}");
}

#[test]
fn an_attack_is_no_broken_promise_and_a_false_alarm_is() {
    for (ruling, is_taken_back) in
        [(Ruling::Malicious, true), (Ruling::Deploy, true), (Ruling::Benign, false)]
    {
        let mut fleet = Fleet::grown();
        let before = watch(&fleet.detector).alarms;
        fleet.call(2, theft);
        fleet.live(Duration::from_hours(2), |_, _| {});
        let raised = watch(&fleet.detector).alarms;
        assert!(raised > before + 0.9, "{before} {raised}");
        fleet.rule(2, ruling);
        let after = watch(&fleet.detector).alarms;
        assert_eq!((after - before).abs() < 0.1, is_taken_back, "{ruling:?}: {before} {raised} {after}");
    }
}

#[test]
fn a_deploy_of_a_cohort_is_said_once() {
    let (mut fleet, step_up) = (Fleet::grown(), Budgets::default().step_up());
    let all = [5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 1.0];
    fleet.live_with(Duration::from_hours(1), all, |_, _| {}, |_, _| false);
    assert_eq!(fleet.detector.cohort_incidents().count(), 1);
    fleet.rule(0, Ruling::CohortDeploy);
    let mut highest = [MicroBits::from_bits(-99.0); AGENTS];
    fleet.live_with(
        DAY,
        all,
        |_, _| {},
        |agent, verdict| {
            highest[agent] = highest[agent].max(verdict.level);
            false
        },
    );
    assert!(highest.iter().all(|level| *level < step_up), "{highest:?}");
}

#[test]
fn a_ruling_means_the_same_after_a_restore() {
    let mut fleet = Fleet::after(3);
    fleet.call(1, theft);
    let saved = postcard::to_stdvec(&fleet.detector).expect("it serialises");
    let mut restored: Detector = postcard::from_bytes(&saved).expect("it restores");
    restored.reconfigure(DetectorConfig::default(), &[]);
    let live = [Ruling::Malicious, Ruling::Deploy].map(|ruling| {
        fleet.rule(1, ruling);
        fleet.call(1, theft)
    });
    std::mem::swap(&mut fleet.detector, &mut restored);
    fleet.calls -= 4;
    let again = [Ruling::Malicious, Ruling::Deploy].map(|ruling| {
        fleet.rule(1, ruling);
        fleet.call(1, theft)
    });
    assert_eq!(live, again);
    let states = [&fleet.detector, &restored].map(|d| postcard::to_stdvec(d).expect("it serialises"));
    assert!(states[0] == states[1]);
}
