//! Fleets that keep their budget, fleets that do not, and what one agent can do to the others.

#![expect(clippy::disallowed_macros, reason = "what was simulated, shown when asked for")]

use super::*;
use crate::combine::{self, TIMING, VOLUME};
use crate::random::Random;
use crate::signal::tail::{Group, PeerTail, Rule, Tail};
use crate::{Budgets, Call, Detector, DetectorConfig, Signal};

/// Virtual time goes in steps of six hours.
const STEP: Duration = Duration::from_hours(6);
const STEPS_PER_DAY: usize = 4;
const ENDPOINT: usize = 2;

fn start() -> Timestamp {
    Timestamp::from_millis(1_740_000_000_000)
}

fn score(level: f64, winner: usize, price: f64) -> Score {
    Score {
        level: MicroBits::from_bits(level),
        added: MicroBits::ZERO,
        parts: arrayvec::ArrayVec::new(),
        families: 1,
        winner,
        price: MicroBits::from_bits(price),
        ..Score::default()
    }
}

struct Agents {
    monitor: Monitor,
    heard: Vec<Heard>,
    now: Timestamp,
    thresholds: Thresholds,
}

impl Agents {
    fn new(agents: usize) -> Self {
        let (monitor, heard) = (Monitor::default(), vec![Heard::default(); agents]);
        Self { monitor, heard, now: start(), thresholds: Budgets::default().into() }
    }

    fn is_resting(&self, agent: usize, grade: Grade) -> bool {
        self.now < self.heard[agent].resting_until[grade as usize]
    }

    /// True if a step-up was counted.
    fn hear(&mut self, agent: usize, score: &Score) -> bool {
        let was_resting = self.is_resting(agent, Grade::StepUp);
        self.monitor.hear(&mut self.heard[agent], self.now, score, &self.thresholds);
        !was_resting && self.is_resting(agent, Grade::StepUp)
    }

    fn pass(&mut self) {
        self.now = self.now + STEP;
        self.heard.iter().for_each(|_| self.monitor.live(STEP));
        self.monitor.close(self.now, &self.thresholds);
    }

    fn health(&self, grade: Grade) -> FleetHealth {
        self.monitor.health(PeerGroup::Fleet).remove(grade as usize)
    }

    fn exceeds(&self) -> bool {
        Grade::ALL.into_iter().any(|grade| self.health(grade).exceeded_since.is_some())
    }

    /// Levels come as often as they say: once in 7 days one over the watch budget, of which 7 in 90 are over the step-up
    /// budget. An agent is due again three steps after an alarm, and then waits for 25 on average: 7 days.
    fn spend_all(&mut self, random: &mut Random) {
        for agent in 0..self.heard.len() {
            if !self.is_resting(agent, Grade::Watch) && random.unit() < 1.0 / 25.0 {
                let level = libm::log2(7.0) + random.exponential() / std::f64::consts::LN_2;
                let by = random.unit();
                let winner = [0.3, 0.42, 0.82, 1.0].iter().position(|share| by < *share).unwrap();
                self.hear(agent, &score(level, winner, -3.0));
            }
        }
        self.pass();
    }
}

#[test]
fn a_fleet_that_spends_its_budget_to_the_last_alarm_is_hardly_ever_said_to_exceed_it() {
    let mut random = Random::new(7);
    let (mut years, mut exceeded, mut widened) = (0, 0, 0);
    for (agents, fleets) in [(2, 100), (10, 100), (60, 40), (400, 10)] {
        for _ in 0..fleets {
            let mut fleet = Agents::new(agents);
            // Who rests when it begins is left to chance; nothing of that is remembered.
            (0..10 * STEPS_PER_DAY).for_each(|_| fleet.spend_all(&mut random));
            fleet.monitor = Monitor::default();
            fleet.heard.iter_mut().for_each(|agent| agent.alarms = [0.0; GRADES]);
            let (mut ever_exceeded, mut ever_widened) = (false, false);
            for _ in 0..365 * STEPS_PER_DAY {
                fleet.spend_all(&mut random);
                ever_exceeded |= fleet.exceeds();
                ever_widened |= fleet.monitor.widening != Widening::default();
            }
            years += 1;
            exceeded += u32::from(ever_exceeded);
            widened += u32::from(ever_widened);
        }
    }
    println!("of {years} fleet-years {exceeded} were said to exceed at some time, {widened} were widened");
    assert!(exceeded * 50 <= years && widened == 0, "{exceeded} and {widened} of {years}");
}

/// An agent that has made 20 excursions a day, of mean height 1, for three years.
fn rule() -> Rule {
    let excursions = 20_000.0;
    let tail = Tail::<f64>::from_sums([excursions, excursions, 2.0 * excursions]);
    let group = Group { threshold: 2.0, never_days: 0.0, groups: 1.0 };
    tail.rule(group, excursions / 20.0, 0.0, &PeerTail::default())
}

#[test]
fn a_fleet_at_five_times_its_budget_is_brought_back_to_it() {
    // Volume alone asks for ln(20·90/0.3) = 8.70 nats and gets 8.70/1.478: e^2.81 times its share of 0.3.
    const HEIGHT: f64 = 1.478;
    let mut random = Random::new(11);
    for (agents, most) in [(10, 2.0), (60, 1.3), (400, 1.1)] {
        let mut fleet = Agents::new(agents);
        let rate = |fleet: &mut Agents, days: usize, random: &mut Random, follows: bool| {
            let mut alarms = 0;
            for _ in 0..days * STEPS_PER_DAY {
                let widening = if follows { fleet.monitor.widening.of(VOLUME) } else { 1.0 };
                let rule = rule().widened(widening);
                for look in 0..agents * 20 / STEPS_PER_DAY {
                    let strength = rule.strength(2.0 + HEIGHT * random.exponential());
                    let level = combine::level(VOLUME, strength);
                    let said = score(level, VOLUME, level - strength.bits);
                    alarms += u32::from(fleet.hear(look % agents, &said));
                }
                fleet.pass();
            }
            f64::from(alarms) * 90.0 / (agents * days) as f64
        };
        let alone = rate(&mut Agents::new(agents), 90, &mut random, false);
        // Four months to find out and to come to rest.
        rate(&mut fleet, 120, &mut random, true);
        let brought_back = rate(&mut fleet, 360, &mut random, true);
        println!(
            "{agents} agents: {alone:.2} times the budget, and under the monitor {brought_back:.2} times"
        );
        assert!((3.5..6.5).contains(&alone) && brought_back < most, "{alone} {brought_back}");
        assert_eq!(
            fleet.monitor.widening.of(TIMING).to_bits(),
            1.0_f64.to_bits(),
            "timing has kept its share"
        );
    }
}

#[test]
fn what_cannot_be_widened_is_told_and_left() {
    let mut fleet = Agents::new(20);
    for day in 0..40 {
        for agent in 0..20 {
            if (day + agent) % 10 == 0 {
                fleet.hear(agent, &score(9.0, ENDPOINT, -3.0));
            }
        }
        (0..STEPS_PER_DAY).for_each(|_| fleet.pass());
    }
    assert!(fleet.health(Grade::StepUp).exceeded_since.is_some());
    assert_eq!(fleet.monitor.widening, Widening::default());
}

#[test]
fn one_agent_speaks_for_nobody_and_many_widen_slowly_and_not_without_end() {
    let mut fleet = Agents::new(20);
    let day = |fleet: &mut Agents, loud: usize| {
        (0..loud).for_each(|agent| _ = fleet.hear(agent, &score(20.0, VOLUME, -3.0)));
        (0..STEPS_PER_DAY).for_each(|_| fleet.pass());
    };
    (0..60).for_each(|_| day(&mut fleet, 1));
    let health = fleet.health(Grade::StepUp);
    assert!(health.alarms > 25.0 && health.alarms - health.of_one_agent < 0.1, "{health:?}");
    assert!(!fleet.exceeds(), "{health:?}");

    let mut before = 1.0;
    for _ in 0..60 {
        day(&mut fleet, 19);
        let now = fleet.monitor.widening.of(VOLUME);
        assert!(now >= before && now - before <= WIDENS_PER_DAY + 1e-9 && now <= WIDENING_MAX);
        before = now;
    }
    assert_eq!(before.to_bits(), WIDENING_MAX.to_bits());
    for _ in 0..400 {
        day(&mut fleet, 0);
        let now = fleet.monitor.widening.of(VOLUME);
        assert!(now <= before && before - now <= NARROWS_PER_DAY + 1e-9 && now >= 1.0);
        before = now;
    }
    assert_eq!(fleet.monitor.widening, Widening::default(), "exactly as if nothing had been");
}

#[test]
fn an_alarm_rests_for_a_day_and_idle_agents_are_known_for_a_week() {
    let mut fleet = Agents::new(1);
    let counted: Vec<bool> = (0..8)
        .map(|_| {
            let counted = fleet.hear(0, &score(8.0, VOLUME, -3.0));
            fleet.pass();
            counted
        })
        .collect();
    assert_eq!(counted, [true, false, false, false, true, false, false, false]);
    let mut monitor = Monitor::default();
    monitor.live(Duration::from_hours(24 * 365));
    monitor.close(start(), &fleet.thresholds);
    let health = monitor.health(PeerGroup::Fleet);
    assert_eq!(health[0].agent_days.to_bits(), 7.0_f64.to_bits());
    assert!((health[0].expected - 1.0).abs() < 1e-6 && (health[1].expected - 7.0 / 90.0).abs() < 1e-6);
}

#[test]
fn once_is_no_change_to_the_last_bit() {
    let rule = rule();
    assert_eq!(rule.widened(1.0), rule);
    // Where an alarm stands moves in proportion, which `Book::widening` rests on.
    let above = |rule: Rule| rule.evidence_once_in(90.0) - 2.0;
    assert!((above(rule.widened(1.5)) / above(rule) - 1.5).abs() < 1e-12);
}

/// Agents that call one endpoint, once in every ten minutes, some of which then turn to others.
fn turncoats(detector: &mut Detector) -> Timestamp {
    let mut random = Random::new(3);
    for round in 0..500 {
        let begin = start() + Duration::from_mins(10) * round;
        detector.tick(begin - Duration::from_secs(30));
        for agent in 0..8 {
            let ts = begin + Duration::from_secs_f64(600.0 * random.unit());
            let endpoint = if round >= 490 && agent < 6 { format!("e{round}") } else { "usual".to_owned() };
            detector.observe(&Call::new(format!("{agent}-{round}"), ts, format!("a{agent}"), endpoint));
        }
    }
    start() + Duration::from_mins(10) * 500
}

#[test]
fn a_detector_hears_levels_and_tells_at_a_publication() {
    let mut detector = Detector::new(DetectorConfig::default(), &[]);
    let end = turncoats(&mut detector);
    detector.tick(end + Duration::from_hours(1));
    let health = detector.fleet_health().remove(1);
    assert!((health.agent_days - 8.0 * 499.0 / 144.0).abs() < 2.0, "{health:?}");
    assert!(health.exceeded_since.is_some() && health.families[ENDPOINT].alarms > 5.0, "{health:?}");
    let words = health.to_string();
    let FleetHealth { alarms, families, .. } = &health;
    let [volume, timing, endpoint, context] = families.map(|family| family.alarms);
    assert!(
        words.starts_with(&format!(
            "the fleet raised {alarms:.1} step-ups in 26 agent-days where the budget allows 0.3 (volume {volume:.1}, timing \
             {timing:.1}, endpoint {endpoint:.1}, context {context:.1}; chance"
        )),
        "{words}"
    );
    detector.tick(end + Duration::from_hours(24 * 300));
    assert_eq!(detector.fleet_health()[1].exceeded_since, None);

    let restored: Detector = postcard::from_bytes(&postcard::to_stdvec(&detector).unwrap()).unwrap();
    assert_eq!(restored.fleet_health(), detector.fleet_health());
}

#[test]
fn a_broken_rule_is_not_heard() {
    let config = DetectorConfig { repeats_without_args_per_minute_max: 2, ..DetectorConfig::default() };
    let mut detector = Detector::new(config, &[]);
    for i in 0..20 {
        let ts = start() + Duration::from_secs(i / 5 * 10);
        let verdict = detector.observe(&Call::new(format!("{i}"), ts, format!("a{}", i % 5), "e")).unwrap();
        assert_eq!(verdict.rule.is_some(), i >= 10, "{verdict:?}");
        assert!(verdict.level < Budgets::default().watch());
    }
    detector.tick(start());
    detector.tick(start() + Duration::from_hours(2));
    assert!(detector.fleet_health().iter().all(|health| health.alarms.total_cmp(&0.0).is_eq()));
}

#[test]
fn a_widened_fleet_takes_volume_and_timing_for_less_and_endpoints_for_the_same() {
    let levels = |widening: Widening| {
        let mut detector = Detector::new(DetectorConfig::default(), &[]);
        turncoats(&mut detector);
        detector.state.fleet.published.widening = widening;
        let burst = (0..400).map(|i| {
            let ts = start() + Duration::from_mins(5_000) + Duration::from_millis(200 * i);
            detector.observe(&Call::new(format!("b{i}"), ts, "a7", "usual")).unwrap()
        });
        let last = burst.last().unwrap();
        [Signal::Volume, Signal::Timing, Signal::Endpoint].map(|signal| last.part(signal).unwrap().level)
    };
    let (plain, wide) = (levels(Widening::default()), levels(Widening([2.0, 2.0, 1.0, 1.0])));
    assert!(wide[VOLUME] < plain[VOLUME] && wide[TIMING] < plain[TIMING], "{wide:?} {plain:?}");
    assert!(wide[VOLUME] > Budgets::default().step_up(), "found all the same: {wide:?}");
    assert_eq!(wide[ENDPOINT], plain[ENDPOINT]);
}
