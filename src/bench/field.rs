//! A whole fleet, eight weeks long: what is alarmed for nothing, and attacks on copies on the way.

use std::time::Duration;

use anyhow::Result;
use detector::{Budgets, Detector, DetectorConfig, MicroBits, Timestamp, Verdict};
use rand::RngExt;

use super::attack::ATTACKS;
use super::baseline::{self, Chase, Rivals};
use super::chance::{Dice, Purpose, stream};
use super::delay::{Delay, Outcome};
use super::false_alarms;
use super::fleet::Fleet;
use super::hearing::{Ear, Grade, levels};
use super::player::{Due, Player, minute, spread};
use super::progress::Progress;
use super::report::FleetReport;
use super::source::{DAY, Source};
use super::trial::{self, Luck, Victim};

/// Whoever was asked for a step-up answers a day later that all is well, as in the study.
const ANSWER_AFTER: Duration = Duration::from_hours(24);
/// "Weeks 3-8" begin here.
pub(crate) const LATE_FROM: u32 = 14 * DAY;

/// How a fleet is run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) agents: usize,
    pub(crate) days: u32,
    /// Base rates, calls a minute.
    pub(crate) rates: (f64, f64),
    /// Whether false alarms are counted; else the run ends with the last attack.
    pub(crate) false_alarms: bool,
    /// The first so many agents are attacked.
    pub(crate) attacked: usize,
    /// Whether rivals watch, and a forest the first so many agents.
    pub(crate) rivals: Option<usize>,
}

struct Agent {
    source: Source,
    instants: Dice,
    ear: Ear,
    answer_at: Option<Timestamp>,
    levels: [MicroBits; 3],
    /// In which minute it is attacked.
    change: Option<u32>,
    rivals: Option<Rivals>,
}

struct Field {
    budgets: Budgets,
    agents: Vec<Agent>,
    due: Vec<Due>,
    /// By attack.
    tried: Vec<Tried>,
}

/// How an attack went, agent by agent.
#[derive(Clone, Default)]
struct Tried {
    outcomes: Vec<Outcome>,
    chases: Vec<Chase>,
}

/// Runs one fleet.
pub(crate) fn run(fleet: Fleet, set: &Settings, progress: &Progress) -> Result<FleetReport> {
    let names: Vec<String> = (0..set.agents).map(|a| format!("{}-{a}", fleet.name())).collect();
    let mut player = Player::new(Detector::new(DetectorConfig::default(), &[]), &names);
    let mut field = Field::new(fleet, set)?;
    for minute in 0..set.days * DAY {
        if minute % DAY == 0 {
            progress.day();
        }
        field.attack(fleet, set.seed, minute, &player);
        if !set.false_alarms && field.agents.iter().all(|a| a.change.is_none()) {
            progress.days(u64::from(set.days - 1 - minute / DAY));
            break;
        }
        field.play(minute, &mut player)?;
    }
    Ok(field.report(fleet, set, player.played()))
}

impl Field {
    fn new(fleet: Fleet, set: &Settings) -> Result<Self> {
        let agent = |agent: usize| {
            let mut at = stream(set.seed, fleet.name(), agent, Purpose::Change);
            // Weeks 5 and 6 of eight, and a bit: days 28 to 44 of 56.
            let change =
                at.random_range(set.days * DAY / 2..(set.days * DAY * 11 / 14).max(set.days * DAY / 2 + 1));
            let forest = |n: usize| (agent < n).then_some(set.seed ^ agent as u64);
            Ok(Agent {
                source: Source::new(fleet, set.seed, agent, set.rates),
                instants: stream(set.seed, fleet.name(), agent, Purpose::Instants),
                ear: Ear::default(),
                answer_at: None,
                levels: [MicroBits::ZERO; 3],
                change: (agent < set.attacked).then_some(change),
                rivals: set.rivals.map(|n| Rivals::new(forest(n))).transpose()?,
            })
        };
        let agents = (0..set.agents).map(agent).collect::<Result<_>>()?;
        let tried = vec![Tried::default(); ATTACKS.len()];
        Ok(Self { budgets: Budgets::default(), agents, due: Vec::new(), tried })
    }

    /// Attacks copies of the agents whose time has come. Agents in a pause of weeks are waited for: multiplying nothing
    /// is no attack.
    fn attack(&mut self, fleet: Fleet, seed: u64, minute: u32, player: &Player<'_>) {
        for (n, agent) in self.agents.iter_mut().enumerate() {
            if agent.change.is_none_or(|at| at > minute) || !agent.source.is_awake() {
                continue;
            }
            agent.change = None;
            for (attack, tried) in ATTACKS.into_iter().zip(&mut self.tried) {
                let threshold = attack.grade().threshold(self.budgets);
                let busy = agent.levels.map(|level| level >= threshold);
                let luck = Luck::new(seed, fleet.name(), n, attack);
                let source = agent.source.clone();
                let chase =
                    agent.rivals.as_ref().map(|r| r.chase(source.clone(), attack, luck.counts.clone()));
                tried.chases.extend(chase);
                let victim = Victim { player: player.clone(), agent: n, source, busy };
                tried.outcomes.push(trial::attack(victim, attack, minute, luck, self.budgets));
            }
        }
    }

    /// Plays one minute of all agents in order of time.
    fn play(&mut self, now: u32, player: &mut Player<'_>) -> Result<()> {
        self.due.clear();
        for (n, agent) in self.agents.iter_mut().enumerate() {
            let count = agent.source.next_minute().count;
            if let Some(rivals) = &mut agent.rivals {
                rivals.see(now, count)?;
            }
            spread(count, minute(now), n, &mut agent.instants, &mut self.due);
        }
        self.due.sort_unstable();
        let Self { agents, due, budgets, .. } = self;
        let thresholds = Grade::ALL.map(|g| g.threshold(*budgets));
        let late = now >= LATE_FROM;
        for &call in &*due {
            pass(player, agents, call.at, late, thresholds);
            let agent = &mut agents[call.agent];
            if agent.answer_at.is_some_and(|at| at <= call.at) {
                agent.answer_at = None;
                player.benign(call.at, call.agent);
            }
            if let Some(verdict) = player.call(call) {
                agent.hear(&verdict, call.at, late, thresholds);
            }
        }
        pass(player, agents, minute(now + 1), late, thresholds);
        Ok(())
    }

    fn report(self, fleet: Fleet, set: &Settings, calls: u64) -> FleetReport {
        let ears: Vec<&Ear> = self.agents.iter().map(|a| &a.ear).collect();
        let rivals: Vec<&Rivals> = self.agents.iter().filter_map(|a| a.rivals.as_ref()).collect();
        let (mut false_alarms, mut rows) = (Vec::new(), Vec::new());
        if set.false_alarms {
            false_alarms = false_alarms::summary(&ears, set.days, self.budgets);
            rows = baseline::summary(&rivals, set.days);
        }
        let (mut delays, mut rival_delays) = (Vec::new(), Vec::new());
        for (attack, tried) in ATTACKS.into_iter().zip(&self.tried).filter(|(_, t)| !t.outcomes.is_empty()) {
            delays.extend(Delay::all(&attack.name(), attack.grade(), &tried.outcomes));
            rival_delays.extend(baseline::delays(attack, &tried.chases));
        }
        FleetReport {
            fleet,
            about: fleet.about(),
            true_change: fleet.true_change(),
            agents: set.agents,
            days: set.days,
            calls,
            false_alarms,
            rivals: rows,
            delays,
            rival_delays,
        }
    }
}

impl Agent {
    fn hear(&mut self, verdict: &Verdict, at: Timestamp, late: bool, thresholds: [MicroBits; 3]) {
        self.levels = levels(verdict);
        if self.ear.hear(verdict, at, late, thresholds) && self.answer_at.is_none() {
            self.answer_at = Some(at + ANSWER_AFTER);
        }
    }
}

/// Time passes for all; a silent agent may be spoken of.
fn pass(
    player: &mut Player<'_>,
    agents: &mut [Agent],
    until: Timestamp,
    late: bool,
    thresholds: [MicroBits; 3],
) {
    player.tick(until, &mut |name, verdict| {
        // Names end in the agent's number.
        let number = name.rsplit_once('-').and_then(|(_, n)| n.parse::<usize>().ok());
        if let Some(agent) = number.and_then(|n| agents.get_mut(n)) {
            agent.hear(verdict, verdict.ts, late, thresholds);
        }
    });
}
