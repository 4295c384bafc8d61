//! Peer groups: agents that do the same work are told from others, and compared with each other.

use std::time::Duration;

use detector::{
    Attestation, Call, Detector, DetectorConfig, EffectiveAttestation, Kind, Manifest, Oddness, OneHand,
    Pattern, Signal, Timestamp,
};

const START: Timestamp = Timestamp::from_millis(1_740_355_200_000);
const AGENTS: usize = 20;
const WATCH: f64 = 2.8;

/// Clerks answer what they read and file it, tellers pay; both read and list all day.
const CLERK: [&[&str]; 3] = [&["read", "reply"], &["list", "read", "file"], &["list", "reply", "file"]];
const TELLER: [&[&str]; 3] = [&["read", "pay"], &["list", "read", "book"], &["list", "pay", "book"]];

struct Stream {
    detector: Detector,
    ts: Timestamp,
    n: u64,
    /// How odd the last session is, where that is asked.
    odd: Option<Oddness>,
}

/// Found groups are compared with, or not, as they are not unless an operator wants it.
fn config(compare_with_found_groups: bool) -> DetectorConfig {
    DetectorConfig { compare_with_found_groups, ..DetectorConfig::default() }
}

impl Stream {
    fn new(found_speak: bool, manifests: &[Manifest]) -> Self {
        Self { detector: Detector::new(config(found_speak), manifests), ts: START, n: 0, odd: None }
    }

    /// Ten minutes later a session; the highest level that its content reaches.
    fn session(&mut self, agent: &str, calls: &[&str]) -> f64 {
        self.n += 1;
        self.ts = self.ts + Duration::from_mins(10);
        self.detector.tick(self.ts);
        let (mut most, mut ts) = (f64::NEG_INFINITY, self.ts + Duration::from_secs(self.n * 7_919 % 300));
        for (i, &endpoint) in calls.iter().enumerate() {
            ts = ts + Duration::from_secs(1 + (self.n * 31 + i as u64 * 17) % 23);
            let mut call = Call::new(format!("{}-{i}", self.n), ts, agent, endpoint);
            call.identity.session_id = Some(format!("s{}", self.n).into());
            call.attestation = EffectiveAttestation::new(Attestation::Token, Attestation::Token);
            let observed = self.detector.observe_all([&call], &OneHand).pop().unwrap_or_default();
            self.odd = observed.odd;
            if let Some(verdict) = observed.verdict
                && let Some(part) = verdict.part(Signal::Endpoint)
                && part.pattern == Pattern::Unfitting
            {
                most = most.max(part.level.as_bits());
            }
        }
        let mut end = Call::new(format!("{}-end", self.n), ts, agent, "");
        (end.kind, end.identity.session_id) = (Kind::TaskEnd, Some(format!("s{}", self.n).into()));
        self.detector.observe(&end);
        most
    }

    /// So many rounds in which each of ten clerks and ten tellers has a session.
    fn rounds(&mut self, rounds: usize) {
        for round in 0..rounds {
            for agent in 0..AGENTS {
                self.usual(agent, round);
            }
        }
    }

    fn usual(&mut self, agent: usize, round: usize) -> f64 {
        let trade = if agent < AGENTS / 2 { CLERK } else { TELLER };
        self.session(&format!("a{agent}"), trade[(round * 7 + agent) % 3])
    }

    fn group(&self, agent: &str) -> Option<String> {
        self.detector.group_of(None, agent)?.group.map(|id| id.to_string())
    }

    fn fork(&self) -> Self {
        Self { detector: self.detector.clone(), ts: self.ts, n: self.n, odd: None }
    }

    fn benign(&mut self, agent: &str) {
        self.n += 1;
        let mut word = Call::new(format!("w{}", self.n), self.ts, agent, "");
        word.kind = Kind::Feedback;
        self.detector.observe(&word);
    }
}

fn two_trades(found_speak: bool) -> Stream {
    let mut stream = Stream::new(found_speak, &[]);
    // Seven rounds are a day.
    stream.rounds(7 * 10);
    stream
}

#[test]
fn agents_of_two_trades_are_told_apart_and_each_is_compared_with_its_own() {
    // Each is compared with its own where found groups speak, else with all.
    for found_speak in [true, false] {
        let mut stream = two_trades(found_speak);
        let (clerks, tellers) = (stream.group("a0").unwrap(), stream.group("a10").unwrap());
        assert_ne!(clerks, tellers);
        for agent in 0..AGENTS {
            assert_eq!(
                stream.group(&format!("a{agent}")).as_ref(),
                Some(if agent < AGENTS / 2 { &clerks } else { &tellers })
            );
        }
        let groups = stream.detector.groups();
        assert!(
            groups.len() == 2 && groups.iter().all(|g| g.agents == 10 && g.speaks == found_speak),
            "{groups:?}"
        );
        // Half of the fleet pays what it reads, but no clerk does.
        let (clerk, teller) =
            (stream.session("a1", &["read", "pay"]), stream.session("a11", &["read", "pay"]));
        assert!((clerk >= WATCH) == found_speak && teller < WATCH, "{clerk} {teller}");
        assert_eq!(stream.detector.take_group_moves().len(), AGENTS);
        // A newcomer is one of them after a few sessions, and one that does what nobody does is none.
        for round in 0..4 {
            stream.session("new", TELLER[round % 3]);
            stream.session("other", [&["weld", "grind"][..], &["weld", "paint"]][round % 2]);
        }
        assert_eq!((stream.group("new"), stream.group("other")), (Some(tellers), None));
        let found = stream.detector.group_of(None, "other").unwrap();
        assert_eq!((found.likeliest, stream.detector.group_of(None, "nobody")), (None, None));
    }
}

#[test]
fn whoever_drifts_moves_nowhere_and_whom_a_person_approves_moves_after_a_week() {
    let mut stream = two_trades(true);
    let clerks = stream.group("a0");
    let mut approved = stream.fork();
    for day in 0..16 {
        for round in 0..7 {
            for agent in 1..AGENTS {
                stream.usual(agent, round);
            }
            stream.session("a0", TELLER[(day + round) % 3]);
        }
    }
    let belongs = stream.detector.group_of(None, "a0").unwrap();
    assert_eq!((belongs.group.map(|id| id.to_string()), belongs.moving_to), (clerks.clone(), None));
    let joined = belongs.since.unwrap();
    let mut moved_on = None;
    for day in 0..16 {
        for round in 0..7 {
            for agent in 1..AGENTS {
                approved.usual(agent, round);
            }
            approved.session("a0", TELLER[(day + round) % 3]);
            approved.benign("a0");
        }
        if approved.group("a0") != clerks {
            moved_on.get_or_insert(day);
        }
    }
    assert_eq!(approved.group("a0"), approved.group("a10"));
    assert!(approved.detector.group_of(None, "a0").unwrap().since.is_some_and(|since| since > joined));
    assert!(moved_on.is_some_and(|day| day >= 7), "{moved_on:?}");
    let moves = approved.detector.take_group_moves();
    let own: Vec<_> = moves.iter().filter(|m| m.agent_id == "a0" && m.from.is_some()).collect();
    assert!(own.len() == 1 && own[0].chance > 0.9, "{own:?}");
}

#[test]
fn groups_and_what_they_know_change_with_a_version_alone() {
    let mut stream = Stream::new(true, &[]);
    let known = |stream: &Stream| (stream.detector.groups(), stream.detector.model());
    let (mut before, mut changes, mut found) = (known(&stream), 0, None);
    for round in 0..7 * 4 {
        for agent in 0..AGENTS {
            stream.usual(agent, round);
            let now = known(&stream);
            if now.0 != before.0 {
                assert!(now.1 > before.1, "version {}: {:?} {:?}", now.1, before.0, now.0);
                changes += 1;
            }
            if !now.0.is_empty() {
                found.get_or_insert(stream.ts);
            }
            before = now;
        }
    }
    // With the version of the third hour enough agents are there to be told apart, and that takes an hour.
    assert_eq!(found, Some(START + Duration::from_hours(4)));
    assert!(changes > 24, "{changes}");
}

#[test]
fn a_session_that_a_group_reads_is_ranked_as_the_fleets_are() {
    let trades = two_trades(true);
    let odd = |calls: &[&str]| {
        let of = |found_speak: bool| {
            let config = DetectorConfig { ranks_sessions: true, ..config(found_speak) };
            let mut stream = trades.fork();
            stream.detector.reconfigure(config, &[]);
            stream.session("a1", calls);
            stream.odd.expect("it has peers").bits
        };
        let [group, fleet] = [of(true), of(false)];
        assert_eq!(group, fleet, "{calls:?}");
        group.as_bits()
    };
    let [usual, mixed, other] = [odd(CLERK[0]), odd(&["read", "pay", "file"]), odd(TELLER[1])];
    assert!(usual < other && other < mixed, "{usual} {other} {mixed}");
}

#[test]
fn a_restore_in_the_middle_of_a_search_changes_nothing() {
    for found_speak in [true, false] {
        let mut whole = Stream::new(found_speak, &[]);
        whole.rounds(18);
        let mut restored = whole.fork();
        let mut searched = 0;
        for round in 0..18 {
            for agent in 0..AGENTS {
                let bytes = postcard::to_stdvec(&restored.detector).unwrap();
                searched += usize::from(format!("{:?}", restored.detector).contains("search: Some"));
                restored.detector = postcard::from_bytes(&bytes).unwrap();
                restored.detector.reconfigure(config(found_speak), &[]);
                let (a, b) = (whole.usual(agent, round), restored.usual(agent, round));
                assert_eq!(a.to_bits(), b.to_bits(), "round {round}");
            }
        }
        assert!(searched > 3, "{searched} restores fell into a search");
        let state = |stream: &Stream| serde_json::to_string(&stream.detector).unwrap();
        assert!(state(&whole) == state(&restored) && whole.group("a0").is_some());
    }
}

#[test]
fn what_a_manifest_says_wins_and_whoever_is_not_named_does_not_join() {
    let manifest = |agent_id: &str, group: &str| Manifest {
        agent_id: agent_id.to_owned(),
        group: Some(group.to_owned()),
        ..Manifest::default()
    };
    let manifests = ["a0", "a19"].map(|agent| manifest(agent, "desk 3"));
    let mut stream = Stream::new(false, &manifests);
    assert_eq!(stream.detector.groups()[0].name.as_deref(), Some("desk 3"));
    stream.rounds(7 * 5);
    let desk = stream.group("a0");
    assert!(desk.is_some() && stream.group("a19") == desk);
    assert!(
        (2..6).all(|a| stream.group(&format!("a{a}")) == stream.group("a2")) && stream.group("a2") != desk
    );
    assert_eq!(stream.detector.group_of(None, "a0").unwrap().declared.as_deref(), Some("desk 3"));
    // Named no more, its agents are found where they belong.
    stream.detector.reconfigure(config(false), &[]);
    assert!(stream.group("a0").is_none() && stream.detector.groups().iter().all(|g| g.name.is_none()));
    stream.rounds(7 * 3);
    assert!(stream.group("a0") == stream.group("a2") && stream.group("a19") == stream.group("a10"));
}
