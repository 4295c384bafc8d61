//! What an agent's habits are, and what is foreign to them.

use proptest::prelude::*;

use super::*;
use crate::hash::hash64;

const START: Timestamp = Timestamp::from_millis(1_740_000_000_000);

fn ctx<'a>(model: &'a EndpointModel, declared: &'a [u64]) -> Context<'a> {
    const NOBODY: &PeerTail = &PeerTail::NONE;
    let alarm = Alarm::once_in(450.0);
    Context { model, tail: NOBODY, declared, born: START, calls_per_day: 288.0, has_peers: true, alarm }
}

fn settled(endpoints: &[&str], calls: usize) -> (Endpoints, EndpointModel, Timestamp) {
    let mut ts = START;
    let (mut agent, mut model) = (Endpoints::new(ts), EndpointModel::default());
    for e in ["list", "read", "write", "send", "delete", "grant"] {
        for _ in 0..5 {
            model.add(hash64(&[e]));
        }
    }
    for i in 0..calls {
        ts = ts + std::time::Duration::from_mins(5);
        let e = endpoints[i % endpoints.len()];
        agent.score(ts, hash64(&[e]), ctx(&model, &[]), &mut PeerTail::default());
        agent.learn(hash64(&[e]), false);
    }
    (agent, model, ts)
}

#[test]
fn the_prediction_is_a_distribution() {
    let (mut agent, model, _) = settled(&["list", "read"], 40);
    agent.learn(hash64(&["grant"]), true);
    for declared in [vec![], vec![hash64(&["list"]), hash64(&["undeclared elsewhere"])]] {
        let mut names = vec!["list", "read", "write", "send", "delete", "grant"];
        // The declared endpoint that the fleet never saw and the class of all that nobody saw overlap by design:
        // the class holds it when it is not declared.
        let mut whole: f64 = names.drain(..).map(|e| agent.predict(hash64(&[e]), &model, &declared)).sum();
        let novel = agent.predict(hash64(&["never"]), &model, &declared);
        whole += novel;
        if !declared.is_empty() {
            whole += agent.predict(hash64(&["undeclared elsewhere"]), &model, &declared) - novel;
        }
        assert!((whole - 1.0).abs() < 1e-9, "{whole}");
    }
}

#[test]
fn habits_are_quiet_and_foreign_calls_add_up() {
    let (mut agent, model, ts) = settled(&["list", "read"], 400);
    let mut peers = PeerTail::default();
    assert!(agent.sum < 1.0, "{}", agent.sum);
    let first = agent.score(ts, hash64(&["send"]), ctx(&model, &[]), &mut peers).now.level();
    let sum = agent.sum;
    agent.learn(hash64(&["send"]), true);
    let second = agent.score(ts, hash64(&["grant"]), ctx(&model, &[]), &mut peers).now.level();
    assert!(sum > 3.0 && agent.sum > sum + 3.0 && second > first + 2.0, "{first} {second}");
    agent.accept(ts, None, ctx(&model, &[]), &mut peers);
    assert!(agent.score(ts, hash64(&["send"]), ctx(&model, &[]), &mut peers).now.level() < first);
}

#[test]
fn an_agent_that_has_often_turned_to_foreign_calls_is_believed_to_do_so() {
    let level = |turns: usize| {
        let (mut agent, model, mut ts) = settled(&["list", "read"], 400);
        let mut peers = PeerTail::default();
        for turn in 0..turns {
            for e in ["write", "send", "delete"] {
                agent.score(ts, hash64(&[e, &turn.to_string()]), ctx(&model, &[]), &mut peers);
            }
            ts = ts + std::time::Duration::from_hours(48);
            agent.score(ts, hash64(&["list"]), ctx(&model, &[]), &mut peers);
        }
        let born = ts - std::time::Duration::from_hours(24 * 60);
        let ctx = Context { born, ..ctx(&model, &[]) };
        let said: Vec<f64> = ["grant", "pay", "drop"]
            .map(|e| agent.score(ts, hash64(&[e]), ctx, &mut peers).now.level())
            .into();
        said[2]
    };
    let (never, often) = (level(0), level(30));
    assert!(never > often + 3.0, "{never} {often}");
}

#[test]
fn the_share_that_would_have_been_quiet_is() {
    for excursions in [0_u32, 30] {
        let (mut agent, model, ts) = settled(&["list", "read"], 400);
        agent.foreign = Tail::default();
        for _ in 0..excursions {
            agent.foreign.raise(4.0, FOREIGN);
            agent.foreign.end(FOREIGN, 10.0);
        }
        let mut peers = PeerTail::default();
        for e in ["send", "grant"] {
            agent.score(ts, hash64(&[e]), ctx(&model, &[]), &mut peers);
        }
        let sum_before = agent.sum;
        let share = agent.score(ts, hash64(&["drop"]), ctx(&model, &[]), &mut peers).story.expected;
        let level = agent.strength(agent.sum, ts, ctx(&model, &[])).level();
        let quiet = agent.quiet_share(ts, share, level - 2.0, ctx(&model, &[]));
        assert!(quiet > share && quiet < 1.0, "{quiet} {share}");
        let sum = sum_before + libm::log2(agent.intruder(&model) / quiet);
        let at = agent.strength(sum, ts, ctx(&model, &[])).level();
        assert!((at - (level - 2.0)).abs() < 1e-9, "{excursions}: {at} {level}");
    }
}

#[test]
fn of_a_busy_agents_sessions_few_teach_and_of_a_slow_ones_all() {
    let taught = |per_day: u32| {
        let mut agent = Endpoints::new(START);
        let minutes = 1_440 / per_day;
        let sampled = (0..10 * per_day).filter(|n| {
            let ts = START + std::time::Duration::from_mins(u64::from(n * minutes));
            agent.is_in(u64::from(*n), true);
            agent.samples_session(START, ts)
        });
        sampled.count()
    };
    let (slow, busy) = (taught(24), taught(1_440));
    // Twice 48 a day while the agent is a day old, and ever nearer to it.
    assert!(slow == 240 && (480..960).contains(&busy), "{slow} {busy}");
}

#[test]
fn a_declared_endpoint_is_no_news_to_a_new_agent() {
    let (_, model, ts) = settled(&["list"], 1);
    let mut agent = Endpoints::new(ts);
    let declared = [hash64(&["send"])];
    agent.score(ts, hash64(&["send"]), ctx(&model, &declared), &mut PeerTail::default());
    assert!(agent.sum < 1e-9, "{}", agent.sum);
    agent.score(ts, hash64(&["grant"]), ctx(&model, &declared), &mut PeerTail::default());
    assert!(agent.sum > 1.0, "{}", agent.sum);
}

#[test]
fn what_was_first_called_in_an_incident_is_forgotten_and_nothing_else() {
    let day = |n: u64| Timestamp::from_millis(1_767_571_200_000) + std::time::Duration::from_hours(24 * n);
    let called = |slots: &Slots| slots.endpoints().to_vec();
    let mut slots = Slots::default();
    for (n, endpoint) in [(0, 1), (40, 2), (43, 3), (43, 1), (46, 4)] {
        slots.age(day(n));
        slots.add(endpoint, 1.0);
    }
    let (mut lately, mut longer) = (slots.clone(), slots);
    lately.forget(Reach::Recent);
    assert_eq!(called(&lately), [1, 2, 3]);
    longer.forget(Reach::Both);
    assert_eq!(called(&longer), [1, 2]);
    // One that takes the place of another takes its own mark along.
    longer.add(5, 1.0);
    longer.remove(0);
    assert_eq!(called(&longer), [5, 2]);
    longer.forget(Reach::Recent);
    assert_eq!(called(&longer), [2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Where a call raised the level, the like at the quiet chance would have stayed under it, and no rarer one.
    #[test]
    fn the_quiet_chance_is_the_smallest_that_is_quiet(
        calls in 20..600_usize,
        foreign in prop::collection::vec(0..6_usize, 1..6),
        allowed in 5.5..12.0_f64,
    ) {
        let (mut agent, model, ts) = settled(&["list", "read"], calls);
        let (ctx, mut peers) = (ctx(&model, &[]), PeerTail::default());
        for (i, e) in foreign.into_iter().enumerate() {
            let endpoint = hash64(&[["write", "send", "delete", "grant", "never", "nor this"][e]]);
            let ts = ts + std::time::Duration::from_secs(i as u64);
            let scored = agent.score(ts, endpoint, ctx, &mut peers);
            if scored.now.level() >= allowed {
                let share = scored.story.expected;
                let quiet = agent.quiet_share(ts, share, allowed, ctx);
                let level = |chance: f64| agent.strength(agent.sum + libm::log2(share / chance), ts, ctx).level();
                prop_assert!(quiet >= share, "{quiet} {share}");
                if quiet < 1.0 {
                    prop_assert!(level(quiet * (1.0 + 1e-6)) < allowed && level(quiet * (1.0 - 1e-6)) > allowed);
                } else {
                    prop_assert!(level(1.0 - 1e-6) > allowed);
                }
            }
            agent.learn(endpoint, true);
        }
    }
}
