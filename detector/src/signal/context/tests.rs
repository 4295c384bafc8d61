//! What becomes of an agent that is somewhere else, somebody else, or tries what it may not.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::random::Random;
use crate::{
    ActorKind, Attestation, Budgets, Call, Detector, DetectorConfig, EffectiveAttestation, Kind, Layers,
    MicroBits, Part, Pattern, Signal, Timestamp, Trust, Verdict,
};

const AGENTS: usize = 12;

/// A fleet whose agents call a few times an hour, each from two addresses of a network of its own.
#[derive(Clone)]
struct Fleet {
    detector: Detector,
    ts: Timestamp,
    names: Vec<String>,
    random: Random,
    calls: u64,
}

impl Fleet {
    fn after(days: u64) -> Self {
        let mut fleet = Self {
            detector: Detector::new(DetectorConfig::default(), &[]),
            ts: Timestamp::from_millis(1_767_571_200_000),
            names: (0..AGENTS).map(|i| format!("agent-{i}")).collect(),
            random: Random::new(5),
            calls: 0,
        };
        for _ in 0..days * 24 * 4 {
            for agent in 0..AGENTS {
                let verdict = fleet.usual(agent);
                assert!(verdict.level < Budgets::default().step_up(), "{verdict:?}");
            }
            fleet.pass(Duration::from_mins(15));
        }
        fleet
    }

    fn pass(&mut self, time: Duration) {
        self.ts = self.ts + time;
        self.detector.tick(self.ts);
    }

    /// A call as the agent makes it.
    fn usual(&mut self, agent: usize) -> Verdict {
        self.call(agent, |_| {}).expect("a verdict")
    }

    fn call(&mut self, agent: usize, change: impl FnOnce(&mut Call<'_>)) -> Option<Verdict> {
        self.calls += 1;
        let at = self.ts + Duration::from_secs((self.random.unit() * 600.0) as u64);
        self.ts = at.max(self.ts);
        let mut call = Call::new(self.calls.to_string(), self.ts, self.names[agent].clone(), "read_file");
        let host = (self.random.unit() * 2.0) as u8;
        call.source_ip = Some(IpAddr::V4(Ipv4Addr::new(198, 51, agent as u8, host)));
        call.user_agent = Some("worker/1.4".into());
        call.identity.token_id = Some(format!("token-{agent}").into());
        call.status = Some(if self.random.unit() < 0.01 { 403 } else { 200 });
        call.bytes_out = Some((2_000.0 * libm::exp(self.random.unit())) as u64);
        call.attestation = EffectiveAttestation::new(Attestation::Token, Attestation::Token);
        change(&mut call);
        self.detector.observe(&call)
    }
}

fn context(verdict: &Verdict) -> Vec<&Part> {
    verdict.parts.iter().filter(|p| p.signal == Signal::Context).collect()
}

fn patterns(verdict: &Verdict) -> Vec<Pattern> {
    context(verdict).iter().map(|p| p.pattern).collect()
}

fn elsewhere(call: &mut Call<'_>) {
    call.source_ip = Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)));
}

#[test]
fn a_new_network_and_client_are_news_once_and_until_a_person_says_otherwise() {
    let mut fleet = Fleet::after(40);
    let calm = fleet.usual(3);
    assert_eq!(patterns(&calm), [Pattern::AsUsual]);
    let theft = |call: &mut Call<'_>| {
        elsewhere(call);
        call.user_agent = Some("curl/8.5".into());
    };
    let first = fleet.call(3, theft).expect("a verdict");
    assert_eq!(patterns(&first), [Pattern::NewNetwork, Pattern::NewUserAgent]);
    assert!(first.level > Budgets::default().step_up() && first.is_exact(), "{first:?}");
    let second = fleet.call(3, theft).expect("a verdict");
    assert!(second.level > Budgets::default().step_up(), "it stands: {second:?}");
    fleet.call(3, |call| call.kind = Kind::Feedback);
    let third = fleet.call(3, theft).expect("a verdict");
    assert!(third.level < Budgets::default().watch(), "{third:?}");
}

#[test]
fn who_calls_is_told_apart_from_what_is_done() {
    use Trust::{Agrees, Doubts, Silent};
    let layers = |[identity, context, runtime, behaviour]: [Trust; 4]| Layers {
        identity,
        context,
        runtime,
        behaviour,
        oversight: Silent,
    };
    let mut fleet = Fleet::after(40);
    let calm = fleet.usual(3);
    assert_eq!((calm.layers, calm.actor.is), (layers([Agrees; 4]), ActorKind::Legitimate));
    fleet.pass(Duration::from_mins(75));

    // The agent itself, hijacked from within.
    let mut within = fleet.clone();
    let calls = (0..12).map(|i| {
        let verdict = within.call(3, |call| call.endpoint = format!("wire_money_{i}").into());
        verdict.expect("a verdict")
    });
    let inside = calls.last().expect("twelve");
    assert!(inside.level > Budgets::default().step_up(), "{inside:?}");
    assert_eq!(inside.layers, layers([Agrees, Agrees, Agrees, Doubts]));
    assert_eq!((inside.actor.is, inside.actor.because.len()), (ActorKind::Legitimate, 0));

    // Somebody else with its token; a network that is new is not enough to say so.
    let theft = |call: &mut Call<'_>| {
        elsewhere(call);
        call.user_agent = Some("curl/8.5".into());
    };
    let stolen = fleet.clone().call(3, theft).expect("a verdict");
    assert_eq!(stolen.actor.is, ActorKind::Impostor, "{stolen:?}");
    assert_eq!(stolen.actor.because[..], [Pattern::TwoPlaces, Pattern::NewNetwork, Pattern::NewUserAgent]);
    assert_eq!((stolen.layers.identity, stolen.layers.behaviour), (Agrees, Agrees), "{stolen:?}");
    let moved = |call: &mut Call<'_>| {
        elsewhere(call);
        call.identity.token_id = Some("issued-there".into());
    };
    let moved = fleet.clone().call(3, moved).expect("a verdict");
    let expected = (ActorKind::Unclear, layers([Agrees, Doubts, Agrees, Agrees]));
    assert_eq!((moved.actor.is, moved.layers), expected, "{moved:?}");

    // A name alone proves nothing, and of a newcomer nothing is known.
    let named = fleet.clone().call(3, |call| call.attestation = EffectiveAttestation::default());
    assert_eq!(named.expect("a verdict").actor.is, ActorKind::Unclear);
    fleet.names.push("newcomer".to_owned());
    let new = fleet.usual(AGENTS);
    assert_eq!((new.layers, new.actor.is), (layers([Silent; 4]), ActorKind::Unclear));
}

#[test]
fn a_new_network_of_a_provider_that_the_agent_is_known_at_is_less_news() {
    let mut fleet = Fleet::after(40);
    fleet.random = Random::new(9);
    let mut with_table = Fleet {
        detector: fleet.detector.clone(),
        names: fleet.names.clone(),
        random: Random::new(9),
        ts: fleet.ts,
        calls: fleet.calls,
    };
    let table = [("198.51.0.0/16", "cloud"), ("203.0.113.0/24", "cloud")];
    let providers = crate::Providers::new(table.map(|(net, name)| (net.parse().unwrap(), name)));
    let config = DetectorConfig { providers: providers.into(), ..DetectorConfig::default() };
    with_table.detector.reconfigure(config, &[]);
    let [without, with] = [&mut fleet, &mut with_table].map(|fleet| {
        fleet.pass(Duration::from_hours(1));
        assert_eq!(patterns(&fleet.usual(3)), [Pattern::AsUsual], "a table alone is no news");
        let moved = |call: &mut Call<'_>| {
            elsewhere(call);
            call.identity.token_id = Some("its own there".into());
        };
        let verdict = fleet.call(3, moved).expect("a verdict");
        assert_eq!(patterns(&verdict), [Pattern::NewNetwork]);
        context(&verdict)[0].level
    });
    // In this fleet nobody ever had news: what is rarer stays as rare as its prior, half as often.
    assert!(with < without - MicroBits::from_bits(0.5), "{with} {without}");
}

#[test]
fn a_known_place_of_peers_is_less_news_than_one_that_nobody_knows() {
    let mut fleet = Fleet::after(40);
    let level = |fleet: &mut Fleet, agent, ip: [u8; 4]| {
        let v = fleet.call(agent, |c| c.source_ip = Some(IpAddr::from(ip))).expect("a verdict");
        context(&v)[0].level
    };
    let address = level(&mut fleet, 1, [198, 51, 1, 77]);
    let unknown = level(&mut fleet, 2, [203, 0, 113, 9]);
    assert!(address < unknown, "{address} {unknown}");
}

#[test]
fn one_token_from_two_places_by_turns_is_found_though_both_are_known() {
    let mut fleet = Fleet::after(40);
    // It has moved once, and that was accepted.
    fleet.call(4, elsewhere);
    fleet.call(4, |call| call.kind = Kind::Feedback);
    for _ in 0..200 {
        fleet.call(4, elsewhere);
        fleet.pass(Duration::from_mins(15));
    }
    let mut seen = Vec::new();
    for i in 0..12 {
        let verdict = if i % 2 == 0 { fleet.usual(4) } else { fleet.call(4, elsewhere).expect("a verdict") };
        seen.push((verdict.level, patterns(&verdict)));
    }
    let (level, pattern) = seen.last().expect("twelve");
    assert!(*level > Budgets::default().watch() && *pattern == [Pattern::TwoPlaces], "{seen:?}");
}

#[test]
fn two_clients_by_turns_are_found_from_one_network_and_a_newcomer_may_have_two() {
    let curl = |call: &mut Call<'_>| call.user_agent = Some("curl/8.5.0".into());
    let mut fleet = Fleet::after(10);
    let by_turns = |fleet: &mut Fleet, turns: usize| {
        let call = |i| if i % 2 == 0 { fleet.usual(4) } else { fleet.call(4, curl).expect("a verdict") };
        (0..turns).map(call).collect::<Vec<_>>()
    };
    // The client itself is known and accepted.
    fleet.call(4, curl);
    fleet.call(4, |call| call.kind = Kind::Feedback);
    for _ in 0..250 {
        fleet.usual(4);
        fleet.pass(Duration::from_mins(15));
    }
    let seen = by_turns(&mut fleet, 16);
    let last = seen.last().expect("sixteen");
    assert_eq!(patterns(last), [Pattern::TwoCallers], "{last:?}");
    // They call from one place: it is what runs that is in doubt.
    assert_eq!(last.actor.because[..], [Pattern::TwoCallers], "{last:?}");
    assert_eq!((last.layers.context, last.layers.runtime), (Trust::Agrees, Trust::Doubts), "{last:?}");
    assert!(last.who().contains("two clients in turn"), "{}", last.who());
    fleet.names[4] = "newcomer".to_owned();
    let first = by_turns(&mut fleet, 60);
    assert!(first.iter().all(|verdict| patterns(verdict) != [Pattern::TwoCallers]), "{first:?}");
}

#[test]
fn probing_is_found_by_its_denials_also_where_they_come_as_outcomes() {
    for as_outcome in [false, true] {
        let mut fleet = Fleet::after(40);
        let mut found = None;
        for i in 0..30 {
            let verdict = fleet.call(5, |call| {
                if as_outcome {
                    (call.kind, call.status) = (Kind::Request, None);
                } else {
                    call.status = Some(403);
                }
            });
            if as_outcome {
                fleet.call(5, |call| (call.kind, call.status) = (Kind::Outcome, Some(403)));
            }
            let verdict = verdict.expect("a verdict");
            if patterns(&verdict) == [Pattern::Denied] && verdict.level > Budgets::default().step_up() {
                found = found.or(Some(i));
            }
        }
        assert!(found.is_some_and(|calls| calls < 25), "{found:?}");
    }
}

#[test]
fn data_carried_away_is_found_by_its_size() {
    let mut fleet = Fleet::after(40);
    let mut levels = Vec::new();
    for _ in 0..6 {
        let verdict = fleet.call(6, |call| call.bytes_out = Some(50_000_000)).expect("a verdict");
        levels.push((verdict.level, patterns(&verdict)));
    }
    assert!(
        levels
            .iter()
            .any(|(level, p)| *level > Budgets::default().step_up() && *p == [Pattern::LargeAnswers])
    );
}

#[test]
fn an_argument_far_beyond_those_it_gives_is_found_where_none_is_declared() {
    let mut fleet = Fleet::after(1);
    let pays = |call: &mut Call<'_>, amount: f64| call.args.push(("amount".into(), amount));
    for _ in 0..40 * 24 * 4 {
        for agent in 0..AGENTS {
            let amount = 20.0 + 60.0 * fleet.random.unit();
            let verdict = fleet.call(agent, |call| pays(call, amount)).expect("a verdict");
            assert!(verdict.level < Budgets::default().step_up(), "{verdict:?}");
        }
        fleet.pass(Duration::from_mins(15));
    }
    let mut levels = Vec::new();
    for _ in 0..6 {
        let verdict = fleet.call(6, |call| pays(call, 75_000.0)).expect("a verdict");
        levels.push((verdict.level, patterns(&verdict)));
    }
    let is_found = |(level, patterns): &(MicroBits, Vec<Pattern>)| {
        *level > Budgets::default().step_up() && *patterns == [Pattern::LargeArgument]
    };
    assert!(levels.iter().any(is_found), "{levels:?}");
}

#[test]
fn how_high_accepted_news_came_is_learned() {
    let mut fleet = Fleet::after(40);
    let mut levels = Vec::new();
    for i in 0..6_u8 {
        let verdict = fleet.call(7, |call| {
            call.source_ip = Some(IpAddr::V4(Ipv4Addr::new(203, i, 113, 9)));
            call.user_agent = Some(["curl", "wget", "httpie", "links", "lynx", "w3m"][usize::from(i)].into());
        });
        levels.push(context(&verdict.expect("a verdict"))[0].level);
        fleet.call(7, |call| call.kind = Kind::Feedback);
        fleet.pass(Duration::from_hours(2));
    }
    assert!(levels[5] < levels[0] - MicroBits::from_bits(3.0), "{levels:?}");
}

#[test]
fn what_happens_all_the_time_is_no_news() {
    let mut fleet = Fleet::after(0);
    let mut worst = (MicroBits::from_bits(-99.0), 0, Pattern::AsUsual);
    for i in 0..2_000_u32 {
        // Twenty networks by turns, a denial in three, sizes over four decades.
        let [a, b] = [fleet.random.unit(), fleet.random.unit()];
        let verdict = fleet.call(0, |call| {
            call.source_ip = Some(IpAddr::V4(Ipv4Addr::new(192, (a * 20.0) as u8, 2, 1)));
            call.status = Some(if b < 0.3 { 401 } else { 200 });
            call.bytes_out = Some(libm::exp(b * 9.0) as u64);
        });
        fleet.pass(Duration::from_mins(5));
        let verdict = verdict.expect("a verdict");
        if i > 100 {
            let part = context(&verdict)[0];
            if part.level > worst.0 {
                worst = (part.level, i, part.pattern);
            }
        }
    }
    assert!(worst.0 < Budgets::default().step_up(), "{worst:?}");
}
