use super::*;
use crate::combine::ENDPOINT;
use crate::random::Random;
use crate::{Budgets, History};

const HOUR: Duration = Duration::from_hours(1);

/// A score whose volume is so high.
fn score(bits: f64, pattern: Pattern) -> Score {
    let part = |signal, level: f64, pattern| Part {
        signal,
        bits: MicroBits::ZERO,
        added: MicroBits::ZERO,
        level: MicroBits::from_bits(level),
        pattern,
        observed: 5.0,
        expected: 1.0,
        low: 0.5,
        high: 2.0,
        since: Timestamp::default(),
        window_ms: 60_000,
        history: History::default(),
        quiet_at: 1.0,
    };
    let parts = [
        part(Signal::Volume, bits, pattern),
        part(Signal::Timing, -3.0, Pattern::AsUsual),
        part(Signal::Endpoint, -4.0, Pattern::AsUsual),
    ];
    let (level, added, price) = (MicroBits::from_bits(bits), MicroBits::ZERO, MicroBits::ZERO);
    let parts = parts.into_iter().collect();
    Score { level, added, parts, families: 1, winner: 0, price, ..Score::default() }
}

/// A week old, or not.
fn presence(settled: bool) -> Presence {
    let mut presence = Presence::default();
    let mut memory = crate::memory::Memory::default();
    for day in 0..30 {
        memory.tick(Timestamp::from_millis(0) + HOUR * (if settled { 24 * day } else { 0 }));
        memory.see(&mut presence, Timestamp::from_millis(0));
    }
    assert_eq!(presence.is_settled(), settled);
    presence
}

struct Group {
    cohorts: Cohorts,
    kin: Vec<Kin>,
    presence: Presence,
    now: Timestamp,
    /// Agents of each peer group, one after the other; 0 where there are none.
    peers: usize,
}

impl Group {
    fn new(agents: usize, settled: bool) -> Self {
        let now = Timestamp::from_millis(1_740_000_000_000);
        let (cohorts, kin) = (Cohorts::default(), vec![Kin::default(); agents]);
        Self { cohorts, kin, presence: presence(settled), now, peers: 0 }
    }

    /// One of peer groups of so many.
    fn of_groups(agents: usize, peers: usize) -> Self {
        Self { peers, ..Self::new(agents, true) }
    }

    fn group_of(&self, agent: usize) -> Option<GroupId> {
        let number = agent.checked_div(self.peers)?.min(15) as u8 + 1;
        postcard::from_bytes(&[number]).ok()
    }

    /// So long passes; all call.
    fn pass(&mut self, long: Duration) {
        self.now = self.now + long;
        self.cohorts.tick(self.now);
        for agent in 0..self.kin.len() {
            let group = self.group_of(agent);
            if self.cohorts.misses(&self.kin[agent], &self.presence) {
                self.cohorts.see(&mut self.kin[agent], group);
            }
        }
    }

    fn deviate(&mut self, agent: usize, pattern: Pattern) -> Option<Cohort> {
        self.hear(agent, &score(5.0, pattern), 1)
    }

    /// It begins to call this.
    fn call(&mut self, agent: usize, endpoint: u64) -> Option<Cohort> {
        self.call_beside(score(-3.0, Pattern::AsUsual), agent, endpoint)
    }

    /// The same beside what this score says.
    fn call_beside(&mut self, mut score: Score, agent: usize, endpoint: u64) -> Option<Cohort> {
        (score.parts[ENDPOINT].level, score.parts[ENDPOINT].pattern) =
            (MicroBits::from_bits(5.0), Pattern::Foreign);
        score.rose[ENDPOINT] = MicroBits::from_bits(9.0);
        self.hear(agent, &score, endpoint)
    }

    fn hear(&mut self, agent: usize, score: &Score, endpoint: u64) -> Option<Cohort> {
        let name = format!("agent-{agent}");
        let (call, routes) = (Call::new("c", self.now, &*name, "usual"), Routes::default());
        let act = Act { call: &call, endpoint, is_first: false, routes: &routes };
        let (presence, key) = (&self.presence, agent as u64);
        let group = self.group_of(agent).map(|group| (group, "billing"));
        let who = Speaker { presence, key, issuer: None, agent_id: &name, group, jump: 1.0, act };
        self.cohorts.hear(&mut self.kin[agent], &who, score, Budgets::default().watch())
    }
}

/// Each agent begins to deviate once in seven days, which is what the watch budget allows, at any time.
#[test]
fn chance_makes_less_than_one_in_a_hundred_fleet_years() {
    let mut incidents = [0, 0];
    for (fleet, agents) in [5, 8, 13, 24].into_iter().enumerate() {
        let mut dice = Random::new(fleet as u64);
        // In peer groups of eight, where there are so many.
        let fleet = || Group::of_groups(agents, 8);
        let (mut group, mut alike) = (fleet(), fleet());
        let per_slot = agents as f64 * SLOT.as_secs_f64() / (7.0 * 86_400.0);
        let mut due = dice.exponential();
        for _ in 0..25 * 365 * 24 * WINDOW {
            group.pass(SLOT);
            alike.pass(SLOT);
            due -= per_slot;
            while due <= 0.0 {
                let agent = (dice.unit() * agents as f64) as usize;
                group.deviate(agent, Pattern::MoreCalls);
                // At worst all are for one endpoint.
                alike.call(agent, 7);
                due += dice.exponential();
            }
        }
        incidents = [incidents[0] + group.cohorts.incidents, incidents[1] + alike.cohorts.incidents];
    }
    assert!(incidents.iter().all(|n| *n <= 1), "{incidents:?} in 100 fleet-years");
}

#[test]
fn it_takes_five_of_a_fifth_that_do_the_same_in_one_hour() {
    let incidents = |of: usize, do_it: usize, apart: Duration, pattern: fn(usize) -> Pattern| {
        let mut group = Group::new(of, true);
        group.pass(HOUR);
        for agent in 0..do_it {
            group.pass(apart);
            group.deviate(agent, pattern(agent));
        }
        group.cohorts.incidents
    };
    let minute = Duration::from_mins(1);
    let more = |_| Pattern::MoreCalls;
    assert_eq!(incidents(5, 5, minute, more), 1);
    assert_eq!(incidents(5, 4, minute, more), 0);
    assert_eq!(incidents(100, 20, minute, more), 1);
    assert_eq!(incidents(100, 19, minute, more), 0);
    assert_eq!(incidents(20, 20, HOUR, more), 0);
    let both_ways = |agent| [Pattern::MoreCalls, Pattern::FewerCalls][agent % 2];
    assert_eq!(incidents(40, 14, minute, both_ways), 0);
}

#[test]
fn a_fifth_of_a_peer_group_is_enough_however_large_the_fleet() {
    // Agents of the group from 60 to 79, of 320; of 16 groups chance is asked for less than of one, which takes a sixth.
    for endpoint in [None, Some(7)] {
        let mut fleet = Group::of_groups(320, 20);
        fleet.pass(HOUR);
        let begin = |fleet: &mut Group, agent: usize| {
            fleet.pass(Duration::from_secs(30));
            match endpoint {
                Some(endpoint) => fleet.call(agent, endpoint),
                None => fleet.deviate(agent, Pattern::MoreCalls),
            }
        };
        let told: Vec<_> = (60..68).map(|agent| begin(&mut fleet, agent)).collect();
        assert!(told[..5].iter().all(Option::is_none) && told[5..].iter().all(Option::is_some), "{told:?}");
        let incidents: Vec<_> = fleet.cohorts.incidents().cloned().collect();
        let [incident] = incidents.as_slice() else { panic!("{incidents:?}") };
        assert_eq!((incident.agents, incident.exposed, incident.group.as_deref()), (8, 20, Some("billing")));
        assert!(
            incident.to_string().starts_with("cohort incident 1: 8 of 20 agents of peer group `billing` "),
            "{incident}"
        );
        assert!(told[7].is_some_and(|cohort| (cohort.incident, cohort.exposed) == (1, 20)));
        // Who is in another group, and the only one of it, is alone.
        assert_eq!(begin(&mut fleet, 100), None);
        let kin = |fleet: &Group, agent: usize| (agent as u64, fleet.kin[agent]);
        let together = |fleet: &Group, one: usize, other: usize| {
            let (one, other) = (kin(fleet, one), kin(fleet, other));
            fleet.cohorts.are_together((one.0, &one.1), (other.0, &other.1))
        };
        assert!(together(&fleet, 66, 67) && !together(&fleet, 66, 100));
        // When a fifth of the fleet does it, it is the fleet's, and that is all that is told.
        let others = (0..55).chain(80..100).map(|agent| begin(&mut fleet, agent)).last().flatten();
        assert!(others.is_some_and(|cohort| cohort.exposed == 320), "{others:?}");
        let told: Vec<_> =
            fleet.cohorts.incidents().map(|told| (told.exposed, told.group.is_none())).collect();
        assert_eq!(told, [(320, true)]);
    }
}

#[test]
fn newcomers_and_one_agent_again_and_again_count_for_nothing() {
    let mut group = Group::new(5_000, false);
    let size = |group: &Group| postcard::to_stdvec(&group.cohorts).unwrap().len();
    let before = size(&group);
    for agent in 0..5_000 {
        assert_eq!(group.deviate(agent, Pattern::MoreCalls), None);
    }
    assert_eq!((group.cohorts.incidents, size(&group)), (0, before));

    let mut group = Group::new(8, true);
    for _ in 0..500 {
        group.pass(SLOT);
        assert_eq!(group.deviate(0, Pattern::MoreCalls), None);
    }
    assert_eq!(group.cohorts.incidents, 0);
}

#[test]
fn however_many_do_it_memory_is_bounded_and_the_count_exact() {
    let mut group = Group::new(20_000, true);
    group.pass(HOUR);
    for round in 0..40 {
        group.pass(HOUR * 25);
        for agent in 0..20_000 {
            group.deviate(agent, [Pattern::MoreCalls, Pattern::FewerCalls][round % 2]);
        }
    }
    let told: Vec<_> = group.cohorts.incidents().collect();
    assert!(told.len() <= TOLD_MAX + KINDS && group.cohorts.incidents == 40, "{}", told.len());
    assert!(told.iter().all(|incident| incident.agents == 20_000 && incident.members.len() == NAMED_MAX));
    assert!(postcard::to_stdvec(&group.cohorts).unwrap().len() < 32_768);
}

#[test]
fn it_takes_five_of_a_fifth_that_begin_with_the_same_value_whatever_others_begin_with() {
    let incidents = |of: usize, do_it: usize, endpoint: fn(usize) -> u64| {
        let mut group = Group::new(of, true);
        group.pass(HOUR);
        for agent in 0..do_it {
            group.pass(Duration::from_mins(1));
            group.call(agent, endpoint(agent));
        }
        group.cohorts.incidents
    };
    assert_eq!(incidents(100, 20, |_| 7), 1);
    assert_eq!(incidents(100, 19, |_| 7), 0);
    assert_eq!(incidents(5, 4, |_| 7), 0);
    assert_eq!(incidents(40, 16, |agent| agent as u64), 0);
    // Two halves of a fleet that each begin with something are two, though they do it at once.
    assert_eq!(incidents(40, 40, |agent| agent as u64 % 2), 2);
    // One agent that tries much takes no place from a deploy and makes none.
    let mut group = Group::new(40, true);
    group.pass(HOUR);
    for n in 0..10_000 {
        assert_eq!(group.call(39, 1_000 + n), None);
    }
    let of_deploy: Vec<_> = (0..16).filter_map(|agent| group.call(agent, 7)).collect();
    assert_eq!((group.cohorts.incidents, of_deploy.len()), (1, 9));
    assert!(of_deploy.iter().all(|cohort| cohort.pattern == Pattern::Foreign));
}

#[test]
fn in_the_first_hour_who_shares_an_endpoint_answers_for_another_rate_by_itself_and_later_for_all() {
    let mut group = Group::new(40, true);
    group.pass(HOUR);
    for agent in 0..16 {
        group.call(agent, 7);
    }
    let mut rushes = |agent: usize, endpoint: u64, after: Duration| {
        group.pass(after);
        group.call_beside(score(12.0, Pattern::MoreCalls), agent, endpoint)
    };
    let shared = rushes(16, 7, Duration::ZERO).expect("it calls what the others call");
    assert_eq!((shared.incident, shared.own), (1, MicroBits::from_bits(12.0)));
    assert_eq!(rushes(17, 8, Duration::ZERO), None, "what it calls is its own");
    assert_eq!(rushes(18, 7, 2 * HOUR), None, "a hijack during a deploy");
}

#[test]
fn however_many_values_agents_begin_with_what_is_kept_of_them_is_bounded() {
    let mut group = Group::new(20_000, true);
    let size = |group: &Group| postcard::to_stdvec(&group.cohorts).unwrap().len();
    group.pass(HOUR);
    for n in 0..20 {
        for agent in 0..20_000 {
            group.call(agent, agent as u64 / 3 * 100 + n);
        }
    }
    assert_eq!(group.cohorts.incidents, 0);
    assert!(size(&group) < 20_000 * 80, "{}", size(&group));
    group.pass(HOUR * 24 * 8);
    assert!(size(&group) < 8_192, "{}", size(&group));
}
