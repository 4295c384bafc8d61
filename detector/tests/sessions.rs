//! Sessions to their verdicts: drifts from session to session, and two of one agent at once.

use std::time::Duration;

use detector::{
    Budgets, Call, Detector, DetectorConfig, Kind, Oddness, OneHand, Part, Pattern, Signal, Timestamp,
    VerdictRecord,
};

/// A full hour.
const START: Timestamp = Timestamp::from_millis(1_740_355_200_000);
const HOUR: Duration = Duration::from_hours(1);
const AGENTS: u32 = 12;
const DAYS: u32 = 10;
/// What agents do, by turns: read or pay, and edit.
const USUAL: [&[&str]; 3] = [
    &["list", "read", "list", "reply"],
    &["list", "pay", "list", "book"],
    &["edit_head", "edit_body", "edit_foot"],
];
/// Of steps that all are usual; one session in so many pays what it read.
const MIXED: &[&str] = &["list", "read", "list", "pay"];
const ONE_IN: u32 = 50;
/// What all do, the other way round.
const BACKWARDS: &[&str] = &["edit_foot", "edit_body", "edit_head"];
/// The share of drifts in what an operator accepts: that of endpoints, and theirs in it.
const SHARE: f64 = 0.4 * 0.1;

/// Agents that have a session each in every hour.
#[derive(Clone)]
struct Fleet {
    detector: Detector,
    hours: u32,
    calls: u64,
}

/// What was told of a call of a session.
type Told = (Part, Oddness);

impl Fleet {
    fn settled() -> Self {
        Self::settled_where(|_| USUAL)
    }

    /// The same where the agent that may be another has done this by the hour.
    fn settled_where(does: impl Fn(u32) -> [&'static [&'static str]; 3]) -> Self {
        let config = DetectorConfig { ranks_sessions: true, ..DetectorConfig::default() };
        let mut fleet = Self { detector: Detector::new(config, &[]), hours: 0, calls: 0 };
        for hour in 0..DAYS * 24 {
            fleet.hour(0, does(hour));
        }
        fleet
    }

    /// When the agent that may be another made its first call.
    fn first(&self) -> Timestamp {
        Self { hours: 0, ..self.clone() }.begins(0)
    }

    /// Where the session of an agent in this hour begins.
    fn begins(&self, agent: u32) -> Timestamp {
        START + HOUR * self.hours + Duration::from_secs(u64::from(agent * 240 + self.hours * 7 % 60))
    }

    /// An hour in which one agent does these by turns and all others what is usual; what is told of that one.
    fn hour(&mut self, other: u32, does: [&[&str]; 3]) -> Vec<(Timestamp, Part)> {
        let mut told = Vec::new();
        for agent in 0..AGENTS {
            let (at, turn) = (self.begins(agent), self.hours * 5 + agent);
            let is_other = agent == other;
            let usual = if turn % ONE_IN == 0 { MIXED } else { USUAL[turn as usize % 3] };
            let calls = if is_other { does[turn as usize % 3] } else { usual };
            for (i, endpoint) in calls.iter().enumerate() {
                let ts = at + Duration::from_secs(10) * i as u32;
                let id = format!("s{}", self.hours);
                let of_call = self.call(agent, ts, &id, endpoint);
                told.extend(of_call.filter(|_| is_other).map(|(part, _)| (ts, part)));
            }
            self.end(agent, at + Duration::from_mins(1), &format!("s{}", self.hours));
        }
        self.hours += 1;
        told
    }

    fn call(&mut self, agent: u32, ts: Timestamp, session: &str, endpoint: &str) -> Option<Told> {
        self.detector.tick(ts);
        let call = self.record(agent, ts, session, endpoint);
        let observed = self.detector.observe_all([&call], &OneHand).pop()?;
        let verdict = observed.verdict?;
        assert!(verdict.is_exact());
        let nothing = Oddness { began: ts, chance: 1.0, bits: detector::MicroBits::ZERO };
        Some((*verdict.part(Signal::Endpoint)?, observed.odd.unwrap_or(nothing)))
    }

    fn end(&mut self, agent: u32, ts: Timestamp, session: &str) {
        let mut end = self.record(agent, ts, session, "");
        end.kind = Kind::TaskEnd;
        self.detector.observe(&end);
    }

    fn record(&mut self, agent: u32, ts: Timestamp, session: &str, endpoint: &str) -> Call<'static> {
        self.calls += 1;
        let (id, agent) = (format!("c{}", self.calls), format!("agent-{agent}"));
        let mut call = Call::new(id, ts, agent, endpoint.to_owned());
        call.identity.session_id = Some(session.to_owned().into());
        call
    }
}

fn bits(part: &Part) -> f64 {
    part.level.as_bits()
}

#[test]
fn sessions_that_drift_reach_the_verdict_with_how_many_they_are_and_since_when() {
    let fleet = Fleet::settled();
    let step_up = Budgets::default().step_up();
    let mut usual = fleet.clone();
    for _ in 0..24 {
        for (_, part) in usual.hour(0, USUAL) {
            assert!(part.level < step_up && part.pattern != Pattern::SessionDrift, "{part:?}");
        }
    }
    // It has paid once in two days, and then does so in two sessions of three, as others do and have done all along.
    let reader = Fleet::settled_where(|hour| match hour % 48 {
        1 => [USUAL[1]; 3],
        _ => [USUAL[0], USUAL[0], USUAL[2]],
    });
    let drifts = [
        (&fleet, [MIXED; 3], Pattern::SessionDrift, 12),
        (&fleet, [BACKWARDS; 3], Pattern::OrderDrift, 12),
        (&reader, [USUAL[0], USUAL[1], USUAL[1]], Pattern::RoleDrift, 40),
    ];
    for (fleet, does, pattern, most) in drifts {
        let (mut drifting, mut begins) = (fleet.clone(), Vec::new());
        let found = (1..=most).find_map(|_| {
            begins.push(drifting.begins(0));
            let told = drifting.hour(0, does);
            // No session of it does by itself.
            let is_loud = |part: &Part| part.level >= step_up;
            assert!(told.iter().all(|(_, part)| part.pattern == pattern || !is_loud(part)), "{told:?}");
            told.into_iter().find(|(_, part)| is_loud(part))
        });
        let (ts, part) = found.unwrap_or_else(|| panic!("no {pattern:?}"));
        // The session that is under way is none of them yet; the first ones were too few to be a run.
        let (before, run) = (begins.len() - 1, part.observed as usize);
        assert!((before - 2..=before).contains(&run) && run > 3, "{run} of {before}");
        assert_eq!(part.since, begins[before - run]);
        assert_eq!(part.window_ms, ts.since(part.since).as_millis() as u64);
        // Once in so many of its sessions, as many a day, at the drifts' share: that is its level.
        let days = ts.since(fleet.first()).as_secs_f64() / 86_400.0;
        let per_day = f64::from(drifting.hours + 1) / (days + 1.0);
        let level = part.high.log2() - per_day.log2() + SHARE.log2();
        assert!((bits(&part) - level).abs() < 1e-3, "{part:?} {level}");
        // Its hours since it was known for a day, and of those that have begun to be odd what came before the run.
        let known = (DAYS - 1) * 24;
        assert!((known..=known + 2).contains(&part.history.n) && part.history.own > 900, "{part:?}");
    }
}

/// The calls of two sessions of one agent by turns, or of the first and then of the second; what is told of each session.
fn two_sessions(fleet: &Fleet, sessions: [&[&'static str]; 2], by_turns: bool) -> [Vec<Told>; 2] {
    let (mut fleet, at) = (fleet.clone(), fleet.begins(0));
    let mut calls = Vec::new();
    for (which, session) in sessions.into_iter().enumerate() {
        for (i, endpoint) in session.iter().enumerate() {
            let turn = if by_turns { 2 * i + which } else { i + which * sessions[0].len() };
            calls.push((turn, which, *endpoint));
        }
    }
    calls.sort_unstable();
    let mut told = [Vec::new(), Vec::new()];
    for (turn, which, endpoint) in calls {
        let ts = at + Duration::from_secs(10) * turn as u32;
        told[which].extend(fleet.call(0, ts, ["one", "other"][which], endpoint));
    }
    told
}

#[test]
fn what_does_not_fit_is_named_with_what_it_goes_with_least() {
    let mut fleet = Fleet::settled();
    let at = fleet.begins(0);
    let mut told = |i: u32, endpoint: &str| {
        let call = fleet.record(0, at + Duration::from_secs(10) * i, "one", endpoint);
        let observed = fleet.detector.observe_all([&call], &OneHand).pop().unwrap();
        VerdictRecord::new(&call, observed.verdict.unwrap()).named(observed.names)
    };
    assert_eq!(["list", "pay"].map(|endpoint| told(0, endpoint).misfit), [None, None]);
    // Two in three of 2,880 sessions held `list`, none of them that, and the verdict on the next call still speaks of it.
    let odd = told(1, "DELETE /docs/17");
    let said = "`DELETE /docs/{int}` after `list`: ";
    assert!(
        odd.sentence().starts_with(said) && odd.sentence().contains(", none of them both;"),
        "{}",
        odd.sentence()
    );
    let next = told(2, "list");
    assert_eq!(next.misfit, odd.misfit);
    assert!(next.sentence().starts_with(said), "{}", next.sentence());
    let part = next.verdict.part(Signal::Endpoint).unwrap();
    let said = format!(
        "`DELETE /docs/{{int}}` of its session at {} does not go with what its session called before",
        part.since
    );
    assert!(
        next.reason(part).contains(&said) && next.reason(part).contains("that held `list` 0 held both"),
        "{}",
        next.reason(part)
    );
}

#[test]
fn two_sessions_of_one_agent_at_once_are_read_as_two_and_as_each_alone() {
    let fleet = Fleet::settled();
    let chances = |told: &[Told]| told.iter().map(|(_, odd)| odd.chance).collect::<Vec<_>>();
    let watch = Budgets::default().watch();
    // One reads and one pays. In one session that is odd.
    let usual = [USUAL[0], USUAL[1]];
    let (together, apart) = (two_sessions(&fleet, usual, true), two_sessions(&fleet, usual, false));
    let mixed = two_sessions(&fleet, [MIXED, &[]], false);
    assert!(mixed[0].last().is_some_and(|(part, odd)| odd.chance < 0.05 && part.level >= watch));
    for (together, apart) in together.iter().zip(&apart) {
        assert_eq!(together.len(), 4);
        assert_eq!(chances(together), chances(apart));
        assert!(together.iter().all(|(part, _)| part.level < watch && part.pattern != Pattern::Unfitting));
    }
    // An odd one beside a usual one stands out as it does alone, with the same numbers; and the other does not.
    let beside = two_sessions(&fleet, [MIXED, USUAL[2]], true);
    let alone = [&mixed[0], &two_sessions(&fleet, [USUAL[2], &[]], false)[0]];
    for (beside, alone) in beside.iter().zip(alone) {
        assert_eq!(chances(beside), chances(alone));
    }
    let [odd, same] = [&beside[0][3].0, &mixed[0][3].0];
    assert_eq!((odd.pattern, odd.observed, odd.expected), (Pattern::Unfitting, same.observed, same.expected));
    assert!(odd.level >= watch && (bits(odd) - bits(same)).abs() < 0.1, "{odd:?} {same:?}");
    assert!(beside[1].iter().all(|(part, _)| part.level < watch), "{beside:?}");
}
