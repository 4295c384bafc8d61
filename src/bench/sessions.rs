//! Sessions that are odd one after the other: a fleet with tasks, and agents that from some session on do otherwise.
//!
//! The synthetic suite of the endpoint study (§3): 3 groups of 12 agents, 8 tasks a group, 60 sessions of history.

mod tasks;

use detector::{Budgets, Detector, DetectorConfig, MicroBits, Pattern, Signal, Timestamp, Verdict};
use serde::Serialize;

pub(crate) use self::tasks::Oddity;
use self::tasks::{AGENTS, HISTORY, Life, PER_DAY};
use super::interval::{Estimate, Spread};
use super::player::{self, START};
use super::progress::Progress;

/// One false alarm in so many sessions is accepted, and an oddity is looked for in so many.
const SESSIONS_BETWEEN: f64 = 500.0;
pub(crate) const LOOKED_FOR: usize = 40;
/// One session in so many is odd.
const EVERY: [usize; 2] = [1, 2];
/// Watches and revocations are not looked at.
const WATCH_DAYS: f64 = 7.0;
const REVOKE_DAYS: f64 = 3_652.5;

/// What the fleet showed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SessionsReport {
    pub(crate) agents: usize,
    pub(crate) sessions: usize,
    /// Step-ups of normal sessions in 500 of them, by all signals and by endpoint alone at its share of the budget.
    pub(crate) false_alarms: Estimate,
    pub(crate) false_of_endpoint: Estimate,
    pub(crate) oddities: Vec<OddityDelay>,
}

/// How soon one oddity is found by all signals, in sessions.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OddityDelay {
    pub(crate) oddity: Oddity,
    /// All sessions are odd, or every other.
    pub(crate) every: usize,
    pub(crate) agents: usize,
    pub(crate) found: Estimate,
    pub(crate) sessions: Option<Spread>,
    /// Found by endpoint, and by what endpoint says of single sessions and of the agent's drift.
    pub(crate) of_endpoint: Estimate,
    pub(crate) of_a_session: Estimate,
    pub(crate) of_drift: Estimate,
}

/// Levels that an operator is asked from: of all signals, of endpoint, of a session's own evidence and of a drift.
const VOICES: usize = 4;

fn voices(verdict: &Verdict, step_up: MicroBits) -> [bool; VOICES] {
    let endpoint = verdict.part(Signal::Endpoint).filter(|part| part.level >= step_up);
    let is = |patterns: &[Pattern]| endpoint.is_some_and(|part| patterns.contains(&part.pattern));
    [
        verdict.level >= step_up,
        endpoint.is_some(),
        is(&[Pattern::Unfitting, Pattern::Foreign]),
        is(&[Pattern::SessionDrift, Pattern::RoleDrift, Pattern::OrderDrift]),
    ]
}

/// The fleet as it runs.
#[derive(Clone)]
struct Fleet {
    detector: Detector,
    ticked: Timestamp,
    played: u64,
    step_up: MicroBits,
}

/// Runs the fleet for so many days after its history; from its 61st session on each agent becomes odd in every way, in copies.
pub(crate) fn run(seed: u64, days: u32, progress: &Progress) -> Option<SessionsReport> {
    let budgets = Budgets::new(WATCH_DAYS, SESSIONS_BETWEEN / PER_DAY, REVOKE_DAYS).ok()?;
    let config = DetectorConfig { budgets, ..DetectorConfig::default() };
    let mut fleet =
        Fleet { detector: Detector::new(config, &[]), ticked: START, played: 0, step_up: budgets.step_up() };
    let mut lives: Vec<Life> = (0..AGENTS).map(|agent| Life::new(seed, agent)).collect();
    let last = HISTORY + (f64::from(days) * PER_DAY) as usize;
    let (mut heard, mut normal) = ([0; VOICES], 0);
    let mut trials = vec![Vec::new(); Oddity::ALL.len() * EVERY.len()];
    let mut day = START;
    while let Some(agent) = next_of(&lives, last) {
        while day < lives[agent].next {
            day = day + std::time::Duration::from_hours(24);
            progress.day();
        }
        if lives[agent].sessions == HISTORY {
            let ways = EVERY.into_iter().flat_map(|every| Oddity::ALL.map(|oddity| (oddity, every)));
            for ((oddity, every), trials) in ways.zip(&mut trials) {
                trials.push(fleet.clone().trial(lives[agent].clone(), oddity, every));
            }
        }
        let is_history = lives[agent].sessions < HISTORY;
        let said = fleet.session(&mut lives[agent], None);
        if said[0] {
            fleet.benign(&lives[agent]);
        }
        if !is_history {
            normal += 1;
            heard.iter_mut().zip(said).for_each(|(n, is)| *n += u64::from(is));
        }
    }
    let rate = |count| Estimate::rate(count, normal as f64 / SESSIONS_BETWEEN);
    let ways = EVERY.into_iter().flat_map(|every| Oddity::ALL.map(|oddity| (oddity, every)));
    Some(SessionsReport {
        agents: AGENTS,
        sessions: normal,
        false_alarms: rate(heard[0]),
        false_of_endpoint: rate(heard[1]),
        oddities: ways.zip(trials).map(|(way, trials)| OddityDelay::of(way, &trials)).collect(),
    })
}

/// Whose turn it is, of those with fewer than `last` sessions.
fn next_of(lives: &[Life], last: usize) -> Option<usize> {
    (0..lives.len()).filter(|&a| lives[a].sessions < last).min_by_key(|&a| lives[a].next)
}

/// In which session each voice was first raised.
type Trial = [Option<usize>; VOICES];

impl Fleet {
    /// Plays an agent's next session; who asks for a person in it.
    fn session(&mut self, life: &mut Life, oddity: Option<Oddity>) -> [bool; VOICES] {
        let mut asked = [false; VOICES];
        for call in life.session(oddity) {
            player::pass(&mut self.detector, &mut self.ticked, call.ts);
            if let Some(verdict) = self.detector.observe(&call) {
                let said = voices(&verdict, self.step_up);
                asked.iter_mut().zip(said).for_each(|(asked, is)| *asked |= is);
            }
            self.played += 1;
        }
        asked
    }

    /// A person answers at once that all is well.
    fn benign(&mut self, life: &Life) {
        self.detector.observe(&life.word(self.ticked));
    }

    /// In which session, from 1, each voice is first raised.
    fn trial(mut self, mut life: Life, oddity: Oddity, every: usize) -> Trial {
        let mut found = Trial::default();
        for session in 1..=LOOKED_FOR {
            let is_odd = session % every == 0;
            let asked = self.session(&mut life, is_odd.then_some(oddity));
            for (found, asked) in found.iter_mut().zip(asked) {
                if asked {
                    found.get_or_insert(session);
                }
            }
        }
        found
    }
}

impl OddityDelay {
    fn of((oddity, every): (Oddity, usize), trials: &[Trial]) -> Self {
        let by = |voice: usize| {
            Estimate::share(trials.iter().filter(|trial| trial[voice].is_some()).count(), trials.len())
        };
        let sessions = trials.iter().map(|trial| trial[0].map_or(f64::INFINITY, |n| n as f64)).collect();
        Self {
            oddity,
            every,
            agents: trials.len(),
            found: by(0),
            sessions: Spread::of(sessions),
            of_endpoint: by(1),
            of_a_session: by(2),
            of_drift: by(3),
        }
    }
}
