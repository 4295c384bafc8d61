//! Who calls from where: a fleet whose agents move, are updated, fail and are denied now and then, and what thieves do.

mod life;
mod theft;

use std::time::Duration;

use detector::{ActorKind, Budgets, Detector, DetectorConfig, Kind, MicroBits, Signal, Timestamp, Verdict};
use rand::RngExt;
use serde::Serialize;

use self::life::{Event, Life};
pub(crate) use self::theft::Theft;
use super::chance::{Purpose, stream};
use super::hearing::{GRADES, Grade, Lens};
use super::interval::{Estimate, Spread};
use super::player::{START, pass};
use super::progress::Progress;

/// Thefts happen in weeks 5 to 7, and are looked for so long.
const WEEKS: std::ops::Range<u32> = 4 * 7 * 24..7 * 7 * 24;
const HOURS_MAX: u32 = 7 * 24;
/// An alarm rests for a day; whoever was asked answers after one.
const DAY: Duration = Duration::from_hours(24);

/// What the fleet showed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ContextReport {
    pub(crate) agents: usize,
    pub(crate) days: u32,
    pub(crate) calls: u64,
    pub(crate) false_alarms: Vec<ContextAlarms>,
    pub(crate) thefts: Vec<TheftDelay>,
}

/// Alarms of one grade: of context alone at its share of the budget, or of the whole verdict.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ContextAlarms {
    pub(crate) alone: bool,
    pub(crate) grade: Grade,
    pub(crate) budget_90d: f64,
    pub(crate) count: u64,
    pub(crate) per_90d: Estimate,
}

/// How soon one theft is found, at the step-up threshold of the whole verdict.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TheftDelay {
    pub(crate) theft: Theft,
    pub(crate) agents: usize,
    pub(crate) busy: usize,
    pub(crate) found: Estimate,
    /// By context alone.
    pub(crate) by_context: Estimate,
    /// A watch at least.
    pub(crate) watched: Estimate,
    pub(crate) minutes: Option<Spread>,
    /// Calls of the thief.
    pub(crate) calls: Option<Spread>,
    /// Of those found: who the verdict says called, the agent itself or another.
    pub(crate) taken_for_agent: Estimate,
    pub(crate) told_impostor: Estimate,
}

/// Counts alarms of the whole verdict and of context alone.
#[derive(Clone, Debug, Default)]
struct Ear {
    resting: [[Timestamp; GRADES]; 2],
    counts: [[u64; GRADES]; 2],
}

/// The whole verdict's level, and that of context alone.
fn levels(verdict: &Verdict) -> [MicroBits; 2] {
    [verdict.level, verdict.part(Signal::Context).map_or(MicroBits::ZERO, |part| part.level)]
}

impl Ear {
    /// True if the operator is asked.
    fn hear(&mut self, verdict: &Verdict, at: Timestamp, budgets: Budgets) -> bool {
        let mut asked = false;
        for (i, level) in levels(verdict).into_iter().enumerate() {
            for grade in Grade::ALL {
                let g = grade as usize;
                let threshold = grade.threshold(budgets);
                let is_over = level >= threshold && !grade.is_withheld(verdict, Lens::Combined, threshold);
                if is_over && at >= self.resting[i][g] {
                    self.resting[i][g] = at + DAY;
                    self.counts[i][g] += 1;
                    asked |= i == 0 && grade == Grade::StepUp;
                }
            }
        }
        asked
    }
}

/// The fleet as it runs.
struct Fleet {
    detector: Detector,
    ticked: Timestamp,
    lives: Vec<Life>,
    ears: Vec<Ear>,
    answers: Vec<Option<Timestamp>>,
    calls: u64,
}

/// Runs `agents` agents for `days` days; each is robbed once in every way, in copies.
pub(crate) fn run(seed: u64, agents: usize, days: u32, progress: &Progress) -> ContextReport {
    let budgets = Budgets::default();
    let mut fleet = Fleet::new(seed, agents);
    let mut trials = vec![Vec::new(); Theft::ALL.len()];
    let robbed_at: Vec<u32> = (0..agents)
        .map(|agent| stream(seed, "context", agent, Purpose::Change).random_range(WEEKS))
        .collect();
    for hour in 0..days * 24 {
        if hour % 24 == 0 {
            progress.day();
        }
        for agent in (0..agents).filter(|&agent| robbed_at[agent] == hour) {
            for (theft, trials) in Theft::ALL.into_iter().zip(&mut trials) {
                trials.push(fleet.rob(seed, agent, hour, theft, budgets));
            }
        }
        fleet.play(hour, budgets);
    }
    fleet.report(days, trials, budgets)
}

impl Fleet {
    fn new(seed: u64, agents: usize) -> Self {
        Self {
            detector: Detector::new(DetectorConfig::default(), &[]),
            ticked: START,
            lives: (0..agents).map(|agent| Life::new(seed, agent, agents)).collect(),
            ears: vec![Ear::default(); agents],
            answers: vec![None; agents],
            calls: 0,
        }
    }

    fn play(&mut self, hour: u32, budgets: Budgets) {
        let mut events: Vec<Event> = self.lives.iter_mut().flat_map(|life| life.hour(hour)).collect();
        events.sort_by(|a, b| a.at.cmp(&b.at).then(a.agent.cmp(&b.agent)));
        for event in events {
            pass(&mut self.detector, &mut self.ticked, event.at);
            let agent = event.agent;
            if self.answers[agent].is_some_and(|due| due <= event.at) {
                self.answers[agent] = None;
                let mut call = event.call(self.calls);
                call.kind = Kind::Feedback;
                self.detector.observe(&call);
            }
            self.calls += 1;
            if let Some(verdict) = self.detector.observe(&event.call(self.calls))
                && self.ears[agent].hear(&verdict, event.at, budgets)
            {
                self.answers[agent].get_or_insert(event.at + DAY);
            }
        }
    }

    /// One theft from a copy of one agent, until it is found.
    fn rob(&self, seed: u64, agent: usize, from: u32, theft: Theft, budgets: Budgets) -> Trial {
        let (mut detector, mut ticked) = (self.detector.clone(), self.ticked);
        let mut life = self.lives[agent].clone();
        let mut dice = stream(seed, theft.name(), agent, Purpose::Attack);
        let other = &self.lives[(agent + 1) % self.lives.len()];
        let begins = life::instant(from, 0.0);
        let [step_up, watch] = [Grade::StepUp, Grade::Watch].map(|grade| grade.threshold(budgets));
        let mut trial = Trial::default();
        let mut calls = 0;
        for hour in from..from + HOURS_MAX {
            let mut events = theft.hour(&mut life, other, hour, &mut dice);
            events.sort_by_key(|event| event.at);
            for event in events {
                pass(&mut detector, &mut ticked, event.at);
                calls += u64::from(event.is_theft);
                let Some(verdict) = detector.observe(&event.call(self.calls + calls)) else { continue };
                let [level, context] = levels(&verdict);
                if calls == 0 {
                    // What stands before the first stolen call is none of it.
                    trial.is_busy |= level >= step_up;
                    continue;
                }
                trial.watched |= level >= watch;
                trial.by_context |= context >= step_up;
                if level >= step_up {
                    let minutes = event.at.since(begins).as_secs_f64() / 60.0;
                    if trial.found.is_none() {
                        (trial.found, trial.actor) = (Some((minutes, calls)), verdict.actor.is);
                    }
                }
            }
            if trial.found.is_some() && (trial.by_context || hour > from + 24) {
                break;
            }
        }
        trial
    }

    fn report(self, days: u32, trials: Vec<Vec<Trial>>, budgets: Budgets) -> ContextReport {
        let agents = self.lives.len();
        let row = |alone: bool, grade: Grade| {
            let count = self.ears.iter().map(|ear| ear.counts[usize::from(alone)][grade as usize]).sum();
            let per_90d = Estimate::rate(count, agents as f64 * f64::from(days) / 90.0);
            ContextAlarms { alone, grade, budget_90d: grade.budget_90d(budgets), count, per_90d }
        };
        let row = &row;
        let rows = [false, true].into_iter().flat_map(|alone| Grade::ALL.map(|grade| row(alone, grade)));
        ContextReport {
            agents,
            days,
            calls: self.calls,
            false_alarms: rows.collect(),
            thefts: Theft::ALL.into_iter().zip(trials).map(|(theft, t)| TheftDelay::of(theft, &t)).collect(),
        }
    }
}

/// How one theft ended.
#[derive(Clone, Debug, Default)]
struct Trial {
    is_busy: bool,
    watched: bool,
    by_context: bool,
    /// Minutes, and calls of the thief.
    found: Option<(f64, u64)>,
    /// Who called, by the verdict that found it.
    actor: ActorKind,
}

impl TheftDelay {
    fn of(theft: Theft, trials: &[Trial]) -> Self {
        let free: Vec<&Trial> = trials.iter().filter(|trial| !trial.is_busy).collect();
        let share = |is: fn(&Trial) -> bool| {
            Estimate::share(free.iter().filter(|trial| is(trial)).count(), free.len())
        };
        let delay = |f: fn((f64, u64)) -> f64| {
            Spread::of(free.iter().map(|trial| trial.found.map_or(f64::INFINITY, f)).collect())
        };
        let found = || free.iter().filter(|trial| trial.found.is_some());
        let told = |who| Estimate::share(found().filter(|trial| trial.actor == who).count(), found().count());
        Self {
            theft,
            agents: trials.len(),
            busy: trials.len() - free.len(),
            found: share(|trial| trial.found.is_some()),
            by_context: share(|trial| trial.by_context),
            watched: share(|trial| trial.watched),
            minutes: delay(|(minutes, _)| minutes),
            calls: delay(|(_, calls)| calls as f64),
            taken_for_agent: told(ActorKind::Legitimate),
            told_impostor: told(ActorKind::Impostor),
        }
    }
}
