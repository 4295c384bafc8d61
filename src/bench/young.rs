//! Agents attacked in their first days, in a fleet that is two weeks old, with and without a manifest; and how often newcomers
//! to other fleets are asked about for nothing.

use std::num::NonZeroU32;

use detector::{Budgets, Detector, DetectorConfig, Manifest};
use rand::RngExt;
use serde::Serialize;

use super::attack::Attack;
use super::chance::{Dice, Purpose, normal, stream};
use super::delay::{Delay, Outcome};
use super::fleet::Fleet;
use super::hearing::{Ear, Grade, Lens, levels};
use super::interval::Estimate;
use super::player::{Due, Player, minute, spread};
use super::progress::Progress;
use super::source::{DAY, STUDY_RATES, Source};
use super::trial::{self, Luck, Victim};

/// Ages at which they are attacked, minutes.
pub(crate) const AGES_MIN: [u32; 3] = [12, 180, 2_880];
/// What they are attacked with.
pub(crate) const FACTORS: [f64; 3] = [5.0, 20.0, 100.0];
/// The newcomers come within three days when their peers are two weeks old.
const FIRST_DAY: u32 = 14;
const ARRIVAL_DAYS: u32 = 3;
pub(crate) const DAYS: u32 = FIRST_DAY + ARRIVAL_DAYS + 3;
/// A declared rate is off by a factor of this log-sd; a declared ceiling is three times the mean of a minute and ten calls, which
/// chance alone does not reach.
const DECLARED_LOG_SD: f64 = 0.4;
const CEILING: f64 = 3.0;
const CEILING_CALLS: f64 = 10.0;

/// The fleets that newcomers come to. They are attacked in the first, as in the study; the others bring what a declared mean
/// does not say, and are listened to in peace.
pub(crate) const FLEETS: [Fleet; 4] = [ATTACKED, Fleet::Season, Fleet::Sessions, Fleet::Hawkes];
const ATTACKED: Fleet = Fleet::Poisson;

/// What newcomers of one kind showed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct YoungReport {
    pub(crate) fleet: &'static str,
    pub(crate) manifest: bool,
    pub(crate) newcomers: usize,
    /// False step-ups of the combined verdict in their first two days, per agent in 90 days.
    pub(crate) false_step_ups: Estimate,
    pub(crate) attacks: Vec<YoungDelay>,
}

/// One attack at one age.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct YoungDelay {
    pub(crate) age_minutes: u32,
    #[serde(flatten)]
    pub(crate) delay: Delay,
}

struct Newcomer {
    /// Its place among all agents.
    agent: usize,
    source: Source,
    instants: Dice,
    arrives: u32,
    declared: bool,
    ear: Ear,
    busy: [bool; 3],
}

/// By manifest, age, factor.
type Outcomes = [[[Vec<Outcome>; 3]; 3]; 2];

struct Nursery {
    fleet: Fleet,
    budgets: Budgets,
    seed: u64,
    peers: Vec<(Source, Dice)>,
    newcomers: Vec<Newcomer>,
    due: Vec<Due>,
    outcomes: Outcomes,
}

/// Runs `newcomers` of either kind among as many peers of one fleet.
pub(crate) fn run(
    fleet: Fleet,
    seed: u64,
    newcomers: usize,
    budgets: Budgets,
    progress: &Progress,
) -> Vec<YoungReport> {
    let mut nursery = Nursery::new(fleet, seed, newcomers, budgets);
    let agents = nursery.peers.len() + nursery.newcomers.len();
    let names: Vec<String> = (0..agents).map(|a| format!("young-{a}")).collect();
    let manifests = nursery.manifests(&names);
    let config = DetectorConfig { budgets, ..DetectorConfig::default() };
    let mut player = Player::new(Detector::new(config, &manifests), &names);
    for now in 0..DAYS * DAY {
        if now % DAY == 0 {
            progress.day();
        }
        if fleet == ATTACKED {
            nursery.attack(now, &player);
        }
        nursery.play(now, &mut player);
    }
    [false, true].map(|manifest| nursery.report(manifest)).into()
}

impl Nursery {
    fn new(fleet: Fleet, seed: u64, n: usize, budgets: Budgets) -> Self {
        let source = |agent| Source::new(fleet, seed, agent, STUDY_RATES);
        let instants = |agent| stream(seed, "young", agent, Purpose::Instants);
        let newcomer = |i: usize| {
            let agent = n + i;
            let mut arrival = stream(seed, "young", agent, Purpose::Change);
            Newcomer {
                agent,
                source: source(agent),
                instants: instants(agent),
                arrives: arrival.random_range(FIRST_DAY * DAY..(FIRST_DAY + ARRIVAL_DAYS) * DAY),
                declared: i % 2 == 1,
                ear: Ear::default(),
                busy: [false; 3],
            }
        };
        Self {
            fleet,
            budgets,
            seed,
            peers: (0..n).map(|a| (source(a), instants(a))).collect(),
            newcomers: (0..2 * n).map(newcomer).collect(),
            due: Vec::new(),
            outcomes: Outcomes::default(),
        }
    }

    fn manifests(&self, names: &[String]) -> Vec<Manifest> {
        let declare = |new: &Newcomer| {
            let mut dice = stream(self.seed, "young", new.agent, Purpose::Manifest);
            let truth = new.source.mean_rate();
            // Where calls come in bursts no such ceiling would be declared.
            let ceiling = (self.fleet == ATTACKED).then_some((CEILING * truth + CEILING_CALLS).ceil() as u32);
            Manifest {
                agent_id: names[new.agent].clone(),
                calls_per_hour: Some(truth * 60.0 * (DECLARED_LOG_SD * normal(&mut dice)).exp()),
                calls_per_minute_max: ceiling.and_then(NonZeroU32::new),
                ..Manifest::default()
            }
        };
        self.newcomers.iter().filter(|n| n.declared).map(declare).collect()
    }

    fn attack(&mut self, now: u32, player: &Player<'_>) {
        for new in &self.newcomers {
            let Some(age) = AGES_MIN.iter().position(|age| new.arrives + age == now) else { continue };
            for (factor, outcomes) in
                FACTORS.into_iter().zip(&mut self.outcomes[usize::from(new.declared)][age])
            {
                let victim = Victim {
                    player: player.clone(),
                    agent: new.agent,
                    source: new.source.clone(),
                    busy: new.busy,
                };
                let attack = Attack::Jump(factor);
                let luck = Luck::new(self.seed, "young", new.agent, attack);
                outcomes.push(trial::attack(victim, attack, now, luck, self.budgets));
            }
        }
    }

    fn play(&mut self, now: u32, player: &mut Player<'_>) {
        let Self { peers, newcomers, due, budgets, .. } = self;
        due.clear();
        for (agent, (source, instants)) in peers.iter_mut().enumerate() {
            spread(source.next_minute().count, minute(now), agent, instants, due);
        }
        for new in newcomers.iter_mut().filter(|n| n.arrives <= now) {
            spread(new.source.next_minute().count, minute(now), new.agent, &mut new.instants, due);
        }
        due.sort_unstable();
        let thresholds = Grade::ALL.map(|g| g.threshold(*budgets));
        for &call in &*due {
            player.tick(call.at, &mut |_, _| {});
            let Some(verdict) = player.call(call) else { continue };
            if let Some(new) = call.agent.checked_sub(peers.len()).and_then(|i| newcomers.get_mut(i)) {
                new.busy = levels(&verdict).map(|level| level >= thresholds[Grade::StepUp as usize]);
                if now < new.arrives + AGES_MIN[2] {
                    new.ear.hear(&verdict, call.at, false, thresholds);
                }
            }
        }
        player.tick(minute(now + 1), &mut |_, _| {});
    }

    fn report(&self, manifest: bool) -> YoungReport {
        let ears = || self.newcomers.iter().filter(|n| n.declared == manifest).map(|n| &n.ear);
        let count = ears().map(|e| u64::from(e.all[Lens::Combined as usize][Grade::StepUp as usize])).sum();
        let newcomers = ears().count();
        let exposure = newcomers as f64 * f64::from(AGES_MIN[2] / DAY) / 90.0;
        let mut attacks = Vec::new();
        let outcomes = &self.outcomes[usize::from(manifest)];
        for (age_minutes, by_factor) in AGES_MIN.into_iter().zip(outcomes).filter(|_| self.fleet == ATTACKED)
        {
            for (factor, outcomes) in FACTORS.into_iter().zip(by_factor) {
                let name = Attack::Jump(factor).name();
                let rows = Delay::all(&name, Grade::StepUp, outcomes);
                attacks.extend(rows.map(|delay| YoungDelay { age_minutes, delay }));
            }
        }
        YoungReport {
            fleet: self.fleet.name(),
            manifest,
            newcomers,
            false_step_ups: Estimate::rate(count, exposure),
            attacks,
        }
    }
}
