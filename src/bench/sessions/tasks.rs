//! Tasks, the agents that do them, and how a session can be odd.

use std::time::Duration;

use detector::{Attestation, Call, EffectiveAttestation, Kind, Timestamp};
use rand::RngExt;
use serde::Serialize;

use crate::bench::chance::{Dice, Purpose, exponential, log_uniform, stream};
use crate::bench::player::START;

const GROUPS: usize = 3;
pub(super) const AGENTS: usize = 12 * GROUPS;
const TASKS: usize = 8;
/// An agent does so many of its group's tasks.
const OWN_TASKS: usize = 5;
/// Endpoints of a group, and of a task.
const ENDPOINTS: usize = 24;
const LENGTHS: std::ops::RangeInclusive<usize> = 3..=6;
/// Sessions before anything is looked at.
pub(super) const HISTORY: usize = 60;
/// Sessions a day of an agent, and minutes at least between two of them.
pub(super) const PER_DAY: f64 = 5.0;
const APART_MIN: f64 = 20.0;
/// Seconds between calls.
const GAPS: (f64, f64) = (2.0, 40.0);
/// Normal sessions leave a call out or make one twice so often.
const SKIPS: f64 = 0.08;
const REPEATS: f64 = 0.08;
/// Calls in place of one that is repeated.
const BURST: usize = 8;

const VERBS: [&str; 4] = ["get", "list", "update", "send"];

/// How a session is unlike its agent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Oddity {
    /// Ends with an endpoint that only another group calls.
    Foreign,
    /// Goes over to another task of its group midway.
    OtherTask,
    /// Calls in the reverse order.
    Reversed,
    /// Is a task that peers do and this agent never did, with a call that it never made.
    Role,
    /// Makes one call eight times.
    Repeated,
}

impl Oddity {
    pub(crate) const ALL: [Self; 5] =
        [Self::Foreign, Self::OtherTask, Self::Reversed, Self::Role, Self::Repeated];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Foreign => "foreign endpoint",
            Self::OtherTask => "goes over to another task",
            Self::Reversed => "reversed order",
            Self::Role => "peers' task, never its own",
            Self::Repeated => "one call eight times",
        }
    }
}

/// One agent and its dice.
#[derive(Clone)]
pub(super) struct Life {
    agent: usize,
    /// Tasks of its group as endpoints; its own come first.
    tasks: Vec<Vec<usize>>,
    dice: Dice,
    pub(super) sessions: usize,
    /// When its next session begins.
    pub(super) next: Timestamp,
}

fn name(group: usize, endpoint: usize) -> String {
    format!("{}_{group}_{endpoint}", VERBS[endpoint % VERBS.len()])
}

/// The tasks of a group: endpoints in the order in which they are called.
fn tasks(seed: u64, group: usize) -> Vec<Vec<usize>> {
    let mut dice = stream(seed, "session tasks", group, Purpose::Agent);
    let mut task = || {
        let mut endpoints: Vec<usize> = (0..ENDPOINTS).collect();
        let length = dice.random_range(LENGTHS);
        for i in 0..length {
            let j = dice.random_range(i..ENDPOINTS);
            endpoints.swap(i, j);
        }
        endpoints.truncate(length);
        endpoints
    };
    (0..TASKS).map(|_| task()).collect()
}

impl Life {
    pub(super) fn new(seed: u64, agent: usize) -> Self {
        let mut dice = stream(seed, "sessions", agent, Purpose::Agent);
        let mut tasks = tasks(seed, agent % GROUPS);
        for i in 0..OWN_TASKS {
            let j = dice.random_range(i..TASKS);
            tasks.swap(i, j);
        }
        let mut life = Self { agent, tasks, dice, sessions: 0, next: START };
        life.rest(START);
        life
    }

    fn rest(&mut self, from: Timestamp) {
        let minutes = APART_MIN + exponential(&mut self.dice, 1_440.0 / PER_DAY - APART_MIN);
        self.next = from + Duration::from_secs_f64(minutes * 60.0);
    }

    /// Its next session.
    pub(super) fn session(&mut self, oddity: Option<Oddity>) -> Vec<Call<'static>> {
        let group = self.agent % GROUPS;
        let task = self.dice.random_range(0..OWN_TASKS);
        let mut way = self.tasks[task].clone();
        if way.len() > 2 && self.dice.random_bool(SKIPS) {
            way.remove(self.dice.random_range(0..way.len()));
        }
        if self.dice.random_bool(REPEATS) {
            let at = self.dice.random_range(0..way.len());
            way.insert(at, way[at]);
        }
        let mut names: Vec<String> = way.iter().map(|&endpoint| name(group, endpoint)).collect();
        match oddity {
            None => {}
            Some(Oddity::Foreign) => {
                let endpoint = self.dice.random_range(0..ENDPOINTS);
                names.push(name((group + 1) % GROUPS, endpoint));
            }
            Some(Oddity::OtherTask) => {
                let other = &self.tasks[(task + 1) % OWN_TASKS];
                names.truncate(names.len().div_ceil(2));
                names.extend(other[other.len() / 2..].iter().map(|&endpoint| name(group, endpoint)));
            }
            Some(Oddity::Reversed) => names.reverse(),
            Some(Oddity::Role) => {
                names = self.others_task().iter().map(|&endpoint| name(group, endpoint)).collect();
            }
            Some(Oddity::Repeated) => {
                let at = self.dice.random_range(0..names.len());
                let again = vec![names[at].clone(); BURST - 1];
                names.splice(at..at, again);
            }
        }
        let mut ts = self.next;
        let calls: Vec<Call<'static>> =
            names.into_iter().enumerate().map(|(i, name)| self.call(&mut ts, i, name)).collect();
        self.sessions += 1;
        self.rest(ts);
        calls
    }

    /// A task that it never did, with an endpoint of none of its own where there is such a one.
    fn others_task(&mut self) -> &[usize] {
        let from = self.dice.random_range(0..TASKS - OWN_TASKS);
        let (own, others) = self.tasks.split_at(OWN_TASKS);
        let is_new = |task: &&Vec<usize>| task.iter().any(|e| own.iter().all(|known| !known.contains(e)));
        others.iter().cycle().skip(from).take(others.len()).find(is_new).unwrap_or(&others[from])
    }

    fn call(&mut self, ts: &mut Timestamp, i: usize, endpoint: String) -> Call<'static> {
        *ts = *ts + Duration::from_secs_f64(log_uniform(&mut self.dice, GAPS));
        let session = format!("{}-{}", self.agent, self.sessions);
        let mut call = Call::new(format!("{session}-{i}"), *ts, format!("tasked-{}", self.agent), endpoint);
        call.identity.session_id = Some(session.into());
        call.claimed = Attestation::Token;
        call.attestation = EffectiveAttestation::new(Attestation::Token, Attestation::Token);
        call
    }

    /// A person's word that all is well.
    pub(super) fn word(&self, at: Timestamp) -> Call<'static> {
        let id = format!("word-{}-{}", self.agent, self.sessions);
        let mut call = Call::new(id, at, format!("tasked-{}", self.agent), "");
        call.kind = Kind::Feedback;
        call
    }
}
