//! An attack on one agent of a running fleet: the detector is copied, and that agent alone is played on.

use detector::Budgets;

use super::attack::Attack;
use super::chance::{Dice, Purpose, stream};
use super::delay::{Outcome, Search};
use super::hearing::Lens;
use super::player::{Due, Player, minute, spread};
use super::source::Source;

/// Once volume has found the attack, timing gets this many calls to do so too; the study gave it 1,000.
const TIMING_CALLS: u64 = 1_000;
/// An attack that makes so many calls unseen is missed, whatever time is left.
const CALLS_MAX: u64 = 500_000;

/// The agent that is attacked, as it was in the minute before.
pub(crate) struct Victim<'a> {
    pub(crate) player: Player<'a>,
    pub(crate) agent: usize,
    pub(crate) source: Source,
    /// Lenses that are over the threshold already.
    pub(crate) busy: [bool; 3],
}

/// The chance of one attack on one agent: how many calls a minute holds, and when in it they come.
#[derive(Clone)]
pub(crate) struct Luck {
    pub(crate) counts: Dice,
    pub(crate) instants: Dice,
}

impl Luck {
    /// Of `attack` on an agent of the fleet called `fleet`, on occasion `trial`.
    pub(crate) fn new(seed: u64, fleet: &str, trial: usize, attack: Attack) -> Self {
        let name = format!("{fleet} {}", attack.name());
        let draw = |purpose| stream(seed, &name, trial, purpose);
        Self { counts: draw(Purpose::Attack), instants: draw(Purpose::Instants) }
    }
}

/// Attacks `victim` from minute `from` on.
pub(crate) fn attack(
    victim: Victim<'_>,
    attack: Attack,
    from: u32,
    mut luck: Luck,
    budgets: Budgets,
) -> Outcome {
    let Victim { mut player, agent, mut source, busy } = victim;
    let bound = attack.bound(source.clone(), budgets);
    let mut search = Search::new(minute(from), attack.grade(), budgets);
    let mut due: Vec<Due> = Vec::new();
    for since in 0..attack.minutes_max() {
        let usual = source.next_minute();
        let count = source.multiplied(usual, attack.factor(since), attack.factor_max(), &mut luck.counts);
        due.clear();
        spread(count, minute(from + since), agent, &mut luck.instants, &mut due);
        due.sort_unstable();
        for &call in &due {
            pass(&mut player, agent, call.at, &mut search);
            search.calls += 1;
            if let Some(verdict) = player.call(call) {
                search.hear(&verdict, call.at);
            }
            if is_over(&search) {
                return Outcome { bound, found: search.found, busy };
            }
        }
        pass(&mut player, agent, minute(from + since + 1), &mut search);
    }
    Outcome { bound, found: search.found, busy }
}

/// Time passes; what is said of the agent while it is silent counts too, what is said of others does not.
fn pass(player: &mut Player<'_>, agent: usize, until: detector::Timestamp, search: &mut Search) {
    let name = player.name(agent);
    player.tick(until, &mut |who, verdict| {
        if who == name {
            search.hear(verdict, verdict.ts);
        }
    });
}

fn is_over(search: &Search) -> bool {
    let told = search.has(Lens::Volume) && search.has(Lens::Combined);
    told && (search.has(Lens::Timing) || search.calls >= TIMING_CALLS) || search.calls >= CALLS_MAX
}
