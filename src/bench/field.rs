//! A whole fleet, eight weeks long: what is alarmed although nobody attacks, and attacks on copies on the way.

use std::time::Duration;

use anyhow::Result;
use detector::{Budgets, Detector, DetectorConfig, MicroBits, Timestamp, Verdict};
use rand::RngExt;

use super::attack::Attack;
use super::baseline::{self, Chase, Rivals};
use super::chance::{Dice, Purpose, stream};
use super::delay::{Delay, Outcome};
use super::false_alarms;
use super::hearing::{Ear, GRADES, Grade, Lens, levels};
use super::player::{Due, Player, minute, spread};
use super::progress::Progress;
use super::report::Played;
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
    pub(crate) days: u32,
    /// What an operator allows.
    pub(crate) budgets: Budgets,
    /// Whether false alarms are counted; else the run ends with the last attack.
    pub(crate) false_alarms: bool,
    /// What agents are attacked with, and on how many occasions. They take turns: of fewer agents each is attacked more
    /// than once.
    pub(crate) attacks: &'static [Attack],
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
    /// When it is attacked, the last first.
    changes: Vec<Change>,
    /// When the operator was asked, one a day at most.
    asked: Vec<Asked>,
    rivals: Option<Rivals>,
}

/// An occasion for every attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    minute: u32,
    /// Its number among the occasions of all agents.
    trial: usize,
}

/// The operator was asked about an agent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) at: Timestamp,
    /// The highest of the day that followed.
    pub(crate) level: MicroBits,
}

struct Field {
    name: &'static str,
    budgets: Budgets,
    agents: Vec<Agent>,
    due: Vec<Due>,
    attacks: &'static [Attack],
    /// By attack.
    tried: Vec<Tried>,
}

/// How an attack went, agent by agent.
#[derive(Clone, Default)]
struct Tried {
    outcomes: Vec<Outcome>,
    chases: Vec<Chase>,
}

/// Runs the fleet called `name` that `sources` make up. Beside the figures it says when the operator was asked
/// about each agent.
pub(crate) fn run(
    name: &'static str,
    sources: Vec<Source>,
    set: &Settings,
    progress: &Progress,
) -> Result<(Played, Vec<Vec<Asked>>)> {
    let names: Vec<String> = (0..sources.len()).map(|a| format!("{name}-{a}")).collect();
    let config = DetectorConfig { budgets: set.budgets, ..DetectorConfig::default() };
    let mut player = Player::new(Detector::new(config, &[]), &names);
    let mut field = Field::new(name, sources, set)?;
    for minute in 0..set.days * DAY {
        if minute % DAY == 0 {
            progress.day();
        }
        field.attack(set.seed, minute, &player);
        if !set.false_alarms && field.agents.iter().all(|a| a.changes.is_empty()) {
            progress.days(u64::from(set.days - 1 - minute / DAY));
            break;
        }
        field.play(minute, &mut player)?;
    }
    Ok(field.report(set, (player.played(), player.incidents())))
}

impl Field {
    fn new(name: &'static str, sources: Vec<Source>, set: &Settings) -> Result<Self> {
        // Weeks 5 and 6 of eight, and a bit: days 28 to 44 of 56.
        let weeks = set.days * DAY / 2..(set.days * DAY * 11 / 14).max(set.days * DAY / 2 + 1);
        let n = sources.len();
        let agent = |(agent, source): (usize, Source)| {
            let mut at = stream(set.seed, name, agent, Purpose::Change);
            let turns = (agent..set.attacked).step_by(n);
            let mut changes: Vec<Change> =
                turns.map(|trial| Change { minute: at.random_range(weeks.clone()), trial }).collect();
            changes.sort_unstable_by(|a, b| b.cmp(a));
            let forest = |n: usize| (agent < n).then_some(set.seed ^ agent as u64);
            Ok(Agent {
                source,
                instants: stream(set.seed, name, agent, Purpose::Instants),
                ear: Ear::default(),
                answer_at: None,
                levels: [MicroBits::ZERO; 3],
                changes,
                asked: Vec::new(),
                rivals: set.rivals.map(|n| Rivals::new(forest(n))).transpose()?,
            })
        };
        let agents = sources.into_iter().enumerate().map(agent).collect::<Result<_>>()?;
        let tried = vec![Tried::default(); set.attacks.len()];
        Ok(Self { name, budgets: set.budgets, agents, due: Vec::new(), attacks: set.attacks, tried })
    }

    /// Attacks copies of the agents whose time has come. Agents in a pause are waited for: multiplying nothing is no
    /// attack.
    fn attack(&mut self, seed: u64, minute: u32, player: &Player<'_>) {
        for (n, agent) in self.agents.iter_mut().enumerate() {
            let Some(change) = agent.changes.pop_if(|c| c.minute <= minute && agent.source.is_awake()) else {
                continue;
            };
            for (&attack, tried) in self.attacks.iter().zip(&mut self.tried) {
                let threshold = attack.grade().threshold(self.budgets);
                let busy = agent.levels.map(|level| level >= threshold);
                let luck = Luck::new(seed, self.name, change.trial, attack);
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

    fn report(self, set: &Settings, (calls, incidents): (u64, u32)) -> (Played, Vec<Vec<Asked>>) {
        let ears: Vec<&Ear> = self.agents.iter().map(|a| &a.ear).collect();
        let rivals: Vec<&Rivals> = self.agents.iter().filter_map(|a| a.rivals.as_ref()).collect();
        let (mut false_alarms, mut rows) = (Vec::new(), Vec::new());
        if set.false_alarms {
            false_alarms = false_alarms::summary(&ears, set.days, self.budgets);
            rows = baseline::summary(&rivals, set.days);
        }
        let (mut delays, mut rival_delays) = (Vec::new(), Vec::new());
        for (attack, tried) in self.attacks.iter().zip(&self.tried).filter(|(_, t)| !t.outcomes.is_empty()) {
            delays.extend(Delay::all(&attack.name(), attack.grade(), &tried.outcomes));
            rival_delays.extend(baseline::delays(*attack, &tried.chases));
        }
        let played = Played {
            agents: self.agents.len(),
            days: set.days,
            calls,
            false_alarms,
            cohort_incidents: incidents,
            rivals: rows,
            delays,
            rival_delays,
        };
        (played, self.agents.into_iter().map(|a| a.asked).collect())
    }
}

impl Agent {
    fn hear(&mut self, verdict: &Verdict, at: Timestamp, late: bool, thresholds: [MicroBits; GRADES]) {
        self.levels = levels(verdict);
        let level = self.levels[Lens::Combined as usize];
        let asks = self.ear.hear(verdict, at, late, thresholds);
        if asks {
            self.answer_at.get_or_insert(at + ANSWER_AFTER);
        }
        match self.asked.last_mut() {
            Some(last) if at < last.at + ANSWER_AFTER => last.level = last.level.max(level),
            _ if asks => self.asked.push(Asked { at, level }),
            _ => {}
        }
    }
}

/// Time passes for all; a silent agent may be spoken of.
fn pass(
    player: &mut Player<'_>,
    agents: &mut [Agent],
    until: Timestamp,
    late: bool,
    thresholds: [MicroBits; GRADES],
) {
    player.tick(until, &mut |name, verdict| {
        // Names end in the agent's number.
        let number = name.rsplit_once('-').and_then(|(_, n)| n.parse::<usize>().ok());
        if let Some(agent) = number.and_then(|n| agents.get_mut(n)) {
            agent.hear(verdict, verdict.ts, late, thresholds);
        }
    });
}
