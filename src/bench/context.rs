//! Who calls from where: a fleet whose agents move, are updated, fail and are denied now and then, and what thieves do.

mod life;
mod line;
mod person;
mod theft;

use std::time::Duration;

use detector::{ActorKind, Budgets, Detector, DetectorConfig, Kind, MicroBits, Timestamp, Verdict};
use rand::RngExt;
use serde::Serialize;

use self::life::{Event, Life};
use self::line::Line;
use self::person::Person;
use super::chance::{Dice, Purpose, stream};
use super::hearing::{GRADES, Grade, Lens};
use super::interval::{Estimate, Spread};
use super::player::{START, pass};
use super::progress::Progress;

/// Kinds of fleets.
pub(crate) const FLEETS: u64 = 3;
/// Thefts happen in weeks 5 to 7, and are looked for so long.
const WEEKS: std::ops::Range<u32> = 4 * 7 * 24..7 * 7 * 24;
const HOURS_MAX: u32 = 7 * 24;
/// So many times fewer lines than agents are played, since each has fifty, and each is robbed so many times as often.
const LINES_ONE_IN: usize = 8;
const LINE_ROBBED: usize = 4;
/// An alarm rests for a day; whoever was asked answers after one.
const DAY: Duration = Duration::from_hours(24);

/// A kind of fleet, of which this is one piece: an agent, or a line of them.
trait World: Clone {
    type Theft: Copy + 'static;
    const THEFTS: &'static [Self::Theft];
    const FLEET: &'static str;
    /// Whose evidence is told beside the whole verdict's.
    const ALONE: &'static str;
    /// Agents of one piece; their numbers follow one another.
    const AGENTS: usize = 1;

    fn new(seed: u64, place: usize, all: usize) -> Self;
    fn name(theft: Self::Theft) -> &'static str;
    /// The calls of an hour.
    fn hour(&mut self, hour: u32) -> Vec<Event>;
    /// The same while it is robbed; `other` is another piece.
    fn rob(&mut self, theft: Self::Theft, other: &Self, hour: u32, dice: &mut Dice) -> Vec<Event>;
    fn alone(verdict: &Verdict) -> MicroBits;
    /// The share of the budget that it has.
    fn share() -> f64;
}

/// What one fleet showed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ContextReport {
    pub(crate) fleet: &'static str,
    /// Whose evidence is told beside the whole verdict's.
    pub(crate) alone: &'static str,
    pub(crate) agents: usize,
    pub(crate) days: u32,
    pub(crate) calls: u64,
    pub(crate) false_alarms: Vec<ContextAlarms>,
    pub(crate) thefts: Vec<TheftDelay>,
}

/// Alarms of one grade: of one signal alone at its share of the budget, or of the whole verdict.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ContextAlarms {
    pub(crate) alone: bool,
    pub(crate) grade: Grade,
    /// What may be for nothing: all that an operator accepts, or the signal's share of it.
    pub(crate) budget_90d: f64,
    pub(crate) count: u64,
    pub(crate) per_90d: Estimate,
}

/// How soon one theft is found, at the step-up threshold of the whole verdict.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TheftDelay {
    pub(crate) theft: &'static str,
    pub(crate) agents: usize,
    pub(crate) busy: usize,
    pub(crate) found: Estimate,
    /// By one signal alone.
    pub(crate) by_one: Estimate,
    /// A watch at least.
    pub(crate) watched: Estimate,
    pub(crate) minutes: Option<Spread>,
    /// Calls of the thief.
    pub(crate) calls: Option<Spread>,
    /// Of those found: who the verdict says called, the agent itself or another.
    pub(crate) taken_for_agent: Estimate,
    pub(crate) told_impostor: Estimate,
}

/// Counts alarms of the whole verdict and of one signal alone.
#[derive(Clone, Debug, Default)]
struct Ear {
    resting: [[Timestamp; GRADES]; 2],
    counts: [[u64; GRADES]; 2],
}

/// The whole verdict's level, and that of one signal alone.
fn levels<W: World>(verdict: &Verdict) -> [MicroBits; 2] {
    [verdict.level, W::alone(verdict)]
}

impl Ear {
    /// True if the operator is asked.
    fn hear<W: World>(&mut self, verdict: &Verdict, at: Timestamp, budgets: Budgets) -> bool {
        let mut asked = false;
        for (i, level) in levels::<W>(verdict).into_iter().enumerate() {
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
struct Fleet<W> {
    detector: Detector,
    ticked: Timestamp,
    lives: Vec<W>,
    ears: Vec<Ear>,
    answers: Vec<Option<Timestamp>>,
    calls: u64,
}

/// Every kind of fleet for `days` days; each of its pieces is robbed in every way, in copies.
pub(crate) fn run(seed: u64, agents: usize, days: u32, progress: &Progress) -> Vec<ContextReport> {
    let lines = agents.div_ceil(LINES_ONE_IN).max(2);
    vec![
        play::<Life>(seed, (agents, 1), days, progress),
        play::<Line>(seed, (lines, LINE_ROBBED), days, progress),
        play::<Person>(seed, (agents, 1), days, progress),
    ]
}

/// So many `pieces`, each robbed so many times.
fn play<W: World>(
    seed: u64,
    (pieces, times): (usize, usize),
    days: u32,
    progress: &Progress,
) -> ContextReport {
    let budgets = Budgets::default();
    let mut fleet = Fleet::<W>::new(seed, pieces);
    let mut trials = vec![Vec::new(); W::THEFTS.len()];
    let robbed_at: Vec<(usize, u32)> = (0..pieces * times)
        .map(|n| (n % pieces, stream(seed, "context", n, Purpose::Change).random_range(WEEKS)))
        .collect();
    for hour in 0..days * 24 {
        if hour % 24 == 0 {
            progress.day();
        }
        for (piece, _) in robbed_at.iter().filter(|(_, at)| *at == hour) {
            for (theft, trials) in W::THEFTS.iter().zip(&mut trials) {
                trials.push(fleet.rob(seed, *piece, hour, *theft, budgets));
            }
        }
        fleet.play(hour, budgets);
    }
    fleet.report(days, trials, budgets)
}

impl<W: World> Fleet<W> {
    fn new(seed: u64, pieces: usize) -> Self {
        let agents = pieces * W::AGENTS;
        Self {
            detector: Detector::new(DetectorConfig::default(), &[]),
            ticked: START,
            lives: (0..pieces).map(|place| W::new(seed, place, pieces)).collect(),
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
                (call.kind, call.endpoint) = (Kind::Feedback, "".into());
                self.detector.observe(&call);
            }
            self.calls += 1;
            if let Some(verdict) = self.detector.observe(&event.call(self.calls))
                && self.ears[agent].hear::<W>(&verdict, event.at, budgets)
            {
                self.answers[agent].get_or_insert(event.at + DAY);
            }
        }
    }

    /// One theft from a copy of one piece, until it is found.
    fn rob(&self, seed: u64, piece: usize, from: u32, theft: W::Theft, budgets: Budgets) -> Trial {
        let (mut detector, mut ticked) = (self.detector.clone(), self.ticked);
        let mut life = self.lives[piece].clone();
        let mut dice = stream(seed, W::name(theft), piece + from as usize * 1_000, Purpose::Attack);
        let other = &self.lives[(piece + 1) % self.lives.len()];
        let begins = life::instant(from, 0.0);
        let [step_up, watch] = [Grade::StepUp, Grade::Watch].map(|grade| grade.threshold(budgets));
        let mut trial = Trial::default();
        let mut calls = 0;
        for hour in from..from + HOURS_MAX {
            let mut events = life.rob(theft, other, hour, &mut dice);
            events.sort_by_key(|event| event.at);
            for event in events {
                pass(&mut detector, &mut ticked, event.at);
                calls += u64::from(event.is_theft);
                let Some(verdict) = detector.observe(&event.call(self.calls + calls)) else { continue };
                let [level, one] = levels::<W>(&verdict);
                if calls == 0 {
                    // What stands before the first stolen call is none of it.
                    trial.is_busy |= level >= step_up;
                    continue;
                }
                trial.watched |= level >= watch;
                trial.by_one |= one >= step_up;
                if level >= step_up {
                    let minutes = event.at.since(begins).as_secs_f64() / 60.0;
                    if trial.found.is_none() {
                        (trial.found, trial.actor) = (Some((minutes, calls)), verdict.actor.is);
                    }
                }
            }
            if trial.found.is_some() && (trial.by_one || hour > from + 24) {
                break;
            }
        }
        trial
    }

    fn report(self, days: u32, trials: Vec<Vec<Trial>>, budgets: Budgets) -> ContextReport {
        let agents = self.ears.len();
        let row = |alone: bool, grade: Grade| {
            let count = self.ears.iter().map(|ear| ear.counts[usize::from(alone)][grade as usize]).sum();
            let per_90d = Estimate::rate(count, agents as f64 * f64::from(days) / 90.0);
            let share = if alone { W::share() } else { 1.0 };
            ContextAlarms { alone, grade, budget_90d: share * grade.budget_90d(budgets), count, per_90d }
        };
        let row = &row;
        let rows = [false, true].into_iter().flat_map(|alone| Grade::ALL.map(|grade| row(alone, grade)));
        ContextReport {
            fleet: W::FLEET,
            alone: W::ALONE,
            agents,
            days,
            calls: self.calls,
            false_alarms: rows.collect(),
            thefts: W::THEFTS
                .iter()
                .zip(trials)
                .map(|(theft, t)| TheftDelay::of(W::name(*theft), &t))
                .collect(),
        }
    }
}

/// How one theft ended.
#[derive(Clone, Debug, Default)]
struct Trial {
    is_busy: bool,
    watched: bool,
    by_one: bool,
    /// Minutes, and calls of the thief.
    found: Option<(f64, u64)>,
    /// Who called, by the verdict that found it.
    actor: ActorKind,
}

impl TheftDelay {
    fn of(theft: &'static str, trials: &[Trial]) -> Self {
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
            by_one: share(|trial| trial.by_one),
            watched: share(|trial| trial.watched),
            minutes: delay(|(minutes, _)| minutes),
            calls: delay(|(_, calls)| calls as f64),
            taken_for_agent: told(ActorKind::Legitimate),
            told_impostor: told(ActorKind::Impostor),
        }
    }
}
