//! What many agents do at once: attacks on a share of a fleet, and on one agent while its group does the same.

use detector::{Budgets, Detector, DetectorConfig, MicroBits};
use rand::seq::SliceRandom;
use serde::Serialize;

use super::chance::{Dice, Purpose, stream};
use super::fleet::Fleet;
use super::hearing::{GRADES, Grade, Lens, levels};
use super::interval::{Estimate, Spread};
use super::player::{Due, Player, minute, spread};
use super::progress::Progress;
use super::source::{DAY, STUDY_RATES, Source};

/// Shares of a fleet that are attacked at once, and with what.
const SHARES: [f64; 4] = [0.1, 0.3, 0.5, 1.0];
const FACTOR: f64 = 5.0;
/// When, minutes into the run: agents are settled, and no month has ended.
const OCCASIONS: [u32; 3] = [15 * DAY + 200, 18 * DAY + 630, 22 * DAY + 1_100];
/// The first month end begins with 30 January, day 25. After a day of it one agent does more, and is watched for half a
/// day, in which its group's incident holds though the copy plays that agent alone.
const MONTH_END: u32 = 25 * DAY;
const INTO_IT: u32 = DAY;
const ON_TOP: [f64; 3] = [5.0, 20.0, 100.0];
const WATCHED: u32 = DAY;
const WATCHED_ALONE: u32 = 11 * 60;
pub(crate) const DAYS: u32 = 26;

/// Attacks on a share of a fleet at once.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MassReport {
    pub(crate) share: f64,
    pub(crate) factor: f64,
    pub(crate) attacked: usize,
    pub(crate) occasions: usize,
    /// Occasions that were told as a cohort incident, and after how many minutes.
    pub(crate) told: Estimate,
    pub(crate) minutes: Option<Spread>,
    /// Of the attacked agents, those about which a person was asked, and those about which one would have been, were every
    /// agent alone; within a day.
    pub(crate) asked: Estimate,
    pub(crate) alone: Estimate,
}

/// An attack on one agent while all do five times as much as usual.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LoneReport {
    /// On top of what its group does.
    pub(crate) factor: f64,
    pub(crate) agents: usize,
    /// A person was asked about it within 11 hours, for more than what its cohort does, and after how many minutes.
    pub(crate) found: Estimate,
    pub(crate) minutes: Option<Spread>,
}

/// What happens to groups.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CohortReport {
    pub(crate) agents: usize,
    pub(crate) mass: Vec<MassReport>,
    pub(crate) month_end: Vec<LoneReport>,
}

/// A fleet that can be copied and played on.
#[derive(Clone)]
struct World<'a> {
    player: Player<'a>,
    agents: Vec<(Source, Dice)>,
    due: Vec<Due>,
    thresholds: [MicroBits; GRADES],
}

/// Who is attacked, with what.
struct Blow<'a> {
    victims: &'a [usize],
    /// Whether the others live on.
    with_others: bool,
    factor: f64,
    dice: Dice,
}

/// When each agent was first over, minutes, by whether a person is asked about it or its level alone says so.
type Firsts = Vec<[Option<f64>; 2]>;

impl<'a> World<'a> {
    fn new(fleet: Fleet, seed: u64, names: &'a [String]) -> Self {
        let agent =
            |n| (Source::new(fleet, seed, n, STUDY_RATES), stream(seed, fleet.name(), n, Purpose::Instants));
        Self {
            player: Player::new(Detector::new(DetectorConfig::default(), &[]), names),
            agents: (0..names.len()).map(agent).collect(),
            due: Vec::new(),
            thresholds: Grade::ALL.map(|g| g.threshold(Budgets::default())),
        }
    }

    fn play(&mut self, now: u32, from: u32, blow: Option<&mut Blow<'_>>, firsts: &mut Firsts) {
        let Self { player, agents, due, thresholds } = self;
        due.clear();
        let mut blow = blow;
        for (n, (source, instants)) in agents.iter_mut().enumerate() {
            if blow.as_ref().is_some_and(|b| !b.with_others && !b.victims.contains(&n)) {
                continue;
            }
            let usual = source.next_minute();
            let count = match &mut blow {
                Some(b) if b.victims.contains(&n) => {
                    source.multiplied(usual, b.factor, b.factor, &mut b.dice)
                }
                _ => usual.count,
            };
            spread(count, minute(now), n, instants, due);
        }
        due.sort_unstable();
        for &call in &*due {
            player.tick(call.at, &mut |_, _| {});
            let Some(verdict) = player.call(call) else { continue };
            let level = levels(&verdict)[Lens::Combined as usize];
            for (first, grade) in firsts[call.agent].iter_mut().zip([Grade::StepUp, Grade::StepUpLevel]) {
                let threshold = thresholds[grade as usize];
                if level >= threshold && !grade.is_withheld(&verdict, Lens::Combined, threshold) {
                    first.get_or_insert(call.at.since(minute(from)).as_secs_f64() / 60.0);
                }
            }
        }
        player.tick(minute(now + 1), &mut |_, _| {});
    }

    /// A copy lives on under attack; when it was told of an incident, and who was over when.
    fn attacked(&self, from: u32, mut blow: Blow<'_>) -> (Option<f64>, Firsts) {
        let (mut world, mut told) = (self.clone(), None);
        let (before, mut firsts) = (world.player.incidents(), vec![[None; 2]; self.agents.len()]);
        let watched = if blow.with_others { WATCHED } else { WATCHED_ALONE };
        for now in from..from + watched {
            world.play(now, from, Some(&mut blow), &mut firsts);
            if world.player.incidents() > before {
                told.get_or_insert(f64::from(now + 1 - from));
            }
        }
        (told, firsts)
    }
}

/// Runs fleets of `agents` with a season.
pub(crate) fn run(seed: u64, agents: usize, progress: &Progress) -> CohortReport {
    let names: Vec<String> = (0..agents).map(|a| format!("cohort-{a}")).collect();
    let mut world = World::new(Fleet::MonthEnd, seed, &names);
    let mut firsts = vec![[None; 2]; agents];
    let mut occasions = Vec::new();
    for now in 0..MONTH_END + INTO_IT {
        if now % DAY == 0 {
            progress.day();
        }
        if OCCASIONS.contains(&now) {
            occasions.push((now, world.clone()));
        }
        world.play(now, 0, None, &mut firsts);
    }
    let order = |trial: usize| {
        let mut order: Vec<usize> = (0..agents).collect();
        order.shuffle(&mut stream(seed, "cohort", trial, Purpose::Change));
        order
    };
    let dice = |trial: usize| stream(seed, "cohort", trial, Purpose::Attack);
    let mass = SHARES.map(|share| {
        let attacked = ((agents as f64 * share).round() as usize).clamp(1, agents);
        let (mut told, mut over) = (Vec::new(), Vec::new());
        for (trial, (from, world)) in occasions.iter().enumerate() {
            let order = order(trial);
            let victims = &order[..attacked];
            let (when, firsts) =
                world.attacked(*from, Blow { victims, with_others: true, factor: FACTOR, dice: dice(trial) });
            told.push(when);
            over.extend(victims.iter().map(|&n| firsts[n]));
        }
        let of = |i: usize| Estimate::share(over.iter().filter(|o| o[i].is_some()).count(), over.len());
        MassReport {
            share,
            factor: FACTOR,
            attacked,
            occasions: told.len(),
            told: Estimate::share(told.iter().flatten().count(), told.len()),
            minutes: Spread::of(told.iter().map(|t| t.unwrap_or(f64::INFINITY)).collect()),
            asked: of(0),
            alone: of(1),
        }
    });
    let from = MONTH_END + INTO_IT;
    let month_end = ON_TOP.map(|factor| {
        let first = |n: usize| {
            let (_, firsts) =
                world.attacked(from, Blow { victims: &[n], with_others: false, factor, dice: dice(n) });
            firsts[n][0]
        };
        let found: Vec<Option<f64>> = (0..agents).map(first).collect();
        LoneReport {
            factor,
            agents,
            found: Estimate::share(found.iter().flatten().count(), agents),
            minutes: Spread::of(found.iter().map(|f| f.unwrap_or(f64::INFINITY)).collect()),
        }
    });
    CohortReport { agents, mass: mass.into(), month_end: month_end.into() }
}
