//! What a deploy brings to many agents at once is one incident: an endpoint, a client, or both.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use detector::{
    Budgets, Call, CohortIncident, Detector, DetectorConfig, Kind, Manifest, Pattern, Ruling, Timestamp,
    Verdict,
};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

const START: Timestamp = Timestamp::from_millis(1_740_355_200_000);
const AGENTS: u32 = 40;
/// Two in five of them.
const MANY: u32 = 16;
/// So many at least begin before it is known that many do: a fifth.
const FIRST: usize = 8;
const DAYS: u64 = 12;
const USUAL_DAYS: Duration = Duration::from_hours(24 * DAYS);
const HOURS: Duration = Duration::from_hours(6);
const STEP: Duration = Duration::from_secs(150);
const USUAL: [&str; 4] = ["list_orders", "read_order", "read_order", "send_receipt"];

/// Agents that each call about every ten minutes.
#[derive(Clone)]
struct Fleet {
    detector: Detector,
    dice: Xoshiro256PlusPlus,
    now: Timestamp,
    calls: u64,
    /// How many times as much as usual the many call.
    times: u32,
}

/// The verdicts of some time by agent.
type Told = BTreeMap<u32, Vec<Verdict>>;

impl Fleet {
    fn settled() -> Self {
        Self::settled_with(&[])
    }

    fn settled_with(manifests: &[Manifest]) -> Self {
        let detector = Detector::new(DetectorConfig::default(), manifests);
        let mut fleet =
            Self { detector, dice: Xoshiro256PlusPlus::seed_from_u64(3), now: START, calls: 0, times: 1 };
        fleet.play(USUAL_DAYS, |_, _| {});
        assert_eq!(fleet.incidents(), []);
        fleet
    }

    fn incidents(&self) -> Vec<CohortIncident> {
        self.detector.cohort_incidents().cloned().collect()
    }

    /// So long, each call of an agent changed.
    fn play(&mut self, long: Duration, change: impl Fn(u32, &mut Call<'_>)) -> Told {
        let mut told = Told::new();
        for _ in 0..long.as_secs() / STEP.as_secs() {
            let times = [self.times, 1];
            let calls = |agent: u32| std::iter::repeat_n(agent, times[usize::from(agent >= MANY)] as usize);
            for agent in (0..AGENTS).flat_map(calls) {
                if self.dice.random_bool(0.25) {
                    let ts = self.now + Duration::from_millis(self.dice.random_range(0..150) * 1_000);
                    told.entry(agent).or_default().extend(self.call(agent, ts, &change));
                }
            }
            self.now = self.now + STEP;
            self.detector.tick(self.now);
        }
        told
    }

    fn call(&mut self, agent: u32, ts: Timestamp, change: impl Fn(u32, &mut Call<'_>)) -> Option<Verdict> {
        self.calls += 1;
        let endpoint = USUAL[self.dice.random_range(0..USUAL.len())];
        let mut call = Call::new(format!("c{}", self.calls), ts, format!("agent-{agent}"), endpoint);
        call.user_agent = Some("worker/1.4".into());
        change(agent, &mut call);
        self.detector.observe(&call)
    }
}

/// Those about whom a person would be asked.
fn asked(told: &Told) -> Vec<u32> {
    let asks = |v: &Verdict| v.cohort.map_or(v.level, |cohort| cohort.own) >= Budgets::default().step_up();
    told.iter().filter(|(_, verdicts)| verdicts.iter().any(asks)).map(|(agent, _)| *agent).collect()
}

/// Every third call of the many is to this.
fn calls(endpoint: impl Fn(u32) -> String) -> impl Fn(u32, &mut Call<'_>) {
    move |agent, call| {
        if agent < MANY && call.ts.as_millis() / 1_000 % 2 == 0 {
            call.endpoint = endpoint(agent).into();
        }
    }
}

/// How many in an incident, by its pattern and the names of what they begin with.
fn told_of(fleet: &Fleet) -> Vec<(Pattern, Vec<String>, u32)> {
    let of = |incident: CohortIncident| {
        let names = incident.of.iter().map(ToString::to_string).collect();
        (incident.pattern, names, incident.agents)
    };
    fleet.incidents().into_iter().map(of).collect()
}

#[test]
fn what_two_in_five_begin_to_call_within_minutes_is_one_incident_and_asks_about_the_first_of_them_alone() {
    let mut fleet = Fleet::settled();
    assert_eq!(asked(&fleet.clone().play(HOURS, |_, _| {})), []);
    let told = fleet.play(HOURS, calls(|_| "sign_receipt".to_owned()));
    let incidents = fleet.incidents();
    let [incident] = incidents.as_slice() else { panic!("one incident: {incidents:?}") };
    assert_eq!(told_of(&fleet), [(Pattern::Foreign, vec!["sign_receipt".to_owned()], MANY)]);
    assert_eq!((incident.exposed, incident.until, incident.members.len()), (AGENTS, None, MANY as usize));
    assert!(incident.chance < 1e-6 && incident.seen.since(START + USUAL_DAYS) < Duration::from_mins(10));
    let said = incident.to_string();
    assert!(said.contains("16 of 40 agents begin to call the same endpoint `sign_receipt`, since"), "{said}");
    let asked = asked(&told);
    assert!(asked.len() < FIRST && asked.iter().all(|agent| *agent < MANY), "{asked:?}");
    // The others are watched, and their verdicts say with whom they share it.
    for (agent, verdicts) in told {
        let loud = verdicts.iter().filter(|v| v.level >= Budgets::default().step_up());
        let shared = loud.clone().filter_map(|v| v.cohort).collect::<Vec<_>>();
        let is_shared =
            shared.len() == loud.count() && shared.iter().all(|c| c.incident == 1 && !c.is_beyond);
        assert!(is_shared || asked.contains(&agent), "{agent}");
        assert!(shared.is_empty() == (agent >= MANY), "{agent}");
        assert!(verdicts.iter().all(Verdict::is_exact));
    }
}

#[test]
fn what_a_peer_group_begins_to_call_is_its_incident_however_little_that_is_of_the_fleet() {
    // Under a fifth of the fleet, and all of the group.
    const FEW: u32 = 6;
    let of_few = |agent: u32, call: &mut Call<'_>| {
        if agent < FEW {
            calls(|_| "sign_receipt".to_owned())(agent, call);
        }
    };
    let mut without = Fleet::settled();
    assert_eq!(asked(&without.play(HOURS, of_few)), (0..FEW).collect::<Vec<_>>());
    assert_eq!(without.incidents(), []);
    let named = (0..FEW).map(|agent| Manifest {
        agent_id: format!("agent-{agent}"),
        group: Some("couriers".to_owned()),
        ..Manifest::default()
    });
    let mut fleet = Fleet::settled_with(&named.collect::<Vec<_>>());
    // One agent of another trade begins with the same, and is alone with it.
    let told = fleet.play(HOURS, |agent, call| {
        of_few(agent, call);
        if agent == FEW + 1 {
            call.endpoint = "sign_receipt".into();
        }
    });
    let incidents = fleet.incidents();
    let [incident] = incidents.as_slice() else { panic!("one incident: {incidents:?}") };
    assert_eq!((incident.agents, incident.exposed, incident.group.as_deref()), (FEW, FEW, Some("couriers")));
    let asked = asked(&told);
    assert!(asked.len() <= 5 && asked.contains(&(FEW + 1)), "{asked:?}");
}

#[test]
fn agents_that_each_begin_to_call_something_else_share_nothing_and_one_agent_makes_no_incident() {
    let fleet = Fleet::settled();
    let mut different = fleet.clone();
    let told = different.play(HOURS, calls(|agent| format!("sign_receipt_{agent}")));
    assert_eq!(asked(&told), (0..MANY).collect::<Vec<_>>());
    assert_eq!(different.incidents(), []);
    let mut alone = fleet;
    let told = alone.play(HOURS, |agent, call| {
        if agent == 3 {
            call.endpoint = "sign_receipt".into();
        }
    });
    assert_eq!((asked(&told), alone.incidents()), (vec![3], vec![]));
}

#[test]
fn a_new_client_is_one_incident_and_what_one_deploy_brings_is_one_with_all_of_its_names() {
    let fleet = Fleet::settled();
    let client = |agent: u32, call: &mut Call<'_>| {
        if agent < MANY {
            call.user_agent = Some("robot/2.0".into());
        }
    };
    let mut with_client = fleet.clone();
    with_client.play(HOURS, client);
    assert_eq!(told_of(&with_client), [(Pattern::NewUserAgent, vec!["robot/2.0".to_owned()], MANY)]);

    let mut with_all = fleet;
    let told = with_all.play(HOURS, |agent, call| {
        client(agent, call);
        let turn = call.ts.as_millis() / 1_000 % 3;
        calls(|_| ["sign_receipt", "send_signature"][turn as usize % 2].to_owned())(agent, call);
    });
    let all = told_of(&with_all);
    let [(_, names, agents)] = all.as_slice() else { panic!("one incident: {all:?}") };
    let mut names = names.clone();
    names.sort_unstable();
    assert_eq!(names, ["robot/2.0", "send_signature", "sign_receipt"]);
    assert_eq!(*agents, MANY);
    assert!(asked(&told).len() < MANY as usize, "{:?}", asked(&told));
}

#[test]
fn what_comes_with_more_calls_of_the_same_agents_is_one_incident_with_them() {
    let (signs, hour) = (calls(|_| "sign_receipt".to_owned()), Duration::from_hours(1));
    let settled = Fleet { times: 8, ..Fleet::settled() };
    // The endpoint comes with the calls, and stands out first; or it comes after them.
    let (mut at_once, mut after) = (settled.clone(), settled);
    let mut told = vec![at_once.play(hour, &signs), after.play(hour / 2, |_, _| {})];
    assert_eq!(told_of(&after), [(Pattern::MoreCalls, vec![], MANY)]);
    told.push(after.play(hour, &signs));
    let numbers: BTreeSet<u32> =
        told.iter().flat_map(BTreeMap::values).flatten().filter_map(|v| Some(v.cohort?.incident)).collect();
    assert_eq!(numbers, BTreeSet::from([1]));
    let names = vec!["sign_receipt".to_owned()];
    assert_eq!(told_of(&at_once), [(Pattern::Foreign, names.clone(), MANY)]);
    assert_eq!(told_of(&after), [(Pattern::MoreCalls, names, MANY)]);
    let said = after.incidents()[0].to_string();
    assert!(said.contains("make more calls than they would and begin with `sign_receipt`, since"), "{said}");
    assert_eq!([&at_once, &after].map(|fleet| fleet.detector.cohort_incidents_so_far()), [1, 1]);
}

#[test]
fn who_does_more_than_the_others_is_asked_about_for_it() {
    let signs = calls(|_| "sign_receipt".to_owned());
    let mut fleet = Fleet::settled();
    fleet.play(Duration::from_hours(1), &signs);
    assert_eq!(told_of(&fleet), [(Pattern::Foreign, vec!["sign_receipt".to_owned()], MANY)]);
    assert_eq!(asked(&fleet.clone().play(HOURS, &signs)), []);
    let told = fleet.play(HOURS, |agent, call| {
        signs(agent, call);
        let is_more = call.ts.as_millis() / 1_000 % 5 == 0;
        match agent {
            2 if is_more => call.endpoint = "wire_money".into(),
            4 if is_more => call.user_agent = Some("curl/8.5".into()),
            5 if is_more => call.source_ip = Some([203, 0, 113, 9].into()),
            _ => {}
        }
    });
    let asked = asked(&told);
    assert!(
        asked.contains(&2) && asked.contains(&4) && asked.iter().all(|a| [2, 4, 5].contains(a)),
        "{asked:?}"
    );
    assert_eq!(fleet.incidents().len(), 1);
}

#[test]
fn a_persons_word_on_one_of_them_is_for_all_and_then_few_are_watched_for_it() {
    let signs = calls(|_| "sign_receipt".to_owned());
    let mut fleet = Fleet::settled();
    fleet.play(Duration::from_hours(1), &signs);
    assert_eq!(fleet.incidents()[0].agents, MANY);
    let watched = |told: &Told| {
        let is_over = |v: &Verdict| v.level >= Budgets::default().watch();
        told.values().filter(|verdicts| verdicts.iter().any(is_over)).count()
    };
    let without = watched(&fleet.clone().play(Duration::from_hours(1), &signs));
    let mut word = Call::new("word", fleet.now, "agent-7", "");
    (word.kind, word.ruling) = (Kind::Feedback, Ruling::CohortDeploy);
    fleet.detector.observe(&word);
    let after = fleet.play(Duration::from_hours(1), &signs);
    let with = watched(&after);
    assert!(without >= FIRST && 3 * with < without, "{without} {with}");
}

#[test]
fn it_ends_when_it_is_news_of_nobody_and_a_snapshot_in_the_middle_changes_nothing() {
    let signs = calls(|_| "sign_receipt".to_owned());
    let mut whole = Fleet::settled();
    whole.play(Duration::from_mins(5), &signs);
    let bytes = postcard::to_stdvec(&whole.detector).unwrap();
    let mut restored = Fleet { detector: postcard::from_bytes(&bytes).unwrap(), ..whole.clone() };
    restored.detector.reconfigure(DetectorConfig::default(), &[]);
    assert_eq!(postcard::to_stdvec(&restored.detector).unwrap(), bytes);
    let [expected, got] = [&mut whole, &mut restored].map(|fleet| fleet.play(HOURS, &signs));
    assert!(expected == got && !whole.incidents().is_empty());
    assert_eq!(whole.incidents(), restored.incidents());
    whole.play(Duration::from_hours(24 * 8), &signs);
    let over = whole.incidents();
    assert!(over.iter().all(|incident| incident.until.is_some()) && over.len() == 1, "{over:?}");
}
