//! Peer groups: agents of six trades, some of whose calls every trade makes (endpoint study §4).

use std::collections::BTreeMap;
use std::time::Duration;

use detector::{Attestation, Call, Detector, DetectorConfig, EffectiveAttestation, GroupId, Kind, Timestamp};
use rand::RngExt;
use serde::Serialize;

use super::chance::{Dice, Purpose, exponential, log_uniform, stream};
use super::interval::Estimate;
use super::player::{self, START};
use super::progress::Progress;

const GROUPS: usize = 6;
const AGENTS: usize = 12 * GROUPS;
/// Tasks of a group, of which an agent does some, as in the suite of sessions (study §3).
const TASKS: usize = 8;
const OWN_TASKS: usize = 5;
/// Endpoints of a group, and those that all groups share.
const ENDPOINTS: usize = 24;
const LENGTHS: std::ops::RangeInclusive<usize> = 3..=6;
const GAPS: (f64, f64) = (2.0, 40.0);
const PER_DAY: f64 = 5.0;
const APART_MIN: f64 = 20.0;
/// How many calls in ten go to endpoints that all share, and after how many sessions an agent it is looked how they are grouped.
const SHARED: [u32; 3] = [3, 5, 7];
const LOOKED_AFTER: [usize; 6] = [1, 2, 5, 10, 20, 60];
/// Sessions after which it is looked where a new agent of each group belongs, and so many of them.
const NEW_AFTER: [usize; 2] = [1, 5];
const NEW: usize = 5 * GROUPS;
/// Each fleet of another seed.
const FLEETS: usize = 8;
/// Steps of progress.
pub(super) const STEPS: u64 = (FLEETS * SHARED.len()) as u64;
/// A search begins with the first version after midnight and takes an hour.
const NIGHT: Duration = Duration::from_hours(26);

/// Fleets of which the same share of calls is common to all groups.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GroupsReport {
    /// Calls in ten.
    pub(crate) shared: u32,
    pub(crate) fleets: usize,
    pub(crate) found: Vec<Found>,
    pub(crate) new: Vec<NewAgents>,
}

/// How well agents are grouped after so many sessions each: the adjusted Rand index, 1 for as they are and 0 for by chance; the mean
/// over fleets, the worst and the best.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    pub(crate) sessions: usize,
    /// By the group to which each is likest after the night's search,
    pub(crate) likeliest: [f64; 3],
    /// and by that which it is in, which takes a chance of 0.9 and, to change it, a week.
    pub(crate) standing: [f64; 3],
    /// Groups there are, on average.
    pub(crate) groups: f64,
}

/// Where new agents belong after so many sessions, in a fleet that is known.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NewAgents {
    pub(crate) sessions: usize,
    /// Likest to the right group; in it; in another.
    pub(crate) likeliest: Estimate,
    pub(crate) joined: Estimate,
    pub(crate) wrong: Estimate,
}

/// One agent.
#[derive(Clone)]
struct Life {
    agent: usize,
    tasks: Vec<Vec<usize>>,
    dice: Dice,
    sessions: usize,
    next: Timestamp,
}

impl Life {
    fn new(seed: u64, shared: u32, agent: usize, from: Timestamp) -> Self {
        let name = format!("groups {shared}");
        let mut dice = stream(seed, &name, agent, Purpose::Agent);
        let mut tasks = tasks(&mut stream(seed, &name, agent % GROUPS, Purpose::Manifest));
        for i in 0..OWN_TASKS {
            let j = dice.random_range(i..TASKS);
            tasks.swap(i, j);
        }
        let mut life = Self { agent, tasks, dice, sessions: 0, next: from };
        life.rest(from);
        life
    }

    fn rest(&mut self, from: Timestamp) {
        let minutes = APART_MIN + exponential(&mut self.dice, 1_440.0 / PER_DAY - APART_MIN);
        self.next = from + Duration::from_secs_f64(minutes * 60.0);
    }

    fn name(&self) -> String {
        format!("grouped-{}", self.agent)
    }

    /// Its next session, to the end.
    fn session(&mut self, shared: u32) -> Vec<Call<'static>> {
        let task = self.tasks[self.dice.random_range(0..OWN_TASKS)].clone();
        let mut ts = self.next;
        let session = format!("{}-{}", self.agent, self.sessions);
        let mut calls: Vec<Call<'static>> = Vec::new();
        for (i, endpoint) in task.into_iter().enumerate() {
            ts = ts + Duration::from_secs_f64(log_uniform(&mut self.dice, GAPS));
            let name = if self.dice.random_range(0..10) < shared {
                format!("get_common_{}", self.dice.random_range(0..ENDPOINTS))
            } else {
                format!("get_{}_{endpoint}", self.agent % GROUPS)
            };
            calls.push(self.call(ts, format!("{session}-{i}"), name));
        }
        let mut end = self.call(ts, format!("{session}-end"), String::new());
        end.kind = Kind::TaskEnd;
        calls.push(end);
        for call in &mut calls {
            call.identity.session_id = Some(session.clone().into());
        }
        self.sessions += 1;
        self.rest(ts);
        calls
    }

    fn call(&self, ts: Timestamp, id: String, endpoint: String) -> Call<'static> {
        let mut call = Call::new(id, ts, self.name(), endpoint);
        call.claimed = Attestation::Token;
        call.attestation = EffectiveAttestation::new(Attestation::Token, Attestation::Token);
        call
    }
}

/// A group's tasks: endpoints in the order in which they are called.
fn tasks(dice: &mut Dice) -> Vec<Vec<usize>> {
    let mut task = || (0..dice.random_range(LENGTHS)).map(|_| dice.random_range(0..ENDPOINTS)).collect();
    (0..TASKS).map(|_| task()).collect()
}

/// A fleet as it runs.
#[derive(Clone)]
struct Fleet {
    detector: Detector,
    ticked: Timestamp,
    shared: u32,
}

impl Fleet {
    fn session(&mut self, life: &mut Life) {
        for call in life.session(self.shared) {
            player::pass(&mut self.detector, &mut self.ticked, call.ts);
            self.detector.observe(&call);
        }
    }

    /// Has every agent come to so many sessions.
    fn play(&mut self, lives: &mut [Life], sessions: usize) {
        let next = |lives: &[Life]| {
            (0..lives.len()).filter(|&a| lives[a].sessions < sessions).min_by_key(|&a| lives[a].next)
        };
        while let Some(agent) = next(lives) {
            self.session(&mut lives[agent]);
        }
    }

    /// The same after a night without calls.
    fn after_a_night(&self) -> Self {
        let mut fleet = self.clone();
        let until = fleet.ticked + NIGHT;
        player::pass(&mut fleet.detector, &mut fleet.ticked, until);
        fleet
    }

    fn likeliest(&self, life: &Life) -> Option<GroupId> {
        self.detector.group_of(None, &life.name())?.likeliest.map(|(id, _)| id)
    }

    fn standing(&self, life: &Life) -> Option<GroupId> {
        self.detector.group_of(None, &life.name())?.group
    }
}

/// The adjusted Rand index (Hubert and Arabie, 1985) of labels against the groups that agents are of; no label is one, too.
fn rand_index(labels: &[Option<GroupId>]) -> f64 {
    let pairs = |n: usize| (n * n.saturating_sub(1)) as f64 / 2.0;
    let mut cells = BTreeMap::<(usize, Option<GroupId>), usize>::new();
    let (mut rows, mut columns) =
        (BTreeMap::<usize, usize>::new(), BTreeMap::<Option<GroupId>, usize>::new());
    for (agent, label) in labels.iter().enumerate() {
        *cells.entry((agent % GROUPS, *label)).or_default() += 1;
        *rows.entry(agent % GROUPS).or_default() += 1;
        *columns.entry(*label).or_default() += 1;
    }
    let both: f64 = cells.values().map(|n| pairs(*n)).sum();
    let (row, column): (f64, f64) =
        (rows.values().map(|n| pairs(*n)).sum(), columns.values().map(|n| pairs(*n)).sum());
    let by_chance = row * column / pairs(labels.len());
    (both - by_chance) / (f64::midpoint(row, column) - by_chance)
}

/// What one fleet showed: by sessions, the two indices and how many groups there were; by sessions of new agents, which were likest to the
/// right group, in it, and in another.
struct Shown {
    found: Vec<([f64; 2], usize)>,
    new: Vec<[usize; 3]>,
}

fn fleet(seed: u64, shared: u32) -> Shown {
    let detector = Detector::new(DetectorConfig::default(), &[]);
    let mut fleet = Fleet { detector, ticked: START, shared };
    let mut lives: Vec<Life> = (0..AGENTS).map(|agent| Life::new(seed, shared, agent, START)).collect();
    let found = LOOKED_AFTER.map(|sessions| {
        fleet.play(&mut lives, sessions);
        let night = fleet.after_a_night();
        let of = |label: &dyn Fn(&Life) -> Option<GroupId>| {
            rand_index(&lives.iter().map(label).collect::<Vec<_>>())
        };
        ([of(&|life| night.likeliest(life)), of(&|life| fleet.standing(life))], night.detector.groups().len())
    });
    let mut fleet = fleet.after_a_night();
    let right: Vec<Option<GroupId>> = (0..GROUPS)
        .map(|g| most(lives.iter().skip(g).step_by(GROUPS).map(|life| fleet.likeliest(life))))
        .collect();
    let mut newcomers: Vec<Life> =
        (AGENTS..AGENTS + NEW).map(|agent| Life::new(seed, shared, agent, fleet.ticked)).collect();
    let new = NEW_AFTER.map(|sessions| {
        fleet.play(&mut newcomers, sessions);
        let is = |label: Option<GroupId>, life: &Life| label.is_some() && label == right[life.agent % GROUPS];
        let count = |of: &dyn Fn(&Life) -> bool| newcomers.iter().filter(|life| of(life)).count();
        [
            count(&|life| is(fleet.likeliest(life), life)),
            count(&|life| is(fleet.standing(life), life)),
            count(&|life| fleet.standing(life).is_some_and(|id| !is(Some(id), life))),
        ]
    });
    Shown { found: found.into(), new: new.into() }
}

/// What most of them are.
fn most(labels: impl Iterator<Item = Option<GroupId>>) -> Option<GroupId> {
    let mut counts = BTreeMap::<GroupId, usize>::new();
    labels.flatten().for_each(|label| *counts.entry(label).or_default() += 1);
    counts.into_iter().max_by_key(|(_, n)| *n).map(|(label, _)| label)
}

/// Runs the fleets.
pub(crate) fn run(seed: u64, progress: &Progress) -> Vec<GroupsReport> {
    let of = |shared: u32| {
        let shown: Vec<Shown> = (0..FLEETS)
            .map(|n| {
                progress.day();
                fleet(seed.wrapping_add(n as u64 * 7_919), shared)
            })
            .collect();
        let spread = |values: &dyn Fn(&Shown) -> f64| {
            let of = || shown.iter().map(values);
            [of().sum::<f64>() / FLEETS as f64, of().fold(f64::INFINITY, f64::min), of().fold(-1.0, f64::max)]
        };
        let found = LOOKED_AFTER.iter().enumerate().map(|(i, &sessions)| Found {
            sessions,
            likeliest: spread(&|s| s.found[i].0[0]),
            standing: spread(&|s| s.found[i].0[1]),
            groups: spread(&|s| s.found[i].1 as f64)[0],
        });
        let new = NEW_AFTER.iter().enumerate().map(|(i, &sessions)| {
            let share = |k: usize| Estimate::share(shown.iter().map(|s| s.new[i][k]).sum(), NEW * FLEETS);
            NewAgents { sessions, likeliest: share(0), joined: share(1), wrong: share(2) }
        });
        GroupsReport { shared, fleets: FLEETS, found: found.collect(), new: new.collect() }
    };
    SHARED.map(of).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_one_for_the_groups_themselves_and_nothing_for_one_group() {
        let ids: Vec<GroupId> = (1..=6).map(|n| serde_json::from_str(&n.to_string()).unwrap()).collect();
        let own: Vec<_> = (0..AGENTS).map(|a| Some(ids[(a % GROUPS + 2) % GROUPS])).collect();
        assert!((rand_index(&own) - 1.0).abs() < 1e-12);
        assert!(rand_index(&[None; AGENTS]).abs() < 1e-12);
        // Two and two groups taken for one: of 2,556 pairs 396 are of a group, 828 of a label, all the former among the latter.
        let pairs: Vec<_> = (0..AGENTS).map(|a| Some(ids[a % GROUPS / 2])).collect();
        let by_chance = 396.0 * 828.0 / 2_556.0;
        assert!((rand_index(&pairs) - (396.0 - by_chance) / (612.0 - by_chance)).abs() < 1e-12);
    }
}
